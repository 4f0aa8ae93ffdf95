//! What the data path says about itself, in plain values.

use std::time::Duration;

use filter_common::{abi::Plane, reason::Reason};

use super::{
    MAX_AGE_PERIODS, Mode, Timeline,
    commit::is_pinned,
    netlink, next,
    pins::{Hook, Pins},
    slots::Record,
    sys,
    tc::{Side, TcKind},
};

/// An interface that the filter is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name as of the last apply.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// Its block of counters.
    pub slot: u32,
    /// How XDP runs; `None` if the interface is gone or the link was detached by force.
    pub mode: Option<Mode>,
    /// How tc ingress runs, if it does.
    pub ingress: Option<TcKind>,
    /// How tc egress runs, if it does.
    pub egress: Option<TcKind>,
    /// Id of the program that packets go on to when they pass.
    pub next: Option<u32>,
    /// Id of the XDP program.
    pub xdp_program: Option<u32>,
    /// Id of the tc ingress program.
    pub tc_program: Option<u32>,
    /// Id of the tc egress program.
    pub egress_program: Option<u32>,
}

impl Interface {
    /// Name and hook, if the interface runs the program `id`.
    pub(super) fn runs(&self, id: u32) -> Option<(String, &'static str)> {
        let hook = match id {
            _ if self.xdp_program == Some(id) => "xdp",
            _ if self.tc_program == Some(id) => "tc",
            _ if self.egress_program == Some(id) => "egress",
            _ => return None,
        };
        Some((self.name.clone(), hook))
    }
}

/// What is attached to the interface of `record`; `None` if nothing is.
pub(super) fn interface(pins: &Pins, slot: u32, record: Record) -> Option<Interface> {
    let Record { name, ifindex, .. } = record;
    let program = |hook| {
        let info = sys::link_info(&pins.link(ifindex, hook)).ok()?;
        (info.ifindex == ifindex).then_some(info.program)
    };
    let xdp_program = program(Hook::Xdp);
    let mode = match xdp_program {
        Some(_) => netlink::xdp(ifindex).ok().flatten().map_or(Some(Mode::Native), |xdp| Some(xdp.mode)),
        None => None,
    };
    let tc = |side: Side| {
        let filter = || Some((TcKind::Clsact, side.filters(ifindex).ok()?.first()?.program));
        program(side.hook()).map(|id| (TcKind::Tcx, id)).or_else(filter)
    };
    let [ingress, egress] = Side::ALL.map(tc);
    if !is_pinned(pins, ifindex) && ingress.is_none() && egress.is_none() {
        return None;
    }
    let ((ingress, tc_program), (egress, egress_program)) = (ingress.unzip(), egress.unzip());
    let next = next::running(pins, ifindex);
    Some(Interface {
        name,
        ifindex,
        slot,
        mode,
        ingress,
        egress,
        next,
        xdp_program,
        tc_program,
        egress_program,
    })
}

/// How many packets of an interface met one fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The interface.
    pub interface: String,
    /// Received or sent, enforced or only observed.
    pub plane: Plane,
    /// The fate.
    pub reason: Reason,
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

/// A program of ours in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The interface that runs it.
    pub interface: String,
    /// `xdp` or `tc`.
    pub hook: &'static str,
    /// Its id.
    pub id: u32,
    /// Instructions that the verifier walked (Linux 5.16).
    pub verified_instructions: Option<u32>,
    /// Runs since it was loaded, while statistics were on.
    pub runs: u64,
    /// Time that they took.
    pub run_time: Duration,
}

/// Where the cookie keys stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyStatus {
    /// Number of the epoch.
    pub epoch: u64,
    /// Whether cookies are issued.
    pub issuing: bool,
    /// Age of the current key; `None` if there has never been one.
    pub age: Option<Duration>,
    /// Time left to issue.
    pub issue_left: Duration,
    /// Time left to accept cookies of the current key.
    pub accept_left: Duration,
    /// Time left in which unknown ACKs go to the stack.
    pub grace_left: Duration,
}

impl KeyStatus {
    pub(super) fn of(timeline: &Timeline, now: u64) -> Self {
        let window = timeline.window(timeline.current);
        let left = |until: u64| Duration::from_nanos(until.saturating_sub(now));
        Self {
            epoch: timeline.current,
            issuing: now < window.issue_until,
            age: timeline.begun().map(|begun| Duration::from_nanos(now.saturating_sub(begun))),
            issue_left: left(window.issue_until),
            accept_left: left(window.accept_until),
            grace_left: left(timeline.grace_until),
        }
    }
}

impl Timeline {
    /// Period that the current key was made for, nanoseconds.
    #[must_use]
    pub const fn period(&self) -> u64 {
        let window = self.window(self.current);
        window.accept_until.saturating_sub(window.issue_until)
    }

    /// When the current key began to issue; `None` if there has never been one.
    #[must_use]
    pub const fn begun(&self) -> Option<u64> {
        let window = self.window(self.current);
        if window.issue_until == 0 {
            return None;
        }
        Some(window.issue_until.saturating_sub(self.period().saturating_mul(MAX_AGE_PERIODS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::Window;

    #[test]
    fn age_follows_from_the_window() {
        let mut timeline = Timeline { current: 6, grace_until: 1_700, ..Timeline::default() };
        assert_eq!(
            KeyStatus::of(&timeline, 5),
            KeyStatus { epoch: 6, grace_left: Duration::from_nanos(1_695), ..KeyStatus::default() }
        );
        timeline.windows[2] = Window { issue_until: 1_500, accept_until: 1_600 };
        let status = KeyStatus::of(&timeline, 1_250);
        assert_eq!(status.age, Some(Duration::from_nanos(250)));
        assert_eq!(status.issue_left, Duration::from_nanos(250));
        assert_eq!(status.accept_left, Duration::from_nanos(350));
        assert!(status.issuing && !KeyStatus::of(&timeline, 1_500).issuing);
    }
}
