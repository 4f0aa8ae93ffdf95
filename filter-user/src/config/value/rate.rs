//! Rates.

use filter_common::config::Limit;

use super::{Complaint, Leaf, digits, text};

/// `10MB/s burst 20MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate {
    /// Bytes in each second.
    pub bytes: u64,
    /// Bytes at once.
    pub burst: u64,
}

impl ByteRate {
    /// The same in the data path's terms.
    #[must_use]
    pub const fn limit(self) -> Limit {
        Limit::bytes_per_second(self.bytes, self.burst)
    }
}

/// Units of bytes, and of bits as links are sold.
const UNITS: &[(&str, u64, u64)] = &[
    ("kbit", 1_000, 8),
    ("Mbit", 1_000_000, 8),
    ("Gbit", 1_000_000_000, 8),
    ("kB", 1_000, 1),
    ("MB", 1_000_000, 1),
    ("GB", 1_000_000_000, 1),
    ("KiB", 1 << 10, 1),
    ("MiB", 1 << 20, 1),
    ("GiB", 1 << 30, 1),
    ("B", 1, 1),
];

const BYTES_HINT: &str =
    "write bytes or bits per second: \"10MB/s\", \"100Mbit/s burst 4MiB\", or \"off\"; the smallest is 1kB/s";

/// A rate of bytes with an optional burst, or "off".
pub(in crate::config) fn byte_rate() -> Leaf<Option<ByteRate>> {
    let accepts = "`\"10MB/s\"` or `\"100Mbit/s\"` (B, kB, MB, GB, KiB, MiB, GiB, kbit, Mbit, Gbit), optionally \
                   ` burst 4MiB` (else a second's worth), or `\"off\"`";
    text(accepts, |raw| if raw == "off" { Ok(None) } else { parse_byte_rate(raw).map(Some) })
        .pattern("^(off|\\s*[0-9]+[kKMG]?i?(B|bit)/s(\\s+burst\\s+[0-9]+[kKMG]?i?(B|bit))?\\s*)$")
}

fn parse_byte_rate(raw: &str) -> Result<ByteRate, Complaint> {
    let bad = || Complaint::new(format!("{raw:?} is no rate of bytes"), BYTES_HINT);
    let words: Vec<_> = raw.split_ascii_whitespace().take(4).collect();
    let (rate, burst) = match words[..] {
        [rate] => (rate, None),
        [rate, "burst", burst] => (rate, Some(burst)),
        _ => return Err(bad()),
    };
    let bytes = rate.strip_suffix("/s").and_then(size).ok_or_else(bad)?;
    let burst = burst.map_or(Some(bytes), size).ok_or_else(bad)?;
    if !(LEAST_BYTES..=MOST_BYTES).contains(&bytes) {
        return Err(Complaint::new(format!("{raw:?} is not between 1kB/s and 100Gbit/s"), BYTES_HINT));
    }
    // A packet may be that large, and the clock ticks 100 times a second.
    let least = (64 << 10).max(bytes / TICKS_PER_SECOND);
    if burst < least {
        let hint = format!(
            "at least {least}B: the largest packet, and what the kernel's clock lets through in one tick"
        );
        return Err(Complaint::new(format!("a burst of {burst}B is too small for this rate"), hint));
    }
    if burst / bytes > REFILL_MAX_SECONDS {
        return Err(Complaint::new("a burst that takes more than an hour to refill", BYTES_HINT));
    }
    Ok(ByteRate { bytes, burst })
}

/// Below it the data path's nanoseconds per KiB make no sense.
const LEAST_BYTES: u64 = 1_000;
/// 100 Gbit/s.
const MOST_BYTES: u64 = 12_500_000_000;

/// Bytes in words such as `10MB`.
fn size(text: &str) -> Option<u64> {
    let (_, number, factor, divisor) = UNITS
        .iter()
        .filter_map(|(unit, factor, divisor)| Some((unit, text.strip_suffix(unit)?, factor, divisor)))
        .max_by_key(|(unit, ..)| unit.len())?;
    Some(digits::<u64>(number)?.checked_mul(*factor)? / divisor)
}

