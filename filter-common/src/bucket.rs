//! Token buckets in a table of fixed size that a flood of forged sources can't fill.
//!
//! A bucket is one number, the *theoretical arrival time* of GCRA (ITU-T I.371): the clock value at which it
//! will be full again. One cache line holds four; a keyed hash picks line and tag. A bucket that is full holds
//! no information, so its place is free for the next source, and eviction can only ever give tokens back.

use crate::{config::Limit, word::Word};

/// Buckets in a line.
pub const WAYS: usize = 4;

/// One bucket, or any other claim that expires: `until` is its theoretical arrival time.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Way {
    /// Which key this is, 0 for none.
    pub tag: Word,
    /// Nanoseconds of the clock; before it the entry means something.
    pub until: Word,
}

/// One cache line of the table.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Line(pub [Way; WAYS]);

/// Takes one token for `tag` from its bucket in `line`; false when there is none.
#[inline(always)]
pub fn take(line: &Line, tag: u64, limit: Limit, now: u64) -> bool {
    let (way, held) = find(line, tag);
    if held {
        return charge(&way.until, limit, now);
    }
    way.tag.store(tag);
    way.until.store(now + limit.interval);
    true
}

/// Tokens ahead of a full debt that no number of CPUs reaches by charging at once.
const FOREIGN: u64 = 1024;

/// Takes one token from a bucket of its own.
///
/// Never lets through more than `rate x time + burst`: if another CPU was faster, the charge is added to what
/// that one left and counts whether or not it is then within the limit.
#[inline(always)]
pub fn charge(until: &Word, limit: Limit, now: u64) -> bool {
    let old = until.load();
    // Further ahead than this limit (and CPUs that charge at once) can bring it: a debt made under a slower one.
    let most = now + 2 * limit.tolerance + FOREIGN * limit.interval;
    let base = if old > most { now + limit.tolerance } else { old.max(now) };
    if base - now > limit.tolerance {
        return false;
    }
    if until.compare_exchange(old, base + limit.interval) == old {
        return true;
    }
    let theirs = until.fetch_add(limit.interval);
    theirs.saturating_sub(now) <= limit.tolerance
}

/// Marks `tag` in `line` until then.
#[inline(always)]
pub fn mark(line: &Line, tag: u64, until: u64) {
    let (way, _) = find(line, tag);
    way.tag.store(tag);
    way.until.store(until);
}

/// How long `tag` stays marked from `now` on, nanoseconds; 0 if it is not.
#[inline(always)]
pub fn marked(line: &Line, tag: u64, now: u64) -> u64 {
    let (way, held) = find(line, tag);
    if held { way.until.load().saturating_sub(now) } else { 0 }
}

/// The way that holds `tag`, or else the one that is (or will be) free first.
#[inline(always)]
fn find(line: &Line, tag: u64) -> (&Way, bool) {
    for way in &line.0 {
        if way.tag.load() == tag {
            return (way, true);
        }
    }
    let mut oldest = &line.0[0];
    for way in &line.0[1..] {
        if way.until.load() < oldest.until.load() {
            oldest = way;
        }
    }
    (oldest, false)
}

/// Line index and tag of a 64-bit hash, for a table of `lines` lines (a power of two, at most 2^31).
#[must_use]
#[inline(always)]
pub const fn place(hash: u64, lines: u32) -> (u32, u64) {
    (hash as u32 & lines.wrapping_sub(1), hash | 1)
}

/// Like [`place`] for the bucket of a limit: slow ones have half of the table for themselves.
///
/// A stranger's first token on a slow limit is a long claim. In one table with fast limits it would outlast
/// (and so evict) the debts of sources that are over a fast one.
#[must_use]
#[inline(always)]
pub const fn place_of_limit(hash: u64, lines: u32, slow: bool) -> (u32, u64) {
    let half = lines >> 1;
    let (index, tag) = place(hash, half);
    (if slow { index | half } else { index }, tag)
}

const _: () = assert!(size_of::<Line>() == 64);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn burst_then_rate() {
        let line = Line::default();
        let limit = Limit::per_second(1000, 5);
        let now = 1_000_000_000;
        let passed = (0..20).filter(|_| take(&line, 7, limit, now)).count();
        assert_eq!(passed, 5);
        assert!(!take(&line, 7, limit, now + 999_999));
        assert!(take(&line, 7, limit, now + 1_000_000));
    }

    #[test]
    fn full_buckets_make_room() {
        let line = Line::default();
        let limit = Limit::per_second(1000, 100);
        for tag in 1..=1000 {
            assert!(take(&line, tag, limit, tag * 10_000_000), "source {tag}");
        }
    }

    #[test]
    fn a_busy_bucket_outlives_strangers() {
        let line = Line::default();
        let limit = Limit::per_second(10, 10);
        let mut now = 1_000_000_000;
        while take(&line, 1, limit, now) {}
        for stranger in 2..100 {
            now += 1_000_000;
            assert!(take(&line, stranger, limit, now));
            assert!(!take(&line, 1, limit, now), "evicted by stranger {stranger}");
        }
    }

    #[test]
    fn a_debt_under_a_slow_limit_does_not_outlive_it() {
        let until = Word::new(0);
        let slow = Limit { interval: 60_000_000_000, tolerance: 59 * 60_000_000_000 };
        while charge(&until, slow, 1) {}
        let fast = Limit::per_second(1000, 10);
        assert!(charge(&until, fast, 1), "as if it had just been spent");
        assert!(!charge(&until, fast, 1));
        assert!(charge(&until, fast, 1 + fast.interval));
    }

    #[test]
    fn slow_and_fast_limits_share_no_line() {
        assert!(Limit::per_second(10, 5).is_slow() && !Limit::per_second(11, 5).is_slow());
        for hash in (0..10_000_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            assert!(place_of_limit(hash, 64, false).0 < 32);
            assert!((32..64).contains(&place_of_limit(hash, 64, true).0));
        }
    }

    #[test]
    fn marks_expire() {
        let line = Line::default();
        mark(&line, 9, 100);
        assert_eq!(marked(&line, 9, 98), 2);
        assert_eq!(marked(&line, 9, 100), 0);
        assert_eq!(marked(&line, 8, 0), 0);
    }

    proptest! {
        #[test]
        fn never_more_than_rate_times_time_plus_burst(
            rate in 1_u64..2_000_000, burst in 1_u64..5_000,
            steps in prop::collection::vec(0_u64..20_000_000, 1..2_000),
        ) {
            let until = Word::new(0);
            let limit = Limit::per_second(rate, burst);
            let start = 5_000_000_000;
            let (mut now, mut passed) = (start, 0_u64);
            for step in steps {
                now += step;
                passed += u64::from(charge(&until, limit, now));
            }
            prop_assert!(passed <= (now - start) / limit.interval + burst);
        }

        #[test]
        fn an_honest_source_is_never_refused(rate in 1_u64..1_000_000, burst in 1_u64..100, n in 1_u64..500) {
            let until = Word::new(0);
            let limit = Limit::per_second(rate, burst);
            for i in 0..n {
                prop_assert!(charge(&until, limit, 1_000_000 + i * limit.interval));
            }
        }
    }

    #[test]
    fn concurrent_charges_stay_within_the_limit() {
        let until = Word::new(0);
        let limit = Limit::per_second(1, 1000);
        let passed: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..5_000).filter(|_| charge(&until, limit, 1)).count()))
                .collect();
            workers.into_iter().map(|w| w.join().expect("worker")).sum()
        });
        assert!(passed <= 1000, "{passed}");
    }
}
