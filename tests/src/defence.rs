//! Floods of both families against a stand, beside honest traffic; and the same without Floodwall.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::{Action, Reason};

use crate::{
    config::Config,
    flood::{Flood, Order, Segment, flood_of},
    pair::{Family, Wire},
    sched::Cores,
    server::Kind,
    snmp,
    stand::{PACKETS, Stand, wait_for},
};

/// Packets a second in all, as long as the generators have their core.
pub const PPS: u64 = 100_000;

/// One kind of flood: what, to which port, and the reason that ends it.
pub type Expected = (Segment, u16, Reason);

/// Answers to DNS queries that nobody asked.
pub const DNS: Expected = (Segment::Udp(53, 64), 40_000, Reason::UdpReflection);
/// The same of NTP.
pub const NTP: Expected = (Segment::Udp(123, 48), 40_000, Reason::UdpReflection);
/// The same of memcached, to a service.
pub const MEMCACHED: Expected = (Segment::Udp(11211, 64), 53, Reason::UdpReflection);
/// UDP to a closed port.
pub const CLOSED: Expected = (Segment::Udp(40_000, 18), 9, Reason::UdpClosedPort);
/// Pings.
pub const PING: Expected = (Segment::Ping, 0, Reason::IcmpRate);
/// Answers to pings that nobody sent.
pub const PING_REPLY: Expected = (Segment::PingReply, 0, Reason::IcmpRate);
/// Pings to everybody on the link, by broadcast and to ff02::1.
pub const SMURF: Expected = (Segment::Smurf, 0, Reason::Smurf);
/// "Too big" about what nobody sent to port 80.
pub const ERROR: Expected = (Segment::IcmpError, 80, Reason::IcmpRate);
/// Fragments without a first one.
pub const FRAGMENT: Expected = (Segment::Fragment, 0, Reason::FragmentRate);

/// A web server whose visitors prove themselves, so that their pings and fragments don't share a limit with the flood's.
#[must_use]
pub fn proving() -> Config {
    Config::default().service("ports = [\"tcp/80-82\"]\nsyn = { mode = \"challenge\" }").also(
        "[fragments]\ntotal = \"20/s burst 20\"\n[icmp]\necho_total = \"100/s burst 100\"\nerrors = \"100/s burst 100\"\n\
         echo_per_source = \"200/s burst 400\"\necho_replies = \"100/s burst 100\"",
    )
}

/// With DNS, too.
#[must_use]
pub fn with_dns(mut config: Config) -> Config {
    config.services.push(("dns".into(), "ports = [\"udp/53\"]".into()));
    config
}

/// Each kind from random sources of both families.
fn orders(kinds: &[Expected]) -> Result<Vec<Order>> {
    let of = |&(segment, port, _): &Expected| {
        Family::BOTH.map(|family| Ok(Order { port, ..flood_of(segment, family, PPS)? }))
    };
    kinds.iter().flat_map(of).collect()
}

/// All of these at once: `honest` loses nothing, and the floods end for their reasons.
pub fn defended(
    config: &Config,
    kinds: &[Expected],
    honest: impl FnOnce(&Stand) -> Result<()>,
) -> Result<()> {
    let stand = Stand::with(config, Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    // Where visitors prove themselves they have done so before, as regular ones have.
    stand.visit_well(5)?;
    let before = stand.floodwall.scrape()?;
    let floods = Flood::start_all(&stand.pair.client, &orders(kinds)?)?;
    thread::sleep(Duration::from_millis(500));
    honest(&stand)?;
    let mut sent = BTreeMap::new();
    for (flood, (.., reason)) in floods.into_iter().zip(kinds.iter().flat_map(|kind| [kind; 2])) {
        let flood = flood.stop()?;
        println!("{reason:?}: {} frames, {:.0}/s", flood.frames, flood.pps());
        *sent.entry(reason.label()).or_default() += flood.frames;
    }
    let packets = stand.floodwall.scrape()?.risen(&before, PACKETS, "reason");
    ended(&packets, &sent).with_context(|| format!("{packets:?} of {sent:?}"))
}

/// Eight in ten of what was sent ended for its reason: both families did. Nine in ten of what was dropped was dropped for one
/// of the reasons.
fn ended(packets: &BTreeMap<String, u64>, sent: &BTreeMap<&str, u64>) -> Result<()> {
    println!("{packets:?}");
    let of = |label: &str| packets.get(label).copied().unwrap_or(0);
    for (label, frames) in sent {
        ensure!(of(label) > 20_000 && of(label) * 10 > frames * 8, "{label}");
    }
    let dropped: u64 = Reason::ALL.iter().filter(|r| r.action() == Action::Drop).map(|r| of(r.label())).sum();
    let rightly: u64 = sent.keys().map(|label| of(label)).sum();
    ensure!(rightly * 10 > dropped * 9, "dropped for other reasons");
    Ok(())
}

/// The stand with Floodwall taken off.
pub fn unprotected(config: &Config) -> Result<Stand> {
    let mut stand = Stand::with(config, Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    stand.floodwall.end(nix::sys::signal::Signal::SIGTERM)?;
    stand.floodwall.succeed("detach --pins {pins}")?;
    Ok(stand)
}

/// Without Floodwall each such packet is the stack's: 50,000 of each kind, all kinds at once, and it works on half of them and more.
pub fn stack_works_on(stand: &Stand, kinds: &[Expected]) -> Result<()> {
    let server = &stand.pair.server.namespace;
    let (mut orders, mut expected) = (orders(kinds)?, BTreeMap::<_, u64>::new());
    let frames = 25_000;
    for (order, family) in orders.iter_mut().zip(Family::BOTH.into_iter().cycle()) {
        (order.frames, order.pps) = (frames, PPS / 2);
        *expected.entry(order.segment.counter(family).context("no counter")?).or_default() += frames;
    }
    let before = snmp::read(server)?;
    for flood in Flood::start_all(&stand.pair.client, &orders)? {
        flood.wait()?;
    }
    for (counter, frames) in expected {
        let worked = || -> Result<bool> {
            let risen = snmp::risen(&before, &snmp::read(server)?);
            Ok(risen.get(counter).is_some_and(|number| number * 2 > frames))
        };
        wait_for(counter, Duration::from_secs(5), worked)?;
    }
    Ok(())
}
