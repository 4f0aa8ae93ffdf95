//! Bans as they are shown, exported and imported.

use std::{borrow::Cow, time::Duration};

use filter_common::ban::{FOREVER, Origin};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    config::source::printable,
    dataplane::{Banned, New},
};

/// Several bans.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Version of this form.
    pub schema: u32,
    /// How many there are, of which some may not be shown.
    pub total: u64,
    /// The bans.
    pub bans: Vec<Shown>,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// Whom.
    pub prefix: IpNet,
    /// Since when.
    #[serde(default)]
    pub since_seconds: u64,
    /// Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Who made it: operator or detector.
    #[serde(default)]
    pub origin: Cow<'static, str>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// What somebody has to say about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

impl Shown {
    /// As of `now`, `CLOCK_MONOTONIC` nanoseconds.
    #[must_use]
    pub fn new(banned: &Banned, now: u64) -> Self {
        let Banned { prefix, ban } = banned;
        let left = ban.own.saturating_sub(now).div_ceil(1_000_000_000);
        let text = String::from_utf8_lossy(&ban.reason);
        Self {
            prefix: *prefix,
            since_seconds: (now / 1_000_000_000).saturating_sub(ban.since.into()),
            seconds_left: (ban.own != FOREVER).then_some(left),
            origin: Origin::of(ban.origin).label().into(),
            reason: printable(text.trim_end_matches('\0')),
            comment: String::new(),
        }
    }

    /// The same again.
    #[must_use]
    pub fn as_new(&self) -> New<'_> {
        let origin = Origin::ALL.into_iter().find(|origin| origin.label() == self.origin);
        New {
            prefix: self.prefix.trunc(),
            length: self.seconds_left.map(Duration::from_secs),
            origin: origin.unwrap_or_default(),
            reason: &self.reason,
            age: Duration::from_secs(self.since_seconds),
        }
    }

    /// A line.
    #[must_use]
    pub fn text(&self) -> String {
        let end = self.seconds_left.map_or("no end".to_owned(), |left| format!("ends in {left} s"));
        let Self { prefix, since_seconds: since, origin, reason, comment, .. } = self;
        let line = format!("{:<43} {origin:<8} since {since} s, {end}  {reason}", prefix.to_string());
        let line = line.trim_end();
        if comment.is_empty() { line.to_owned() } else { format!("{line}\n    {comment}") }
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

    #[test]
    fn what_is_shown_can_be_banned_again() {
        let text =
            r#"{"prefix":"9.9.9.9/32","since_seconds":7,"seconds_left":5,"origin":"detector","reason":"x"}"#;
        let shown: Shown = serde_json::from_str(text).unwrap();
        let new = shown.as_new();
        assert_eq!(
            (new.origin, new.length, new.reason),
            (Origin::Detector, Some(Duration::from_secs(5)), "x")
        );
        assert_eq!(serde_json::to_string(&shown).unwrap(), text);
        assert_eq!(serde_json::from_str::<Shown>(r#"{"prefix":"9.0.0.0/8"}"#).unwrap().as_new().length, None);
    }
}