/// `1000/s burst 2000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens in each `unit_seconds`.
    pub tokens: u64,
    /// 1 or 60.
    pub unit_seconds: u64,
    /// Tokens at once.
    pub burst: u64,
}

impl Rate {
    /// The same in the data path's terms.
    #[must_use]
    pub fn limit(self) -> Limit {
        if self.unit_seconds == 1 {
            return Limit::per_second(self.tokens, self.burst);
        }
        let interval = (self.unit_seconds * 1_000_000_000 / self.tokens).max(1);
        Limit { interval, tolerance: interval * (self.burst - 1) }
    }
}

const RATE_HINT: &str =
    "write packets per second or minute: \"1000/s\", \"30/m\", \"1000/s burst 2000\", or \"off\"";
/// Faster than any NIC; a token then costs 100 ns, which the data path still tells apart to 1 %.
const RATE_MAX: u64 = 10_000_000;
/// A bucket that takes longer to refill limits nothing that anybody can reason about.
const REFILL_MAX_SECONDS: u64 = 3600;

/// The data path reads a clock that moves in ticks, 10 ms at the slowest (HZ=100): tokens of one tick that don't fit
/// into the bucket are lost, and the source gets less than its rate.
const TICKS_PER_SECOND: u64 = 100;

/// A rate with an optional burst, or "off".
pub(in crate::config) fn rate() -> Leaf<Option<Rate>> {
    let accepts =
        "`\"N/s\"` or `\"N/m\"`, N up to 10,000,000, optionally ` burst B` (else twice N), or `\"off\"`";
    text(accepts, |raw| if raw == "off" { Ok(None) } else { parse_rate(raw).map(Some) })
        .pattern("^(off|\\s*[0-9]+/[sm](\\s+burst\\s+[0-9]+)?\\s*)$")
}

fn parse_rate(raw: &str) -> Result<Rate, Complaint> {
    let bad = || Complaint::new(format!("{raw:?} is no rate"), RATE_HINT);
    let words: Vec<_> = raw.split_ascii_whitespace().take(4).collect();
    let (rate, burst) = match words[..] {
        [rate] => (rate, None),
        [rate, "burst", burst] => (rate, Some(burst)),
        _ => return Err(bad()),
    };
    let (tokens, unit) = rate.split_once('/').ok_or_else(bad)?;
    let unit_seconds = match unit {
        "s" => 1,
        "m" => 60,
        _ => return Err(bad()),
    };
    let tokens: u64 = digits(tokens).ok_or_else(bad)?;
    if tokens == 0 {
        return Err(Complaint::new("a rate of 0 would block everybody", "write \"off\" for no limit"));
    }
    if tokens > RATE_MAX * unit_seconds {
        return Err(Complaint::new(format!("{raw:?} is beyond 10000000/s"), "write \"off\" for no limit"));
    }
    let burst = burst.map_or(Some(tokens * 2), digits).ok_or_else(bad)?;
    if burst == 0 {
        return Err(Complaint::new("a burst of 0 would block everybody", "the smallest burst is 1"));
    }
    let least = 1 + tokens / (TICKS_PER_SECOND * unit_seconds);
    if burst < least {
        let hint = format!(
            "the kernel's clock may tick every 10 ms: a burst of at least {least} gives the whole rate"
        );
        return Err(Complaint::new(format!("a burst of {burst} is too small for this rate"), hint));
    }
    if burst > tokens.saturating_mul(REFILL_MAX_SECONDS / unit_seconds) {
        let hint = format!("at this rate at most {}", tokens * (REFILL_MAX_SECONDS / unit_seconds));
        return Err(Complaint::new("a burst that takes more than an hour to refill", hint));
    }
    Ok(Rate { tokens, unit_seconds, burst })
}
