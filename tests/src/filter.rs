//! The filter as the daemon loaded it: one frame in, its fate and every counter's step out.

use std::{borrow::Cow, collections::BTreeMap, sync::Mutex};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::programs::{Xdp, loaded_programs};
use aya_obj::programs::XdpAttachType;
use filter_common::{
    abi::Plane,
    reason::{Action, Reason},
};
use filter_user::dataplane::{
    self, Dataplane, Interface,
    rehearsal::{self, Rehearsal, Start},
};

use crate::{
    config::Config,
    daemon::Floodwall,
    pair::{Pair, Wire},
    probe::Probe,
    testrun::{self, Outcome},
};

// linux/bpf.h, enum xdp_action
/// The packet ends here.
pub const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

/// A running Floodwall on a quiet interface: the other end of the wire is down.
#[derive(Debug)]
pub struct Filter {
    /// The bed.
    pub pair: Pair,
    /// The daemon.
    pub floodwall: Floodwall,
    dataplane: Dataplane,
    program: Xdp,
    interface: Interface,
    /// Says what the program will do, before it does.
    rehearsal: Option<Mutex<Rehearsal>>,
}

/// Set on emulated machines, where loading each program a second time would take most of the time that there is.
const EMULATED: &str = "FLOODWALL_EMULATED";

