//! Floods of pings, their answers, ICMP errors and fragments, beside honest traffic of all kinds; jumbo frames.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    bulk,
    cleanup::unique_device,
    config::Config,
    daemon::Floodwall,
    flood::{Flood, Order, Segment, Source},
    netns::Namespace,
    packet::ip,
    pair::{CLIENT_V4, Pair, SERVER_V4, Wire},
    sched::Cores,
    server::{Kind, listen},
    snmp,
    stand::{PACKETS, Stand, wait_for},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const PATIENCE: Duration = Duration::from_secs(10);
const PPS: u64 = 100_000;
/// Somebody behind a router with a smaller MTU; no address of a flood.
const FAR: &str = "80.1.2.3";

/// Visitors prove themselves, so that their pings and fragments don't share a limit with the flood's.
fn config() -> Config {
    Config::default().service("ports = [\"tcp/80-82\"]\nsyn = { mode = \"challenge\" }").also(
        "[fragments]\ntotal = \"20/s burst 20\"\n[icmp]\necho_total = \"100/s burst 100\"\nerrors = \"100/s burst 100\"\n\
         echo_per_source = \"200/s burst 400\"\necho_replies = \"100/s burst 100\"",
    )
}

fn flood_of(segment: Segment, pps: u64) -> Result<Order> {
    let core = Cores::pick()?.attacker;
    Ok(Order { segment, pps, nice: 5, ..Order::syns(Source::AnyV4, core) })
}

/// Pings of so many bytes, 5 ms apart; how many were answered.
fn ping(from: &Namespace, number: u16, size: usize) -> Result<u16> {
    let socket = from.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)))?;
    socket.set_recv_buffer_size(1 << 22)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let to: SockAddr = SocketAddr::from((SERVER_V4, 0)).into();
    let (mut sent, mut answered) = (0, 0);
    let deadline = Instant::now() + Duration::from_millis(5) * u32::from(number) + Duration::from_secs(2);
    let mut next = Instant::now();
    while answered < number && Instant::now() < deadline {
        if sent < number && Instant::now() >= next {
            let frame = ip(&CLIENT_V4.to_string(), &SERVER_V4.to_string());
            let body = [&0x4657_u16.to_be_bytes()[..], &sent.to_be_bytes(), &vec![7; size]].concat();
            socket.send_to(&frame.icmp(8, 0, &body).bytes()[34..], &to)?;
            sent += 1;
            next += Duration::from_millis(5);
        }
        let mut answer = [MaybeUninit::new(0_u8); 4096];
        match socket.recv(&mut answer) {
            Ok(len) => {
                // SAFETY: the array was initialised, and the kernel wrote bytes.
                let bytes =
                    answer[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect::<Vec<_>>();
                let is_ours =
                    bytes.len() == 28 + size && bytes[20] == 0 && bytes[24..26] == 0x4657_u16.to_be_bytes();
                answered += u16::from(is_ours);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("receive"),
        }
    }
    Ok(answered)
}

/// A namespace behind the client's, which forwards to it with an MTU of 1000; its own MSS says 1460.
fn far_away(pair: &Pair) -> Result<Namespace> {
    let far = Namespace::new()?;
    let (near, outer) = (unique_device('r'), unique_device('f'));
    let router = &pair.client.namespace;
    router.ip(&format!("link add {near} mtu 1000 type veth peer name {outer} netns {}", far.path()))?;
    far.ip(&format!("link set {outer} mtu 1500"))?;
    for (namespace, device, address) in [(router, &near, "80.1.2.1/24"), (&far, &outer, "80.1.2.3/24")] {
        namespace.ip(&format!("address add {address} dev {device}"))?;
        namespace.ip(&format!("link set {device} up"))?;
    }
    far.ip("route add default via 80.1.2.1")?;
    router.sysctl(&[("net.ipv4.ip_forward", "1")])?;
    Ok(far)
}

/// 300 kB from the server, in segments that are too long for the router until it has said so.
fn download_from_afar(stand: &Stand, far: &Namespace) -> Result<()> {
    const SIZE: usize = 300_000;
    let listener = TcpListener::from(listen(&stand.pair.server.namespace, 82, Kind::Tcp)?);
    let served = thread::spawn(move || -> Result<()> {
        let (mut socket, _) = listener.accept()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(socket.write_all(&vec![7; SIZE])?)
    });
    let mut socket = far
        .run(|| TcpStream::connect_timeout(&(SERVER_V4, 82).into(), PATIENCE))
        .context("connect from afar")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).context("the path's MTU was not learnt")?;
    served.join().expect("the server does not panic")?;
    ensure!(bytes.len() == SIZE, "{} bytes", bytes.len());
    let route = stand.pair.server.namespace.ip(&format!("route get {FAR}"))?;
    ensure!(route.contains("mtu 1000"), "{route}");
    Ok(())
}

/// What honest traffic meets under these floods: everything must be whole.
fn honest(stand: &Stand, orders: &[Order]) -> Result<()> {
    let pair = &stand.pair;
    let far = far_away(pair)?;
    // Proven before the flood, as regular visitors are.
    stand.visit_well(5)?;
    let floods = orders.iter().map(|order| Flood::start(&pair.client, order)).collect::<Result<Vec<_>>>()?;
    thread::sleep(Duration::from_millis(500));
    download_from_afar(stand, &far)?;
    for (what, size) in [("pings", 56), ("pings in fragments", 3000)] {
        let answered = ping(&pair.client.namespace, 100, size)?;
        // A vCPU that is taken away for a while overflows the device's ring, before any program sees the packet.
        ensure!(answered >= 98, "{answered} of 100 {what} answered");
    }
    let served = bulk::serve(listen(&pair.server.namespace, 81, Kind::Tcp)?);
    let tried = thread::scope(|scope| -> Result<_> {
        let download = scope.spawn(|| pair.client.namespace.run(|| bulk::exchange((SERVER_V4, 81).into())));
        let tried = stand.visit(SERVER_V4.into(), 100, 200)?;
        download.join().expect("the client does not panic").context("100 MB each way")?;
        Ok(tried)
    })?;
    served.join().expect("the server does not panic")?;
    ensure!(tried.failed() == 0, "visitors: {}", tried.summary());
    drop(floods);
    Ok(())
}

