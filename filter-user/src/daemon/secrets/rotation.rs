//! Which epoch begins when, and what is written in which order. No map, no clock, no secrets of its own.
//!
//! The data path accepts the slots of `current` and `current - 1` (by two bits). So a new epoch may only
//! begin
//! - when the previous one is not needed any more, because it falls out of reach, and
//! - with a number that is one more, modulo 4, than the current one, because that one has to become the
//!   previous.
//!
//! With a shared master the number follows from the wall clock. If that jumps, the current epoch goes on
//! until the clock's number is next in line again, at most three periods later; its key lives five
//! ([`MAX_AGE_PERIODS`]), so nothing is interrupted. A number that comes again after a backward jump has the
//! key that it had: that is what the other hosts use.

use filter_common::cookie::{SLOTS, Slot};
use zeroize::Zeroize as _;

use crate::dataplane::{KeyMap, MAX_AGE_PERIODS, Timeline};

const EPOCH_BITS: u64 = SLOTS as u64 - 1;

/// With a shared master a new epoch may begin this part of a period before the previous one is out of use:
/// otherwise each late wake-up would push all later epochs away from the wall clock.
const SLACK: u64 = 32;

/// Both clocks at one moment, nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// `CLOCK_MONOTONIC`: what windows are measured in.
    pub(super) monotonic: u64,
    /// Since 1970: what hosts agree on.
    pub(super) unix: u64,
}

/// The settings that matter here, nanoseconds.
///
/// A cookie is accepted for at least `period` after it was issued, less a [`SLACK`]th with a shared master.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// Time between rotations.
    pub(super) period: u64,
    /// How long unknown ACKs go to the stack after cookies were armed.
    pub(super) grace: u64,
    /// Epoch numbers follow the wall clock.
    pub(super) shared: bool,
}

impl Policy {
    const fn slack(self) -> u64 {
        if self.shared { self.period / SLACK } else { 0 }
    }
}

/// The epoch to begin now, if it is time for one.
pub(super) fn due(keys: &Timeline, clock: Clock, policy: Policy) -> Option<u64> {
    let now = clock.monotonic;
    let next = keys.current.wrapping_add(1);
    let by_clock = clock.unix / policy.period;
    if keys.windows.iter().all(|window| window.accept_until <= now) {
        // No cookie is in flight: any number will do.
        return Some(if policy.shared { by_clock } else { next });
    }
    if previous_needed(keys, now) > policy.slack() {
        return None;
    }
    if policy.shared {
        return (by_clock & EPOCH_BITS == next & EPOCH_BITS).then_some(by_clock);
    }
    (now >= rotation_time(keys, policy)).then_some(next)
}

/// How long from now until [`due`] may say something else, if no clock jumps.
pub(super) fn until_due(keys: &Timeline, clock: Clock, policy: Policy) -> u64 {
    let wait = if policy.shared {
        policy.period - clock.unix % policy.period
    } else {
        rotation_time(keys, policy).saturating_sub(clock.monotonic)
    };
    wait.max(previous_needed(keys, clock.monotonic).saturating_sub(policy.slack()))
}

/// With a random master an epoch lasts one period.
fn rotation_time(keys: &Timeline, policy: Policy) -> u64 {
    keys.begun().map_or(0, |begun| begun.saturating_add(policy.period))
}

/// How long the previous epoch is still needed: cookies of its last moment are in flight.
pub(super) fn previous_needed(keys: &Timeline, now: u64) -> u64 {
    keys.window(keys.current.wrapping_sub(1)).accept_until.saturating_sub(now)
}

/// Begins `epoch` with its key.
///
/// The slot is written whole before the flip, one aligned word; nothing that the data path refers to is
/// touched before, except for an epoch that is out of time (or that the operator forces out).
pub(super) fn begin(map: &KeyMap, keys: &Timeline, epoch: u64, mac: &[u64; 2], now: u64, policy: Policy) {
    let old = keys.window(keys.current);
    if now >= old.issue_until {
        // The stack has been answering SYNs, perhaps with cookies of its own.
        map.set_grace_until(now.saturating_add(policy.grace));
    }
    let issue_until = now.saturating_add(policy.period.saturating_mul(MAX_AGE_PERIODS));
    let accept_until = issue_until.saturating_add(policy.period);
    let mut slot = Slot { mac: *mac, issue_until, accept_until };
    if follows(keys.current, epoch) {
        map.erase(epoch.wrapping_sub(2));
    }
    map.set_slot(epoch, &slot);
    slot.mac.zeroize();
    map.set_current(epoch);
    if follows(keys.current, epoch) {
        map.set_accept_until(keys.current, old.accept_until.min(now.saturating_add(keys.period())));
        map.erase(epoch.wrapping_add(1));
    } else {
        // Nothing was accepted any more: only old key bytes are left.
        (1..SLOTS as u64).for_each(|other| map.erase(epoch.wrapping_add(other)));
    }
}

/// Whether the data path finds `old` as the epoch before `new`.
const fn follows(old: u64, new: u64) -> bool {
    new.wrapping_sub(old) & EPOCH_BITS == 1
}

#[cfg(test)]
mod tests;
