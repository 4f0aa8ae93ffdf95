//! The course of an attack: loads and fates over time, and what it cost those who are real.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    net::IpAddr,
};

use filter_common::reason::{Action, Reason};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    attack::Attack,
    load::{Seen, Tick},
    vector::Evidence,
};

/// Points of a course at most: then every two become one.
const POINTS: usize = 600;
/// Seconds of a point at first.
const STEP: f64 = 2.0;
/// Turns before an attack whose handshakes are remembered: a minute.
const CALM: usize = 240;
/// Turns right before an attack was found that may be part of it.
const UNSURE: usize = 8;
/// Seconds after its end that are compared with those before.
const AFTER: f64 = 30.0;
/// Proven sources that are known at a time.
const KNOWN: usize = 4096;

/// A moment of an attack. Rates per second; packets and handshakes are the whole host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Point {
    /// Seconds since it was found.
    pub after: u64,
    /// Packets of the attack's vectors that nobody honest explains.
    pub pps: u64,
    /// The same in bits.
    pub bps: u64,
    /// Packets that passed.
    pub passed: u64,
    /// Packets that were dropped, or would be in observe mode.
    pub dropped: u64,
    /// Packets that were answered, or would be.
    pub answered: u64,
    /// Handshakes that the stack completed.
    pub handshakes: u64,
}

/// What became of the host's packets, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Fates {
    /// Passed.
    pub passed: u64,
    /// Dropped, or would be in observe mode.
    pub dropped: u64,
    /// Answered, or would be.
    pub answered: u64,
}

/// What it cost those who are real.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Collateral {
    /// Packets of sources that had completed a handshake before, estimated from samples.
    pub proven_packets: u64,
    /// Those of them that were dropped. Whoever forges such an address adds to it, and who is banned for the attack: an upper bound.
    pub proven_dropped: u64,
    /// Handshakes per second in the minute before; absent if nobody looked.
    pub handshakes_before: Option<f64>,
    /// Meanwhile.
    pub handshakes_during: Option<f64>,
    /// In the half minute after; absent until it has passed.
    pub handshakes_after: Option<f64>,
}

/// Sums over a time.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    seconds: f64,
    packets: f64,
    bits: f64,
    fates: Fates,
    handshakes: u64,
}

/// The course of one attack.
#[derive(Clone, Debug, Default)]
pub struct Course {
    points: Vec<Point>,
    /// Seconds of each point.
    step: f64,
    open: Sums,
    whole: Sums,
    after: Sums,
    ended: bool,
    known: HashSet<IpAddr>,
    collateral: Collateral,
}

#[expect(clippy::cast_precision_loss, reason = "packets of a few days")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_sign_loss, reason = "rates are not negative")]
fn rate(sum: f64, seconds: f64) -> u64 {
    if seconds > 0.0 { (sum / seconds).round() as u64 } else { 0 }
}

/// Handshakes per second, to the tenth.
fn handshakes(count: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| (float(count) / seconds * 10.0).round() / 10.0)
}

impl Fates {
    fn of(tick: &Tick<'_>) -> Self {
        let mut fates = Self::default();
        let Some(counted) = tick.counted else { return fates };
        for reason in Reason::ALL {
            let sum = match reason.action() {
                Action::Pass => &mut fates.passed,
                Action::Drop => &mut fates.dropped,
                Action::Reply => &mut fates.answered,
            };
            *sum += counted[*reason as usize];
        }
        fates
    }

    const fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.dropped += more.dropped;
        self.answered += more.answered;
    }
}

impl Sums {
    fn add(&mut self, more: &Self) {
        self.seconds += more.seconds;
        self.packets += more.packets;
        self.bits += more.bits;
        self.fates.add(more.fates);
        self.handshakes += more.handshakes;
    }

    #[expect(clippy::cast_sign_loss, reason = "seconds since it was found")]
    fn point(&self, after: f64) -> Point {
        let per_second = |count| rate(float(count), self.seconds);
        Point {
            after: after as u64,
            pps: rate(self.packets, self.seconds),
            bps: rate(self.bits, self.seconds),
            passed: per_second(self.fates.passed),
            dropped: per_second(self.fates.dropped),
            answered: per_second(self.fates.answered),
            handshakes: per_second(self.handshakes),
        }
    }
}

/// The mean of two neighbours.
fn joined(pair: &[Point]) -> Point {
    let mean = |of: fn(&Point) -> u64| pair.iter().map(of).sum::<u64>() / pair.len() as u64;
    Point {
        after: pair[0].after,
        pps: mean(|point| point.pps),
        bps: mean(|point| point.bps),
        passed: mean(|point| point.passed),
        dropped: mean(|point| point.dropped),
        answered: mean(|point| point.answered),
        handshakes: mean(|point| point.handshakes),
    }
}

