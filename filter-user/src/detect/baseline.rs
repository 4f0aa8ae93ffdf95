//! What is usual: a mean and a deviation that follow slowly, and never faster than honest growth is.

use serde::{Deserialize, Serialize};

/// How long the mean takes to follow, seconds.
const MEAN: f64 = 600.0;
/// The same for the deviation.
const DEVIATION: f64 = 1800.0;
/// The same for the long mean that bounds the other one.
const ANCHOR: f64 = 86_400.0;
/// The mean doubles in no less than so many seconds: load that grows faster is a flood before it is usual.
const DOUBLES: f64 = 3600.0;
/// The mean is at most so many times what it was in the days before.
const DAY: f64 = 8.0;
/// The deviation counts so often, up to a part of the mean.
const DEVIATIONS: f64 = 4.0;
const MOST: f64 = 0.35;
/// So many seconds are learned freely, where nothing else tells what is honest.
const WARM: f64 = 60.0;
/// Until then only so many times the floor is a flood.
const COLD: f64 = 20.0;

/// From where on a load is a flood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Packets per second that are no flood whatever is usual.
    pub floor: f64,
    /// Times the usual.
    pub factor: f64,
}

/// Of a restart, the learned time counts for no more than this, seconds,
const REMEMBERED: f64 = 3600.0;
/// and for half of it after each so many seconds without the daemon: within a week what is usual is learned anew.
const HALVES: f64 = 86_400.0;
/// No host sees more packets per second.
const POSSIBLE: f64 = 1e12;

/// What is usual for one service and vector, packets per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Baseline {
    mean: f64,
    deviation: f64,
    anchor: f64,
    age: f64,
}

impl Baseline {
    /// The usual load.
    #[must_use]
    pub const fn usual(&self) -> f64 {
        self.mean
    }

    /// From so many packets per second on it is a flood.
    #[must_use]
    pub fn threshold(&self, bounds: &Bounds, has_evidence: bool) -> f64 {
        if !has_evidence && self.age < WARM {
            return COLD * bounds.floor;
        }
        let spread = (DEVIATIONS * self.deviation).min(DEVIATIONS * MOST * self.mean);
        bounds.floor.max(bounds.factor * self.mean).max(self.mean + spread)
    }

    /// What is left of it after so many seconds in which nobody looked.
    #[must_use]
    pub fn aged(self, away: f64) -> Self {
        let age = self.age.min(REMEMBERED) * (-away / HALVES).exp2();
        if age < 1.0 { Self::default() } else { Self { age, ..self } }
    }

    /// Whether anything has been learned: that there is no load, perhaps.
    #[must_use]
    pub fn is_learned(&self) -> bool {
        self.age >= 1.0
    }

    /// Whether loads are like that.
    #[must_use]
    pub fn can_be(&self) -> bool {
        [self.mean, self.deviation, self.anchor, self.age]
            .iter()
            .all(|number| (0.0..POSSIBLE).contains(number))
    }

    /// A load that is no flood, for so many seconds.
    pub fn learn(&mut self, pps: f64, seconds: f64, bounds: &Bounds, has_evidence: bool) {
        self.age += seconds;
        if !has_evidence && self.age <= WARM {
            self.mean += (pps - self.mean) * (seconds / self.age).min(1.0);
            self.deviation = self.mean * MOST / 2.0;
            self.anchor = self.mean;
            return;
        }
        let part = |time: f64| (seconds / time).min(1.0);
        // A load of nothing can grow, too.
        let ground = bounds.floor / bounds.factor / 4.0;
        let steepest = self.mean.max(ground) * std::f64::consts::LN_2 / DOUBLES * seconds;
        let most = DAY * self.anchor.max(ground);
        let step = ((pps - self.mean) * part(MEAN)).min(steepest).min((most - self.mean).max(0.0));
        self.mean += step;
        let off = (pps - self.mean).abs().min(self.mean);
        self.deviation += (off - self.deviation) * part(DEVIATION);
        self.anchor += (self.mean - self.anchor) * part(ANCHOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { floor: 1000.0, factor: 2.0 };

    fn fed(hours: f64, rate: impl Fn(f64) -> f64) -> (Baseline, Option<f64>) {
        let (mut baseline, mut hour, mut found) = (Baseline::default(), 0.0, None);
        while hour < hours {
            let pps = rate(hour);
            if pps > baseline.threshold(&BOUNDS, false) {
                found = found.or(Some(hour));
            } else if found.is_none() {
                baseline.learn(pps, 1.0, &BOUNDS, false);
            }
            hour += 1.0 / 3600.0;
        }
        (baseline, found)
    }

    #[test]
    fn days_and_nights_are_usual() {
        // Five times as much at noon as at midnight.
        let day = |hour: f64| 30_000.0 - 20_000.0 * (hour * std::f64::consts::TAU / 24.0).cos();
        let (baseline, found) = fed(72.0, day);
        assert_eq!(found, None);
        assert!((baseline.usual() - 10_000.0).abs() < 2_000.0, "{baseline:?}");
    }

    #[test]
    fn what_grows_slowly_is_found_before_it_is_usual() {
        for (hours, most) in [(0.5, 2.0), (1.0, 3.0), (3.0, 9.0)] {
            // Tenfold in that time, behind an hour of 10,000.
            let rise = |hour: f64| 10_000.0 * 10_f64.powf(((hour - 1.0) / hours).clamp(0.0, 1.0));
            let (baseline, found) = fed(1.0 + hours, rise);
            assert!(found.is_some() || hours > 2.0, "tenfold in {hours} hours");
            assert!(baseline.usual() < 10_000.0 * most, "{hours}: {baseline:?}");
        }
        // However slowly: within a day it is at most eightfold.
        let creeping = |hour: f64| 10_000.0 * 2_f64.powf((hour - 1.0).max(0.0) / 1.5);
        assert!(fed(24.0, creeping).1.is_some());
    }

    #[test]
    fn nothing_usual_has_the_floor() {
        let baseline = Baseline::default();
        assert!((baseline.threshold(&BOUNDS, true) - 1000.0).abs() < 1e-9);
        assert!((baseline.threshold(&BOUNDS, false) - 20_000.0).abs() < 1e-9);
    }
}
