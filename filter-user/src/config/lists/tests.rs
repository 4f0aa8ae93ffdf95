//! Lists and files that are as they should be, and such that are not.

use std::{fmt::Write as _, fs};

use filter_common::list::{build::Tables, class_v4};
use proptest::prelude::*;

use super::*;
use crate::config::{Source, parse};

/// What `[lists]` with these lines comes to, and what is said about it.
fn lists(lines: &str) -> (Lists, Vec<String>) {
    let text = format!("schema = 1\n[[interface]]\nname = \"e\"\n[lists]\n{lines}");
    let loaded = parse(Source { path: "f.toml".to_owned(), text }).unwrap();
    let mut problems = Problems::default();
    let lists = read(&loaded.settings.lists, &mut problems);
    (lists, problems.into_sorted().into_iter().map(|problem| problem.message).collect())
}

fn from_file(bytes: &[u8]) -> (Lists, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, bytes).unwrap();
    lists(&format!("block_files = [{path:?}]"))
}

fn class(lists: &Lists, address: &str) -> Class {
    let tables = Tables::new(&lists.v4, &lists.v6);
    class_v4(address.parse::<std::net::Ipv4Addr>().unwrap().to_bits(), &tables)
}

#[test]
fn files_are_read_as_people_write_them() {
    let text =
        "\u{feff}# a feed\r\n9.9.9.0/24 ; SBL1\r\n\r\n  8.8.8.8\t# one\n2620:fe::/48\n; the end\n1.1.1.1/32";
    let (lists, said) = from_file(text.as_bytes());
    assert_eq!(said, [""; 0]);
    assert_eq!(lists.prefixes[1], Prefixes { v4: 3, v6: 1 });
    for (address, wanted) in
        [("9.9.9.255", Class::Block), ("8.8.8.8", Class::Block), ("8.8.8.9", Class::None)]
    {
        assert_eq!(class(&lists, address), wanted, "{address}");
    }
}

#[test]
fn allow_wins_and_the_digest_tells_lists_apart() {
    let (first, _) = lists("block = [\"9.9.9.0/24\"]\nallow = [\"9.9.9.9\"]");
    assert_eq!(class(&first, "9.9.9.9"), Class::Allow);
    assert_eq!(class(&first, "9.9.9.8"), Class::Block);
    let (second, _) = lists("block = [\"9.9.9.0/24\"]\nallow = [\"9.9.9.8\"]");
    assert_ne!(first.digest, second.digest);
    assert_ne!(lists("").0.digest, first.digest);
}

#[test]
fn host_bits_are_counted_in_one_warning() {
    let (lists, said) = from_file(b"9.9.9.0/24\n9.9.8.1/24\n2620:fe::1/48\n");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("2 entries") && said[0].contains("line 2"), "{said:?}");
    assert_eq!(class(&lists, "9.9.8.200"), Class::Block);
}

#[test]
fn a_fault_names_file_and_line() {
    for (bytes, wanted) in [
        (&b"9.9.9.9\n9.9.9\n"[..], ":2: \"9.9.9\" is no address"),
        (b"9.9.9.9/33", ":1: \"9.9.9.9/33\""),
        (b"\n\n0.0.0.0/0", ":3: 0.0.0.0/0 would block every source"),
        (b"::/0", "every source"),
        (b"\xff\xfe", ":1: not UTF-8"),
        (b"::ffff:9.9.9.9", "IPv6 clothes"),
        (&[b'9'; 10_000], ":1: 10000 bytes"),
        (b"9.9.9.9\0", "is no address"),
    ] {
        let (lists, said) = from_file(bytes);
        assert!(said[0].contains(wanted), "{wanted}: {said:?}");
        assert!(lists.v4.is_empty());
    }
    let (_, said) = lists("block = [\"0.0.0.0/0\"]");
    assert_eq!(said, ["0.0.0.0/0 would block every source"]);
    let many = (0..1000).fold(String::new(), |mut text, _| {
        let _ = writeln!(text, "x");
        text
    });
    assert_eq!(from_file(many.as_bytes()).1.len(), TOLD, "a hostile file is answered in short");
}

#[test]
fn what_is_no_file_is_refused() {
    for path in ["/nonexistent/list", "/dev/zero", "/"] {
        let (_, said) = lists(&format!("allow_files = [{path:?}]"));
        assert!(said[0].starts_with(path), "{said:?}");
    }
}

#[test]
fn more_than_fit_are_refused() {
    let text = (0..=MOST_V6).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "2a00:{:x}:{:x}::/48", i >> 16, i & 0xffff);
        text
    });
    let (_, said) = from_file(text.as_bytes());
    assert!(said[0].contains("262145 IPv6 prefixes"), "{said:?}");
}

#[test]
fn own_addresses_on_the_block_list_are_told() {
    let (lists, _) = lists("block = [\"9.9.0.0/16\", \"2620:fe::/48\"]");
    let text = "schema = 1\n[[interface]]\nname = \"e\"\n[lists]\nblock = [\"9.9.0.0/16\"]";
    let settings = parse(Source { path: "f".to_owned(), text: text.to_owned() }).unwrap().settings.lists;
    let said = |management: &[&str], local: &[&str]| {
        let mut problems = Problems::default();
        let management: Vec<_> = management.iter().map(|text| text.parse().unwrap()).collect();
        let local: Vec<_> = local.iter().map(|text| text.parse().unwrap()).collect();
        warn_of_own(&settings, &lists, &management, &local, &mut problems);
        problems.into_sorted().into_iter().map(|problem| problem.message).collect::<Vec<_>>()
    };
    assert_eq!(said(&["9.8.0.0/16"], &["9.8.0.1", "2620:ff::1"]), [""; 0]);
    assert!(said(&["9.8.0.0/15"], &[])[0].contains("9.8.0.0/15"));
    assert!(said(&["2620:fe::9/128"], &["9.9.1.1"]).len() == 2);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        file::entries(&bytes).for_each(drop);
    }

    #[test]
    fn every_line_is_an_entry_or_told(lines in prop::collection::vec("[0-9a-f.:/]{1,20}", 1..20)) {
        let text = lines.join("\r\n");
        prop_assert_eq!(file::entries(text.as_bytes()).count(), lines.len());
    }
}
