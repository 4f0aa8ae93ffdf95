//! A time limit that holds across restarts of the daemon and of the host.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::dataplane::monotonic;

/// What the clocks say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Which boot this is.
    pub boot: String,
    /// Seconds since it, time asleep included.
    pub up: u64,
    /// Seconds since 1970.
    pub wall: u64,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot: boot.trim().to_owned(), up: seconds(ClockId::CLOCK_BOOTTIME), wall: wall() }
    }
}

fn seconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).map(Duration::from);
    time.map_or(0, |time| time.as_secs())
}

/// Seconds since 1970.
#[must_use]
pub fn wall() -> u64 {
    since_1970().as_secs()
}

/// The time since 1970.
#[must_use]
pub fn since_1970() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// From the data path's clock to seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    monotonic: u64,
    wall: SystemTime,
}

impl Clock {
    /// As both are now.
    pub fn now() -> Result<Self> {
        Ok(Self { monotonic: monotonic()?, wall: SystemTime::now() })
    }

    /// What the data path's clock says.
    #[must_use]
    pub const fn monotonic(&self) -> u64 {
        self.monotonic
    }

    fn since_1970(&self, time: u64) -> Duration {
        let ago = Duration::from_nanos(self.monotonic.saturating_sub(time));
        let then = self.wall.checked_sub(ago).unwrap_or(UNIX_EPOCH);
        then.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// To the second.
    #[must_use]
    pub fn whole(&self, time: u64) -> u64 {
        self.since_1970(time).as_secs()
    }

    /// To the millisecond: the data path's clock goes by ticks.
    #[must_use]
    pub fn seconds(&self, time: u64) -> f64 {
        (self.since_1970(time).as_secs_f64() * 1000.0).round() / 1000.0
    }
}

/// When something ends. In the boot in which it was set the boot's clock decides, which nobody sets; in a later one the
/// wall clock, as far as it makes sense.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Deadline {
    boot: String,
    up: u64,
    wall: u64,
    seconds: u64,
}

impl Deadline {
    /// So long from now on.
    #[must_use]
    pub fn after(now: &Moment, length: Duration) -> Self {
        let seconds = length.as_secs();
        let (up, wall) = (now.up.saturating_add(seconds), now.wall.saturating_add(seconds));
        Self { boot: now.boot.clone(), up, wall, seconds }
    }

    /// The time that is left; `None` when it is over.
    #[must_use]
    pub fn left(&self, now: &Moment) -> Option<Duration> {
        let end = if self.is_of(now) { self.up.checked_sub(now.up) } else { self.wall.checked_sub(now.wall) };
        // More than it ever was: the clock was set back.
        let left = end.filter(|left| (1..=self.seconds).contains(left))?;
        Some(Duration::from_secs(left))
    }

    /// Whether it was set in this boot.
    #[must_use]
    pub fn is_of(&self, now: &Moment) -> bool {
        self.boot == now.boot
    }

    /// When it ends, seconds since 1970.
    #[must_use]
    pub const fn wall(&self) -> u64 {
        self.wall
    }

    /// How long it was at first.
    #[must_use]
    pub const fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: &str, up: u64, wall: u64) -> Moment {
        Moment { boot: boot.to_owned(), up, wall }
    }

    #[test]
    fn the_boots_own_clock_decides_while_it_lasts() {
        let deadline = Deadline::after(&at("a", 1000, 50_000), Duration::from_mins(5));
        let left = |now: Moment| deadline.left(&now).map(|left| left.as_secs());
        assert_eq!(left(at("a", 1000, 50_000)), Some(300));
        assert_eq!(left(at("a", 1299, 50_000)), Some(1));
        assert_eq!(left(at("a", 1300, 50_000)), None);
        // Somebody sets the wall clock: nothing changes.
        assert_eq!(left(at("a", 1100, 1)), Some(200));
        assert_eq!(left(at("a", 1100, u64::MAX)), Some(200));
        // Nonsense ends it.
        assert_eq!(left(at("a", 0, 50_000)), None);
    }

    #[test]
    fn in_the_next_boot_the_wall_clock_does() {
        let deadline = Deadline::after(&at("a", 1000, 50_000), Duration::from_mins(5));
        let left = |now: Moment| deadline.left(&now).map(|left| left.as_secs());
        assert_eq!(left(at("b", 3, 50_100)), Some(200));
        assert_eq!(left(at("b", 3, 50_300)), None);
        // A host without a battery starts in 1970: no eternal deadlines.
        assert_eq!(left(at("b", 3, 7)), None);
    }

    #[test]
    fn this_host_has_clocks() {
        let now = Moment::now();
        assert!(now.boot.len() == 36 && now.up > 0 && now.wall > 1_700_000_000, "{now:?}");
    }
}