impl Course {
    fn new(before: Option<f64>) -> Self {
        let collateral = Collateral { handshakes_before: before, ..Collateral::default() };
        Self { step: STEP, collateral, ..Self::default() }
    }

    fn during(&mut self, turn: &Sums, seen: &[Seen]) {
        self.whole.add(turn);
        self.open.add(turn);
        if self.open.seconds >= self.step {
            self.points.push(self.open.point(self.whole.seconds - self.open.seconds));
            self.open = Sums::default();
        }
        if self.points.len() >= POINTS {
            self.points = self.points.chunks(2).map(joined).collect();
            self.step *= 2.0;
        }
        for seen in seen {
            self.see(seen);
        }
    }

    fn see(&mut self, seen: &Seen) {
        let Some(source) = seen.source else { return };
        let proves = Evidence::proves(seen.reason) || seen.reason == Reason::RecentHandshake;
        if proves && self.known.len() < KNOWN {
            self.known.insert(source);
        }
        if self.known.contains(&source) {
            self.collateral.proven_packets += u64::from(seen.weight);
            if seen.reason.action() == Action::Drop {
                self.collateral.proven_dropped += u64::from(seen.weight);
            }
        }
    }

    /// A point every few seconds, the oldest first: at most 600, whatever its length.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let rest = (self.open.seconds > 0.0).then(|| self.open.point(self.whole.seconds - self.open.seconds));
        self.points.iter().copied().chain(rest).collect()
    }

    /// What became of the host's packets meanwhile.
    #[must_use]
    pub const fn fates(&self) -> Fates {
        self.whole.fates
    }

    /// What it cost those who are real.
    #[must_use]
    pub fn collateral(&self) -> Collateral {
        let after = if self.is_done() { handshakes(self.after.handshakes, self.after.seconds) } else { None };
        Collateral {
            handshakes_during: handshakes(self.whole.handshakes, self.whole.seconds),
            handshakes_after: after,
            ..self.collateral
        }
    }

    /// Whether the time after its end has passed as well.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ended && self.after.seconds >= AFTER
    }
}

/// The courses of all attacks that go on, or have just ended.
#[derive(Debug, Default)]
pub struct Recorder {
    last: Option<u64>,
    calm: VecDeque<(f64, u64)>,
    courses: BTreeMap<u64, Course>,
}

impl Recorder {
    /// One turn of the detector, and the attacks that it left.
    pub fn tick(&mut self, tick: &Tick<'_>, active: &[Attack]) {
        let Some(last) = self.last.replace(tick.now) else { return };
        let seconds = float(tick.now.saturating_sub(last)) / 1e9;
        let completed = tick.completed.unwrap_or(0);
        let turn = Sums { seconds, fates: Fates::of(tick), handshakes: completed, ..Sums::default() };
        for attack in active {
            let before = self.before();
            let course = self.courses.entry(attack.id).or_insert_with(|| Course::new(before));
            let mine = Sums { packets: attack.pps * seconds, bits: attack.bps * seconds, ..turn };
            course.during(&mine, tick.seen);
        }
        for (id, course) in &mut self.courses {
            course.ended = !active.iter().any(|attack| attack.id == *id);
            if course.ended {
                course.after.add(&turn);
            }
        }
        if active.is_empty() && tick.completed.is_some() {
            self.calm.push_back((seconds, completed));
            if self.calm.len() > CALM {
                self.calm.pop_front();
            }
        }
    }

    /// Handshakes per second before something was found.
    fn before(&self) -> Option<f64> {
        let sure = self.calm.len().saturating_sub(UNSURE);
        let sum = self.calm.iter().take(sure).fold((0.0, 0), |sum, turn| (sum.0 + turn.0, sum.1 + turn.1));
        handshakes(sum.1, sum.0)
    }

    /// The course of that attack.
    #[must_use]
    pub fn course(&self, attack: u64) -> Option<&Course> {
        self.courses.get(&attack)
    }

    /// Numbers of the attacks that there is a course of.
    #[must_use]
    pub fn attacks(&self) -> Vec<u64> {
        self.courses.keys().copied().collect()
    }

    /// Forgets some sources, or with `dry_run` only counts what there is of them.
    pub fn forget_sources(&mut self, dry_run: bool, is_it: impl Fn(&IpNet) -> bool) -> u64 {
        let mut count = 0;
        for course in self.courses.values_mut() {
            course.known.retain(|source| {
                let found = is_it(&IpNet::from(*source));
                count += u64::from(found);
                !found || dry_run
            });
        }
        count
    }

