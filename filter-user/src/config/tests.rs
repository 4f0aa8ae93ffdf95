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
        ("[metrics]\ntls_cert = \"/c\"", "a certificate without its key", "metrics.tls_key"),
        ("[metrics]\ntls_key = \"/k\"", "a key without its certificate", "metrics.tls_cert"),
        ("[metrics\n", "", ""),
        (
            "[[service]]\nname = \"a\"\nports = [\"tcp/1\"]\n[[service]]\nname = \"b\"\ndst = \"9.9.9.0/24\"\nports = [\"tcp/1\"]",
            "tcp/1 belongs to a service already",
            "remove one",
        ),
        (
            "[[service]]\nname = \"a\"\ndst = [\"9.9.8.0/24\", \"9.9.9.0/24\"]\nports = [\"tcp/1\"]\n[[service]]\nname = \"b\"\n\
             dst = [\"9.9.8.0/23\", \"8.8.8.8\"]\nports = [\"tcp/1\"]",
            "tcp/1 belongs to a service already",
            "remove one",
        ),
        (
            "[[service]]\nname = \"x\"\nprofile = \"wev\"\nports = [\"tcp/1\"]",
            "unknown value \"wev\"",
            "\"web\"",
        ),
        ("[[service]]\nname = \"x\"\nprofile = \"game\"", "has no ports", "add ports"),
        (
            "[[service]]\nname = \"x\"\nobserve = \"yes\"",
            "expected a boolean, found a string",
            "`true`, `false`",
        ),
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
fn rules_refused_with_a_hint() {
    let cases = [
        ("action = \"reject\"", "unknown value \"reject\"", "known here: pass, drop"),
        ("action = \"drop\"\nproto = \"tcpp\"", "unknown protocol \"tcpp\"", "did you mean \"tcp\"?"),
        ("action = \"drop\"\nproto = \"256\"", "unknown protocol \"256\"", "known here"),
        ("action = \"drop\"\ndport = \"53\"", "ports of a protocol that may have none", "add proto"),
        ("action = \"drop\"\nproto = [\"tcp\", \"gre\"]\nsport = \"53\"", "ports of a protocol", "add proto"),
        ("action = \"drop\"\nproto = \"udp\"\nflags = \"syn\"", "TCP flags of another", "proto = \"tcp\""),
        ("action = \"drop\"\nproto = \"tcp\"\nflags = \"sin\"", "unknown TCP flag \"sin\"", "\"syn\""),
        ("action = \"drop\"\nproto = \"tcp\"\nflags = \"syn,!syn\"", "flag syn is there twice", "once"),
        ("action = \"drop\"\nicmp_type = \"8\"", "ICMP types of another", "add proto"),
        ("action = \"drop\"\nproto = \"icmp\"\nicmp_type = \"256\"", "is no ICMP type", "0 to 255"),
        ("action = \"drop\"\nlength = \"100-50\"", "the range 100-50 is empty", "write "),
        ("action = \"drop\"\nlength = \"0-19\"", "no IP packet is that short", "20 bytes"),
        ("action = \"drop\"\nttl = \"64-300\"", "is no TTL", "0 to 255"),
        ("action = \"drop\"\nfragment = \"last\"", "unknown value \"last\"", "\"later\""),
        (
            "action = \"drop\"\nfragment = \"later\"\nproto = \"udp\"\ndport = \"53\"",
            "later fragments have no ports",
            "fragment = \"any\"",
        ),
        ("action = \"drop\"\nsrc = \"9.9.9.9\"\ndst = \"2620::1\"", "no packet matches", "one family"),
        ("action = \"drop\"\nsrc = \"9.9.9.9\"\nproto = \"icmpv6\"", "no packet matches", "ICMPv6 is IPv6's"),
        (
            "action = \"drop\"\nproto = [\"icmp\", \"igmp\"]\ndst = \"2620::1\"",
            "no packet matches",
            "one family",
        ),
        ("action = \"limit\"\nproto = \"udp\"", "a limit without a rate", "add rate"),
        ("action = \"drop\"\nproto = \"udp\"\nrate = \"1/s\"", "a rate for the action \"drop\"", "\"limit\""),
        ("action = \"count\"\nper = \"rule\"", "per for the action \"count\"", "\"limit\""),
        ("action = \"challenge\"\nproto = \"udp\"", "a challenge that no SYN matches", "TCP SYNs"),
        (
            "action = \"challenge\"\nproto = \"tcp\"\nflags = \"ack\"",
            "a challenge that no SYN matches",
            "TCP SYNs",
        ),
        ("action = \"challenge\"\nfragment = \"first\"", "a challenge that no SYN matches", "TCP SYNs"),
        (
            "action = \"count\"\n[[rule]]\nname = \"r\"\naction = \"count\"",
            "rule \"r\" is there twice",
            "remove",
        ),
    ];
    for (lines, message, hint) in cases {
        let text = format!("schema = 1\n[[interface]]\nname = \"e\"\n[[rule]]\nname = \"r\"\n{lines}");
        let (line, column, said_message, said_hint) =
            said(&text).into_iter().next().unwrap_or_else(|| panic!("accepted: {lines}"));
        assert!(said_message.contains(message), "{lines}: {said_message}");
        assert!(said_hint.contains(hint), "{lines}: {said_hint}");
        assert!(line >= 5 && column > 0, "{lines}: line {line}");
    }
    let many = (0..65).fold("schema = 1\n[[interface]]\nname = \"e\"\n".to_owned(), |text, number| {
        text + &format!("[[rule]]\nname = \"r{number}\"\naction = \"count\"\n")
    });
    let (line, _, message, _) = said(&many).into_iter().next().unwrap();
    assert_eq!((message.as_str(), line), ("more than 64 rules", 3 + 64 * 3 + 2));
}

