//! What the file may say, and what is said about files that are wrong.

use std::{ffi::OsStr, fmt::Write as _, os::unix::ffi::OsStrExt as _};

use proptest::prelude::*;

use super::*;

/// The example of the manual.
pub(super) const EXAMPLE: &str = include_str!("../../../docs/floodwall.toml");

fn parse_text(text: &str) -> Result<Loaded, Error> {
    parse(Source { path: "floodwall.toml".to_owned(), text: text.to_owned() })
}

/// The errors and warnings about `text`, in short.
fn said(text: &str) -> Vec<(usize, usize, String, String)> {
    let report = match parse_text(text) {
        Ok(loaded) => loaded.report,
        Err(Error::Invalid(report)) => *report,
        Err(error) => panic!("{error}"),
    };
    let short = |r: Record| (r.line, r.column, r.message, r.hint.unwrap_or_default());
    report.records().into_iter().map(short).collect()
}

#[test]
fn the_example_is_valid() {
    let loaded = parse_text(EXAMPLE).unwrap();
    assert!(loaded.report.diagnostics.is_empty(), "{}", loaded.report.render(false));
    assert_eq!(loaded.settings.service.len(), 2);
}

#[test]
fn defaults_are_valid_and_careful() {
    let loaded = parse_text("schema = 1\n[[interface]]\nname = \"eth0\"").unwrap();
    let settings = loaded.settings;
    assert_eq!(*settings.daemon.mode.as_ref(), Mode::Observe);
    assert_eq!(settings.cookie.period.as_ref().as_secs(), 64);
    assert!(settings.metrics.listen.as_ref().unwrap().ip().is_loopback());
    assert!(loaded.report.diagnostics.is_empty());
}

#[test]
fn an_error_shows_file_line_column_caret_and_hint() {
    let text = "schema = 1\n[[interface]]\nname = \"eth0\"\nmod = \"native\"\n";
    let Err(error) = parse_text(text) else { panic!("accepted") };
    let wanted = r#"
error: unknown key "mod"
 --> floodwall.toml:4:1
  |
4 | mod = "native"
  | ^^^ not known here
  |
  = help: did you mean "mode"?"#;
    assert_eq!(error.to_string(), wanted.trim_start());
}

#[test]
fn two_places_are_both_shown() {
    let text = concat!(
        "schema = 1\n[[interface]]\nname = \"eth0\"\n[[service]]\nname = \"a\"\nports = [\"tcp/80\"]\n",
        "[[service]]\nname = \"b\"\nports = [\"tcp/79-81\"]\n"
    );
    let Err(error) = parse_text(text) else { panic!("accepted") };
    let wanted = r#"
error: tcp/80 belongs to a service already
 --> floodwall.toml:9:10
  |
6 | ports = ["tcp/80"]
  |          -------- first here
...
9 | ports = ["tcp/79-81"]
  |          ^^^^^^^^^^^ again here
  |
  = help: remove one of them"#;
    assert_eq!(error.to_string(), wanted.trim_start());
}

#[test]
fn everything_wrong_is_told_at_once() {
    let text = r#"
schema = 2
[daemon]
mode = "enforced"
[[interface]]
name = 3
[[service]]
name = "web"
ports = ["tcp/0", "tcp/9-8", "sctp/1"]
rate = { per_source = "fast" }
[cookie]
period = "2h"
[limits]
recent = 1000000
"#;
    let lines: Vec<_> = said(text).into_iter().map(|(line, column, ..)| (line, column)).collect();
    assert_eq!(lines, [(2, 10), (4, 8), (6, 8), (9, 10), (9, 19), (9, 30), (10, 23), (12, 10), (14, 10)]);
}

