//! The rungs below and around cookies: challenge, limit, auto; on this host and through it.

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    filter::Filter,
    packet::{
        CUSTOMER, PROVIDER, Packet, ip,
        parse::{Answer, answer},
        tcp::{Segment, flag, linux_options},
    },
    pair::{CLIENT_MAC, SERVER_MAC},
    server::{Kind, listen},
};
use filter_user::dataplane::kfunc_available;

use super::{check, plain, plain6};

/// One service on port 80, and what its `syn` table says.
fn laddered(syn: &str, more: &str) -> Config {
    Config::default()
        .service(&format!("ports = [\"tcp/80\"]\nsyn = {{ {syn} }}\n{more}"))
        .cookie("grace = \"0s\"\nunknown_ack = \"off\"")
}

fn syn() -> Segment {
    Segment::default().options(&linux_options(7))
}

/// The answer to a SYN that is challenged.
fn challenged(filter: &Filter, what: &str, packet: &Packet) -> Result<Answer> {
    let frame = packet.clone().tcp(&syn()).bytes();
    let outcome = filter.expect(what, &frame, Reason::ChallengeSent)?;
    ensure!(outcome.frame.len() <= frame.len(), "{what}: the answer is larger than the SYN");
    let answer = answer(&outcome.frame).with_context(|| format!("{what}: the answer"))?;
    ensure!(answer.source_mac == SERVER_MAC && answer.destination_mac == CLIENT_MAC, "{what}: {answer:?}");
    ensure!((answer.source_port, answer.destination_port) == (80, 40000), "{what}: {answer:?}");
    ensure!(answer.flags & 0x17 == flag::SYN | flag::ACK, "{what}: {answer:?}");
    ensure!(answer.acknowledgment != syn().sequence.wrapping_add(1), "{what}: the client would accept it");
    Ok(answer)
}

/// What a client in SYN-SENT sends to an answer that it can't accept (RFC 9293 3.10.7.3).
fn reset(answer: &Answer) -> Segment {
    Segment { sequence: answer.acknowledgment, ..Segment::default().flags(flag::RST) }
}

/// SYN, challenge, RST, SYN.
fn proves(filter: &Filter, what: &str, packet: &Packet) -> Result<()> {
    let rst = reset(&challenged(filter, what, packet)?);
    let wrong = Segment { sequence: rst.sequence ^ 1 << 31, ..rst.clone() };
    let elsewhere = Segment { source: 40001, ..rst.clone() };
    for (what, segment) in [("another number", wrong), ("another port", elsewhere)] {
        filter.expect(what, &packet.clone().tcp(&segment).bytes(), Reason::Pass)?;
        challenged(filter, what, packet)?;
    }
    filter.expect(what, &packet.clone().tcp(&rst).bytes(), Reason::ChallengePassed)?;
    filter.expect(what, &packet.clone().tcp(&syn()).bytes(), Reason::Proven)?;
    let next = syn().ports(40077, 80);
    filter.expect("its next connection", &packet.clone().tcp(&next).bytes(), Reason::Proven).map(drop)
}

#[test]
fn challenges_are_answered_and_remembered() -> Result<()> {
    // Nobody has to listen: the stack answers the proven.
    let filter = Filter::new(&laddered("mode = \"challenge\"", ""))?;
    for (what, packet) in [
        ("v4", plain()),
        ("v6", plain6()),
        ("a tag", ip("8.8.9.1", "192.31.196.2").vlan(CUSTOMER, 7)),
        ("two tags", ip("2a00:1450:1::8", "2620:4f:8000::2").vlan(PROVIDER, 7).vlan(CUSTOMER, 8)),
        ("IPv4 options", ip("8.8.9.2", "192.31.196.2").ipv4_options(&[1; 8])),
    ] {
        proves(&filter, what, &packet).with_context(|| what.to_owned())?;
    }
    check(
        &filter,
        vec![
            (
                "a stranger of the same /24",
                ip("8.8.8.9", "192.31.196.2").tcp(&syn()).bytes(),
                Reason::ChallengeSent,
            ),
            ("the same /64", ip("2a00:1450::9", "2620:4f:8000::2").tcp(&syn()).bytes(), Reason::Proven),
            ("for another host", ip("8.8.4.4", "192.31.196.77").tcp(&syn()).bytes(), Reason::NotLocal),
            ("a bogon", ip("203.0.113.5", "192.31.196.2").tcp(&syn()).bytes(), Reason::Bogon),
        ],
    )
}

