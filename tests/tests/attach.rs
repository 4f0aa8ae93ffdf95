//! Every way in which the filter can be attached carries connections; what is not ours stays.

use std::{
    io::{ErrorKind, Read as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::TcAttachType;
use filter_tests::{
    config::Config,
    daemon::Floodwall,
    device,
    lab::Lab,
    pair::{Pair, SERVER_V4, Wire},
    server::Kind,
    stand::{PACKETS, Stand},
};
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

/// 200 connections over each family, all of them through cookies.
fn carries(stand: &Stand) -> Result<()> {
    let before = stand.floodwall.scrape()?;
    stand.visit_well(200)?;
    let after = stand.floodwall.scrape()?;
    let risen = after.risen(&before, PACKETS, "reason");
    let count = |reason: &str| risen.get(reason).copied().unwrap_or(0);
    ensure!(count("cookie_sent") >= 400 && count("cookie_accepted") >= 400, "{risen:?}");
    let handed = after.risen(&before, "floodwall_syn_cookie_handover_total", "result");
    ensure!(handed.get("ok").is_some_and(|ok| *ok >= 400), "{handed:?}");
    ensure!(!handed.contains_key("refused") && !handed.contains_key("unreadable"), "{handed:?}");
    Ok(())
}

fn attached(interface: &str) -> Result<()> {
    carries(&Stand::new(&Config::default().interface(interface))?)
}

#[test]
fn native() -> Result<()> {
    attached("mode = \"native\"\ntc = \"tcx\"")
}

#[test]
fn without_offloads() -> Result<()> {
    carries(&Stand::with(&Config::default(), Wire::Cable, Kind::Tcp)?)
}

#[test]
fn generic() -> Result<()> {
    attached("mode = \"generic\"")
}

/// A device may refuse native mode whatever the program is like; one for several buffers would lose every hand-over here.
#[test]
fn generic_after_all_for_large_frames() -> Result<()> {
    let mut stand = Stand::new(&Config::default())?;
    stand.floodwall.end(Signal::SIGTERM)?;
    stand.floodwall.succeed("detach --pins {pins}")?;
    for end in [&stand.pair.client, &stand.pair.server] {
        end.namespace.ip(&format!("link set {} mtu 9000", end.device))?;
    }
    // More than the server's device receives from: it can't run XDP any more.
    let client = &stand.pair.client;
    client.namespace.run(|| device::transmit_queues(&client.device, 2))?;
    stand.floodwall.run()?;
    let said = stand.floodwall.said();
    ensure!(said.contains("refuses native XDP"), "{said}");
    carries(&stand)?;
    // What runs is adopted, not loaded again.
    stand.floodwall.end(Signal::SIGTERM)?;
    stand.floodwall.run()?;
    ensure!(stand.floodwall.said().contains("adopted as they are"), "{}", stand.floodwall.said());
    carries(&stand)
}

#[test]
fn clsact() -> Result<()> {
    attached("tc = \"clsact\"")
}

#[test]
fn decoded_in_tc() -> Result<()> {
    attached("handover = \"decode\"")
}

#[test]
fn generic_and_decoded_behind_clsact() -> Result<()> {
    attached("mode = \"generic\"\nhandover = \"decode\"\ntc = \"clsact\"")
}

/// Tags go on and off in tc, as a VLAN interface would do it: not every kernel has one.
#[test]
fn vlan() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    let mut labs = Vec::new();
    for end in [&stand.pair.client, &stand.pair.server] {
        // With the offload XDP would not see the tag.
        end.namespace.run(|| device::without_vlan_offload(&end.device))?;
        let mut lab = Lab::load()?;
        lab.attach_tc(&end.namespace, "untag", &end.device, TcAttachType::Ingress)?;
        lab.attach_tc(&end.namespace, "tag", &end.device, TcAttachType::Egress)?;
        labs.push(lab);
    }
    carries(&stand)?;
    // A Linux SYN has 74 bytes, and its tag four more: XDP did see it.
    let before = stand.floodwall.scrape()?;
    stand.visit(SERVER_V4.into(), 100, 10)?;
    let after = stand.floodwall.scrape()?;
    let sent = |name: &str| after.risen(&before, name, "reason").get("cookie_sent").copied();
    let (packets, bytes) = (sent(PACKETS), sent("floodwall_bytes_total"));
    ensure!(packets >= Some(10) && bytes == packets.map(|packets| packets * 78), "{packets:?}, {bytes:?}");
    Ok(())
}

/// A cookie can't be taken over there: challenges protect it.
#[test]
fn mptcp_listener() -> Result<()> {
    let stand = Stand::with(&Config::default(), Wire::Veth, Kind::Mptcp)?;
    stand.visit_well(100)?;
    let metrics = stand.floodwall.scrape()?;
    ensure!(metrics.sum(PACKETS, &["reason=\"proven\""]) >= 200.0, "challenged, once per address");
    ensure!(metrics.sum(PACKETS, &["reason=\"cookie_sent\""]) < 0.5, "none gets a cookie");
    ensure!(metrics.sum("floodwall_syn_cookie_stepped_down_ports", &[]) > 0.5, "the port is counted");
    let status = stand.floodwall.succeed("status --json --pins {pins} --socket {socket}")?;
    ensure!(status.contains("mptcp"), "status says why: {status}");
    Ok(())
}

#[test]
fn nobody_listens() -> Result<()> {
    let config = Config::default().service("ports = [\"tcp/80-81\"]\nsyn = { mode = \"cookie\" }");
    let stand = Stand::new(&config)?;
    let target = SocketAddr::new(SERVER_V4.into(), 81);
    let refused =
        stand.pair.client.namespace.run(|| TcpStream::connect_timeout(&target, Duration::from_secs(2)));
    let error = refused.err().context("nobody listens")?;
    ensure!(error.kind() == ErrorKind::ConnectionRefused, "a RST, as usual: {error}");
    let metrics = stand.floodwall.scrape()?;
    ensure!(metrics.sum(PACKETS, &["reason=\"no_listener\""]) > 0.5);
    ensure!(metrics.sum(PACKETS, &["reason=\"cookie_sent\""]) < 0.5);
    Ok(())
}

/// The server closes first and keeps the tuple in `TIME_WAIT`; the client comes again from the same port.
#[test]
fn the_same_tuple_again() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    let port = 5555;
    for _ in 0..3 {
        stand.pair.client.namespace.run(|| once_from(port))?;
    }
    ensure!(stand.floodwall.scrape()?.sum(PACKETS, &["reason=\"tuple_in_use\""]) >= 2.0);
    Ok(())
}

fn once_from(port: u16) -> Result<()> {
    use std::io::Write as _;
    let patience = Duration::from_secs(3);
    let mut socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from(([0, 0, 0, 0], port)).into())?;
    socket.connect_timeout(&SocketAddr::new(SERVER_V4.into(), 80).into(), patience).context("connect")?;
    socket.set_read_timeout(Some(patience))?;
    socket.write_all(filter_tests::server::REQUEST)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.0 200"), "{answer:?}");
    Ok(())
}

#[test]
fn a_foreign_program_stays() -> Result<()> {
    let pair = Pair::new(Wire::Veth)?;
    let mut foreign = Lab::load()?;
    foreign.attach_xdp(&pair.server.namespace, "pass", &pair.server.device)?;
    let shown = || pair.server.namespace.ip(&format!("link show {}", pair.server.device));
    let before = shown()?;
    ensure!(before.contains("prog/xdp"), "{before}");
    let refused = Floodwall::start(&pair.server, &Config::default());
    let error = refused.err().context("a foreign program is never replaced")?;
    ensure!(shown()? == before, "it is still there: {error}");
    Ok(())
}
