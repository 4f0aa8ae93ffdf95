//! SYNs and what they are answered with; ACKs and whether they are believed.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    filter::Filter,
    packet::{
        CUSTOMER, PROVIDER, Packet, ip,
        parse::{Answer, answer},
        protocol,
        tcp::{Segment, flag, linux_options},
    },
    pair::{CLIENT_MAC, SERVER_MAC},
    server::{Kind, listen},
};
use filter_user::dataplane::{HAND_OVER_KFUNC, kfunc_available};

use super::{check, config, plain, plain6};

fn syn(options: &[u8]) -> Segment {
    Segment::default().options(options)
}

/// Runs a SYN, asserts that it is answered, and that the answer is one to this SYN.
fn answered(filter: &Filter, what: &str, packet: &Packet, segment: &Segment) -> Result<Answer> {
    let frame = packet.clone().tcp(segment).bytes();
    let outcome = filter.expect(what, &frame, Reason::CookieSent)?;
    let minimum = 60;
    ensure!(outcome.frame.len() <= frame.len().max(minimum), "{what}: the answer is larger than the SYN");
    // The frame may be padded up to Ethernet's minimum, and no further.
    let answer = answer(unpadded(&outcome.frame)).with_context(|| format!("{what}: the answer"))?;
    ensure!(answer.source_mac == SERVER_MAC && answer.destination_mac == CLIENT_MAC, "{what}: {answer:?}");
    ensure!((answer.source_port, answer.destination_port) == (80, segment.source), "{what}: {answer:?}");
    ensure!(answer.acknowledgment == segment.sequence.wrapping_add(1), "{what}: {answer:?}");
    ensure!(answer.flags & 0x17 == flag::SYN | flag::ACK, "{what}: {answer:?}");
    ensure!(answer.hop_limit == 64 && answer.window > 0, "{what}: {answer:?}");
    Ok(answer)
}

/// A frame of 60 bytes may end in padding; IP knows its own length.
fn unpadded(frame: &[u8]) -> &[u8] {
    let l3 = 14 + frame[12..].chunks(4).take_while(|tag| tag[0] == 0x81 || tag[0] == 0x88).count() * 4;
    let total = usize::from(u16::from_be_bytes([frame[l3 + 2], frame[l3 + 3]]));
    if frame[l3] >> 4 == 4 && frame.len() == 60 { &frame[..l3 + total] } else { frame }
}

/// Whether this kernel takes cookies over. Where it does not, the rest of a test can't be: this says so, and asserts
/// the next rung.
fn taken_over(filter: &Filter) -> Result<bool> {
    if kfunc_available() {
        return Ok(true);
    }
    println!("skipped but for the next rung: this kernel lacks {HAND_OVER_KFUNC}");
    let full = syn(&linux_options(7));
    let ack = syn(&[]).flags(flag::ACK);
    let fixtures = vec![
        ("a SYN", plain().syn(80).bytes(), Reason::ChallengeSent),
        ("a SYN with options", plain().tcp(&full).bytes(), Reason::ChallengeSent),
        ("a SYN, IPv6", plain6().tcp(&full).bytes(), Reason::ChallengeSent),
        ("a SYN where nobody listens", plain().syn(81).bytes(), Reason::ChallengeSent),
        ("an ACK of nobody", plain().tcp(&ack).bytes(), Reason::Pass),
        ("an ACK of nobody, IPv6", plain6().tcp(&ack).bytes(), Reason::Pass),
        ("a bogon's SYN", ip("203.0.113.5", "192.31.196.2").syn(80).bytes(), Reason::Bogon),
    ];
    check(filter, fixtures)?;
    Ok(false)
}

#[test]
fn syns_are_answered() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    let _listener = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    if !taken_over(&filter)? {
        return Ok(());
    }
    for (family, packet) in [("v4", plain()), ("v6", plain6())] {
        bare_and_full(&filter, family, &packet)?;
    }
    for (what, packet) in [
        ("one tag", plain().vlan(CUSTOMER, 7)),
        ("IPv4 options", plain().ipv4_options(&[1; 8])),
        ("IPv4 options and a tag", plain().ipv4_options(&[1; 40]).vlan(CUSTOMER, 7)),
        (
            "extension headers",
            plain6().extension(protocol::HOP_BY_HOP, 1).extension(protocol::DESTINATION, 2),
        ),
        ("an atomic fragment", plain6().fragment(0, false)),
    ] {
        let answer = answered(&filter, what, &packet, &syn(&linux_options(7)))?;
        let tags = usize::from(what.contains("tag"));
        ensure!(answer.tags.len() == tags, "{what}: {answer:?}");
    }
    Ok(())
}