#[test]
fn a_gateway_challenges_for_others() -> Result<()> {
    let protect = "protect = [\"44.1.2.0/24\", \"2a0f:1::/48\"]";
    for mode in ["challenge", "cookie"] {
        let filter = Filter::new(
            &laddered(&format!("mode = \"{mode}\", on = 20000"), protect)
                .also("[challenge]\nunproven = \"1/s burst 1\""),
        )?;
        for packet in [ip("8.8.8.8", "44.1.2.3"), ip("2a00::8", "2a0f:1::3")] {
            let rst = reset(&challenged(&filter, mode, &packet)?);
            filter.expect(mode, &packet.clone().tcp(&rst).bytes(), Reason::ChallengePassed)?;
            filter.expect(mode, &packet.clone().tcp(&syn()).bytes(), Reason::Proven)?;
            let ack = Segment::default().flags(flag::ACK);
            filter.expect("its segments", &packet.clone().tcp(&ack).bytes(), Reason::Proven)?;
        }
        let ack = ip("9.9.9.9", "44.1.2.3").tcp(&Segment::default().flags(flag::ACK)).bytes();
        filter.expect("one unproven segment", &ack, Reason::Pass)?;
        filter.expect("two at once", &ack, Reason::UnprovenRate)?;
        let elsewhere = ip("9.9.9.9", "44.1.3.3").tcp(&syn()).bytes();
        // Cookies look for a listener first.
        let cookies = mode == "cookie" && kfunc_available();
        let expected = if cookies { Reason::NoListener } else { Reason::NotLocal };
        filter.expect("not protected", &elsewhere, expected)?;
    }
    Ok(())
}

#[test]
fn a_listener_that_takes_no_cookies_is_protected_by_challenges() -> Result<()> {
    let filter = Filter::new(&laddered("mode = \"cookie\"", ""))?;
    let _listener = listen(&filter.pair.server.namespace, 80, Kind::Mptcp)?;
    let rst = reset(&challenged(&filter, "MPTCP", &plain())?);
    filter.expect("RST", &plain().tcp(&rst).bytes(), Reason::ChallengePassed)?;
    filter.expect("SYN", &plain().tcp(&syn()).bytes(), Reason::Proven).map(drop)
}

#[test]
fn the_stack_gets_its_budget() -> Result<()> {
    let filter = Filter::new(&laddered("mode = \"limit\", on = 2, off = 1", ""))?;
    let frame = plain().tcp(&syn()).bytes();
    filter.expect("within", &frame, Reason::Pass)?;
    filter.expect("beyond", &frame, Reason::SynLimit).map(drop)
}

#[test]
fn auto_arms_at_the_first_syn_over_budget() -> Result<()> {
    let filter = Filter::new(&laddered("mode = \"auto\", on = 2, off = 1, hold = \"1s\"", ""))?;
    let _listener = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    let frame = plain6().tcp(&syn()).bytes();
    let (answered, unasked) = if kfunc_available() {
        (Reason::CookieSent, Reason::CookieInvalid)
    } else {
        (Reason::ChallengeSent, Reason::Pass)
    };
    for round in ["first", "again"] {
        // One at once, and the next in half a second: a translated machine takes its time.
        filter.expect(round, &frame, Reason::Pass)?;
        filter.expect(round, &frame, answered)?;
        let stray = plain().tcp(&Segment::default().flags(flag::ACK)).bytes();
        filter.expect("an ACK that nobody asked for", &stray, unasked)?;
        std::thread::sleep(std::time::Duration::from_millis(1500));
    }
    Ok(())
}

#[test]
fn syns_with_data_by_policy() -> Result<()> {
    let with_data = Segment { payload: b"early".to_vec(), ..syn() };
    for (policy, expected) in [("pass", Reason::ChallengeSent), ("drop", Reason::SynData)] {
        let filter = Filter::new(&laddered(&format!("mode = \"challenge\", data = \"{policy}\""), ""))?;
        for packet in [plain(), plain6()] {
            filter.expect(policy, &packet.tcp(&with_data).bytes(), expected)?;
        }
        filter.expect("without", &plain().tcp(&syn()).bytes(), Reason::ChallengeSent)?;
    }
    Ok(())
}

#[test]
fn observed_rungs_touch_nothing() -> Result<()> {
    let config = Config { mode: "observe", ..laddered("mode = \"challenge\"", "") };
    let filter = Filter::new(&config)?;
    for _ in 0..2 {
        filter.expect_observed("SYN", &plain().tcp(&syn()).bytes(), Reason::ChallengeSent)?;
    }
    Ok(())
}
