//! The tables say what reading the rules one by one says.

use std::{collections::HashMap, fmt::Write as _, net::IpAddr, sync::Arc};

use filter_common::{
    abi::Counter,
    config::flags,
    headers::flag,
    packet::{Address, Fragment, Packet, Segment, Transport},
    reason::Reason,
    rules::counter_index,
    stages::rules::{Ruled, check},
    world::World,
};
use proptest::prelude::*;

use super::*;
use crate::{
    config::{
        Host, Settings, Source,
        compile::{plan, prefixes},
        diagnostic::Problems,
        host::Link,
        parse,
        schema::FragmentKind,
        value::Between,
    },
    dataplane::Plan,
};

const PREFIXES: [&str; 9] = [
    "9.0.0.0/8",
    "9.9.0.0/16",
    "9.9.9.9",
    "0.0.0.0/0",
    "2620:4f::/32",
    "2620:4f:8000::/48",
    "2620:4f:8000::7",
    "::/0",
    "8.8.8.0/24",
];
const ADDRESSES: [&str; 9] = [
    "9.9.9.9",
    "9.9.1.1",
    "9.1.1.1",
    "8.8.8.8",
    "1.1.1.1",
    "2620:4f:8000::7",
    "2620:4f:8000::8",
    "2620:4f:1::1",
    "2a00::1",
];
const PORTS: [u16; 6] = [0, 1, 53, 80, 1024, 65535];
const RANGES: [&str; 5] = ["0", "1-53", "53", "80-1024", "1024-65535"];

fn settings(rules: &[String]) -> Option<Settings> {
    let mut text = "schema = 1\n[[interface]]\nname = \"eth0\"\n".to_owned();
    for (number, lines) in rules.iter().enumerate() {
        let _ = write!(text, "[[rule]]\nname = \"r{number}\"\n{lines}");
    }
    parse(Source { path: "test.toml".to_owned(), text }).ok().map(|loaded| loaded.settings)
}

fn planned(settings: &Settings) -> Plan {
    let links = [("eth0".to_owned(), Link { index: 2, mtu: 1500, addresses: vec![], ..Link::default() })];
    let host = Host { links: links.into(), ..Host::default() };
    plan(settings, &host, Arc::default(), &mut Problems::default()).expect("a plan")
}

/// The world of a plan.
fn world(plan: &Plan) -> World {
    use filter_common::state::List;
    let mut world = World::new();
    world.rules = plan.rules.clone();
    world.config.flags |= flags::RULES;
    let lists = [List::RuleSources, List::RuleDestinations, List::ServiceDestinations];
    for (list, (_, prefixes)) in lists.into_iter().zip(plan.words.by_map()) {
        let mut sorted = prefixes.clone();
        sorted.sort_by_key(|(prefix, _)| match prefix {
            IpNet::V4(v4) => 96 + v4.prefix_len(),
            IpNet::V6(v6) => v6.prefix_len(),
        });
        world.listed.extend(sorted.iter().map(|(prefix, word)| (list, prefixes::mapped(prefix), *word)));
    }
    world
}

fn one_of(pool: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(pool), 1..3).prop_map(|list| format!("{list:?}"))
}

/// A line that may be missing.
fn maybe(key: &'static str, value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::option::of(value)
        .prop_map(move |value| value.map_or(String::new(), |value| format!("{key} = {value}\n")))
}

