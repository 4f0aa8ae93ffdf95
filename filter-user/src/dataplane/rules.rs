//! What each rule counted.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, PerCpuArray};
use filter_common::{
    abi::{Counter, name},
    rules::{COUNTERS, MAX_RULES, OWNER, counter_index},
};
use sha2::{Digest as _, Sha256};

use super::tables::open;

/// What one rule met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// What went on, or passed.
    pub passed: Counter,
    /// What it dropped or challenged, or would have.
    pub acted: Counter,
}

/// [`RuleCount`]s by rule.
pub(super) struct RuleCounters(PerCpuArray<MapData, [u64; 2]>);

impl RuleCounters {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self(open(path)?.try_into().context(name::RULE_COUNTERS)?))
    }

    /// Of every rule that there may be.
    pub(super) fn get(&self) -> Result<Vec<RuleCount>> {
        let rule = |rule| Ok(RuleCount { passed: self.sum(rule, false)?, acted: self.sum(rule, true)? });
        (0..MAX_RULES as u32).map(rule).collect()
    }

    fn sum(&self, rule: u32, acted: bool) -> Result<Counter> {
        let values = self.0.get(&counter_index(rule, acted), 0).context(name::RULE_COUNTERS)?;
        Ok(values.iter().fold(Counter::default(), |sum, [packets, bytes]| Counter {
            packets: sum.packets.wrapping_add(*packets),
            bytes: sum.bytes.wrapping_add(*bytes),
        }))
    }

    /// Sets all to zero if they were counted by rules of other names: the numbers are other rules' now.
    pub(super) fn belong_to(&mut self, names: &[String]) -> Result<()> {
        let owner = [owner(names), 0];
        let found = self.0.get(&OWNER, 0).context(name::RULE_COUNTERS)?;
        if found.first() == Some(&owner) {
            return Ok(());
        }
        for index in 0..COUNTERS {
            self.set(index, [0; 2])?;
        }
        self.set(OWNER, owner)
    }

    fn set(&mut self, index: u32, value: [u64; 2]) -> Result<()> {
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| error).context("number of CPUs")?;
        let values = vec![value; cpus].try_into().context(name::RULE_COUNTERS)?;
        self.0.set(index, values, 0).context(name::RULE_COUNTERS)
    }
}

/// A number for these names in this order; 0 for none.
fn owner(names: &[String]) -> u64 {
    if names.is_empty() {
        return 0;
    }
    let mut hash = Sha256::new();
    for name in names {
        hash.update(name);
        hash.update([0]);
    }
    let digest = hash.finalize();
    digest[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_rules_are_other_owners() {
        let names = |list: &[&str]| owner(&list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&[]), 0);
        assert_ne!(names(&["a", "b"]), names(&["b", "a"]));
        assert_ne!(names(&["a", "b"]), names(&["ab"]));
        assert_eq!(names(&["a", "b"]), names(&["a", "b"]));
    }
}
