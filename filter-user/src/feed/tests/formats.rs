//! Format by format, and garbage.

use proptest::prelude::*;

use super::{super::format::FORMATS, *};

fn of(text: &str, format: Format) -> Vec<String> {
    let (entries, found) = read(text, Format::Auto).unwrap();
    assert_eq!(found, format, "{text}");
    let (again, _) = read(text, format).unwrap();
    assert_eq!(again, entries);
    // With Windows' line ends and a byte order mark.
    let odd = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(read(odd, Format::Auto).unwrap().0.ranges, entries.ranges);
    shown(&entries.ranges.without(entries.holes))
}

#[test]
fn plain() {
    let text = "# FireHOL level 1\n; more\n\n44.0.0.1\n44.0.1.0/24\n2a00::1\n44.0.2.77/24 # odd\n 44.0.3.0/24 ; SBL1\n\
                45.0.0.1-45.0.0.9\n2a01::-2a01::ffff\n";
    let ranges = of(text, Format::Plain);
    assert_eq!(
        ranges,
        ["44.0.0.1/32", "44.0.1.0-44.0.3.255", "45.0.0.1-45.0.0.9", "2a00::1/128", "2a01::/112"]
    );
    let counts = read(text, Format::Auto).unwrap().0.counts;
    assert_eq!((counts.taken, counts.odd, counts.bad), ([5, 2], 1, 0));
    for wrong in [
        "::ffff:44.0.0.1",
        "44.0.0.1/33",
        "44.0.0",
        "44.0.0.9-44.0.0.1",
        "44.0.0.1-2a00::",
        "-",
        "1.2.3.4/-1",
        "44.0.0.01",
    ] {
        let counts = read(wrong, Format::Plain).unwrap().0.counts;
        assert_eq!((counts.bad, counts.all()), (1, 0), "{wrong}");
    }
}

