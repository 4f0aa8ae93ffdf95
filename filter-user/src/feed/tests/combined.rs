//! Lists and feeds together, the copies on the disk.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use filter_common::list::Class;

use super::{
    super::{
        About, Feeds, Good,
        combine::{in_force, origin},
        shelf::Shelf,
    },
    *,
};
use crate::config::{
    self, Host, Settings, Source,
    diagnostic::Problems,
    host::Link,
    lists::{self, compare::class_of},
};

fn settings(text: &str) -> Settings {
    let text = format!("schema = 1\n[[interface]]\nname = \"e\"\n{text}");
    config::parse(Source { path: String::new(), text }).unwrap_or_else(|error| panic!("{error}")).settings
}

const FEEDS: &str = "[ban]\nnever = [\"44.0.9.0/24\"]\n[management]\nallow = [\"44.0.0.128/25\"]\n[lists]\nallow = [\"44.0.5.5\"]\nblock = [\"10.9.9.9\", \"60.0.0.0/24\"]\n\
    [[feed]]\nname = \"a\"\nsource = \"/a\"\n[[feed]]\nname = \"b\"\nsource = \"/b\"\n[[feed]]\nname = \"off\"\nsource = \"/c\"\nenabled = false\n";

fn good(settings: &Settings, number: usize, text: &str) -> Good {
    let (packed, counts) = take(text, None).unwrap();
    let about = About { origin: origin(&settings.feed[number]), counts, ..About::default() };
    Good { about, packed: packed.into() }
}

fn host() -> Host {
    let addresses = vec!["44.0.2.9/24".parse().unwrap(), "2a00:1::9/64".parse().unwrap()];
    let link = Link { index: 2, mtu: 1500, addresses, ..Link::default() };
    Host { links: BTreeMap::from([("e".to_owned(), link)]), ..Host::default() }
}

#[test]
fn nobody_who_has_to_get_through_is_blocked() {
    let settings = settings(FEEDS);
    let written = Arc::new(lists::read(&settings.lists, &mut Problems::default()));
    let mut feeds = Feeds { spared: vec!["8.8.8.8".parse().unwrap()], ..Feeds::default() };
    feeds.put(
        "a",
        good(&settings, 0, "44.0.0.0/16\n10.0.0.0/8\n192.168.1.1\n8.8.8.0/24\n224.0.0.0/8\n61.0.0.1\n"),
    );
    feeds.put("b", good(&settings, 1, "2a00::/20\nfe80::1\nfd00::/64\n61.0.0.1\n"));
    feeds.put("off", good(&settings, 2, "77.0.0.1\n"));
    let all = feeds.combined(&settings, &host(), &written);
    let class = |address: &str| class_of(&all, address.parse::<IpAddr>().unwrap());
    for address in
        ["44.0.0.1", "44.0.3.1", "61.0.0.1", "8.8.8.9", "60.0.0.7", "10.9.9.9", "2a00:2::1", "2a00:1:0:1::1"]
    {
        assert_eq!(class(address), Class::Block, "{address}");
    }
    // Management, whom nobody may ban, own networks, resolver, private, and what is off.
    for address in [
        "44.0.0.200",
        "44.0.9.9",
        "44.0.2.9",
        "44.0.2.77",
        "8.8.8.8",
        "10.1.1.1",
        "192.168.1.1",
        "224.0.0.5",
        "2a00:1::1",
        "fe80::1",
        "fd00::1",
        "77.0.0.1",
    ] {
        assert_eq!(class(address), Class::None, "{address}");
    }
    assert_eq!(class("44.0.5.5"), Class::Allow, "lists.allow comes first");
    let cut: Vec<_> = all.fed.iter().map(|fed| (fed.name.as_str(), fed.cut)).collect();
    assert_eq!(cut, [("a", 5), ("b", 3)]);
    assert!(Arc::ptr_eq(&all.written(), &written) && all.digest != written.digest);
    assert!(in_force(&all, "a", feeds.good(&settings.feed[0]).unwrap()));
    // The same again is not made again; another address of the host's is something else.
    feeds.last = Some(all.clone());
    assert!(Arc::ptr_eq(&feeds.combined(&settings, &host(), &written), &all));
    let moved = feeds.combined(&settings, &Host::default(), &written);
    assert_eq!(class_of(&moved, "44.0.2.77".parse().unwrap()), Class::Block);
    // Without feeds nothing is made.
    assert!(Arc::ptr_eq(&Feeds::default().combined(&settings, &host(), &written), &written));
    // A copy from another source is none.
    let other = self::settings(&FEEDS.replace("\"/a\"", "\"/elsewhere\""));
    assert!(feeds.good(&other.feed[0]).is_none());
}

