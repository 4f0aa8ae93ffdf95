//! Limits hold to within 5 % for an honest source while random sources flood the same service.
//!
//! FLOODWALL_SECONDS=50 makes each test long enough for ten million of them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    flood::{Flood, Order, Segment, Source},
    pair::{CLIENT_V4, Pair, SERVER_V4, Wire},
    sched::Cores,
    server::Kind,
    stand::{PACKETS, Stand},
};

/// Where the honest source sends, and where the flood goes: one service.
const PORT: u16 = 5001;
const FLOODED: u16 = 5002;
const FLOOD_PPS: u64 = 200_000;

fn seconds() -> Result<u64> {
    Ok(std::env::var("FLOODWALL_SECONDS").map_or(Ok(6), |text| text.parse())?)
}

fn stand(rate: &str) -> Result<Stand> {
    let mut config = Config::default().service("ports = [\"tcp/80\"]\nsyn = { mode = \"challenge\" }");
    let lines = format!("ports = [\"udp/{PORT}-{FLOODED}\"]\nrate = {{ {rate} }}");
    config.services.push(("limited".into(), lines));
    let stand = Stand::with(&config, Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    Ok(stand)
}

/// An honest flow: two connected sockets, so that no stranger's datagram gets between.
struct Flow {
    client: UdpSocket,
    server: UdpSocket,
}

impl Flow {
    fn open(pair: &Pair, from: Ipv4Addr) -> Result<Self> {
        let client = pair.client.namespace.run(|| UdpSocket::bind((from, 0)))?;
        client.connect((SERVER_V4, PORT))?;
        let address = SocketAddr::from((from, client.local_addr()?.port()));
        let server = pair.server.namespace.run(|| -> Result<UdpSocket> {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
            socket.set_reuse_port(true)?;
            socket.bind(&SocketAddr::from((SERVER_V4, PORT)).into())?;
            socket.connect(&address.into())?;
            Ok(socket.into())
        })?;
        server.set_read_timeout(Some(Duration::from_millis(300)))?;
        Ok(Self { client, server })
    }

    /// Sends at that pace for that time; what was sent, and what arrived.
    fn send(&self, per_second: u64, time: Duration, length: usize) -> Result<(u64, u64)> {
        thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let mut datagram = [0; 2048];
                let mut arrived = 0;
                while self.server.recv(&mut datagram).is_ok() {
                    arrived += 1;
                }
                arrived
            });
            let started = Instant::now();
            let payload = vec![0; length];
            let mut sent = 0;
            while started.elapsed() < time {
                let due = started.elapsed().as_micros() as u64 * per_second / 1_000_000;
                while sent < due {
                    self.client.send(&payload).context("send")?;
                    sent += 1;
                }
                thread::sleep(Duration::from_micros(500));
            }
            Ok((sent, receiver.join().expect("the receiver does not panic")))
        })
    }
}

/// Runs `honest` for some seconds while strangers flood the service; how many of these came.
fn flooded<T>(stand: &Stand, honest: impl FnOnce(Duration) -> Result<T>) -> Result<(T, u64, Duration)> {
    let core = Cores::pick()?.attacker;
    let order = Order {
        segment: Segment::Udp(40_000, 18),
        port: FLOODED,
        pps: FLOOD_PPS,
        nice: 5,
        at_most: Duration::from_mins(2),
        ..Order::syns(Source::AnyV4, core)
    };
    let flood = Flood::start(&stand.pair.client, &order)?;
    thread::sleep(Duration::from_millis(500));
    let started = Instant::now();
    let result = honest(Duration::from_secs(seconds()?))?;
    let time = started.elapsed();
    let sent = flood.stop()?;
    ensure!(sent.frames > 100_000, "the bed floods nobody: {sent:?}");
    Ok((result, sent.frames, time))
}

fn within_5_percent(what: &str, arrived: u64, expected: u64) -> Result<()> {
    println!("{what}: {arrived} of {expected} expected");
    ensure!(arrived.abs_diff(expected) * 20 <= expected, "{what}: {arrived} instead of {expected}");
    Ok(())
}

