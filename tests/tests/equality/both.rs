//! One frame, decided twice: by the program in the kernel and by the same code on the host.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    ops::ControlFlow::Continue,
    path::Path,
};

use anyhow::{Result, bail};
use filter_common::{
    abi::Plane,
    config::{Config as Compiled, flags},
    list::build::Tables,
    packet::{Address, parse},
    reason::{Action, Reason},
    stages::judge,
    state::Socket,
    world::{Bytes, World},
};
use filter_tests::{
    config::Config,
    filter::{Filter, XDP_DROP},
    pair::{Pair, Wire},
    probe::{Count, Probe},
    server::{Kind, listen},
};
use filter_user::{
    config::{Host, Source, fit, parse as read},
    dataplane::Plan,
};

use crate::configs::{LISTENERS, UDP_SOCKETS};

const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

/// Runs `work` with a filter of that configuration and its double on the host.
pub(crate) fn with(config: &Config, work: impl FnOnce(&mut Both<'_>) -> Result<()> + Send) -> Result<()> {
    let pair = Pair::new(Wire::Cable)?;
    pair.server.address([10, 9, 8, 1].into(), 24)?;
    pair.server.address("fd00:9::1".parse()?, 64)?;
    pair.server.namespace.sysctl(&[("net.ipv4.ip_forward", "0")])?;
    let server = &pair.server.namespace;
    let _listeners =
        LISTENERS.iter().map(|port| listen(server, *port, Kind::Tcp)).collect::<Result<Vec<_>>>()?;
    let _sockets = server.run(|| {
        let bind = |port: &u16| std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, *port));
        UDP_SOCKETS.iter().map(bind).collect::<std::io::Result<Vec<_>>>()
    })?;
    let filter = Filter::on(pair, config)?;
    let plan = plan(&filter, config)?;
    filter.probe(|probe| {
        let mut both = Both::new(probe, plan)?;
        work(&mut both)?;
        both.nothing_else_moved()
    })
}

/// What the daemon made of the configuration.
fn plan(filter: &Filter, config: &Config) -> Result<Plan> {
    let text = config.toml(&filter.pair.server.device, &filter.floodwall.pins(), Path::new("/run/x"), 9980);
    let loaded = read(Source { path: "equality.toml".to_owned(), text })?;
    let host = filter.pair.server.namespace.run(Host::read)?;
    Ok(fit(&loaded, &host)?.0)
}

/// The host's double of the kernel's maps and sockets.
fn world(plan: &Plan) -> World {
    let mut world = World::new();
    let (seed, lines) = (world.config.seed, world.config.lines);
    world.config = Compiled { seed, lines, ..*plan.interfaces[0].config };
    world.ports.clone_from(&plan.ports);
    world.summary.clone_from(&plan.summary);
    world.rules.clone_from(&plan.rules);
    world.lists = Tables::new(&plan.lists.v4, &plan.lists.v6);
    world.local.extend(plan.local.iter().map(|address| words(*address).0));
    world.broadcasts.extend(plan.broadcasts.iter().map(|address| words((*address).into()).0));
    world.listeners.extend(LISTENERS.map(|port| (port, Socket::Listener)));
    world.udp_sockets.extend(UDP_SOCKETS);
    world.keys.slots[0].issue_until = u64::MAX;
    world.keys.slots[0].accept_until = u64::MAX;
    world
}

fn words(address: IpAddr) -> Address {
    let octets = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    Address(std::array::from_fn(|i| u32::from_ne_bytes(std::array::from_fn(|j| octets[4 * i + j]))))
}

fn address(words: &Address) -> IpAddr {
    let mut octets = [0; 16];
    for (bytes, word) in octets.chunks_exact_mut(4).zip(words.0) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(octets).to_canonical()
}

/// Both sides.
pub(crate) struct Both<'a> {
    probe: Probe<'a>,
    plan: Plan,
    world: World,
    plane: Plane,
    /// What the counters must say.
    expected: BTreeMap<u8, Count>,
    /// Frames that agreed, by reason.
    seen: BTreeMap<u8, u64>,
}

