//! Medians and quartiles.

use serde::{Deserialize, Serialize};

/// The middle half of some samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    /// Half of the samples are below.
    pub median: f64,
    /// A quarter is below.
    pub q1: f64,
    /// A quarter is above.
    pub q3: f64,
}

impl Quartiles {
    /// Of at least one sample; zeros of none. Rounded to hundredths, which is more than they are good for.
    #[must_use]
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |part| (quantile(&sorted, part) * 100.0).round() / 100.0;
        Self { median: at(0.5), q1: at(0.25), q3: at(0.75) }
    }
}

/// Between the two samples that are next to it (type 7 of Hyndman and Fan 1996).
#[expect(clippy::cast_sign_loss, reason = "places in a list")]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = part * last as f64;
    let low = sorted[place.floor() as usize];
    let high = sorted[place.ceil() as usize];
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::float_cmp, reason = "sums and halves of small whole numbers")]
    #[test]
    fn quartiles_lie_between_samples() {
        let of = |samples: &[f64]| {
            let Quartiles { q1, median, q3 } = Quartiles::of(samples);
            [q1, median, q3]
        };
        assert_eq!(of(&[5.0, 1.0, 3.0, 2.0, 4.0]), [2.0, 3.0, 4.0]);
        assert_eq!(of(&[4.0, 1.0, 3.0, 2.0]), [1.75, 2.5, 3.25]);
        assert_eq!(of(&[7.0]), [7.0; 3]);
        assert_eq!(of(&[]), [0.0; 3]);
        assert_eq!(of(&[1.0, 1.0, 1.0, 1.0, 900.0])[1..], [1.0, 1.0], "one interruption changes nothing");
    }
}