#[test]
fn packets_per_source() -> Result<()> {
    let stand = stand("per_source = \"1000/s burst 50\"")?;
    let flow = Flow::open(&stand.pair, CLIENT_V4)?;
    let ((_, arrived), strangers, _) = flooded(&stand, |time| flow.send(2000, time, 100))?;
    within_5_percent(&format!("per source, {strangers} strangers"), arrived, 1000 * seconds()? + 50)
}

#[test]
fn bytes_per_source() -> Result<()> {
    let stand = stand("per_source_bytes = \"1MB/s burst 64KiB\"")?;
    let flow = Flow::open(&stand.pair, CLIENT_V4)?;
    // 1028 bytes each, 2 MB/s.
    let ((_, arrived), strangers, _) = flooded(&stand, |time| flow.send(2000, time, 1000))?;
    let expected = (1_000_000 * seconds()? + 65_536) / 1028;
    within_5_percent(&format!("bytes per source, {strangers} strangers"), arrived, expected)
}

/// Three addresses of one /24 share what it gets.
#[test]
fn packets_per_prefix() -> Result<()> {
    let stand = stand("per_prefix = \"1000/s burst 50\"")?;
    let client = &stand.pair.client;
    let others = [Ipv4Addr::new(192, 31, 196, 77), Ipv4Addr::new(192, 31, 196, 78)];
    for other in others {
        client.namespace.ip(&format!("addr add {other}/24 dev {}", client.device))?;
    }
    let flows = [CLIENT_V4, others[0], others[1]].map(|from| Flow::open(&stand.pair, from));
    let flows = flows.into_iter().collect::<Result<Vec<_>>>()?;
    let (arrived, strangers, _) = flooded(&stand, |time| {
        thread::scope(|scope| {
            let senders: Vec<_> =
                flows.iter().map(|flow| scope.spawn(move || flow.send(700, time, 100))).collect();
            senders.into_iter().map(|s| Ok(s.join().expect("no panic")?.1)).sum::<Result<u64>>()
        })
    })?;
    within_5_percent(&format!("per prefix, {strangers} strangers"), arrived, 1000 * seconds()? + 50)
}

/// New flows are limited as told, and flows that go on lose nothing.
#[test]
fn new_flows_of_a_service() -> Result<()> {
    let stand = stand("flows = \"500/s burst 100\"")?;
    let flow = Flow::open(&stand.pair, CLIENT_V4)?;
    flow.send(100, Duration::from_millis(200), 100)?;
    let before = stand.floodwall.scrape()?;
    let ((sent, arrived), strangers, time) = flooded(&stand, |time| flow.send(2000, time, 100))?;
    let packets = stand.floodwall.scrape()?.risen(&before, PACKETS, "reason");
    let of = |reason: Reason| packets.get(reason.label()).copied().unwrap_or(0);
    println!("{arrived} of {sent} arrived beside {strangers} strangers in {time:?}: {packets:?}");
    // The device's ring may overflow when a vCPU is taken away; Floodwall drops none of them.
    ensure!(arrived * 1000 >= sent * 995, "{arrived} of {sent}");
    let passed = of(Reason::Pass) - arrived.min(of(Reason::Pass));
    let flooded_for = time.as_secs_f64() + 0.5;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    within_5_percent("new flows", passed, (500.0 * flooded_for) as u64 + 100)
}

/// A total takes forged sources along with honest ones, except for those that have answered a challenge.
#[test]
fn a_total_spares_the_proven() -> Result<()> {
    let stand = stand("total = \"1000/s burst 100\"")?;
    stand.visit_well(1)?;
    let flow = Flow::open(&stand.pair, CLIENT_V4)?;
    let ((sent, arrived), strangers, _) = flooded(&stand, |time| flow.send(2000, time, 100))?;
    println!("{arrived} of {sent} arrived beside {strangers} strangers");
    ensure!(arrived * 1000 >= sent * 995, "{arrived} of {sent}");
    ensure!(stand.floodwall.packets(Reason::ServiceRate)? > strangers / 2);
    ensure!(stand.visit(IpAddr::from(SERVER_V4), 50, 50)?.failed() == 0);
    Ok(())
}
