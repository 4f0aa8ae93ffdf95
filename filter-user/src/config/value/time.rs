//! Durations.

use std::{ops::RangeInclusive, time::Duration};

use super::{Complaint, Leaf, text};

const DURATION_HINT: &str = "write a whole number and a unit: \"500ms\", \"64s\", \"5m\", \"1h\", \"7d\"";

/// A number and a unit, in `bounds` (seconds).
pub(in crate::config) fn duration(bounds: RangeInclusive<u64>) -> Leaf<Duration> {
    let accepts = format!(
        "{} to {}, as `\"500ms\"`, `\"64s\"`, `\"5m\"`, `\"1h\"`, `\"7d\"`",
        secs(*bounds.start()),
        secs(*bounds.end())
    );
    text(accepts, move |raw| {
        let value = parse_duration(raw)
            .ok_or_else(|| Complaint::new(format!("{raw:?} is no duration"), DURATION_HINT))?;
        let fits =
            Duration::from_secs(*bounds.start()) <= value && value <= Duration::from_secs(*bounds.end());
        if fits {
            return Ok(value);
        }
        let hint = format!("accepted: {} to {}", secs(*bounds.start()), secs(*bounds.end()));
        Err(Complaint::new(format!("{raw:?} is out of bounds"), hint))
    })
    .pattern("^[0-9]+(ms|s|m|h|d)$")
}

fn secs(seconds: u64) -> String {
    match seconds {
        0 => "0s".to_owned(),
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// A number and a unit.
pub fn parse_duration(raw: &str) -> Option<Duration> {
    let digits = raw.bytes().take_while(u8::is_ascii_digit).count();
    let value: u64 = raw[..digits].parse().ok()?;
    let millis = match &raw[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    value.checked_mul(millis).map(Duration::from_millis)
}
