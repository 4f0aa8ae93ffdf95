//! Segments of no connection: left alone while they are few, dropped by their kind while they flood.

use std::{
    net::TcpStream,
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
    server::{Kind, listen},
};

use super::{plain, plain6};

const ACK_DATA: u8 = flag::ACK | flag::PSH;

/// Port 80 is a service without a SYN defence; 8 sampled strays at once arm the check.
fn config(scope: &str) -> Config {
    Config {
        rest: format!("[stray]\nscope = \"{scope}\"\non = 100\noff = 10\nhold = \"2s\""),
        ..Config::default().service("ports = [\"tcp/80\"]").cookie("grace = \"0s\"\nunknown_ack = \"off\"")
    }
}

fn stray(packet: &Packet, port: u16, flags: u8) -> Vec<u8> {
    let payload = if flags == ACK_DATA { b"data".to_vec() } else { Vec::new() };
    packet.clone().tcp(&Segment { payload, ..Segment::default().ports(40000, port).flags(flags) }).bytes()
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
    let server = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    // A connection within the server's namespace: its segments would find their socket.
    let local = filter.pair.server.namespace.run(|| TcpStream::connect(("192.31.196.2", 80)))?;
    let _accepted = server.accept()?;
    flood(&filter, 80)?;
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
    drop(local);
    thread::sleep(Duration::from_millis(2500));
    ensure!(
        filter.run(&stray(&plain(), 80, flag::ACK))?.action != filter_tests::filter::XDP_DROP,
        "disarmed"
    );
    Ok(())
}

#[test]
fn the_whole_host_if_asked_for() -> Result<()> {
    let filter = Filter::new(&config("host"))?;
    flood(&filter, 50_000)?;
    filter.expect("reflection", &stray(&plain6(), 50_001, flag::SYN | flag::ACK), Reason::StraySynAck)?;
    let elsewhere = filter_tests::packet::ip("8.8.8.8", "192.31.196.77");
    filter.expect("for another host", &stray(&elsewhere, 50_001, flag::ACK), Reason::NotLocal).map(drop)
}
