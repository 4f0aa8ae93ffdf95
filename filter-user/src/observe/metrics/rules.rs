//! What each rule did.

use filter_common::abi::Counter;
use serde::{Deserialize, Serialize};

use super::{Collected, Facts, Sample, table};
use crate::{
    config::{
        Mode,
        schema::{Action, Rule},
    },
    dataplane::RuleCount,
};

/// A rule as it is told about.
#[derive(Clone, Debug)]
pub struct RuleFacts {
    /// Its name.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// It is on trial.
    pub observe: bool,
}

impl RuleFacts {
    /// Those of a rule in the file.
    #[must_use]
    pub fn of(rule: &Rule) -> Self {
        let (name, action) = (rule.name.as_ref().clone(), *rule.action.as_ref());
        Self { name, action, observe: rule.observe }
    }

    /// What it counts: verdicts with their packets and bytes.
    #[must_use]
    pub fn verdicts(&self, mode: Mode, count: RuleCount) -> Vec<(&'static str, Counter)> {
        let RuleCount { passed, acted } = count;
        let observed = self.observe || mode == Mode::Observe;
        let told = |enforced, observing| if observed { observing } else { enforced };
        match self.action {
            Action::Pass => vec![(told("pass", "would_pass"), passed)],
            Action::Drop => vec![(told("drop", "would_drop"), acted)],
            Action::Limit => vec![("pass", passed), (told("drop", "would_drop"), acted)],
            Action::Challenge => vec![(told("challenge", "would_challenge"), acted)],
            Action::Count => vec![("count", passed)],
        }
    }
}

/// What one rule did to packets, as `floodwall status` shows it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RuleLine {
    /// The rule's name.
    pub rule: String,
    /// What it did, or would have done.
    pub verdict: String,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Every rule's lines, in the file's order.
#[must_use]
pub fn lines(sample: &Sample, rules: &[RuleFacts], mode: Mode) -> Vec<RuleLine> {
    let mut lines = Vec::new();
    for (rule, count) in rules.iter().zip(&sample.rules) {
        for (verdict, Counter { packets, bytes }) in rule.verdicts(mode, *count) {
            let (rule, verdict) = (rule.name.clone(), verdict.to_owned());
            lines.push(RuleLine { rule, verdict, packets, bytes });
        }
    }
    lines
}

pub(super) fn collect(sample: &Sample, facts: &Facts, values: &mut Collected) {
    for line in lines(sample, &facts.rules, facts.mode) {
        let labels = [line.rule.as_str(), &line.verdict];
        values.add(&table::RULE_PACKETS, &labels, line.packets);
        values.add(&table::RULE_BYTES, &labels, line.bytes);
    }
}
