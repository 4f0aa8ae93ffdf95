//! The test bed itself: what the other tests rely on.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::TcAttachType;
use filter_tests::{
    bulk,
    client::{Questions, ask},
    flood::{Flood, Order, Segment, Source, flood_of},
    lab::{Lab, Tally},
    netns::Namespace,
    pair::{Family, Pair, SERVER_V4, SERVER_V6, Wire},
    sched::Cores,
    server::{Kind, Server, listen},
    snmp,
};

fn questions(address: impl Into<std::net::IpAddr>, number: u64) -> Questions {
    Questions {
        server: SocketAddr::new(address.into(), 80),
        sources: Vec::new(),
        per_second: 500,
        number,
        timeout: Duration::from_secs(2),
    }
}

#[test]
fn a_calm_server_answers_everybody() -> Result<()> {
    let pair = Pair::new(Wire::Cable)?;
    let server = Server::start(&pair.server.namespace, 80, Kind::Tcp, None)?;
    for address in [std::net::IpAddr::from(SERVER_V4), SERVER_V6.into()] {
        let tried = pair.client.namespace.run(|| ask(&questions(address, 200)))?;
        ensure!(tried.succeeded == 200 && tried.tried == 200, "{tried:?}");
    }
    ensure!(server.accepted() == 400);
    Ok(())
}

#[test]
fn a_transfer_arrives_whole() -> Result<()> {
    let pair = Pair::new(Wire::Veth)?;
    let served = bulk::serve(listen(&pair.server.namespace, 81, Kind::Tcp)?);
    pair.client.namespace.run(|| bulk::exchange((SERVER_V4, 81).into()))?;
    served.join().expect("the server does not panic")
}

/// The stack counts a segment with a bad checksum, so this is also the test of the generator's checksums.
#[test]
fn each_flood_is_what_it_says() -> Result<()> {
    let one = Source::One([45, 1, 2, 3].into());
    for source in
        [Source::AnyV4, Source::AnyV6, Source::EachV4(1 << 25), Source::EachV6(7), Source::SomeV4(16), one]
    {
        for segment in [Segment::Syn, Segment::Ack] {
            exactly(source, segment)?;
        }
    }
    Ok(())
}

fn exactly(source: Source, segment: Segment) -> Result<()> {
    const FRAMES: u64 = 2000;
    let pair = Pair::new(Wire::Cable)?;
    let mut witness = Lab::load()?;
    witness.attach_tc(&pair.server.namespace, "witness", &pair.server.device, TcAttachType::Ingress)?;
    let order =
        Order { segment, pps: 20_000, frames: FRAMES, ..Order::syns(source, Cores::pick()?.attacker) };
    let sent = Flood::start(&pair.client, &order)?.wait()?;
    ensure!(sent.frames == FRAMES, "{source:?}: {sent:?}");
    let seen = if segment == Segment::Syn { Tally::SeenSyn } else { Tally::SeenOther };
    wait_for(|| Ok(witness.tally(seen)? == FRAMES))?;
    // Nobody listens: the stack answers each good segment with a RST, and a bad one with nothing.
    wait_for(|| Ok(pair.lab.tally(Tally::Rst)? == FRAMES))?;
    Ok(())
}

/// What is not TCP, as far as the stack's counter: a bad checksum ends before it.
#[test]
fn each_other_flood_is_what_it_says() -> Result<()> {
    const FRAMES: u64 = 2000;
    let pair = Pair::new(Wire::Cable)?;
    // Multicast has a route a little after the link is up.
    let routes = || pair.server.namespace.ip("-6 route show table local");
    wait_for(|| Ok(routes()?.contains("ff00::/8")))?;
    for family in Family::BOTH {
        for segment in [
            Segment::Udp(53, 64),
            Segment::Ping,
            Segment::PingReply,
            Segment::Smurf,
            Segment::IcmpError,
            Segment::Fragment,
        ] {
            let counter = segment.counter(family).context("no counter")?;
            let before = snmp::read(&pair.server.namespace)?;
            let order = Order { frames: FRAMES, ..flood_of(segment, family, 20_000)? };
            Flood::start(&pair.client, &order)?.wait()?;
            let risen = || -> Result<_> { Ok(snmp::risen(&before, &snmp::read(&pair.server.namespace)?)) };
            wait_for(|| Ok(risen()?.get(counter) == Some(&FRAMES)))
                .with_context(|| format!("{segment:?} {counter}: {:?}", risen()))?;
        }
    }
    Ok(())
}

fn wait_for(condition: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    while !condition()? {
        ensure!(Instant::now() < deadline, "waited two seconds in vain");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
fn no_flood_where_others_are() -> Result<()> {
    let namespace = Namespace::new()?;
    let loopback = filter_tests::pair::End { namespace, device: "lo".into() };
    let error = Flood::start(&loopback, &Order::syns(Source::AnyV4, 0)).expect_err("lo is no veth");
    ensure!(error.to_string().contains("lo"), "{error:#}");
    Ok(())
}
