//! The usual scene: a pair, a web server on port 80, Floodwall in front of it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    client::{Questions, ask},
    config::Config,
    daemon::Floodwall,
    latency::Tried,
    metrics::Metrics,
    pair::{Pair, SERVER_V4, SERVER_V6, Wire},
    server::{Kind, Server},
};

/// Everything running.
#[derive(Debug)]
pub struct Stand {
    /// Floodwall, in front of the server. Goes first when the scene ends.
    pub floodwall: Floodwall,
    /// The server.
    pub server: Server,
    /// The bed.
    pub pair: Pair,
    /// One scene at a time in a process: floods and latencies need the cores.
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

/// Packets by reason.
pub const PACKETS: &str = "floodwall_packets_total";

impl Stand {
    /// A TCP server on port 80 behind a veth device, and Floodwall with that configuration.
    pub fn new(config: &Config) -> Result<Self> {
        Self::with(config, Wire::Veth, Kind::Tcp)
    }

    /// The same with another wire or listener.
    pub fn with(config: &Config, wire: Wire, kind: Kind) -> Result<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = Pair::new(wire)?;
        let server = Server::start(&pair.server.namespace, 80, kind, None)?;
        let floodwall = Floodwall::start(&pair.server, config)?;
        Ok(Self { floodwall, server, pair, _turn: turn })
    }

    /// Connections to the server, over one family.
    pub fn visit(&self, server: IpAddr, per_second: u32, number: u64) -> Result<Tried> {
        let timeout = Duration::from_secs(4);
        let server = SocketAddr::new(server, 80);
        let questions = Questions { server, sources: Vec::new(), per_second, number, timeout };
        self.pair.client.namespace.run(|| ask(&questions))
    }

    /// The same of one source, which the client must have; what is not answered in half a second has failed.
    pub fn visit_from(&self, source: IpAddr, server: IpAddr, per_second: u32, number: u64) -> Result<Tried> {
        let (server, sources) = (SocketAddr::new(server, 80), vec![source]);
        let questions =
            Questions { server, sources, per_second, number, timeout: Duration::from_millis(500) };
        self.pair.client.namespace.run(|| ask(&questions))
    }

    /// Connections over both families; every one must succeed.
    pub fn visit_well(&self, number: u64) -> Result<()> {
        for server in [IpAddr::from(SERVER_V4), SERVER_V6.into()] {
            let tried = self.visit(server, 400, number)?;
            ensure!(tried.tried == number && tried.succeeded == number, "{server}: {}", tried.summary());
        }
        Ok(())
    }

    /// Packets with that reason since `earlier`.
    pub fn risen(&self, earlier: &Metrics, reason: &str) -> Result<u64> {
        Ok(self.floodwall.scrape()?.risen(earlier, PACKETS, "reason").get(reason).copied().unwrap_or(0))
    }
}

/// Waits until something is so, at most that long.
pub fn wait_for(what: &str, at_most: Duration, condition: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + at_most;
    while !condition()? {
        ensure!(Instant::now() < deadline, "waited {at_most:?} in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