fn transport() -> impl Strategy<Value = String> {
    let ports = || (maybe("sport", one_of(&RANGES)), maybe("dport", one_of(&RANGES)));
    let word = |text: &'static str| Just(format!("proto = \"{text}\"\n"));
    let flags =
        prop::sample::select(&["\"syn\"", "\"syn,!ack\"", "\"ack\"", "\"!rst\""][..]).prop_map(str::to_owned);
    let kinds = || maybe("icmp_type", one_of(&["0", "8", "3-11", "128"]));
    prop_oneof![
        Just(String::new()),
        Just("proto = [\"47\", \"tcp\"]\n".to_owned()),
        (word("udp"), ports()).prop_map(|(proto, (sport, dport))| proto + &sport + &dport),
        (Just("proto = [\"tcp\", \"udp\"]\n".to_owned()), ports()).prop_map(|(p, (s, d))| p + &s + &d),
        (word("tcp"), ports(), maybe("flags", flags)).prop_map(|(p, (s, d), flags)| p + &s + &d + &flags),
        (word("icmp"), kinds()).prop_map(|(proto, kinds)| proto + &kinds),
        (word("icmpv6"), kinds()).prop_map(|(proto, kinds)| proto + &kinds),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    let action = prop::sample::select(
        &[
            "action = \"pass\"\n",
            "action = \"drop\"\n",
            "action = \"count\"\n",
            "action = \"challenge\"\n",
            "action = \"limit\"\nrate = \"1/m burst 1\"\n",
            "action = \"limit\"\nrate = \"1/m burst 3\"\nper = \"rule\"\n",
            "action = \"limit\"\nrate = \"1/m burst 2\"\nper = \"source\"\n",
        ][..],
    );
    let quoted =
        |pool: &'static [&'static str]| prop::sample::select(pool).prop_map(|text| format!("{text:?}"));
    let rest = (
        maybe("length", quoted(&["0-40", "41-1500", "1500-65535", "60"])),
        maybe("ttl", quoted(&["0-5", "64", "6-255"])),
        maybe("fragment", quoted(&["no", "first", "later", "any"])),
        maybe("observe", prop::sample::select(&["true", "false"][..]).prop_map(str::to_owned)),
    );
    (action, maybe("src", one_of(&PREFIXES)), maybe("dst", one_of(&PREFIXES)), transport(), rest).prop_map(
        |(action, src, dst, transport, (length, ttl, fragment, observe))| {
            [action, &src, &dst, &transport, &length, &ttl, &fragment, &observe].concat()
        },
    )
}

fn address(text: &str) -> (Address, bool) {
    let address: IpAddr = text.parse().expect("an address");
    let prefix = prefixes::mapped(&IpNet::from(address));
    (Address(prefix.network), address.is_ipv6())
}

fn packet() -> impl Strategy<Value = (Packet, IpAddr, IpAddr)> {
    let one = || prop::sample::select(&ADDRESSES[..]);
    let port = || prop::sample::select(&PORTS[..]);
    let addresses = (one(), one()).prop_filter("one family", |(a, b)| a.contains(':') == b.contains(':'));
    let protocol = prop::sample::select(&[6_u8, 6, 17, 17, 1, 58, 47][..]);
    let fragment = prop::sample::select(&[Fragment::No, Fragment::No, Fragment::First, Fragment::Later][..]);
    let numbers = (
        prop::sample::select(&[20_u16, 40, 60, 1499, 1500, u16::MAX][..]),
        prop::sample::select(&[0_u8, 5, 6, 64, 255][..]),
        prop::sample::select(&[0_u8, 3, 8, 11, 128][..]),
        prop::sample::select(&[flag::SYN, flag::SYN | flag::ACK, flag::ACK, flag::RST][..]),
    );
    (addresses, protocol, (port(), port()), fragment, numbers).prop_map(
        |((source, destination), protocol, ports, fragment, (length, ttl, kind, flags))| {
            let (from, is_v6) = address(source);
            let mut packet = Packet { source: from, destination: address(destination).0, ..Packet::EMPTY };
            (packet.is_v6, packet.protocol, packet.fragment) = (is_v6, protocol, fragment);
            (packet.length, packet.ttl, packet.frame_length) = (length, ttl, 100);
            let readable = fragment != Fragment::Later;
            if readable && matches!(protocol, 6 | 17) {
                packet.ports = Transport { source: ports.0, destination: ports.1 };
            }
            if readable && protocol == 6 {
                packet.tcp = Segment { flags, ..Segment::default() };
            }
            if readable && protocol == if is_v6 { 58 } else { 1 } {
                packet.icmp_type = kind;
            }
            (packet, source.parse().expect("an address"), destination.parse().expect("an address"))
        },
    )
}

fn within<T: PartialOrd + Copy>(list: &[Spanned<Between<T>>], value: T) -> bool {
    list.is_empty() || list.iter().any(|b| b.as_ref().first <= value && value <= b.as_ref().last)
}