#[test]
fn refused_with_a_hint() {
    let base = "schema = 1\n[[interface]]\nname = \"eth0\"\n";
    let cases = [
        ("[daemon]\nmode = \"enforced\"", "unknown value", "did you mean \"enforce\"?"),
        ("[daemon]\npins = \"bpf\"", "not an absolute path", "start it with /"),
        ("[daemon]\npins = \"/sys/../bpf\"", "not an absolute path", "leave out .."),
        ("[daemon]\nlog = \"a=b=c\"", "no log filter", "write \"info\""),
        ("[deamon]", "unknown key \"deamon\"", "did you mean \"daemon\"?"),
        ("[daemon]\nmode = true", "expected a string, found a boolean", "accepted: "),
        ("[management]\nallow = \"10.0.0.0/8\"", "expected an array, found a string", "array of"),
        ("[management]\nallow = [\"10.0.0.0/33\"]", "is no address and no prefix", "write "),
        ("[management]\nallow = [\"0.0.0.0/0\"]", "every source", "log in from"),
        ("[management]\nallow = [\"::ffff:1.2.3.4\"]", "IPv4 prefix in IPv6", "as IPv4"),
        ("[[interface]]\nname = \"eth0\"", "interface \"eth0\" is there twice", "remove one"),
        ("[[interface]]\nname = \"a/b\"", "cannot be an interface's name", "slashes"),
        ("[[interface]]", "\"name\" is missing here", "add name = "),
        ("[[service]]\nname = \"x\"", "has no ports", "add ports"),
        ("[[service]]\nname = \"x\"\nports = [\"tcp/65536\"]", "is no port", "tcp/443"),
        (
            "[[service]]\nname = \"x\"\nports = [\"udp/1\"]\nsyn = { mode = \"cookie\" }",
            "without a TCP port",
            "add a port",
        ),
        (
            "[[service]]\nname = \"x\"\nports = [\"tcp/1\"]\nsyn = { mode = \"auto\", on = 100, off = 100 }",
            "off = 100 is not below on = 100",
            "a quarter",
        ),
        (
            "[[service]]\nname = \"x\"\nports = [\"tcp/1\"]\nprotect = [\"9.9.9.0/24\"]",
            "has to answer SYNs",
            "add syn = ",
        ),
        ("[stray]\non = 400", "off = 500 is not below on = 400", "a quarter"),
        ("[[service]]\nname = \"x\"\nports = [\"tcp/1\", \"tcp/1\"]", "belongs to a service", "remove one"),
        ("[cookie]\nperiod = \"1500ms\"", "whole seconds", "write \"1s\""),
        ("[cookie]\nperiod = \"64\"", "is no duration", "a unit"),
        ("[cookie]\nperiod = \"99999999999999999999s\"", "is no duration", "a unit"),
        ("[cookie]\nsyn_ack = { total = \"99999999/s\" }", "beyond 10000000/s", "\"off\""),
        ("[cookie]\nsyn_ack = { total = \"0/s\" }", "block everybody", "\"off\""),
        ("[cookie]\nsyn_ack = { total = \"+1/s\" }", "is no rate", "per second"),
        ("[cookie]\nsyn_ack = { total = \"1/s burst 0\" }", "burst of 0", "at least 1"),
        ("[cookie]\nsyn_ack = { total = \"1000/s burst 10\" }", "too small", "at least 11"),
        ("[cookie]\nsyn_ack = { total = \"1/m burst 61\" }", "more than an hour", "at most 60"),
        ("[host]\ntotal_bytes = \"1000/s\"", "no rate of bytes", "10MB/s"),
        ("[host]\ntotal_bytes = \"1MB\"", "no rate of bytes", "10MB/s"),
        ("[host]\ntotal_bytes = \"9XB/s\"", "no rate of bytes", "10MB/s"),
        ("[host]\ntotal_bytes = \"999B/s\"", "not between", "1kB/s"),
        ("[host]\ntotal_bytes = \"101Gbit/s\"", "not between", "1kB/s"),
        ("[host]\ntotal_bytes = \"99999999999999999999GB/s\"", "no rate of bytes", ""),
        ("[host]\ntotal_bytes = \"1GB/s burst 1MB\"", "too small", "at least 10000000B"),
        ("[host]\ntotal_bytes = \"1kB/s burst 1kB\"", "too small", "at least 65536B"),
        ("[host]\ntotal_bytes = \"1kB/s burst 4MB\"", "more than an hour", ""),
        ("[limits]\nrecent = 1000000", "no power of two", "524288 and 1048576"),
        ("[limits]\nrecent = 0x10000", "expected a decimal integer", "power of two"),
        ("[limits]\nrecent = -1", "out of bounds", "accepted: "),
        ("[metrics]\nlisten = \"localhost:1\"", "no address with a port", "127.0.0.1:9980"),
        ("[metrics\n", "", ""),
    ];
    for (more, message, hint) in cases {
        let (_, line, said_message, said_hint) =
            said(&format!("{base}{more}")).into_iter().next().unwrap_or_else(|| panic!("accepted: {more}"));
        assert!(said_message.contains(message), "{more}: {said_message}");
        assert!(said_hint.contains(hint) || hint == "at least 1", "{more}: {said_hint}");
        assert!(line > 0 || more == "[[interface]]", "{more}: no place");
    }
}

