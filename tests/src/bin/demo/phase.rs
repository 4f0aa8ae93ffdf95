//! One phase of the demonstration, each on a bed of its own: no state of an earlier flood is left.

use std::{collections::BTreeMap, net::SocketAddr, thread, time::Duration};

use anyhow::Result;
use filter_tests::{
    client::{self, Questions},
    config::Config,
    daemon::Floodwall,
    flood::{Flood, Order, Source},
    latency::Tried,
    metrics::Metrics,
    pair::{Pair, SERVER_V4, Wire},
    sched::{self, Cores, Priority},
    snmp,
};

use crate::{report::Phase, web};

/// What one core of a small virtual machine can answer while it serves the visitors, too. Faster floods overflow the
/// 256-slot ring of the veth device before anybody can look at a packet, which says nothing about the filter.
const FLOOD_PPS: u64 = 1_060_000;
const PORT: u16 = 80;
/// The flood is at full speed, and the bare stack's queues are full.
const SETTLE: Duration = Duration::from_millis(1200);
const TIMEOUT: Duration = Duration::from_secs(3);
const PACKETS: &str = "floodwall_packets_total";

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// No flood.
    Calm,
    /// A flood, and the bare stack.
    Unprotected,
    /// The same flood, and Floodwall in cookie mode.
    Protected,
}

impl Scene {
    const fn text(self) -> &'static str {
        match self {
            Self::Calm => "calm: visitors, no flood",
            Self::Unprotected => "unprotected: a SYN flood, net.ipv4.tcp_syncookies = 0",
            Self::Protected => "protected: the same flood, Floodwall with syn = { mode = \"cookie\" }",
        }
    }

    /// Visitors per second, and in all.
    const fn visitors(self) -> (u32, u64) {
        match self {
            Self::Calm | Self::Protected => (500, 2000),
            Self::Unprotected => (200, 600),
        }
    }
}

/// Plays one phase.
pub(crate) fn play(scene: Scene) -> Result<Phase> {
    let cores = Cores::pick()?;
    eprintln!("{}", scene.text());
    let pair = Pair::new(Wire::Cable)?;
    let syncookies = if scene == Scene::Unprotected { "0" } else { "1" };
    pair.server.namespace.sysctl(&[("net.ipv4.tcp_syncookies", syncookies)])?;
    let server = web::start(&pair.server.namespace, PORT, cores.victim)?;
    eprintln!("  {server} answers on port {PORT} of {}", pair.server.device);
    let floodwall = match scene {
        Scene::Protected => Some(Floodwall::start(&pair.server, &Config::default())?),
        Scene::Calm | Scene::Unprotected => None,
    };
    pair.pin(cores)?;
    let flood = match scene {
        Scene::Calm => None,
        Scene::Unprotected | Scene::Protected => Some(attack(&pair, cores)?),
    };
    let phase = measure(&pair, scene, cores, flood.as_ref(), floodwall.as_ref())?;
    eprintln!("  {}", phase.summary());
    Ok(phase)
}

fn attack(pair: &Pair, cores: Cores) -> Result<Flood> {
    let order = Order { port: PORT, pps: FLOOD_PPS, nice: -5, ..Order::syns(Source::AnyV4, cores.attacker) };
    let flood = Flood::start(&pair.client, &order)?;
    thread::sleep(SETTLE);
    eprintln!("  flood: {:.2} Mpps of SYNs from random sources", flood.sent()?.pps() / 1e6);
    Ok(flood)
}

/// The visitors' experience, and what was counted meanwhile.
fn measure(
    pair: &Pair,
    scene: Scene,
    cores: Cores,
    flood: Option<&Flood>,
    floodwall: Option<&Floodwall>,
) -> Result<Phase> {
    let scrape = || floodwall.map_or_else(|| Ok(Metrics::default()), Floodwall::scrape);
    let sent = || flood.map(Flood::sent).transpose();
    let (sent_before, stack_before, before) = (sent()?, snmp::read(&pair.server.namespace)?, scrape()?);
    let ticks_before = sched::stolen(cores.victim)?;
    let tried = visit(pair, scene, cores)?;
    let ticks_after = sched::stolen(cores.victim)?;
    let (sent_after, stack_after, after) = (sent()?, snmp::read(&pair.server.namespace)?, scrape()?);
    let offered_pps = match (sent_before, sent_after) {
        (Some(before), Some(after)) => after.since(&before).pps(),
        _ => 0.0,
    };
    let stack = snmp::risen(&stack_before, &stack_after);
    let stolen = stolen_percent(ticks_before, ticks_after);
    Ok(Phase::new(
        offered_pps,
        &tried,
        stolen,
        after.risen(&before, PACKETS, "reason"),
        lost_in_stack(&stack),
    ))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn stolen_percent(before: (u64, u64), after: (u64, u64)) -> f64 {
    (after.0 - before.0) as f64 * 100.0 / (after.1 - before.1).max(1) as f64
}

fn visit(pair: &Pair, scene: Scene, cores: Cores) -> Result<Tried> {
    let (per_second, number) = scene.visitors();
    let server = SocketAddr::new(SERVER_V4.into(), PORT);
    let questions = Questions { server, sources: Vec::new(), per_second, number, timeout: TIMEOUT };
    eprintln!("  {number} visitors at {per_second}/s ..");
    pair.client.namespace.run(|| {
        // Before every ordinary thread: the latencies shall not be the generator's time slices.
        sched::place(cores.attacker, Priority::RealTime)?;
        client::ask(&questions)
    })
}

/// Why the bare stack lost connections, in its own words.
fn lost_in_stack(risen: &snmp::Counters) -> BTreeMap<String, u64> {
    let names =
        ["TcpExtListenDrops", "TcpExtListenOverflows", "TcpExtTCPReqQFullDrop", "TcpExtTCPReqQFullDoCookies"];
    let found = names.iter().filter_map(|name| Some(((*name).to_owned(), *risen.get(*name)?)));
    found.collect()
}
