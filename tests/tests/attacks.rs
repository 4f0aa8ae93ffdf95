//! Floods against the running filter.

use std::{
    net::{IpAddr, Ipv6Addr},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    flood::{Flood, Order, Segment, Source},
    pair::{SERVER_V4, SERVER_V6, Wire},
    sched::Cores,
    server::Kind,
    snmp,
    stand::{PACKETS, Stand, wait_for},
};

fn order(source: Source) -> Result<Order> {
    Ok(Order { pps: 100_000, ..Order::syns(source, Cores::pick()?.attacker) })
}

#[test]
fn visitors_do_not_notice_a_flood() -> Result<()> {
    let stand = Stand::with(&Config::default(), Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    for (source, server) in [(Source::AnyV4, IpAddr::from(SERVER_V4)), (Source::AnyV6, SERVER_V6.into())] {
        let flood = Flood::start(&stand.pair.client, &order(source)?)?;
        let tried = stand.visit(server, 200, 400)?;
        let sent = flood.stop()?;
        ensure!(tried.failed() == 0, "{source:?} at {:.0} pps: {}", sent.pps(), tried.summary());
    }
    Ok(())
}

/// 1,000,000 random ACKs: no connection, and each of them counted.
#[test]
fn random_acks_make_no_connections() -> Result<()> {
    const ACKS: u64 = 1_000_000;
    let config = Config::default().cookie("grace = \"0s\"");
    let stand = Stand::with(&config, Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    // Read from the pinned maps: a scrape would be a connection, too.
    let refused = || stand.floodwall.packets(Reason::CookieInvalid);
    let before = snmp::read(&stand.pair.server.namespace)?;
    for (number, source) in (1..).zip([Source::AnyV4, Source::AnyV6]) {
        let flood = Order { segment: Segment::Ack, pps: 200_000, ..order(source)? };
        let flood = Flood::start(&stand.pair.client, &flood)?;
        let enough = || Ok(refused()? >= ACKS / 2 * number);
        wait_for("the ACKs are refused", Duration::from_secs(20), enough)?;
        flood.stop()?;
    }
    let stack = snmp::risen(&before, &snmp::read(&stand.pair.server.namespace)?);
    ensure!(!stack.contains_key("TcpPassiveOpens"), "no connection: {stack:?}");
    ensure!(stand.server.accepted() == 0, "{} connections", stand.server.accepted());
    ensure!(stand.floodwall.packets(Reason::CookieAccepted)? == 0, "no cookie was guessed");
    Ok(())
}

/// One source at ten times its limit gets the limit; others lose nothing.
#[test]
fn a_greedy_source_gets_its_share() -> Result<()> {
    share(&[Source::One([45, 1, 2, 3].into())])
}

/// Two addresses of one /64 share.
#[test]
fn a_network_shares_its_limit() -> Result<()> {
    let host = |number| Source::One(Ipv6Addr::new(0x2600, 1, 2, 3, 0, 0, 0, number).into());
    share(&[host(1), host(2)])
}

/// 1000 SYNs a second in total against a limit of 100/s, for ten seconds.
fn share(sources: &[Source]) -> Result<()> {
    const LIMIT: u64 = 100;
    const SECONDS: u64 = 10;
    /// Enough for the time slices of a busy machine.
    const BURST: u64 = 20;
    let service = format!(
        "ports = [\"tcp/80\"]\nsyn = {{ mode = \"cookie\" }}\nrate = {{ per_source_syn = \"{LIMIT}/s burst {BURST}\" }}"
    );
    let stand = Stand::with(&Config::default().service(&service), Wire::Cable, Kind::Tcp)?;
    let before = stand.floodwall.scrape()?;
    let pps = LIMIT * 10 / sources.len() as u64;
    let orders = sources.iter().map(|source| Ok(Order { pps, frames: pps * SECONDS, ..order(*source)? }));
    let orders: Vec<Order> = orders.collect::<Result<_>>()?;
    let floods =
        orders.iter().map(|order| Flood::start(&stand.pair.client, order)).collect::<Result<Vec<_>>>()?;
    // The others: well below the limit.
    let tried = stand.visit(SERVER_V4.into(), 20, 20 * SECONDS)?;
    ensure!(tried.failed() == 0, "the others lose nothing: {}", tried.summary());
    let sent = floods.into_iter().map(Flood::wait).collect::<Result<Vec<_>>>()?;
    let frames: u64 = sent.iter().map(|sent| sent.frames).sum();
    let dropped = stand.risen(&before, "source_syn_rate")?;
    let time = sent.iter().map(|sent| sent.time.as_secs_f64()).fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let share = (frames - dropped) as f64 / (LIMIT as f64 * time + BURST as f64);
    ensure!(
        (0.95..=1.05).contains(&share),
        "{frames} SYNs in {time:.2} s, {dropped} dropped: {share:.3} of the limit"
    );
    Ok(())
}

/// Counters say exactly what was sent, and nothing else happened.
#[test]
fn counters_are_exact() -> Result<()> {
    const FRAMES: u64 = 5000;
    let stand = Stand::with(&Config::default(), Wire::Cable, Kind::Tcp)?;
    // Let the last multicast report of the client's IPv6 pass.
    thread::sleep(Duration::from_secs(1));
    for (source, bytes) in [(Source::AnyV4, 74), (Source::AnyV6, 94)] {
        let before = stand.floodwall.scrape()?;
        let flood = Order { pps: 20_000, frames: FRAMES, ..order(source)? };
        ensure!(Flood::start(&stand.pair.client, &flood)?.wait()?.frames == FRAMES);
        wait_for("all counted", Duration::from_secs(2), || {
            Ok(stand.risen(&before, "cookie_sent")? >= FRAMES)
        })?;
        let after = stand.floodwall.scrape()?;
        let mut packets = after.risen(&before, PACKETS, "reason");
        packets.remove("link_control");
        ensure!(packets == [("cookie_sent".to_owned(), FRAMES)].into(), "{packets:?}");
        let octets = after.risen(&before, "floodwall_bytes_total", "reason");
        ensure!(octets.get("cookie_sent") == Some(&(FRAMES * bytes)), "{octets:?}");
        let sent = after.sum("floodwall_syn_cookie_sent_total", &[])
            - before.sum("floodwall_syn_cookie_sent_total", &[]);
        ensure!((sent - 5000.0).abs() < 0.5, "{sent}");
    }
    Ok(())
}
