//! UDP floods against a host that serves DNS and asks DNS, NTP and QUIC servers itself; and forged sources that leave it.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    flood::{Flood, Order, Segment, Source},
    netns::Namespace,
    packet::ip,
    pair::{CLIENT_V4, SERVER_V4, SERVER_V6, Wire},
    sched::Cores,
    server::Kind,
    snmp,
    stand::{PACKETS, Stand, wait_for},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const PPS: u64 = 100_000;

/// Answers every datagram with itself until dropped.
struct Echo {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    fn on(namespace: &Namespace, ports: &[u16]) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for port in ports {
            let socket = namespace.run(|| UdpSocket::bind(("::", *port)))?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            let stop = Arc::clone(&stop);
            threads.push(thread::spawn(move || {
                let mut datagram = [0; 2048];
                while !stop.load(SeqCst) {
                    if let Ok((len, from)) = socket.recv_from(&mut datagram) {
                        let _ = socket.send_to(&datagram[..len], from);
                    }
                }
            }));
        }
        Ok(Self { stop, threads })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        self.threads.drain(..).for_each(|thread| {
            let _ = thread.join();
        });
    }
}

/// So many questions, each from a socket of its own, asked again after two seconds as resolvers do: how many were
/// answered at once, and in the end.
fn ask(from: &Namespace, server: (IpAddr, u16), questions: usize) -> Result<[usize; 2]> {
    let mut answered = [0; 2];
    for question in 0..questions {
        let mapped = match server.0 {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let mut answer = [0; 64];
        for attempt in 0..2 {
            // A new port each time: the first may have been a reflector's.
            let socket = from.run(|| UdpSocket::bind(("::", 0)))?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            socket.send_to(&question.to_be_bytes(), (mapped, server.1))?;
            match socket.recv_from(&mut answer) {
                Ok((len, _)) if answer[..len] == question.to_be_bytes() => {
                    (attempt..2).for_each(|at_most| answered[at_most] += 1);
                    break;
                }
                Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(error).context("receive");
                }
                _ => {}
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(answered)
}

fn config() -> Config {
    let mut config = Config::default();
    config.services.push(("dns".into(), "ports = [\"udp/53\"]".into()));
    config
}

/// From that port to that port, from sources all over the world.
fn flood_of(from: u16, to: u16, len: usize, pps: u64) -> Result<Order> {
    let core = Cores::pick()?.attacker;
    let order = Order {
        segment: Segment::Udp(from, len),
        port: to,
        pps,
        nice: 5,
        ..Order::syns(Source::AnyV4, core)
    };
    Ok(order)
}

/// What honest traffic meets under these floods: DNS in, DNS, NTP and QUIC out, and web visitors.
fn honest(stand: &Stand, orders: &[Order]) -> Result<()> {
    let pair = &stand.pair;
    let _served = Echo::on(&pair.server.namespace, &[53])?;
    let _asked = Echo::on(&pair.client.namespace, &[53, 123, 443])?;
    let floods = orders.iter().map(|order| Flood::start(&pair.client, order)).collect::<Result<Vec<_>>>()?;
    thread::sleep(Duration::from_millis(500));
    for (what, from, server) in [
        ("DNS queries to the host", &pair.client.namespace, (IpAddr::from(SERVER_V4), 53)),
        ("DNS queries to the host, IPv6", &pair.client.namespace, (SERVER_V6.into(), 53)),
        ("DNS queries of the host", &pair.server.namespace, (CLIENT_V4.into(), 53)),
        ("NTP queries of the host", &pair.server.namespace, (CLIENT_V4.into(), 123)),
        ("QUIC of the host", &pair.server.namespace, (CLIENT_V4.into(), 443)),
    ] {
        let [at_once, answered] = ask(from, server, 200)?;
        // A vCPU that is taken away for a while overflows the device's ring, before any program sees the packet.
        ensure!(answered == 200 && at_once >= 198, "{what}: {at_once} at once, {answered} of 200 answered");
    }
    stand.visit_well(200)?;
    drop(floods);
    Ok(())
}

fn defended(orders: &[Order], reasons: &[Reason]) -> Result<()> {
    let stand = Stand::with(&config(), Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    let before = stand.floodwall.scrape()?;
    honest(&stand, orders)?;
    let packets = stand.floodwall.scrape()?.risen(&before, PACKETS, "reason");
    println!("{packets:?}");
    for reason in reasons {
        let dropped = packets.get(reason.label()).copied().unwrap_or(0);
        ensure!(dropped > 20_000, "{reason:?}: {packets:?}");
    }
    Ok(())
}

#[test]
fn dns_reflection() -> Result<()> {
    defended(&[flood_of(53, 40_000, 64, PPS)?], &[Reason::UdpReflection])
}

#[test]
fn ntp_and_memcached_reflection() -> Result<()> {
    let orders = [flood_of(123, 40_000, 48, PPS / 2)?, flood_of(11211, 53, 64, PPS / 2)?];
    defended(&orders, &[Reason::UdpReflection])
}

#[test]
fn a_flood_to_closed_ports() -> Result<()> {
    defended(&[flood_of(40_000, 9, 18, PPS)?], &[Reason::UdpClosedPort])
}

/// Without Floodwall every such datagram is the stack's: it looks for a socket, and answers as often as it may.
#[test]
fn the_same_without_floodwall() -> Result<()> {
    let mut stand = Stand::with(&config(), Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    stand.floodwall.end(nix::sys::signal::Signal::SIGTERM)?;
    stand.floodwall.succeed("detach --pins {pins}")?;
    for (from, to) in [(53, 40_000), (11211, 40_000), (40_000, 9)] {
        let stack = snmp::read(&stand.pair.server.namespace)?;
        let order = Order { frames: 50_000, ..flood_of(from, to, 18, 50_000)? };
        Flood::start(&stand.pair.client, &order)?.wait()?;
        let no_ports = || -> Result<bool> {
            let risen = snmp::risen(&stack, &snmp::read(&stand.pair.server.namespace)?);
            Ok(risen.get("UdpNoPorts").copied().unwrap_or(0) > 25_000)
        };
        wait_for("the stack works on them", Duration::from_secs(5), no_ports)?;
    }
    Ok(())
}

/// Sends one datagram with any source out of the server, as a program on a host that was broken into would.
fn forge(stand: &Stand, source: &str, port: u16) -> Result<()> {
    let frame = ip(source, &CLIENT_V4.to_string()).udp(9, port, b"forged").bytes();
    // IPPROTO_RAW: the IP header is ours.
    let raw = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)));
    let socket = stand.pair.server.namespace.run(raw)?;
    let to: SockAddr = SocketAddr::from((CLIENT_V4, 0)).into();
    ensure!(socket.send_to(&frame[14..], &to)? == frame.len() - 14);
    Ok(())
}

fn leaving(stand: &Stand, reason: Reason, verdict: &str) -> Result<u64> {
    let labels = [&format!("reason=\"{}\"", reason.label()), &format!("verdict=\"{verdict}\"")];
    let sum = stand.floodwall.scrape()?.sum("floodwall_egress_packets_total", &labels.map(String::as_str));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    Ok(sum as u64)
}

/// Counted by default, stopped when told so; the host's own packets leave in both cases.
#[test]
fn forged_sources_that_leave() -> Result<()> {
    for tc in ["auto", "clsact"] {
        for (policy, verdict, arrives) in [("monitor", "would_drop", true), ("drop", "drop", false)] {
            let config = Config::default()
                .interface(&format!("tc = \"{tc}\""))
                .also(&format!("[spoofing]\negress = \"{policy}\"\nown = [\"44.1.0.0/16\"]"));
            let stand = Stand::with(&config, Wire::Cable, Kind::Tcp)?;
            let client = &stand.pair.client;
            client.namespace.sysctl(&[("net.ipv4.conf.all.rp_filter", "0")])?;
            client.namespace.sysctl(&[(&format!("net.ipv4.conf.{}.rp_filter", client.device), "0")])?;
            let socket = client.namespace.run(|| UdpSocket::bind(("0.0.0.0", 0)))?;
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            let port = socket.local_addr()?.port();
            let mut datagram = [0; 64];
            for (source, reason) in [
                ("8.8.8.8", Reason::EgressForged),
                ("10.9.9.9", Reason::EgressForged),
                (&CLIENT_V4.to_string(), Reason::EgressLand),
            ] {
                forge(&stand, source, port)?;
                // The client's own stack refuses its own address as a source.
                let expected = arrives && reason == Reason::EgressForged;
                ensure!(socket.recv(&mut datagram).is_ok() == expected, "{policy}: {source}");
            }
            ensure!(leaving(&stand, Reason::EgressForged, verdict)? == 2, "{policy}");
            ensure!(leaving(&stand, Reason::EgressLand, verdict)? == 1, "{policy}");
            forge(&stand, "44.1.2.3", port)?;
            ensure!(socket.recv(&mut datagram).is_ok(), "{policy}: a network behind the host");
            stand.visit_well(20)?;
            ensure!(
                leaving(&stand, Reason::EgressForged, verdict)? == 2,
                "{policy}: honest packets are not forged"
            );
        }
    }
    Ok(())
}