fn bare_and_full(filter: &Filter, what: &str, packet: &Packet) -> Result<()> {
    let bare = answered(filter, what, packet, &syn(&[]))?;
    ensure!(bare.options.is_empty(), "{what}: no room for options: {:?}", bare.options);
    let mss = answered(filter, what, packet, &syn(&[2, 4, 5, 0xb4]))?;
    ensure!(mss.options.starts_with(&[2, 4]) && mss.options.len() == 4, "{what}: {:?}", mss.options);
    let full = answered(filter, what, packet, &syn(&linux_options(0x0102_0304)))?;
    ensure!(full.options.len() == 20, "{what}: {:?}", full.options);
    ensure!(full.options[..2] == [2, 4] && full.options[4..8] == [4, 2, 8, 10], "{what}: {:?}", full.options);
    ensure!(full.options[12..16] == [1, 2, 3, 4], "{what}: the timestamp is echoed: {:?}", full.options);
    ensure!(full.options[16..19] == [1, 3, 3], "{what}: {:?}", full.options);
    let ecn = syn(&linux_options(7)).flags(flag::SYN | flag::ECE | flag::CWR);
    ensure!(answered(filter, what, packet, &ecn)?.flags & flag::ECE != 0, "{what}: ECN is taken up");
    let again = answered(filter, what, packet, &syn(&linux_options(0x0102_0304)))?;
    ensure!(again == full, "{what}: a repeated SYN gets the same answer");
    Ok(())
}

#[test]
fn syns_that_are_none_of_ours() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    let _listener = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    if !taken_over(&filter)? {
        return Ok(());
    }
    let tagged_twice = plain6().vlan(CUSTOMER, 7).vlan(PROVIDER, 8);
    let mut group = plain().syn(80).bytes();
    group[..6].copy_from_slice(&[0xff; 6]);
    check(
        &filter,
        vec![
            ("nobody listens", plain().syn(81).bytes(), Reason::NoListener),
            ("nobody listens, IPv6", plain6().syn(81).bytes(), Reason::NoListener),
            ("no service", plain().syn(443).bytes(), Reason::Pass),
            ("for another host", ip("8.8.8.8", "192.31.196.77").syn(80).bytes(), Reason::NotLocal),
            ("for another host, IPv6", ip("2a00::8", "2620:4f:8000::77").syn(80).bytes(), Reason::NotLocal),
            (
                "for a v4-mapped address",
                ip("2a00::8", "::ffff:192.31.196.2").syn(80).bytes(),
                Reason::NotLocal,
            ),
            ("to everybody on the link", group, Reason::Pass),
            ("two tags get the next rung", tagged_twice.clone().syn(80).bytes(), Reason::ChallengeSent),
            (
                "two tags, an ACK",
                tagged_twice.tcp(&syn(&[]).flags(flag::ACK)).bytes(),
                Reason::CookieUnavailable,
            ),
            ("a SYN-ACK", plain().tcp(&syn(&[]).flags(flag::SYN | flag::ACK)).bytes(), Reason::Pass),
            ("a RST", plain().tcp(&syn(&[]).flags(flag::RST)).bytes(), Reason::Pass),
            (
                "an ACK without a cookie",
                plain().tcp(&syn(&[]).flags(flag::ACK)).bytes(),
                Reason::CookieInvalid,
            ),
            (
                "a FIN without a cookie",
                plain6().tcp(&syn(&[]).flags(flag::ACK | flag::FIN)).bytes(),
                Reason::CookieInvalid,
            ),
            (
                "an ACK where nobody listens",
                plain().tcp(&syn(&[]).ports(40000, 81).flags(flag::ACK)).bytes(),
                Reason::NoListener,
            ),
            ("a bogon's SYN", ip("203.0.113.5", "192.31.196.2").syn(80).bytes(), Reason::Bogon),
        ],
    )
}