#[test]
fn what_does_not_fit_is_left_out() {
    let settings = settings(FEEDS);
    let mut written = lists::blocking(&[]);
    written.prefixes[1].v4 = lists::MOST_V4 as u64 - 2;
    let mut feeds = Feeds::default();
    feeds.put("a", good(&settings, 0, "44.0.0.1\n44.0.0.3\n44.0.0.5\n"));
    feeds.put("b", good(&settings, 1, "45.0.0.1\n45.0.0.3\n"));
    let all = feeds.combined(&settings, &Host::default(), &Arc::new(written));
    let left_out: Vec<_> = all.fed.iter().map(|fed| fed.left_out).collect();
    assert_eq!(left_out, [true, false]);
    assert_eq!(class_of(&all, "44.0.0.1".parse().unwrap()), Class::None);
    assert_eq!(class_of(&all, "45.0.0.1".parse().unwrap()), Class::Block);
}

#[test]
fn copies_outlive_the_daemon_and_damaged_ones_do_not() {
    let (settings, parent) = (settings(FEEDS), tempfile::tempdir().unwrap());
    let state = parent.path().join("state");
    let copy = good(&settings, 0, &format!("{}2a00::/32\n", lines(1000)));
    Shelf::open(&state).unwrap().write("a", &copy).unwrap();
    let mut shelf = Shelf::open(&state).unwrap();
    assert_eq!(shelf.read("a").unwrap(), Some(copy.clone()));
    assert_eq!(shelf.read("b").unwrap(), None);
    shelf.write("old", &copy).unwrap();
    shelf.retain(&["a"]).unwrap();
    assert_eq!(shelf.read("old").unwrap(), None);
    let path = state.join("feeds/a");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(shelf.read("a").unwrap(), None, "put aside");
    assert!(!path.exists());
}

#[test]
fn the_configuration_says_what_is_wrong() {
    let wrong = |feed: &str| {
        let text = format!("schema = 1\n[[interface]]\nname = \"e\"\n[[feed]]\nname = \"a\"\n{feed}\n");
        config::parse(Source { path: "f".to_owned(), text }).expect_err(feed).to_string()
    };
    for (feed, words) in [
        ("source = \"ftp://x/\"", "is neither an absolute path"),
        ("source = \"https://u:p@x/\"", "key_file"),
        ("source = \"/x\"\nformat = \"xml\"", "unknown value"),
        ("source = \"/x\"\ninterval = \"48h\"", "stale"),
        ("source = \"/x\"\nkey_file = \"/k\"", "a secret for a file"),
        ("source = \"/x\"\nmin_prefix_v4 = 0", "out of bounds"),
        ("source = \"/x\"\nmax_bytes = 1073741824", "out of bounds"),
        ("source = \"/x\"\nkind = \"allow\"", "unknown key"),
        ("source = \"https://x/\"\nheader = \"a b\"", "no header's name"),
        ("source = \"/x\"\n[[feed]]\nname = \"a\"\nsource = \"/y\"", "is there twice"),
    ] {
        assert!(wrong(feed).contains(words), "{}", wrong(feed));
    }
    let many = each(0..33, |i| format!("[[feed]]\nname = \"b{i}\"\nsource = \"/x\"\n"));
    assert!(wrong(&format!("source = \"/x\"\n{many}")).contains("more than 32 feeds"));
}
