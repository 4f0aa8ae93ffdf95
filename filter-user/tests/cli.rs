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
