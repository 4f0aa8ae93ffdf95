//! Defences that arm themselves: in the data path, for everybody at once, with hysteresis.

use crate::{bucket::charge, config::Limit, word::Word};

/// Something that is on until some time.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Switch {
    /// `CLOCK_MONOTONIC` nanoseconds; 0 if it has not been on for long.
    pub until: Word,
    /// When it last went on, nanoseconds.
    pub since: Word,
    /// How often it went on.
    pub count: Word,
}

impl Switch {
    /// Whether it is on, or went off less than `longer` nanoseconds ago. Asks for the time only if it has to.
    #[inline(always)]
    pub fn is_on(&self, longer: u64, now: impl FnOnce() -> u64) -> bool {
        let until = self.until.load();
        until != 0 && now() < until + longer
    }

    /// Turns it on, or keeps it on, until `hold` nanoseconds from now.
    #[inline(always)]
    pub fn hold(&self, now: u64, hold: u64) {
        let until = self.until.load();
        if now >= until {
            if self.until.compare_exchange(until, now + hold) == until {
                self.since.store(now);
                self.count.fetch_add(1);
            }
        } else if until < now + hold - hold / 8 {
            // Not for each packet: every CPU reads this line.
            self.until.store(now + hold);
        }
    }

    /// Forgets a time that is long past, so that nobody has to compare it with the clock.
    #[inline(always)]
    pub fn forget(&self, now: u64, longer: u64) {
        let until = self.until.load();
        if until != 0 && now >= until + longer {
            self.until.compare_exchange(until, 0);
        }
    }
}

/// What one service has armed: a cache line that every packet reads, and others for buckets.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Arm {
    /// SYNs are answered (`syn.mode = "auto"`).
    pub syn: Switch,
    /// Every segment is looked up.
    pub state: Switch,
    /// 1 once a segment has had a socket. A service of which none ever had one is forwarded by other means than sockets
    /// (DNAT, IPVS): its segments are no strays.
    pub served: Word,
    /// Until then each source's limits are narrower by [`crate::config::Config::tighten`], `CLOCK_MONOTONIC` nanoseconds: a lease that
    /// only the detector gives. 0: never yet.
    pub tight: Word,
    /// SYNs that reach the stack.
    pub syn_on: Word,
    /// SYNs while armed.
    pub syn_off: Word,
    /// Sampled strays.
    pub stray_on: Word,
    /// Strays while armed.
    pub stray_off: Word,
    /// SYNs of proven sources.
    pub proven: Word,
    /// Forwarded segments of unproven sources.
    pub unproven: Word,
    /// Packets of unproven sources.
    pub packets: Word,
    /// Bytes of unproven sources.
    pub bytes: Word,
    /// New UDP flows; a line of its own, with room for more.
    pub flows: Word,
    /// Room up to the next line.
    pub more_room: [u64; 7],
}

/// One more of what `switch` watches: over `on` turns it on, and over `off` keeps it on. Returns whether it is on.
#[inline(always)]
pub fn watch(switch: &Switch, buckets: [&Word; 2], limits: [Limit; 2], hold: u64, now: u64) -> bool {
    let is_on = now < switch.until.load();
    let (bucket, limit) = if is_on { (buckets[1], limits[1]) } else { (buckets[0], limits[0]) };
    if charge(bucket, limit, now) {
        return is_on;
    }
    switch.hold(now, hold);
    true
}

const _: () = assert!(size_of::<Arm>() == 192);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const HOLD: u64 = 10 * SECOND;

    /// Events at `rate` per second for `seconds`; how often the switch went on, and whether it is on at the end.
    fn feed(arm: &Arm, start: u64, rate: u64, seconds: u64) -> (u64, bool) {
        let limits = [Limit::per_second(1000, 100), Limit::per_second(250, 25)];
        let mut on = false;
        for i in 0..rate * seconds {
            let now = start + i * SECOND / rate;
            on = watch(&arm.syn, [&arm.syn_on, &arm.syn_off], limits, HOLD, now);
        }
        (arm.syn.count.load(), on)
    }

    #[test]
    fn the_first_one_over_budget_arms() {
        let arm = Arm::default();
        let limits = [Limit::per_second(1000, 100), Limit::per_second(250, 25)];
        let one = || watch(&arm.syn, [&arm.syn_on, &arm.syn_off], limits, HOLD, SECOND);
        assert!((0..100).all(|_| !one()));
        assert!(one(), "number 101 of a burst of 100");
        assert_eq!(arm.syn.since.load(), SECOND);
    }

    #[test]
    fn between_the_thresholds_nothing_changes() {
        let arm = Arm::default();
        assert_eq!(feed(&arm, SECOND, 900, 20), (0, false), "below on: stays off");
        assert_eq!(feed(&arm, 100 * SECOND, 2000, 5), (1, true));
        assert_eq!(feed(&arm, 105 * SECOND, 900, 60), (1, true), "above off: stays on");
        assert_eq!(feed(&arm, 165 * SECOND, 200, 30), (1, false), "below off: goes off");
        assert_eq!(feed(&arm, 195 * SECOND, 900, 20), (1, false));
    }

    #[test]
    fn it_holds_after_the_last_excess() {
        let arm = Arm::default();
        feed(&arm, SECOND, 2000, 1);
        let until = arm.syn.until.load();
        assert!((2 * SECOND + HOLD * 7 / 8..=2 * SECOND + HOLD).contains(&until), "{until}");
        assert!(arm.syn.is_on(0, || until - 1) && !arm.syn.is_on(0, || until));
        assert!(arm.syn.is_on(SECOND, || until), "a little longer");
    }

    #[test]
    fn what_is_long_past_costs_no_clock() {
        let switch = Switch::default();
        assert!(!switch.is_on(SECOND, || panic!("asked for the time")));
        switch.hold(SECOND, HOLD);
        switch.forget(2 * SECOND + HOLD, 2 * SECOND);
        assert!(switch.until.load() != 0, "cookies may be in flight");
        switch.forget(SECOND + HOLD + 2 * SECOND, 2 * SECOND);
        assert!(!switch.is_on(SECOND, || panic!("asked for the time")));
    }
}