#[test]
fn spamhaus() {
    let lines = "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\",\"rir\":\"apnic\"}\n{\"cidr\":\"2a06:e480::/29\",\"sblid\":\"SBL1\"}\n";
    let end =
        "{\"type\":\"metadata\",\"timestamp\":1753000000,\"size\":111,\"records\":2,\"copyright\":\"(c)\"}\n";
    assert_eq!(of(&format!("{lines}{end}"), Format::Spamhaus), ["1.10.16.0/20", "2a06:e480::/29"]);
    let cut = |text: &str| match read(text, Format::Auto) {
        Err(Fault::Cut(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(cut(lines).contains("metadata"));
    assert!(cut(&format!("{}{end}", lines.lines().next().unwrap().to_owned() + "\n")).contains("1 entries"));
    // Nothing listed, and said so.
    let none = "{\"type\":\"metadata\",\"records\":0}\n";
    let entries = read(none, Format::Spamhaus).unwrap().0;
    assert!(check::checked(entries, &LIMITS, None, false).is_ok());
}

#[test]
fn ipset() {
    let text = "create bad hash:net family inet hashsize 1024 maxelem 65536 timeout 600\nadd bad 44.0.0.0/24 timeout 599\n\
                add bad 44.0.0.7 timeout 0 nomatch\nadd bad 44.1.0.1 comment \"nobody\"\nadd bad6 2a00::/32\n";
    assert_eq!(
        of(text, Format::Ipset),
        ["44.0.0.0-44.0.0.6", "44.0.0.8-44.0.0.255", "44.1.0.1/32", "2a00::/32"]
    );
    assert_eq!(read("add x 44.0.0.1,tcp:80\nflush x\n", Format::Auto).unwrap().0.counts.bad, 2);
    let empty = read("create x hash:ip family inet\n", Format::Auto).unwrap().0;
    assert!(check::checked(empty, &LIMITS, None, false).is_ok());
}

#[test]
fn nft() {
    let text = r#"{"nftables": [{"metainfo": {"version": "1.0.9", "json_schema_version": 1}},
        {"set": {"family": "ip", "name": "bad", "table": "filter", "type": "ipv4_addr", "handle": 3, "flags": ["interval", "timeout"],
          "elem": ["44.0.0.1", {"prefix": {"addr": "44.0.1.0", "len": 24}}, {"range": ["45.0.0.1", "45.0.0.2"]},
                   {"elem": {"val": {"prefix": {"addr": "44.0.2.0", "len": 24}}, "timeout": 3600, "expires": 12}},
                   {"elem": {"val": "44.9.9.9", "comment": "x", "counter": {"packets": 0, "bytes": 0}}}]}},
        {"set": {"family": "ip6", "name": "bad6", "table": "filter", "type": "ipv6_addr", "elem": "2a00::1"}}]}"#;
    let ranges = of(text, Format::Nft);
    assert_eq!(
        ranges,
        ["44.0.0.1/32", "44.0.1.0-44.0.2.255", "44.9.9.9/32", "45.0.0.1-45.0.0.2", "2a00::1/128"]
    );
    let other = r#"{"nftables": [{"set": {"elem": [22, {"concat": ["44.0.0.1", 80]}, null, {"prefix": {"addr": "44.0.0.0", "len": 33}}]}}]}"#;
    let counts = read(other, Format::Auto).unwrap().0.counts;
    assert_eq!((counts.bad, counts.first_bad.as_deref()), (4, Some("entry 1: no address")));
    assert!(matches!(read(&text[..text.len() - 9], Format::Auto), Err(Fault::Cut(_))));
    assert!(matches!(read(r#"{"nftables": [{"chain": 1}]}"#, Format::Auto), Err(Fault::Form(_))));
    // Deep nesting ends in an error, not in a stack that is used up.
    let deep = format!("{{\"nftables\":{}", "[".repeat(500_000));
    assert!(matches!(read(&deep, Format::Auto), Err(Fault::Form(_))));
    let deep = format!("{{\"elem\":{}", "{\"elem\":".repeat(100_000));
    assert!(matches!(read(&deep, Format::Auto), Err(Fault::Form(_))));
}

#[test]
fn cscli() {
    let text = "duration,scope,value\n24h,ip,44.0.0.1\n1h,Range,44.0.1.0/24\n4h,country,US\n";
    assert_eq!(of(text, Format::Cscli), ["44.0.0.1/32", "44.0.1.0/24"]);
    let raw = "id,source,ip,reason,action,country,as,events_count,expiration,simulated,alert_id\n\
               1,crowdsec,Ip:44.0.0.1,\"crowdsecurity/ssh, slow\",ban,FR,\"1 A, B\",6,3h,false,1\n\
               2,crowdsec,Ip:2a00::1,x,captcha,FR,1,6,3h,false,1\n3,crowdsec,Ip:44.0.0.9,x,ban,,,6,3h,true,1\n\
               4,cscli,Range:2a00::/32,x,ban,,,6,3h,false,1\n";
    assert_eq!(of(raw, Format::Cscli), ["44.0.0.1/32", "2a00::/32"]);
    assert_eq!(read(raw, Format::Auto).unwrap().0.counts.other, 2);
    assert_eq!(read("duration,scope,value\n1h\n", Format::Auto).unwrap().0.counts.bad, 1);
    assert!(matches!(read("a,b\n1,2\n", Format::Cscli), Err(Fault::Form(_))));
}

#[test]
fn crowdsec() {
    let text = r#"{"new":[{"id":1,"uuid":"u","origin":"cscli","scenario":"x","scope":"Ip","value":"44.0.0.1","type":"ban","duration":"3h59m"},
        {"id":2,"scope":"Range","value":"44.0.1.0/24","type":"ban"},{"id":3,"scope":"Country","value":"US","type":"ban"},
        {"id":4,"scope":"Ip","value":"44.0.0.9","type":"captcha"},{"id":5,"scope":"Ip","value":"44.0.0.5","type":"ban","simulated":true},
        {"id":6,"scope":"ip","value":"2a00::1","type":"ban"}],
        "deleted":[{"id":2,"scope":"Range","value":"44.0.1.0/24","type":"ban"},{"id":9,"scope":"Ip","value":"44.0.0.1","type":"ban"}]}"#;
    assert_eq!(of(text, Format::Crowdsec), ["44.0.0.1/32", "2a00::1/128"]);
    assert_eq!(read(text, Format::Auto).unwrap().0.counts.other, 4);
    for none in ["null", "[]", "{\"new\":null,\"deleted\":null}", "{\"new\":[],\"deleted\":null}"] {
        let (entries, found) = read(none, Format::Auto).unwrap();
        assert_eq!(found, Format::Crowdsec);
        assert!(check::checked(entries, &LIMITS, None, false).is_ok(), "{none}");
    }
    assert_eq!(of("[{\"value\":\"44.0.0.1\"}]", Format::Crowdsec), ["44.0.0.1/32"]);
    for wrong in [
        "{\"message\":\"access forbidden\"}",
        "{\"new\":{}}",
        "{\"new\":[7]}",
        "[] []",
        "{\"new\":[{\"value\":1}]}",
    ] {
        assert!(matches!(read(wrong, Format::Crowdsec), Err(Fault::Form(_))), "{wrong}");
    }
    assert!(matches!(read(&text[..text.len() / 2], Format::Auto), Err(Fault::Cut(_))));
    let many = format!("[{}{{}}]", "{\"value\":\"44.0.0.1\"},".repeat(10_000));
    assert_eq!(read(many, Format::Auto).unwrap_err(), Fault::TooMany(10_000));
}

/// Texts that look like something.
fn likely() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("{\"cidr\":\"".to_owned()),
        Just("{\"type\":\"metadata\"}".to_owned()),
        Just("add x ".to_owned()),
        Just("create x hash:net".to_owned()),
        Just("{\"nftables\":[".to_owned()),
        Just("{\"elem\":".to_owned()),
        Just("{\"prefix\":{\"addr\":\"44.0.0.0\",\"len\":".to_owned()),
        Just("duration,scope,value\n".to_owned()),
        Just("{\"new\":".to_owned()),
        Just("\"deleted\":".to_owned()),
        Just("null".to_owned()),
        Just("{\"id\":1,\"value\":".to_owned()),
        Just("\"44.0.0.1\"".to_owned()),
        Just("44.0.0.0/24".to_owned()),
        Just("2a00::/32".to_owned()),
        Just("\n".to_owned()),
        Just("}".to_owned()),
        Just("]".to_owned()),
        Just("[".to_owned()),
        Just(",".to_owned()),
        Just("\"".to_owned()),
        Just("-".to_owned()),
        Just("#".to_owned()),
        Just(" ".to_owned()),
        any::<u8>().prop_map(|n| n.to_string()),
        "\\PC{0,8}",
    ];
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn garbage_of_any_kind_ends(bytes in prop::collection::vec(any::<u8>(), 0..2000), text in likely()) {
        for (_, format) in FORMATS {
            for given in [&bytes[..], text.as_bytes()] {
                let read = format::read(given, *format, &LIMITS).and_then(|(entries, _)| {
                    check::checked(entries, &LIMITS, None, false)
                });
                if let Ok((packed, counts)) = read {
                    prop_assert!(packed.counts()[0] <= counts.taken[0] && counts.all() <= 10_000);
                    prop_assert!(packed.v4().all(|(a, b)| a <= b && b - a < 1 << 24));
                }
            }
        }
    }

    #[test]
    fn a_source_that_comes_in_pieces_says_the_same(text in likely(), size in 1_usize..50) {
        struct Pieces<'a>(&'a [u8], usize);
        impl std::io::Read for Pieces<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let size = self.1.min(buffer.len());
                self.0.read(&mut buffer[..size])
            }
        }
        let whole = format::read(text.as_bytes(), Format::Auto, &LIMITS);
        let pieces = format::read(Pieces(text.as_bytes(), size), Format::Auto, &LIMITS);
        prop_assert_eq!(whole.map(|(entries, _)| entries), pieces.map(|(entries, _)| entries));
    }
}