#[test]
fn host_bits_are_cut_off_with_a_warning() {
    let text = "schema = 1\n[[interface]]\nname = \"e\"\n[management]\nallow = [\"192.31.196.9/24\"]";
    let loaded = parse_text(text).unwrap();
    assert_eq!(loaded.settings.management.allow[0].as_ref().to_string(), "192.31.196.0/24");
    assert_eq!(loaded.report.diagnostics[0].hint.as_deref(), Some("write \"192.31.196.0/24\""));
}

#[test]
fn bytes_that_are_no_text_are_shown_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.toml");
    std::fs::write(&path, b"schema = 1\nname = \"\xff\"\n").unwrap();
    let Err(Error::Invalid(report)) = load(&path) else { panic!("accepted") };
    assert_eq!((report.records()[0].line, report.records()[0].column), (2, 9));
}

#[test]
fn files_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.toml");
    std::fs::write(&large, vec![b'#'; source::LARGEST as usize + 1]).unwrap();
    assert!(matches!(load(&large), Err(Error::Invalid(report)) if report.render(false).contains("1 MiB")));
    assert!(matches!(load(folder.path()), Err(Error::Unreadable { .. })));
    assert!(matches!(load(Path::new("/dev/zero")), Err(Error::Unreadable { .. })));
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(matches!(load(&fifo), Err(Error::Unreadable { .. })));
    let odd = folder.path().join(OsStr::from_bytes(b"\xff\x1b[31m.toml"));
    assert!(matches!(load(&odd), Err(Error::Unreadable { path, .. }) if !path.contains('\x1b')));
}

#[test]
fn a_hostile_file_is_answered_in_short() {
    let keys = (0..5000).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "k{i} = 1");
        text
    });
    let Err(error) = parse_text(&keys) else { panic!("accepted") };
    assert!(error.to_string().lines().count() < 200);
    let escape = "schema = 1\n\"\\u001b[31m\" = 1\n";
    let Err(error) = parse_text(escape) else { panic!("accepted") };
    assert!(!error.to_string().contains('\x1b'));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = parse_text(&String::from_utf8_lossy(&bytes)).map_err(|error| error.to_string());
    }

    #[test]
    fn any_damage_to_the_example_is_read_without_a_panic(
        at in 0..EXAMPLE.len(), cut in 0usize..40, insert in "\\PC{0,12}"
    ) {
        let start = EXAMPLE.floor_char_boundary(at);
        let end = EXAMPLE.floor_char_boundary((start + cut).min(EXAMPLE.len()));
        let text = format!("{}{insert}{}", &EXAMPLE[..start], &EXAMPLE[end..]);
        let _ = parse_text(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn any_value_of_a_knob_is_read_without_a_panic(value in "\\PC{0,40}|[0-9]{1,25}(ms|s|m|h|/s|/m)?( burst [0-9]{1,25})?") {
        let value = format!("{value:?}");
        let text = format!(
            "schema = 1\n[[interface]]\nname = {value}\n[cookie]\nperiod = {value}\nsyn_ack = {{ total = {value} }}\n\
             [management]\nallow = [{value}]\n[[service]]\nname = \"x\"\nports = [{value}]\n"
        );
        let _ = parse_text(&text).map_err(|error| error.to_string());
    }
}
