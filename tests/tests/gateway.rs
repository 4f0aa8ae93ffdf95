//! A host that protects those behind it: challenges for forwarded destinations.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    cleanup::unique_device,
    client::{Questions, ask},
    config::Config,
    daemon::Floodwall,
    flood::{Flood, Order, Source},
    latency::Tried,
    netns::Namespace,
    pair::{CLIENT_V4, CLIENT_V6, Pair, SERVER_V4, SERVER_V6, Wire},
    sched::Cores,
    server::{Kind, Server},
};

const INNER_V4: &str = "44.1.2.3";
const INNER_V6: &str = "2a0f:1::3";

/// A server behind the pair's server, which forwards.
struct Scene {
    floodwall: Floodwall,
    server: Server,
    pair: Pair,
    _inner: Namespace,
}

impl Scene {
    fn new() -> Result<Self> {
        let pair = Pair::new(Wire::Cable)?;
        let inner = Namespace::new()?;
        let (near, far) = (unique_device('g'), unique_device('i'));
        let gateway = &pair.server.namespace;
        gateway.ip(&format!("link add {near} type veth peer name {far} netns {}", inner.path()))?;
        for (namespace, device, v4, v6) in
            [(gateway, &near, "44.1.2.1/24", "2a0f:1::1/64"), (&inner, &far, "44.1.2.3/24", "2a0f:1::3/64")]
        {
            namespace.ip(&format!("address add {v4} dev {device}"))?;
            namespace.ip(&format!("address add {v6} dev {device} nodad"))?;
            namespace.ip(&format!("link set {device} up"))?;
        }
        inner.ip("route add default via 44.1.2.1")?;
        inner.ip("-6 route add default via 2a0f:1::1")?;
        gateway.sysctl(&[("net.ipv4.ip_forward", "1"), ("net.ipv6.conf.all.forwarding", "1")])?;
        // The default routes of the pair's server would send answers to the client in a circle.
        gateway.ip(&format!("route replace {CLIENT_V4}/32 dev {}", pair.server.device))?;
        gateway.ip(&format!("-6 route replace {CLIENT_V6}/128 dev {}", pair.server.device))?;
        pair.client.namespace.ip(&format!("route add 44.1.2.0/24 via {SERVER_V4}"))?;
        pair.client.namespace.ip(&format!("-6 route add 2a0f:1::/64 via {SERVER_V6}"))?;
        let server = Server::start(&inner, 80, Kind::Tcp, None)?;
        let config = Config::default().service(
            "ports = [\"tcp/80\"]\nprotect = [\"44.1.2.0/24\", \"2a0f:1::/48\"]\n\
             syn = { mode = \"auto\", on = 1000, off = 200, hold = \"30s\" }",
        );
        let floodwall = Floodwall::start(&pair.server, &config)?;
        Ok(Self { floodwall, server, pair, _inner: inner })
    }

    fn visit(&self, server: IpAddr, number: u64) -> Result<Tried> {
        let server = SocketAddr::new(server, 80);
        let timeout = Duration::from_secs(4);
        let questions = Questions { server, sources: Vec::new(), per_second: 100, number, timeout };
        self.pair.client.namespace.run(|| ask(&questions))
    }
}

#[test]
fn those_behind_stay_reachable() -> Result<()> {
    let scene = Scene::new()?;
    scene.pair.pin(Cores::pick()?)?;
    for (source, server) in [(Source::AnyV4, INNER_V4.parse::<IpAddr>()?), (Source::AnyV6, INNER_V6.parse()?)]
    {
        let calm = scene.visit(server, 20)?;
        ensure!(calm.failed() == 0, "{server}, calm: {}", calm.summary());
        let order =
            Order { destination: Some(server), pps: 100_000, ..Order::syns(source, Cores::pick()?.attacker) };
        let flood = Flood::start(&scene.pair.client, &order)?;
        let tried = scene.visit(server, 200)?;
        let sent = flood.stop()?;
        ensure!(tried.failed() == 0, "{server} at {:.0} pps: {}", sent.pps(), tried.summary());
    }
    let challenged = scene.floodwall.packets(Reason::ChallengeSent)?;
    ensure!(challenged > 100_000, "{challenged} challenges");
    // The client of either family once.
    ensure!(scene.floodwall.packets(Reason::ChallengePassed)? >= 2);
    ensure!(scene.server.accepted() == 440, "{} connections", scene.server.accepted());
    Ok(())
}