    /// It is kept elsewhere.
    pub fn forget(&mut self, attack: u64) {
        self.courses.remove(&attack);
    }
}

#[cfg(test)]
mod tests {
    use filter_common::reason::REASONS;

    use super::*;
    use crate::detect::vector::Vector;

    const TURN: u64 = 250_000_000;

    fn seen(source: u8, reason: Reason) -> Seen {
        let source = Some(IpAddr::from([192, 31, 196, source]));
        Seen { service: 1, vector: Vector::Syn, reason, source, weight: 16, length: 60 }
    }

    struct Sim {
        recorder: Recorder,
        now: u64,
    }

    impl Sim {
        fn run(&mut self, turns: u64, active: &[Attack], completed: u64, seen: &[Seen]) {
            let mut counted = [0; REASONS];
            (counted[Reason::Pass as usize], counted[Reason::SynLimit as usize]) = (10, 250);
            counted[Reason::CookieSent as usize] = 25;
            for _ in 0..turns {
                self.now += TURN;
                let completed = Some(completed);
                let tick = Tick { now: self.now, seen, counted: Some(&counted), completed };
                self.recorder.tick(&tick, active);
            }
        }
    }

    fn sim() -> (Sim, Attack) {
        let mut attack = Attack::new(7, 1, 0);
        (attack.pps, attack.bps) = (1000.0, 480_000.0);
        (Sim { recorder: Recorder::default(), now: 0 }, attack)
    }

    #[test]
    fn a_course_has_a_before_a_while_and_an_after() {
        let (mut sim, attack) = sim();
        sim.run(101, &[], 5, &[]);
        // Handshakes of the last two seconds may be the attack's already.
        sim.run(8, &[], 0, &[]);
        sim.run(40, std::slice::from_ref(&attack), 1, &[]);
        let course = sim.recorder.course(7).unwrap();
        let (points, collateral) = (course.points(), course.collateral());
        assert_eq!(points.len(), 5, "ten seconds");
        let point = Point {
            after: 2,
            pps: 1000,
            bps: 480_000,
            passed: 40,
            dropped: 1000,
            answered: 100,
            handshakes: 4,
        };
        assert_eq!(points[1], point);
        assert_eq!(course.fates(), Fates { passed: 400, dropped: 10_000, answered: 1000 });
        assert_eq!((collateral.handshakes_before, collateral.handshakes_during), (Some(20.0), Some(4.0)));
        assert_eq!(collateral.handshakes_after, None);
        sim.run(119, &[], 3, &[]);
        assert!(!sim.recorder.course(7).unwrap().is_done());
        sim.run(1, &[], 3, &[]);
        let course = sim.recorder.course(7).unwrap();
        assert!(course.is_done());
        assert_eq!(course.collateral().handshakes_after, Some(12.0));
        assert_eq!(course.points(), points, "nothing of it is the attack's");
        sim.recorder.forget(7);
        assert!(sim.recorder.attacks().is_empty());
    }

    #[test]
    fn a_long_one_is_thinned_out() {
        let (mut sim, attack) = sim();
        sim.run(4 * 86_400 + 1, &[attack], 1, &[]);
        let points = sim.recorder.course(7).unwrap().points();
        assert!((POINTS / 2..=POINTS).contains(&points.len()), "{}", points.len());
        assert!(points.iter().all(|point| (990..=1000).contains(&point.dropped)), "{points:?}");
        assert!(points.is_sorted_by_key(|point| point.after));
        assert!(points[points.len() - 1].after > 86_000, "{:?}", points.last());
    }

    #[test]
    fn only_who_is_proven_is_collateral() {
        let (mut sim, attack) = sim();
        let packets = [
            seen(1, Reason::SynLimit),
            seen(2, Reason::SynLimit),
            seen(2, Reason::CookieAccepted),
            seen(2, Reason::SourceRate),
        ];
        sim.run(2, &[attack], 0, &packets);
        let Collateral { proven_packets, proven_dropped, .. } = sim.recorder.course(7).unwrap().collateral();
        assert_eq!((proven_packets, proven_dropped), (32, 16));
        let forget = |sim: &mut Sim, dry_run, net: &str| {
            let net: IpNet = net.parse().unwrap();
            sim.recorder.forget_sources(dry_run, |source| net.contains(source))
        };
        assert_eq!(forget(&mut sim, false, "192.31.196.1/32"), 0, "he is not known");
        assert_eq!([true, false, false].map(|dry| forget(&mut sim, dry, "192.31.196.2/32")), [1, 1, 0]);
    }
}
