//! The command line as its users meet it: codes, streams, JSON.

use std::process::{Command, Output};

fn floodwall(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_floodwall")).args(args).output().expect("floodwall runs")
}

fn check(text: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("f.toml");
    std::fs::write(&path, text).expect("file");
    let path = path.to_str().expect("UTF-8");
    floodwall(&[&["config", "check", "--no-host", "--config", path], more].concat())
}

fn error(output: &Output) -> serde_json::Value {
    let value: serde_json::Value = serde_json::from_slice(&output.stderr).expect("one JSON object");
    assert_eq!(value["schema"], 1);
    assert_eq!(value["error"]["code"].as_i64(), output.status.code().map(i64::from));
    value["error"].clone()
}

#[test]
fn a_valid_file_is_code_0() {
    let output = check("schema = 1\n[[interface]]\nname = \"eth0\"\n", &["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((report["valid"].as_bool(), output.stderr.len()), (Some(true), 0));
}

#[test]
fn a_bad_file_is_code_5_with_a_caret() {
    let text = "schema = 1\n[[interface]]\nname = \"eth0\"\n[deamon]\n";
    let output = check(text, &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(5), 0));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("f.toml:4:2") && said.contains("^^^^^^") && said.contains("\"daemon\""), "{said}");
    let error = error(&check(text, &["--json"]));
    assert_eq!((&error["kind"], &error["diagnostics"][0]["line"]), (&"config_invalid".into(), &4.into()));
}

#[test]
fn what_a_file_comes_to_is_shown_with_origins() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("f.toml");
    std::fs::write(&path, "schema = 1\n[[interface]]\nname = \"eth0\"\n").expect("file");
    std::fs::create_dir(folder.path().join("conf.d")).expect("folder");
    std::fs::write(folder.path().join("conf.d/a.toml"), "daemon.mode = \"enforce\"\n").expect("file");
    let path = path.to_str().expect("UTF-8");
    let shown = floodwall(&["config", "show", "--origin", "--json", "--config", path]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["config"]["daemon"]["mode"], "enforce");
    let origin = shown["origins"]["daemon.mode"].as_str().expect("an origin");
    assert!(origin.ends_with("/conf.d/a.toml:1"), "{origin}");
    assert_eq!(shown["origins"]["cookie.period"], "default");
    let plain = floodwall(&["config", "show", "--config", path]);
    assert!(String::from_utf8(plain.stdout).expect("UTF-8").contains("\n[[interface]]\nname = \"eth0\"\n"));
    let running = floodwall(&["config", "show", "--running", "--json", "--socket", "/nonexistent.sock"]);
    assert_eq!(error(&running)["kind"], "daemon_unreachable");
    let schema = floodwall(&["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert_eq!(schema["properties"]["schema"]["maximum"], 1);
}

#[test]
fn a_missing_file_is_code_5() {
    let error = error(&floodwall(&["run", "--json", "--config", "/nonexistent.toml"]));
    assert_eq!(error["code"], 5);
}

#[test]
fn a_bad_command_line_is_code_2() {
    assert_eq!(floodwall(&["no-such-verb"]).status.code(), Some(2));
    assert_eq!(error(&floodwall(&["status", "--no-such-flag", "--json"]))["kind"], "usage");
    assert_eq!(floodwall(&["--help"]).status.code(), Some(0));
}

#[test]
fn what_bench_cannot_compare_with_is_told_before_it_measures() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("saved.json");
    for (text, wanted) in [("nothing", "no saved result"), ("{\"schema\":2}", "form 2 instead of 1")] {
        std::fs::write(&path, text).expect("file");
        let error = error(&floodwall(&["bench", "--json", "--baseline", path.to_str().expect("UTF-8")]));
        assert!(
            error["kind"] == "usage" && error["message"].as_str().is_some_and(|said| said.contains(wanted))
        );
    }
    assert_eq!(error(&floodwall(&["bench", "--json", "--paths", "no-such-path"]))["kind"], "usage");
    assert_eq!(error(&floodwall(&["bench", "--json", "--sources", "3"]))["kind"], "usage");
}

#[test]
fn without_a_daemon_rotation_is_code_3() {
    let output = floodwall(&["cookie", "rotate", "--json", "--socket", "/nonexistent.sock"]);
    assert_eq!(error(&output)["kind"], "daemon_unreachable");
}

#[test]
fn colour_only_where_it_is_asked_for() {
    let bad = "schema = 2\n";
    assert!(!check(bad, &[]).stderr.contains(&0x1b));
    assert!(check(bad, &["--color", "always"]).stderr.contains(&0x1b));
}

