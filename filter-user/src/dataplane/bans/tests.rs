//! What lies in the maps, and which end is the latest.

use filter_common::ban;
use proptest::prelude::*;

use super::{form::covered, *};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn each_prefix_has_its_place_and_comes_back() {
    for text in ["9.9.9.9/32", "255.255.255.255/32", "2620:fe::/64", "2001:db8:0:ff00::/64"] {
        let Place::Source(key) = place(&net(text)) else { panic!("{text}") };
        assert_eq!(net_of_key(key), net(text));
    }
    for text in ["9.9.9.0/24", "9.0.0.0/8", "2620:fe::/48", "2620:fe::1/128", "2620:fe::8000:0:0:0/65"] {
        assert_eq!(place(&net(text)), Place::Prefix, "{text}");
        let key = prefix_key(net(text));
        assert_eq!(net_of_lpm(key.prefix_len(), key.data()), net(text));
    }
}

#[test]
fn keys_are_those_of_packets() {
    use filter_common::packet::{Address, Packet};
    let words = super::super::bytes::address_key("9.9.9.9".parse().unwrap());
    let packet = Packet { source: Address(words), ..Packet::EMPTY };
    assert_eq!(place(&net("9.9.9.9/32")), Place::Source(ban::key_v4(packet.source.v4())));
    let words = super::super::bytes::address_key("2620:fe::9".parse().unwrap());
    assert_eq!(place(&net("2620:fe::/64")), Place::Source(ban::key_v6(&Address(words))));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let made = |reason: &str, now| {
        let (length, age) = (Some(Duration::from_secs(1)), Duration::from_secs(2));
        let new = New { prefix: net("9.9.9.9/32"), length, origin: Origin::Detector, reason, age };
        form::new(&new, now)
    };
    let ban = made(&"ä".repeat(40), 5_000_000_000);
    assert_eq!((ban.since, ban.own, ban.origin), (3, 6_000_000_000, 1));
    let text = String::from_utf8(ban.reason.to_vec()).unwrap();
    assert_eq!(text.trim_end_matches('\0'), "ä".repeat(16));
    let odd = made(&format!("x{}", "ä".repeat(40)), 0).reason;
    assert_eq!(odd[31], 0);
    let ban = Ban { until: 1, own: 2, since: 3, origin: 4, ..made("why", 0) };
    assert_eq!(ban_of(&raw_of(&ban)), ban);
}

#[test]
fn the_latest_end_counts() {
    let entry = |text: &str, own| (net(text), raw_of(&Ban { until: own, own, ..Ban::default() }));
    let ends = |entries: Vec<(IpNet, Raw)>| -> Vec<_> {
        covered(entries).into_iter().map(|(net, raw)| (net.to_string(), raw[0], raw[1])).collect()
    };
    let inner = entry("9.9.9.0/24", 10);
    assert_eq!(ends(vec![inner, entry("9.0.0.0/8", 5)]), []);
    assert_eq!(ends(vec![inner, entry("9.0.0.0/8", 50)]), [("9.9.9.0/24".to_owned(), 50, 10)]);
    let mut stale = inner;
    stale.1[0] = 50;
    assert_eq!(ends(vec![stale]), [("9.9.9.0/24".to_owned(), 10, 10)], "the wider one is gone");
    assert_eq!(ends(vec![inner, entry("::/8", 50), entry("10.0.0.0/8", 50)]), []);
}

#[test]
fn a_ban_ends_when_it_should() {
    assert_eq!(end(5, Some(Duration::from_secs(1))), 1_000_000_005);
    assert_eq!(end(5, None), FOREVER);
    assert_eq!(end(5, Some(Duration::MAX)), FOREVER);
}

proptest! {
    /// The longest prefix that holds an address carries the latest end of all that hold it.
    #[test]
    fn longest_match_is_enough(
        bans in prop::collection::vec((0_u32..1 << 16, 8_u8..=31, 1_u64..20), 0..30), address in 0_u32..1 << 16
    ) {
        let net = |(low, length, own): &(u32, u8, u64)| {
            let address = std::net::Ipv4Addr::from_bits(0x0909_0000 | low);
            let net = IpNet::new(address.into(), *length).unwrap().trunc();
            (net, raw_of(&Ban { until: *own, own: *own, ..Ban::default() }))
        };
        let table: std::collections::BTreeMap<_, _> = bans.iter().map(net).collect();
        let address = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0909_0000 | address));
        let latest = table.iter().filter(|(net, _)| net.contains(&address)).map(|(_, raw)| raw[1]).max();
        let mut held = table.clone();
        held.extend(covered(table.into_iter().collect()));
        let longest = held.iter().filter(|(net, _)| net.contains(&address)).max_by_key(|(net, _)| net.prefix_len());
        prop_assert_eq!(longest.map(|(_, raw)| raw[0]), latest);
    }
}
