//! The figures, as a table and as JSON.

use std::{collections::BTreeMap, fmt::Write as _};

use filter_common::reason::Reason;
use filter_tests::latency::Tried;
use serde::Serialize;

/// All phases.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// No flood.
    pub(crate) calm: Phase,
    /// A flood, and the bare stack.
    pub(crate) unprotected: Phase,
    /// A flood, and Floodwall.
    pub(crate) protected: Phase,
}

/// One phase.
#[derive(Debug, Serialize)]
pub(crate) struct Phase {
    /// Flood packets a second while the visitors came.
    pub(crate) offered_pps: f64,
    /// Connections begun.
    pub(crate) tried: u64,
    /// Connections answered in full.
    pub(crate) succeeded: u64,
    /// Half of the connects took no longer; a failed one counts as the timeout.
    pub(crate) connect_p50_ms: f64,
    /// 99 of 100 took no longer.
    pub(crate) connect_p99_ms: f64,
    /// Part of the time that the hypervisor gave the victim's core to others.
    pub(crate) stolen_percent: f64,
    /// Packets by Floodwall's reason.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// The stack's own counters of lost connections.
    pub(crate) stack: BTreeMap<String, u64>,
}

impl Phase {
    /// From what was measured.
    pub(crate) fn new(
        offered: f64,
        tried: &Tried,
        stolen_percent: f64,
        reasons: BTreeMap<String, u64>,
        stack: BTreeMap<String, u64>,
    ) -> Self {
        Self {
            offered_pps: offered.round(),
            tried: tried.tried + tried.skipped,
            succeeded: tried.succeeded,
            connect_p50_ms: round(tried.percentile_ms(50)),
            connect_p99_ms: round(tried.percentile_ms(99)),
            stolen_percent: round(stolen_percent),
            reasons,
            stack,
        }
    }

    /// Connections that got no answer.
    pub(crate) fn lost(&self) -> u64 {
        self.tried - self.succeeded
    }

    /// More than one SYN in a hundred needed its retransmission, a second later.
    fn late(&self) -> bool {
        self.connect_p99_ms > 900.0
    }

    /// Why that happens although the filter answers every SYN that it sees.
    fn excuse(&self) -> String {
        format!(
            "Others on this machine had {} % of the victim's core. Meanwhile the virtual cable's 256-slot ring \
             overflowed within 250 us,\nand visitors' SYNs that were lost there came again after a second.",
            self.stolen_percent
        )
    }

    /// One line of progress.
    pub(crate) fn summary(&self) -> String {
        format!("{} of {} connections answered, p99 {} ms", self.succeeded, self.tried, self.connect_p99_ms)
    }
}

/// To microseconds.
fn round(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

impl Report {
    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:<12} {:>12} {:>7} {:>10} {:>15} {:>15}\n",
            "", "flood pps", "tried", "succeeded", "connect p50 ms", "connect p99 ms"
        );
        for (name, phase) in
            [("calm", &self.calm), ("unprotected", &self.unprotected), ("protected", &self.protected)]
        {
            let _ = writeln!(
                text,
                "{name:<12} {:>12.0} {:>7} {:>10} {:>15.3} {:>15.3}",
                phase.offered_pps, phase.tried, phase.succeeded, phase.connect_p50_ms, phase.connect_p99_ms
            );
        }
        if self.protected.late() {
            let _ = writeln!(text, "\n{}", self.protected.excuse());
        }
        for (title, counts) in
            [("unprotected: the stack", &self.unprotected.stack), ("protected", &self.protected.reasons)]
        {
            let _ = writeln!(text, "\n{title}");
            for (name, number) in counts {
                let _ = writeln!(text, "  {:<8}{name:<28} {number:>12}", action(name));
            }
        }
        text
    }
}

/// What Floodwall does to packets with the reason of that label.
fn action(label: &str) -> &'static str {
    let reason = Reason::ALL.iter().find(|reason| reason.label() == label);
    reason.map_or("", |reason| reason.action().label())
}