/// Whether a rule matches, as its documentation says it.
fn matches(rule: &Rule, packet: &Packet, source: IpAddr, destination: IpAddr) -> bool {
    let among = |list: &[Spanned<IpNet>], address| {
        list.is_empty() || list.iter().any(|prefix| prefix.as_ref().contains(&address))
    };
    let later = packet.fragment == Fragment::Later;
    let asks = !(rule.sport.is_empty() && rule.dport.is_empty() && rule.icmp_type.is_empty())
        || rule.flags.is_some();
    let fragment = match rule.fragment.as_ref().map(|fragment| *fragment.as_ref()) {
        None => !(later && asks),
        Some(FragmentKind::No) => packet.fragment == Fragment::No,
        Some(FragmentKind::First) => packet.fragment == Fragment::First,
        Some(FragmentKind::Later) => later,
        Some(FragmentKind::Any) => true,
    };
    let transport = later
        || within(&rule.sport, packet.ports.source)
            && within(&rule.dport, packet.ports.destination)
            && within(&rule.icmp_type, packet.icmp_type)
            && rule.flags.as_ref().is_none_or(|f| packet.tcp.flags & f.as_ref().mask == f.as_ref().value);
    let protocols: Vec<u8> = rule.proto.iter().map(|number| *number.as_ref()).collect();
    let foreign = if packet.is_v6 { 1 } else { 58 };
    let family = protocols.is_empty() || protocols.iter().any(|number| *number != foreign);
    among(&rule.src, source)
        && among(&rule.dst, destination)
        && (protocols.is_empty() || protocols.contains(&packet.protocol))
        && family
        && within(rule.length.as_slice(), packet.length)
        && within(rule.ttl.as_slice(), packet.ttl)
        && fragment
        && transport
}

/// One rule after the other, at one moment.
#[derive(Default)]
struct Naive {
    spent: HashMap<(usize, Option<(u64, bool)>), u64>,
    counted: HashMap<u32, u64>,
}

impl Naive {
    fn judge(&mut self, rules: &[Rule], packet: &Packet, source: IpAddr, destination: IpAddr) -> Ruled {
        for (number, rule) in rules.iter().enumerate() {
            if !matches(rule, packet, source, destination) {
                continue;
            }
            let syn = packet.is_tcp() && packet.tcp.is_syn();
            let (verdict, acted) = match rule.action.as_ref() {
                Action::Pass => (Ruled::Pass, false),
                Action::Drop => (Ruled::Drop(Reason::RuleDrop), true),
                Action::Count => (Ruled::GoesOn, false),
                Action::Challenge if !syn => continue,
                Action::Challenge => (Ruled::Challenge, true),
                Action::Limit => {
                    let whole = rule.per.as_ref().map(Spanned::as_ref) == Some(&Per::Rule);
                    let key = (!whole).then_some((packet.source_network(), packet.is_v6));
                    let spent = self.spent.entry((number, key)).or_default();
                    let over = *spent >= rule.rate.as_ref().expect("a rate").burst;
                    *spent += u64::from(!over);
                    (if over { Ruled::Drop(Reason::RuleLimit) } else { Ruled::GoesOn }, over)
                }
            };
            *self.counted.entry(counter_index(number as u32, acted)).or_default() += 1;
            if verdict != Ruled::GoesOn && !rule.observe {
                return verdict;
            }
        }
        Ruled::GoesOn
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn tables_say_what_the_rules_say(
        rules in prop::collection::vec(rule(), 1..9),
        packets in prop::collection::vec(packet(), 1..200),
    ) {
        // Rules that contradict themselves are refused one by one, the rest is what is tested.
        let valid: Vec<_> = rules.into_iter().filter(|rule| settings(std::slice::from_ref(rule)).is_some()).collect();
        let settings = settings(&valid).expect("each is valid");
        let world = world(&planned(&settings));
        let mut naive = Naive::default();
        for (packet, source, destination) in packets {
            let expected = naive.judge(&settings.rule, &packet, source, destination);
            prop_assert_eq!(check(&packet, &world), expected, "{:?} from {} to {}", packet, source, destination);
        }
        for (index, found) in world.rule_counters.borrow().iter().enumerate() {
            let packets = naive.counted.get(&(index as u32)).copied().unwrap_or_default();
            prop_assert_eq!(*found, Counter { packets, bytes: packets * 100 });
        }
    }
}

#[test]
fn sixty_four_rules_fit() {
    let rules: Vec<_> = (0..64)
        .map(|n| {
            format!(
                "proto = \"udp\"\ndport = [\"{}\", \"{}-{}\"]\naction = \"drop\"\n",
                n,
                n * 100 + 100,
                n * 100 + 150
            )
        })
        .collect();
    let plan = planned(&settings(&rules).expect("valid"));
    assert_eq!((plan.rules.len, plan.rules.drop), (64, u64::MAX));
    let ports = &plan.rules.destination_ports;
    assert_eq!(ports.rules[usize::from(ports.of[6400])], 1 << 63);
    assert_eq!(ports.of[65535], 0);
}

#[test]
fn no_rules_are_no_tables() {
    let plan = planned(&settings(&[]).expect("valid"));
    assert_eq!((plan.rules.len, plan.rules.fields, plan.words.rule_sources.len()), (0, 0, 0));
    assert_eq!(plan.interfaces[0].config.flags & flags::RULES, 0);
}