impl<'a> Both<'a> {
    fn new(probe: Probe<'a>, plan: Plan) -> Result<Self> {
        let world = world(&plan);
        let plane = Plane::received(world.config.has(flags::OBSERVE));
        let mut both = Self { probe, plan, world, plane, expected: BTreeMap::new(), seen: BTreeMap::new() };
        both.expected = both.counts()?;
        Ok(both)
    }

    fn counts(&self) -> Result<BTreeMap<u8, Count>> {
        let count = |reason: &Reason| Ok((*reason as u8, self.probe.count(self.plane, *reason)?));
        Reason::ALL.iter().map(count).collect()
    }

    /// What the host decides: the reason, what is done, and how long the frame is then.
    fn host(&mut self, frame: &[u8]) -> (Reason, Action, usize) {
        let mut bytes = Bytes::from(frame.to_vec());
        // A million packets a second at most: no limit is reached.
        self.world.advance(1_000);
        self.world.management.clear();
        if let Continue(packet) = parse(&bytes) {
            let source = address(&packet.source);
            if self.plan.management.iter().any(|prefix| prefix.contains(&source)) {
                self.world.management.insert(packet.source.0);
            }
        }
        let fate = judge(&mut bytes, &self.world);
        (fate.reason, fate.action(), bytes.bytes.len())
    }

    /// Decides on the frame twice and compares action, reason, counter and length; then what holds for every frame.
    pub(crate) fn check(&mut self, frame: &[u8]) -> Result<Reason> {
        let (reason, action, length) = self.host(frame);
        let (number, after) = self.probe.run(frame)?;
        let wanted = match action {
            Action::Pass => XDP_PASS,
            Action::Drop => XDP_DROP,
            Action::Reply => XDP_TX,
        };
        // Never aborted, nothing changed that is passed, no answer larger than its cause.
        let sound = match number {
            XDP_PASS => after == frame,
            XDP_DROP => true,
            XDP_TX => after.len() <= frame.len(),
            _ => false,
        };
        let same = number == wanted && (number != XDP_TX || after.len() == length);
        let expected = self.expected.entry(reason as u8).or_default();
        *expected = [expected[0] + 1, expected[1] + frame.len() as u64];
        let counted = self.probe.count(self.plane, reason)? == *expected;
        if !(sound && same && counted) {
            let moved = self.moved()?;
            bail!(
                "host: {reason:?}, {length} bytes; kernel: action {number}, counters off: {moved:?}; sound: \
                 {sound}; frame: {}",
                hex(frame)
            );
        }
        *self.seen.entry(reason as u8).or_default() += 1;
        Ok(reason)
    }

    /// Counters that are not what they are to be; they are, afterwards.
    fn moved(&mut self) -> Result<Vec<(Reason, i64)>> {
        let counts = self.counts()?;
        let steps = Reason::ALL.iter().filter_map(|reason| {
            let (now, then) = (counts[&(*reason as u8)][0], self.expected[&(*reason as u8)][0]);
            (now != then).then(|| (*reason, now.cast_signed() - then.cast_signed()))
        });
        let steps = steps.collect();
        self.expected = counts;
        Ok(steps)
    }

    fn nothing_else_moved(&mut self) -> Result<()> {
        let moved = self.moved()?;
        if moved.is_empty() { Ok(()) } else { bail!("counters moved besides: {moved:?}") }
    }

    /// Fails unless each of these has been somebody's fate: frames that lost their way would agree on nothing.
    pub(crate) fn has_met(&self, reasons: &[Reason]) -> Result<()> {
        let missed: Vec<_> =
            reasons.iter().filter(|reason| !self.seen.contains_key(&(**reason as u8))).collect();
        if missed.is_empty() { Ok(()) } else { bail!("never met: {missed:?}") }
    }

    /// Frames by reason, for people.
    pub(crate) fn summary(&self) -> String {
        let known = Reason::ALL.iter().filter_map(|reason| {
            let count = self.seen.get(&(*reason as u8))?;
            Some(format!("{} {count}", reason.label()))
        });
        known.collect::<Vec<_>>().join(", ")
    }
}

fn hex(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
