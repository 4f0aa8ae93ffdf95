//! Bans as they are shown.

use filter_common::ban::FOREVER;
use ipnet::IpNet;
use serde::Serialize;

use crate::dataplane::{Banned, monotonic};

/// What `list` and `test` print.
#[derive(Serialize)]
pub(super) struct Report {
    schema: u32,
    bans: Vec<Shown>,
}

impl Report {
    pub(super) fn new(bans: &[Banned]) -> anyhow::Result<Self> {
        let now = monotonic()?;
        Ok(Self { schema: 1, bans: bans.iter().map(|banned| Shown::new(banned, now)).collect() })
    }

    /// A line each; `none` if there are none.
    pub(super) fn text(&self, none: &str) -> String {
        if self.bans.is_empty() {
            return none.to_owned();
        }
        self.bans.iter().map(Shown::text).collect::<Vec<_>>().join("\n")
    }
}

/// A ban as it is shown.
#[derive(Serialize)]
struct Shown {
    prefix: IpNet,
    since_seconds: u64,
    /// Absent: for ever.
    seconds_left: Option<u64>,
    origin: &'static str,
    reason: String,
}

impl Shown {
    fn new(banned: &Banned, now: u64) -> Self {
        let Banned { prefix, ban } = banned;
        let left = ban.own.saturating_sub(now).div_ceil(1_000_000_000);
        let text = String::from_utf8_lossy(&ban.reason).trim_end_matches('\0').to_owned();
        Self {
            prefix: *prefix,
            since_seconds: (now / 1_000_000_000).saturating_sub(ban.since.into()),
            seconds_left: (ban.own != FOREVER).then_some(left),
            origin: "operator",
            // It came from somebody with the right to write it, and goes to a terminal.
            reason: text
                .chars()
                .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
                .collect(),
        }
    }

    fn text(&self) -> String {
        let end = self.seconds_left.map_or("no end".to_owned(), |left| format!("ends in {left} s"));
        format!("{:<43} since {} s, {end}  {}", self.prefix.to_string(), self.since_seconds, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_no_escape_sequence() {
        let mut ban = filter_common::ban::Ban { until: 5, own: 5_000_000_000, ..Default::default() };
        ban.reason[..5].copy_from_slice(b"\x1b[31m");
        let shown = Shown::new(&Banned { prefix: "9.9.9.9/32".parse().unwrap(), ban }, 0);
        assert!(!shown.text().contains('\x1b'));
        assert_eq!(shown.seconds_left, Some(5));
    }
}
