//! Segments of no connection: left alone while they are few, dropped by their kind while they flood.

use std::{
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    filter::Filter,
    packet::{
        Packet,
        tcp::{Segment, flag},
    },
    pair::SERVER_V4,
    server::{Kind, listen},
};
use socket2::{Domain, Socket, Type};

use super::{plain, plain6};

const ACK_DATA: u8 = flag::ACK | flag::PSH;

/// Port 80 is a service without a SYN defence; 8 sampled strays at once arm the check.
fn config(scope: &str) -> Config {
    Config {
        // The daemon may notice meanwhile that the neighbour is one of the host's own addresses here.
        rest: format!(
            "[spoofing]\nown_sources = \"pass\"\n[stray]\nscope = \"{scope}\"\non = 100\noff = 10\nhold = \"2s\""
        ),
        ..Config::default().service("ports = [\"tcp/80\"]").cookie("grace = \"0s\"\nunknown_ack = \"off\"")
    }
}

fn stray(packet: &Packet, port: u16, flags: u8) -> Vec<u8> {
    let payload = if flags == ACK_DATA { b"data".to_vec() } else { Vec::new() };
    packet.clone().tcp(&Segment { payload, ..Segment::default().ports(40000, port).flags(flags) }).bytes()
}

/// A connection of the server with somebody else; its segments have a socket.
struct Known {
    port: u16,
    _ends: (TcpStream, Socket, Socket),
}

const NEIGHBOUR: &str = "44.9.9.9";

fn connection(filter: &Filter) -> Result<Known> {
    let namespace = &filter.pair.server.namespace;
    let listener = listen(namespace, 80, Kind::Tcp)?;
    namespace.ip(&format!("address add {NEIGHBOUR}/32 dev lo"))?;
    let client = namespace.run(|| -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(NEIGHBOUR.parse()?, 0).into())?;
        socket.connect(&SocketAddr::from((SERVER_V4, 80)).into())?;
        Ok(socket.into())
    })?;
    let port = client.local_addr()?.port();
    let accepted = listener.accept()?.0;
    let known = Known { port, _ends: (client, accepted, listener) };
    // One in 64 is looked up on each CPU, and shows that this service has sockets.
    for _ in 0..256 {
        filter.run(&known.segment())?;
    }
    Ok(known)
}

impl Known {
    fn segment(&self) -> Vec<u8> {
        let ack = Segment::default().ports(self.port, 80).flags(flag::ACK);
        filter_tests::packet::ip(NEIGHBOUR, "192.31.196.2").tcp(&ack).bytes()
    }
}

/// Sends strays until one is dropped; there are 64 to a sample on each CPU.
fn flood(filter: &Filter, port: u16) -> Result<()> {
    let frame = stray(&plain(), port, flag::RST);
    let deadline = Instant::now() + Duration::from_secs(20);
    while filter.run(&frame)?.action != filter_tests::filter::XDP_DROP {
        ensure!(Instant::now() < deadline, "strays to port {port} arm nothing");
    }
    Ok(())
}

#[test]
fn a_flood_of_strays_is_dropped_by_kind() -> Result<()> {
    let filter = Filter::new(&config("services"))?;
    let known = connection(&filter)?;
    flood(&filter, 80)?;
    filter.expect("a connection's segment", &known.segment(), Reason::Established)?;
    for packet in [plain(), plain6()] {
        for (what, flags, expected) in [
            ("ACK", flag::ACK, Reason::StrayAck),
            ("data", ACK_DATA, Reason::StrayData),
            ("FIN", flag::ACK | flag::FIN, Reason::StrayFin),
            ("RST", flag::RST, Reason::StrayRst),
            ("RST and ACK", flag::RST | flag::ACK, Reason::StrayRst),
            ("SYN-ACK", flag::SYN | flag::ACK, Reason::StraySynAck),
            ("SYN", flag::SYN, Reason::Pass),
        ] {
            filter.expect(what, &stray(&packet, 80, flags), expected)?;
        }
        filter.expect("to no service", &stray(&packet, 81, flag::RST), Reason::Pass)?;
    }
    thread::sleep(Duration::from_millis(2500));
    ensure!(
        filter.run(&stray(&plain(), 80, flag::ACK))?.action != filter_tests::filter::XDP_DROP,
        "disarmed"
    );
    Ok(())
}

/// A service whose packets are redirected past this host's sockets.
#[test]
fn a_service_without_sockets_is_left_alone() -> Result<()> {
    let filter = Filter::new(&config("services"))?;
    for _ in 0..5000 {
        let outcome = filter.run(&stray(&plain(), 80, flag::ACK))?;
        ensure!(outcome.action != filter_tests::filter::XDP_DROP, "dropped");
    }
    Ok(())
}

#[test]
fn the_whole_host_if_asked_for() -> Result<()> {
    // No service: what is true of port 80 is true of the whole host.
    let filter = Filter::new(&Config { services: Vec::new(), ..config("host") })?;
    let _known = connection(&filter)?;
    flood(&filter, 50_000)?;
    filter.expect("reflection", &stray(&plain6(), 50_001, flag::SYN | flag::ACK), Reason::StraySynAck)?;
    let elsewhere = filter_tests::packet::ip("8.8.8.8", "192.31.196.77");
    filter.expect("for another host", &stray(&elsewhere, 50_001, flag::ACK), Reason::NotLocal).map(drop)
}
