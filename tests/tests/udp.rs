//! UDP floods against a host that serves DNS and asks DNS, NTP and QUIC servers itself; and forged sources that leave it.

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    defence::{CLOSED, DNS, Expected, MEMCACHED, NTP, defended, stack_works_on, unprotected, with_dns},
    honest,
    packet::ip,
    pair::{CLIENT_V4, Wire},
    server::Kind,
    stand::Stand,
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

fn flooded(kinds: &[Expected]) -> Result<()> {
    defended(&with_dns(Config::default()), kinds, |stand| {
        honest::datagrams_well(&stand.pair)?;
        stand.visit_well(200)
    })
}

#[test]
fn dns_reflection() -> Result<()> {
    flooded(&[DNS])
}

#[test]
fn ntp_and_memcached_reflection() -> Result<()> {
    flooded(&[NTP, MEMCACHED])
}

#[test]
fn a_flood_to_closed_ports() -> Result<()> {
    flooded(&[CLOSED])
}

/// Without Floodwall every such datagram is the stack's: it looks for a socket, and answers as often as it may.
#[test]
fn the_same_without_floodwall() -> Result<()> {
    let stand = unprotected(&with_dns(Config::default()))?;
    [DNS, MEMCACHED, CLOSED].iter().try_for_each(|kind| stack_works_on(&stand, &[*kind]))
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