#[test]
fn risks_are_no_failure_but_a_bad_file_is() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("f.toml");
    std::fs::write(&path, "schema = 1\n[[interface]]\nname = \"lo\"\n").expect("file");
    let doctor = |more: &[&str]| {
        floodwall(&[&["doctor", "--risk", "--config", path.to_str().expect("UTF-8")], more].concat())
    };
    let output = doctor(&["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let risks = report["risks"].as_array().expect("a list");
    let observe = risks.iter().find(|risk| risk["id"] == "observe").expect("observe is the default");
    assert_eq!((&report["schema"], &observe["severity"]), (&1.into(), &"high".into()));
    assert!(String::from_utf8_lossy(&doctor(&[]).stdout).contains("observe mode"));
    std::fs::write(&path, "schema = 2\n").expect("file");
    assert_eq!(error(&doctor(&["--json"]))["code"], 5);
}

/// Every verb without its parents' options, as a list of words.
fn leaves(command: &clap::Command, path: &[String], all: &mut Vec<(Vec<String>, clap::Command)>) {
    let subs: Vec<_> = command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
    if subs.is_empty() {
        all.push((path.to_vec(), command.clone()));
    }
    for sub in subs {
        leaves(sub, &[path, &[sub.get_name().to_owned()]].concat(), all);
    }
}

fn verbs() -> Vec<(Vec<String>, clap::Command)> {
    let mut all = Vec::new();
    leaves(&filter_user::cmd::definition(), &[], &mut all);
    all
}

#[test]
fn every_verb_has_examples() {
    for (path, mut command) in verbs() {
        let help = command.render_long_help().to_string();
        let example = format!("  floodwall {}", path.join(" "));
        assert!(
            help.contains("Examples:\n") && help.contains(&example),
            "floodwall {}:\n{help}",
            path.join(" ")
        );
    }
}

/// How each verb is asked without a daemon, without a filter, and without harm to the host that tests run on. `DIR` is a folder.
const ASKED: &[&str] = &[
    "run --config /nonexistent.toml",
    "detach --pins /nonexistent/pins",
    "status --pins /nonexistent/pins --socket /nonexistent.sock",
    "doctor --pins /nonexistent/pins",
    "bench --paths no-such-path",
    "ban add 192.31.196.9 --socket /nonexistent.sock",
    "ban del 192.31.196.9 --dry-run --socket /nonexistent.sock",
    "ban list --pins /nonexistent/pins",
    "ban test 192.31.196.9 --pins /nonexistent/pins",
    "allow add 192.31.196.9 --dry-run --socket /nonexistent.sock",
    "allow del 192.31.196.9 --dry-run --socket /nonexistent.sock",
    "allow list --socket /nonexistent.sock",
    "allow test 192.31.196.9 --socket /nonexistent.sock",
    "allow import /nonexistent.txt --dry-run --socket /nonexistent.sock",
    "allow export --socket /nonexistent.sock",
    "ban import /nonexistent.txt --dry-run --socket /nonexistent.sock",
    "ban export --pins /nonexistent/pins",
    "top --once --socket /nonexistent.sock",
    "watch --count 1 --socket /nonexistent.sock",
    "capture DIR/c.pcapng --count 1 --socket /nonexistent.sock",
    "explain --last 192.31.196.9 --socket /nonexistent.sock",
    "replay --live 1s --pins /nonexistent/pins --socket /nonexistent.sock",
    "attack list --socket /nonexistent.sock",
    "attack show 1 --socket /nonexistent.sock",
    "incident list --socket /nonexistent.sock",
    "incident show --socket /nonexistent.sock",
    "incident export --socket /nonexistent.sock",
    "notify list --socket /nonexistent.sock",
    "notify test --socket /nonexistent.sock",
    "forget 192.31.196.9 --dry-run --socket /nonexistent.sock",
    "feed list --socket /nonexistent.sock",
    "feed update --dry-run --socket /nonexistent.sock",
    "feed show drop 192.31.196.9 --socket /nonexistent.sock",
    "cookie status --pins /nonexistent/pins",
    "cookie rotate --dry-run --socket /nonexistent.sock",
    "config check --config /nonexistent.toml",
    "config show --config /nonexistent.toml",
    "config schema",
    "config plan --config /nonexistent.toml --socket /nonexistent.sock",
    "explain --src 192.31.196.9 --dst 192.31.196.1 --proto tcp --dport 443 --pins /nonexistent/pins",
    "replay /nonexistent.pcap --pins /nonexistent/pins",
    "apply --dry-run --socket /nonexistent.sock",
    "confirm --dry-run --socket /nonexistent.sock",
    "rollback --dry-run --socket /nonexistent.sock",
    "history --socket /nonexistent.sock",
    "diff --socket /nonexistent.sock",
    "bypass --off --dry-run --socket /nonexistent.sock",
    "panic --dry-run --pins /nonexistent/pins --runtime DIR/run",
    "init --stdout --interface lo --config DIR/first.toml",
    "support dump --out DIR/dump.json --config /nonexistent.toml --pins /nonexistent/pins --socket /nonexistent.sock",
    "support dashboards --out DIR/monitoring",
    "completion bash",
    "man",
    "man --out DIR/man",
];

#[test]
fn every_verb_speaks_json() {
    let folder = tempfile::tempdir().expect("folder");
    for (path, _) in verbs() {
        let line = path.join(" ");
        let known = |asked: &&&str| **asked == line || asked.starts_with(&format!("{line} "));
        assert!(ASKED.iter().any(|asked| known(&asked)), "tell ASKED how to ask: floodwall {line}");
    }
    for asked in ASKED {
        let asked = asked.replace("DIR", folder.path().to_str().expect("UTF-8"));
        let words: Vec<_> = asked.split_whitespace().chain(["--json"]).collect();
        let output = floodwall(&words);
        let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        let value: serde_json::Value =
            serde_json::from_slice(said).unwrap_or_else(|error| panic!("{asked}: {error}"));
        // A JSON Schema has a version of its own.
        assert!(value["schema"] == 1 || value["$schema"].is_string(), "{asked}");
        assert_eq!(output.stdout.is_empty(), value["error"].is_object(), "{asked}");
    }
}

#[test]
fn scripts_and_pages_are_made() {
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef floodwall"), ("fish", "complete -c floodwall")]
    {
        let output = floodwall(&["completion", shell]);
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success() && script.contains(word), "{shell}");
    }
    let folder = tempfile::tempdir().expect("folder");
    let pages = folder.path().join("man1");
    assert!(floodwall(&["man", "--out", pages.to_str().expect("UTF-8")]).status.success());
    for page in ["floodwall.1", "floodwall-ban-add.1"] {
        assert!(std::fs::read_to_string(pages.join(page)).expect(page).contains(".TH"), "{page}");
    }
}

