//! Times as they are written on the command line.

use std::time::Duration;

use crate::config::value::parse_duration;

/// A time as `90s`, `5m`, `1h`, `7d`; whole seconds, not 0.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).filter(|time| time.subsec_nanos() == 0 && !time.is_zero());
    time.ok_or_else(|| "write 90s, 5m, 1h or 7d".to_owned())
}

/// How long something lasts; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ttl(pub(super) Option<Duration>);

/// The same, or `forever`.
pub(super) fn ttl(text: &str) -> Result<Ttl, String> {
    if text == "forever" {
        return Ok(Ttl(None));
    }
    time(text).map(|time| Ttl(Some(time))).map_err(|hint| format!("{hint}, or forever"))
}

/// How long ago something was, or how long it takes.
pub(super) fn roughly(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let seconds = |text| ttl(text).map(|ttl| ttl.0.map(|ttl| ttl.as_secs()));
        assert_eq!(seconds("90s"), Ok(Some(90)));
        assert_eq!(seconds("2000ms"), Ok(Some(2)));
        assert_eq!(seconds("5m"), Ok(Some(300)));
        assert_eq!(seconds("1h"), Ok(Some(3600)));
        assert_eq!(seconds("7d"), Ok(Some(604_800)));
        assert_eq!(seconds("forever"), Ok(None));
        for wrong in [
            "",
            "1",
            "s",
            "0s",
            "+1s",
            "1.5h",
            "99999999999999999999s",
            "999999999999999999d",
            "1 h",
            "500ms",
        ] {
            assert!(time(wrong).is_err() && ttl(wrong).is_err(), "{wrong}");
        }
    }
}