/// The client's third segment.
fn ack(answer: &Answer, segment: &Segment) -> Segment {
    let mut options = Vec::new();
    if let Some(at) = answer.options.windows(2).position(|pair| pair == [8, 10]) {
        options = vec![1, 1, 8, 10, 1, 2, 3, 9];
        options.extend(&answer.options[at + 2..at + 6]);
    }
    let mut ack = Segment::default().ports(segment.source, 80).options(&options).flags(flag::ACK);
    ack.sequence = segment.sequence.wrapping_add(1);
    ack.acknowledgment = answer.sequence.wrapping_add(1);
    ack
}

#[test]
fn cookies_are_believed_if_nothing_in_them_changed() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    let _listener = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    if !taken_over(&filter)? {
        return Ok(());
    }
    for (what, packet) in [("v4", plain()), ("v6", plain6())] {
        for (port, options) in [(40001, Vec::new()), (40002, linux_options(0x0102_0304))] {
            // A tuple that was accepted a moment ago is known: each time another one.
            let segment = syn(&options).ports(port, 80);
            let answer = answered(&filter, what, &packet, &segment)?;
            let good = ack(&answer, &segment);
            forged(&filter, &packet, &good)?;
            let outcome = filter.expect(
                "the third segment",
                &packet.clone().tcp(&good).bytes(),
                Reason::CookieAccepted,
            );
            outcome.with_context(|| what.to_owned())?;
            let mut data = good.clone();
            data.sequence = data.sequence.wrapping_add(100);
            filter.expect(
                "data right behind it",
                &packet.clone().tcp(&data).bytes(),
                Reason::RecentHandshake,
            )?;
        }
    }
    Ok(())
}

/// Everything that a cookie covers, changed one at a time.
fn forged(filter: &Filter, packet: &Packet, good: &Segment) -> Result<()> {
    let changed = |change: &dyn Fn(&mut Segment)| {
        let mut segment = good.clone();
        change(&mut segment);
        packet.clone().tcp(&segment).bytes()
    };
    check(
        filter,
        vec![
            ("another ISN", changed(&|ack| ack.sequence ^= 1), Reason::CookieInvalid),
            ("another cookie", changed(&|ack| ack.acknowledgment ^= 1 << 31), Reason::CookieInvalid),
            (
                "another MSS or epoch",
                changed(&|ack| ack.acknowledgment = ack.acknowledgment.wrapping_add(1)),
                Reason::CookieInvalid,
            ),
            ("another port", changed(&|ack| ack.source += 10), Reason::CookieInvalid),
        ],
    )?;
    if good.options.is_empty() {
        return Ok(());
    }
    check(
        filter,
        vec![
            ("another window scale", changed(&|ack| ack.options[11] ^= 1), Reason::CookieInvalid),
            ("timestamps left out", changed(&|ack| ack.options.clear()), Reason::CookieInvalid),
        ],
    )
}

/// A cookie is accepted in its own epoch and in the next one, and then no more.
#[test]
fn cookies_age() -> Result<()> {
    const PERIOD: Duration = Duration::from_secs(3);
    let filter =
        Filter::new(&config("internet").cookie("grace = \"0s\"\nunknown_ack = \"off\"\nperiod = \"3s\""))?;
    let _listener = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    if !taken_over(&filter)? {
        return Ok(());
    }
    let segment = syn(&linux_options(7));
    // Ask right after an epoch has begun, seen by a new cookie for the same SYN.
    let first = answered(&filter, "SYN", &plain(), &segment)?;
    let deadline = Instant::now() + PERIOD * 2;
    let fresh = loop {
        let answer = answered(&filter, "SYN", &plain(), &segment)?;
        if answer.sequence != first.sequence {
            break answer;
        }
        ensure!(Instant::now() < deadline, "the epoch does not end");
        thread::sleep(Duration::from_millis(20));
    };
    let begun = Instant::now();
    let frame = plain().tcp(&ack(&fresh, &segment)).bytes();
    wait_until(begun + (PERIOD * 2).saturating_sub(Duration::from_secs(1)));
    filter.expect("a second before its end", &frame, Reason::CookieAccepted)?;
    // A tuple that was accepted a moment ago is known for two seconds more.
    wait_until(begun + PERIOD * 2 + Duration::from_millis(1500));
    filter.expect("past its window", &frame, Reason::CookieInvalid)?;
    Ok(())
}

fn wait_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(Instant::now()));
}