/// The bundle holds neither the key nor whole addresses, and is its owner's.
#[test]
fn a_bundle_has_no_secrets() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let key = "0123456789abcdefFEDCBA9876543210-key";
    std::fs::write(at("key"), key).expect("key");
    std::fs::set_permissions(at("key"), std::fs::Permissions::from_mode(0o600)).expect("mode");
    let text = format!(
        "schema = 1\n[management]\nallow = [\"192.31.196.77\"]\n[[interface]]\nname = \"lo\"\n[cookie]\nkey_file = {:?}\n\
         [metrics]\nlisten = \"off\"\n",
        at("key")
    );
    std::fs::write(at("f.toml"), text).expect("file");
    let dump = |out: &str, more: &[&str]| {
        let (out, config) = (at(out), at("f.toml"));
        let args = ["support", "dump", "--out", &out, "--config", &config, "--socket", "/nonexistent.sock"];
        (floodwall(&[&args, more].concat()), std::fs::read_to_string(out).unwrap_or_default())
    };
    let (output, bundle) = dump("a.json", &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mode = std::fs::metadata(at("a.json")).expect("bundle").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let hex: String = key
        .bytes()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|n| char::from_digit(n.into(), 16).unwrap())
        .collect();
    assert!(!bundle.contains(key) && !bundle.contains(&hex) && !bundle.contains(&key[8..24]));
    assert!(
        bundle.contains("key_file") && bundle.contains("192.31.196.0") && !bundle.contains("192.31.196.77")
    );
    assert!(dump("b.json", &["--full-addresses"]).1.contains("192.31.196.77"));
    assert_eq!(dump("a.json", &[]).0.status.code(), Some(2), "nothing is overwritten");
}

#[test]
fn dashboards_replace_nothing_unasked() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("new");
    let write = |more: &[&str]| {
        let args = ["support", "dashboards", "--out", out.to_str().expect("UTF-8")];
        floodwall(&[&args, more].concat())
    };
    let board = out.join("grafana/dashboards/floodwall-overview.json");
    assert!(write(&[]).status.success());
    let text = std::fs::read_to_string(&board).expect("a dashboard");
    assert!(out.join("prometheus/floodwall.rules.yml").is_file());
    std::fs::write(&board, "mine").expect("a change");
    assert_eq!(write(&[]).status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&board).expect("still there"), "mine");
    assert!(write(&["--force"]).status.success());
    assert_eq!(std::fs::read_to_string(&board).expect("replaced"), text);
}

/// `floodwall .. | head`, and stderr that nobody reads.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::Stdio;
    for (args, code) in [
        (&["completion", "bash"][..], 0),
        (&["--help"], 0),
        (&["config", "check", "--config", "/nonexistent"], 5),
    ] {
        let pipe = || {
            let (reader, writer) = std::io::pipe().expect("pipe");
            drop(reader);
            Stdio::from(writer)
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_floodwall"));
        let status = command.args(args).stdout(pipe()).stderr(pipe()).status().expect("floodwall runs");
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}

/// Each as it lies in the package: valid, observing, and with every key known.
#[test]
fn the_examples_of_the_package_are_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("examples") {
        let path = entry.expect("entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let output = check(&text, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{}: {said}", path.display());
        assert!(
            text.contains("mode = \"observe\"") && text.contains("# group = \"floodwall\""),
            "{}",
            path.display()
        );
        count += 1;
    }
    assert_eq!(count, 6);
}