/// Honest traffic loses nothing; nine in ten of what is dropped ends for those reasons.
fn defended(segments: &[Segment], reasons: &[Reason]) -> Result<()> {
    let stand = Stand::with(&config(), Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    let before = stand.floodwall.scrape()?;
    let pps = PPS / segments.len() as u64;
    honest(&stand, &segments.iter().map(|segment| flood_of(*segment, pps)).collect::<Result<Vec<_>>>()?)?;
    let packets = stand.floodwall.scrape()?.risen(&before, PACKETS, "reason");
    println!("{segments:?}: {packets:?}");
    for reason in reasons {
        let dropped = packets.get(reason.label()).copied().unwrap_or(0);
        ensure!(dropped * segments.len() as u64 > 20_000, "{reason:?}: {packets:?}");
    }
    Ok(())
}

#[test]
fn a_flood_of_pings() -> Result<()> {
    defended(&[Segment::Ping], &[Reason::IcmpRate])
}

#[test]
fn the_victim_of_a_smurf() -> Result<()> {
    defended(&[Segment::PingReply], &[Reason::IcmpRate])
}

#[test]
fn the_amplifier_of_a_smurf() -> Result<()> {
    defended(&[Segment::Smurf], &[Reason::Smurf])
}

#[test]
fn a_flood_of_errors() -> Result<()> {
    defended(&[Segment::IcmpError], &[Reason::IcmpRate])
}

#[test]
fn a_flood_of_fragments() -> Result<()> {
    defended(&[Segment::Fragment], &[Reason::FragmentRate])
}

#[test]
fn all_of_them_at_once() -> Result<()> {
    let segments = [Segment::Ping, Segment::PingReply, Segment::Smurf, Segment::IcmpError, Segment::Fragment];
    defended(&segments, &[Reason::IcmpRate, Reason::Smurf, Reason::FragmentRate])
}

/// Without Floodwall the stack answers every ping, works on every error, and keeps fragments until its memory is full:
/// then honest ones are lost.
#[test]
fn the_same_without_floodwall() -> Result<()> {
    let mut stand = Stand::with(&config(), Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    stand.floodwall.end(nix::sys::signal::Signal::SIGTERM)?;
    stand.floodwall.succeed("detach --pins {pins}")?;
    let server = &stand.pair.server.namespace;
    server.sysctl(&[("net.ipv4.icmp_echo_ignore_broadcasts", "0")])?;
    for (segment, counter) in [
        (Segment::Ping, "IcmpOutEchoReps"),
        (Segment::Smurf, "IcmpInEchos"),
        (Segment::IcmpError, "IcmpInDestUnreachs"),
        (Segment::Fragment, "IpReasmReqds"),
    ] {
        let stack = snmp::read(server)?;
        let order = Order { frames: 50_000, ..flood_of(segment, 50_000)? };
        Flood::start(&stand.pair.client, &order)?.wait()?;
        let worked = || -> Result<bool> {
            let risen = snmp::risen(&stack, &snmp::read(server)?);
            Ok(risen.get(counter).copied().unwrap_or(0) > 25_000)
        };
        wait_for(&format!("{segment:?}: {counter}"), Duration::from_secs(5), worked)?;
    }
    let answered = ping(&stand.pair.client.namespace, 100, 3000)?;
    ensure!(answered < 50, "{answered} of 100 pings in fragments answered beside those of the flood");
    Ok(())
}

/// 9000 bytes are more than one buffer holds.
#[test]
fn jumbo_frames_both_ways() -> Result<()> {
    let pair = Pair::new(Wire::Cable)?;
    for end in [&pair.client, &pair.server] {
        end.namespace.ip(&format!("link set {} mtu 9000", end.device))?;
    }
    let config = Config::default()
        .interface("mode = \"native\"")
        .service("ports = [\"tcp/81\"]\nsyn = { mode = \"cookie\" }");
    let floodwall = Floodwall::start(&pair.server, &config)?;
    let served = bulk::serve(listen(&pair.server.namespace, 81, Kind::Tcp)?);
    pair.client.namespace.run(|| bulk::exchange((SERVER_V4, 81).into()))?;
    served.join().expect("the server does not panic")?;
    let after = floodwall.scrape()?;
    let (packets, bytes) = (after.sum(PACKETS, &[]), after.sum("floodwall_bytes_total", &[]));
    println!("{packets} packets, {bytes} bytes");
    ensure!(bytes > 100_000_000.0, "counted whole: {bytes} bytes");
    // Half of them are acknowledgments.
    ensure!(bytes / packets > 3000.0, "{packets} packets of {} bytes: no jumbo frames", bytes / packets);
    ensure!(after.sum(PACKETS, &["reason=\"headers_split\""]) < 0.5);
    let answered = ping(&pair.client.namespace, 20, 3000)?;
    ensure!(answered == 20, "{answered} pings of one frame each");
    Ok(())
}
