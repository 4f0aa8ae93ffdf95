//! Connect times, where a failure counts as the whole timeout so that it cannot hide.

use std::time::Duration;

/// What became of a client's connections.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Connections begun.
    pub tried: u64,
    /// Connections whose whole answer came in time.
    pub succeeded: u64,
    /// Connections that could not be begun: no descriptor or no port.
    pub skipped: u64,
    /// Connections that were reset or refused, or whose answer was wrong.
    pub refused: u64,
    /// Connections that took too long.
    pub timed_out: u64,
    connect: Vec<Duration>,
}

impl Tried {
    /// One connect time; of a failed connect the timeout.
    pub(crate) fn connect(&mut self, time: Duration) {
        self.connect.push(time);
    }

    /// Those of another client, too.
    pub fn add(&mut self, other: &Self) {
        self.tried += other.tried;
        self.succeeded += other.succeeded;
        self.skipped += other.skipped;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.connect.extend_from_slice(&other.connect);
    }

    /// Connections that did not succeed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.tried - self.succeeded
    }

    /// The counts, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let Self { tried, succeeded, skipped, refused, timed_out, .. } = self;
        format!(
            "{succeeded} of {tried} succeeded, {refused} refused, {timed_out} timed out, {skipped} skipped"
        )
    }

    /// The connect time that this share of the connections did not exceed, in milliseconds.
    ///
    /// The nearest rank: of 1,000 times p99 is the 990th.
    #[must_use]
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.connect.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let mut tried = Tried::default();
        assert!(tried.percentile_ms(99).abs() < f64::EPSILON);
        for ms in (1..=1000).rev() {
            tried.connect(Duration::from_millis(ms));
        }
        assert!((tried.percentile_ms(50) - 500.0).abs() < 1e-9);
        assert!((tried.percentile_ms(99) - 990.0).abs() < 1e-9);
        assert!((tried.percentile_ms(100) - 1000.0).abs() < 1e-9);
    }
}