/// Packets and bytes by plane and reason.
type Counts = BTreeMap<(u32, &'static str), (u64, u64)>;

impl Filter {
    /// Starts the daemon with that configuration and takes hold of the program on the server's interface.
    pub fn new(config: &Config) -> Result<Self> {
        Self::on(Pair::new(Wire::Cable)?, config)
    }

    /// The same on a bed that has been prepared.
    pub fn on(pair: Pair, config: &Config) -> Result<Self> {
        Self::rehearsed(pair, config, std::env::var_os(EMULATED).is_none())
    }

    /// The same; `rehearse` asks before each frame what `floodwall explain` would say.
    pub fn rehearsed(pair: Pair, config: &Config, rehearse: bool) -> Result<Self> {
        let floodwall = Floodwall::start(&pair.server, config)?;
        pair.client.namespace.ip(&format!("link set {} down", pair.client.device))?;
        let (dataplane, program, interface) = Self::attached(&pair, &floodwall)?;
        let rehearsal = rehearse.then(|| rehearsal(&pair, &floodwall).map(Mutex::new)).transpose()?;
        Ok(Self { pair, floodwall, dataplane, program, interface, rehearsal })
    }

    /// Takes hold of what runs now: a reload or another daemon has loaded new programs.
    pub fn again(&mut self) -> Result<()> {
        (self.dataplane, self.program, self.interface) = Self::attached(&self.pair, &self.floodwall)?;
        if self.rehearsal.is_some() {
            self.rehearsal = Some(rehearsal(&self.pair, &self.floodwall)?.into());
        }
        Ok(())
    }

    fn attached(pair: &Pair, floodwall: &Floodwall) -> Result<(Dataplane, Xdp, Interface)> {
        let (dataplane, interface) = pair.server.namespace.run(|| -> Result<_> {
            let dataplane = dataplane::open(&floodwall.pins())?;
            let interface = dataplane.interfaces()?.pop().context("no interface")?;
            Ok((dataplane, interface))
        })?;
        let id = interface.xdp_program.context("no XDP program")?;
        Ok((dataplane, program(id)?, interface))
    }

    /// Runs `work` in the server's namespace with the program in hand: for many frames.
    pub fn probe<T: Send>(&self, work: impl FnOnce(Probe<'_>) -> Result<T> + Send) -> Result<T> {
        let (program, interface) = (&self.program, &self.interface);
        self.pair.server.namespace.run(move || work(Probe::new(program, interface)?))
    }

    /// Runs one frame through the program and asserts its fate: the action, exactly one counter that moved by
    /// one packet of that length, and an untouched frame unless it was answered.
    pub fn expect(&self, what: &str, frame: &[u8], expected: Reason) -> Result<Outcome> {
        self.judge(frame, expected, false).with_context(|| format!("{what}: expected {expected:?}"))
    }

    /// The same in observe mode: everything passes, untouched.
    pub fn expect_observed(&self, what: &str, frame: &[u8], expected: Reason) -> Result<Outcome> {
        self.judge(frame, expected, true).with_context(|| format!("{what}: expected {expected:?}, observed"))
    }

    /// Runs one frame, whatever becomes of it.
    pub fn run(&self, frame: &[u8]) -> Result<Outcome> {
        testrun::xdp(&self.program, &self.pair.server.namespace, self.interface.ifindex, frame)
    }

    /// What the program would do, as `floodwall explain` finds it out.
    fn foretell(&self, frame: &[u8]) -> Result<Option<rehearsal::Outcome>> {
        let Some(rehearsal) = &self.rehearsal else { return Ok(None) };
        let mut rehearsal = rehearsal.lock().map_err(|_| anyhow!("another test has failed"))?;
        let rehearsal = &mut *rehearsal;
        self.pair.server.namespace.run(|| {
            rehearsal.start(Start::Live)?;
            rehearsal.run(frame).map(Some)
        })
    }

    fn judge(&self, frame: &[u8], expected: Reason, observed: bool) -> Result<Outcome> {
        let foretold = self.foretell(frame).context("the rehearsal")?;
        let before = self.counts()?;
        let outcome = self.run(frame)?;
        let moved = risen(&before, &self.counts()?);
        let wanted =
            Counts::from([((Plane::received(observed) as u32, expected.label()), (1, frame.len() as u64))]);
        ensure!(moved == wanted, "counters moved: {moved:?}");
        let action = if observed { Action::Pass } else { expected.action() };
        let number = match action {
            Action::Pass => XDP_PASS,
            Action::Drop => XDP_DROP,
            Action::Reply => XDP_TX,
        };
        ensure!(outcome.action == number, "XDP action {} instead of {number}", outcome.action);
        ensure!(
            action == Action::Reply || outcome.frame == frame,
            "the frame was changed: {:02x?}",
            outcome.frame
        );
        if let Some(rehearsal::Outcome { reason, observed: only, bytes, .. }) = foretold {
            let told = (reason, only, bytes);
            ensure!(told == (expected, observed, frame.len() as u64), "the rehearsal said: {told:?}");
        }
        Ok(outcome)
    }

    fn counts(&self) -> Result<Counts> {
        let counts = self.pair.server.namespace.run(|| self.dataplane.counters())?;
        let entry = |count: dataplane::Count| {
            ((count.plane as u32, count.reason.label()), (count.packets, count.bytes))
        };
        Ok(counts.into_iter().filter(|count| !count.plane.is_sent()).map(entry).collect())
    }
}

fn risen(before: &Counts, after: &Counts) -> Counts {
    let step = |(key, now): (&(u32, &'static str), &(u64, u64))| {
        let then = before.get(key).copied().unwrap_or_default();
        (*key, (now.0 - then.0, now.1 - then.1))
    };
    after.iter().map(step).filter(|(_, step)| *step != (0, 0)).collect()
}

fn rehearsal(pair: &Pair, floodwall: &Floodwall) -> Result<Rehearsal> {
    let pins = floodwall.pins();
    pair.server.namespace.run(|| Rehearsal::of_attached(&pins, None, Start::Live)).context("the rehearsal")
}

/// A handle on a loaded XDP program.
fn program(id: u32) -> Result<Xdp> {
    let info =
        loaded_programs().filter_map(Result::ok).find(|info| info.id() == id).context("no such program")?;
    Ok(Xdp::from_program_info(info, Cow::Borrowed("floodwall"), XdpAttachType::Interface)?)
}