#[test]
fn rules_that_never_decide_are_told() {
    let warned = |rules: &str| {
        let text = format!("schema = 1\n[[interface]]\nname = \"e\"\n{rules}");
        let said = parse_text(&text).unwrap().report.diagnostics;
        said.into_iter().map(|d| d.message).filter(|m| !m.contains("management")).collect::<Vec<_>>()
    };
    let two = |first: &str, second: &str| {
        warned(&format!("[[rule]]\nname = \"a\"\n{first}\n[[rule]]\nname = \"b\"\n{second}"))
    };
    let unreached = ["no packet reaches the rule \"b\""];
    let drop = |lines: &str| format!("action = \"drop\"\n{lines}");
    let wide = drop("src = [\"9.0.0.0/9\", \"9.128.0.0/9\"]\nproto = [\"tcp\", \"udp\"]");
    let narrow = "action = \"count\"\nsrc = \"9.9.9.9\"\nproto = \"udp\"\ndport = [\"1-5\", \"6\"]";
    assert_eq!(two(&wide, narrow), unreached);
    assert_eq!(two(narrow, &wide), [""; 0]);
    assert_eq!(two(&format!("{wide}\nobserve = true"), narrow), [""; 0]);
    assert_eq!(two(&format!("{wide}\nttl = \"0-9\""), narrow), [""; 0]);
    assert_eq!(two(&drop("proto = \"udp\"\ndport = \"1-6\""), narrow), unreached);
    assert_eq!(two(&drop("proto = \"udp\"\ndport = \"1-5\""), narrow), [""; 0]);
    assert_eq!(
        warned(&format!("[[rule]]\nname = \"a\"\n{}", drop(""))),
        ["this rule drops every packet that gets to it"]
    );
}

#[test]
fn profiles_fill_in_what_is_not_written() {
    for (name, _) in profile::PRESETS {
        let text = format!(
            "schema = 1\n[[interface]]\nname = \"e\"\n[[service]]\nname = \"x\"\nprofile = \"{name}\"\nports = [\"tcp/7\"]\n\
             syn = {{ on = 300 }}\nrate = {{ per_source_syn = \"7/s\" }}"
        );
        let loaded = parse_text(&text);
        // A preset's `off` above the `on` that is written is told at what is written.
        if let Err(error) = &loaded {
            assert!(
                error.to_string().contains("is not below on = 300") && error.to_string().contains(":8:14"),
                "{error}"
            );
            continue;
        }
        let service = loaded.unwrap().settings.service.remove(0);
        assert_eq!(service.ports.len(), 1, "{name}");
        assert_eq!(*service.syn.on.as_ref(), 300);
        assert!(service.defends_syns(), "{name}");
        let rates = [&service.rate.per_source, &service.rate.per_source_syn];
        assert!(rates.iter().all(|rate| rate.as_ref().is_some()), "{name}");
    }
    let plain = "schema = 1\n[[interface]]\nname = \"e\"\n[[service]]\nname = \"x\"\nprofile = \"dns\"\n";
    let service = parse_text(plain).unwrap().settings.service.remove(0);
    assert_eq!((service.ports.len(), *service.syn.on.as_ref()), (2, 2000));
    let game = format!("{}ports = [\"udp/27015\"]\n", plain.replace("dns", "game"));
    assert!(parse_text(&game).is_ok(), "a SYN defence that nobody wrote needs no TCP port");
}

#[test]
fn destinations_tell_services_apart() {
    let two = |first: &str, second: &str| {
        let service = |name: &str, lines: &str| {
            format!("[[service]]\nname = \"{name}\"\nports = [\"tcp/1-9\"]\n{lines}\n")
        };
        let text = format!(
            "schema = 1\n[[interface]]\nname = \"e\"\n{}{}",
            service("a", first),
            service("b", second)
        );
        parse_text(&text).is_ok()
    };
    assert!(two("dst = \"9.9.9.9\"", ""));
    assert!(two("dst = \"9.9.9.9\"", "dst = \"9.9.9.0/24\""));
    assert!(two("dst = \"9.9.9.9\"", "dst = \"2620::1\""));
    assert!(two("dst = \"0.0.0.0/0\"", "dst = \"::/0\""));
    assert!(!two("dst = \"9.9.9.0/24\"", "dst = \"9.9.9.9\""));
    assert!(!two("dst = [\"0.0.0.0/0\", \"::/1\", \"8000::/1\"]", "dst = \"2620::1\""));
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
