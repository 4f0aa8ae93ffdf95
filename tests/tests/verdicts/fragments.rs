//! Fragments: which contradict themselves, which overlap, and what policy makes of the rest.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{
    filter::Filter,
    packet::{Packet, protocol},
};

use super::{Made, check, config_and, plain, plain6};

/// The client's packet of that family.
fn family(is_v6: bool) -> Packet {
    if is_v6 { plain6() } else { plain() }
}

/// Fragments by family, protocol, offset, length and whether more follow. None of them has a fate of policy but `Fragment`.
pub(crate) fn fragments() -> Vec<Made> {
    const TEARDROP: u16 = 65504;
    let mut made = Vec::new();
    for is_v6 in [false, true] {
        let icmp = if is_v6 { protocol::ICMPV6 } else { protocol::ICMP };
        let most = if is_v6 { 31 } else { 11 };
        let mut add = |what: &str, protocol: u8, offset: u16, length: usize, more: bool, expected: Reason| {
            let frame = family(is_v6).fragment(offset, more).raw(protocol, &vec![0; length]).bytes();
            let name = format!("{what}: {protocol} at {offset}, {length} bytes, more {more}, IPv6 {is_v6}");
            made.push((name, frame, expected));
        };
        for (protocol, header) in [(protocol::TCP, 20), (protocol::UDP, 8), (icmp, 8)] {
            for length in (8..header).step_by(8) {
                add("tiny", protocol, 0, length, true, Reason::FragmentTiny);
            }
            add("empty first", protocol, 0, 0, true, Reason::FragmentLength);
            add("empty later", protocol, 1480, 0, true, Reason::FragmentLength);
            add("empty last", protocol, 1480, 0, false, Reason::FragmentLength);
            for length in [1, 7, 9, 1479] {
                add("odd length", protocol, 1480, length, true, Reason::FragmentLength);
                add("odd length, last", protocol, 1480, length, false, Reason::Fragment);
            }
            add("later", protocol, 24, 8, true, Reason::Fragment);
            add("the last byte there is", protocol, TEARDROP, most, false, Reason::Fragment);
            add("one byte too many", protocol, TEARDROP, most + 1, false, Reason::FragmentOverflow);
            add("ping of death", protocol, 65528, 1400, true, Reason::FragmentOverflow);
        }
        for offset in [8, 16] {
            add("in the header", protocol::TCP, offset, 8, true, Reason::FragmentOverlap);
            add("in the header, last", protocol::TCP, offset, 40, false, Reason::FragmentOverlap);
            let other = if is_v6 { Reason::FragmentOverlap } else { Reason::Fragment };
            add("behind the header", protocol::UDP, offset, 8, true, other);
        }
    }
    made
}

pub(crate) fn chains() -> Vec<Made> {
    let nested = |offset, more| plain6().fragment(0, true).fragment(offset, more).raw(17, &[0; 16]).bytes();
    vec![
        ("two fragment headers".into(), nested(0, true), Reason::FragmentNested),
        ("a whole one in a first one".into(), nested(0, false), Reason::FragmentNested),
        ("a later one in a first one".into(), nested(1480, false), Reason::FragmentNested),
        (
            "the chain goes on in the next fragment (RFC 7112)".into(),
            plain6().fragment(0, true).extension_of(60, &[0, 0, 1, 4, 0, 0, 0, 0]).raw(6, &[]).bytes(),
            Reason::FragmentTiny,
        ),
        (
            "an extension is longer than the first fragment".into(),
            plain6().fragment(0, true).extension_of(60, &[0, 1, 1, 4, 0, 0, 0, 0]).raw(6, &[]).bytes(),
            Reason::FragmentTiny,
        ),
        (
            "an atomic fragment with a bad segment".into(),
            plain6().fragment(0, false).raw(6, &[0; 19]).bytes(),
            Reason::TcpTruncated,
        ),
        ("an atomic fragment".into(), plain6().fragment(0, false).udp(9, 9999, b"").bytes(), Reason::Pass),
    ]
}

#[test]
fn fragments_are_judged() -> Result<()> {
    let filter = Filter::new(&config_and("[fragments]\npolicy = \"pass\""))?;
    check(&filter, fragments())?;
    check(&filter, chains())
}

#[test]
fn fragments_by_policy() -> Result<()> {
    let later = |source: &str, is_v6: bool| {
        let destination = if is_v6 { "2620:4f:8000::2" } else { "192.31.196.2" };
        filter_tests::packet::ip(source, destination).fragment(1480, false).raw(17, &[0; 8]).bytes()
    };
    let first = |is_v6| family(is_v6).fragment(0, true).udp(9, 9999, &[0; 24]).bytes();
    let drop = Filter::new(&config_and("[fragments]\npolicy = \"drop\""))?;
    for is_v6 in [false, true] {
        drop.expect("a first one", &first(is_v6), Reason::FragmentDenied)?;
        let source = if is_v6 { "2a00::1" } else { "8.8.8.8" };
        drop.expect("a later one", &later(source, is_v6), Reason::FragmentDenied)?;
    }
    drop.expect("whole", &plain6().fragment(0, false).udp(9, 9999, b"").bytes(), Reason::Pass)?;
    let limits = "[fragments]\ntotal = \"1/s burst 5\"\nper_source = \"1/s burst 2\"";
    let rate = Filter::new(&config_and(limits))?;
    check(
        &rate,
        vec![
            ("the first of its source", later("8.8.8.8", false), Reason::Fragment),
            ("the second, with ports", first(false), Reason::Pass),
            ("the third", later("8.8.8.8", false), Reason::FragmentSourceRate),
            ("of another source", later("8.8.8.9", false), Reason::Fragment),
            ("of a third", later("2a00:1::1", true), Reason::Fragment),
            ("of the same /64", later("2a00:1::ffff:0:0:1", true), Reason::Fragment),
            ("and no more of it", later("2a00:1::2", true), Reason::FragmentSourceRate),
            ("nor of anybody", later("8.8.8.10", false), Reason::FragmentRate),
            ("whole ones are none", plain().udp(9, 9999, b"").bytes(), Reason::Pass),
        ],
    )
}
