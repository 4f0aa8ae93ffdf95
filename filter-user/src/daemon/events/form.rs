//! Events as they are told.

use std::fmt::Write as _;

use filter_common::{
    abi::Plane,
    reason::{Action, Reason},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Kept;
use crate::{
    config::lists::file,
    detect::read::packet,
    explain::{frame::to_hex, packet::Told},
    observe::metrics::verdict,
};

/// Events of one answer, at most.
const MOST: usize = 2000;

/// What `GET /v1/events` answers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Page {
    /// Version of this form.
    pub schema: u32,
    /// What to ask for next: `?after=`.
    pub next: u64,
    /// Events behind the number that was asked for which are not remembered any more, whatever they were.
    pub missed: u64,
    /// Samples that the data path could not tell of since the tables were made: `floodwall_events_lost_total`.
    pub lost: u64,
    /// Oldest first.
    pub events: Vec<Line>,
}

/// A sampled packet.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Line {
    /// Its number since the daemon started.
    pub number: u64,
    /// Seconds since 1970.
    pub time: f64,
    /// Packets that it stands for.
    pub weight: u32,
    /// Where it came in.
    pub interface: String,
    /// `pass`, `drop`, `reply`; `would_drop`, `would_reply` where it is only observed and passed.
    pub verdict: String,
    /// The reason's label.
    pub reason: String,
    /// The service's name; `*` is the rest of the host.
    pub service: String,
    /// Bytes on the wire.
    pub bytes: u32,
    /// The packet as it was received; absent if it could not be parsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<Told>,
    /// Its first bytes in hexadecimal digits, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
    /// The frame is the answer to it.
    #[serde(default)]
    pub answer: bool,
}

impl Line {
    /// Of an event that happened at `time`, seconds since 1970, on an interface and to a service of these names.
    pub(in crate::daemon) fn new(
        kept: &Kept,
        time: f64,
        [interface, service]: [&str; 2],
        frames: bool,
    ) -> Option<Self> {
        let event = &kept.event;
        let reason = Reason::from_number(event.reason)?;
        let (packet, answer) = packet(event);
        let captured = usize::from(event.captured).min(event.frame.len());
        Some(Self {
            number: kept.number,
            time,
            weight: event.weight,
            interface: interface.to_owned(),
            verdict: verdict_of(kept, reason).to_owned(),
            reason: reason.label().to_owned(),
            service: service.to_owned(),
            bytes: event.length,
            packet: packet.as_ref().map(Told::new),
            frame: frames.then(|| to_hex(&event.frame[..captured])),
            answer,
        })
    }

    /// In a line, without the time.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text =
            format!("{:<11} {:<22} {:<8} {:>6}x", self.verdict, self.reason, self.interface, self.weight);
        if self.service != "*" {
            let _ = write!(text, " {}:", self.service);
        }
        let _ = match &self.packet {
            Some(packet) => write!(text, " {packet}, {} bytes", self.bytes),
            None => write!(text, " {} bytes that are no whole IP packet", self.bytes),
        };
        text
    }
}

fn verdict_of(kept: &Kept, reason: Reason) -> &'static str {
    verdict(reason.action(), kept.event.plane == Plane::Observed as u8)
}

/// Options of `GET /v1/events`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// The last number that was seen.
    pub after: Option<u64>,
    reason: Option<String>,
    verdict: Option<String>,
    source: Option<String>,
    /// The service's name.
    pub service: Option<String>,
    /// Events of the answer, at most.
    pub limit: Option<usize>,
    /// With frames.
    pub frames: bool,
}

/// Options of `GET /v1/events/last`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// An address or a prefix.
    pub source: String,
}

/// Which events are wanted; what is empty wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    reasons: Vec<Reason>,
    verdicts: Vec<&'static str>,
    source: Option<IpNet>,
    service: Option<String>,
}

/// All verdicts.
pub const VERDICTS: [&str; 5] = [
    verdict(Action::Pass, false),
    verdict(Action::Drop, false),
    verdict(Action::Reply, false),
    verdict(Action::Drop, true),
    verdict(Action::Reply, true),
];

impl Asked {
    /// What it asks for, or what of it makes no sense.
    pub fn filter(&self) -> Result<Filter, String> {
        let words = |text: &Option<String>| -> Vec<String> {
            text.iter().flat_map(|text| text.split(',')).map(str::to_owned).collect()
        };
        let reason = |label: String| {
            Reason::from_label(&label).ok_or_else(|| format!("no reason is called {label:?}"))
        };
        let verdict = |label: String| {
            let found = VERDICTS.into_iter().find(|verdict| *verdict == label);
            found.ok_or_else(|| format!("verdict {label:?} is none of {}", VERDICTS.join(", ")))
        };
        Ok(Filter {
            reasons: words(&self.reason).into_iter().map(reason).collect::<Result<_, _>>()?,
            verdicts: words(&self.verdict).into_iter().map(verdict).collect::<Result<_, _>>()?,
            source: self.source.as_deref().map(file::prefix).transpose()?,
            service: self.service.clone(),
        })
    }

    /// How many are told at most.
    #[must_use]
    pub fn most(&self) -> usize {
        self.limit.unwrap_or(MOST).clamp(1, MOST)
    }
}

impl Filter {
    /// Whether that event is wanted; `service` is its service's name.
    #[must_use]
    pub fn wants(&self, kept: &Kept, service: &str) -> bool {
        let Some(reason) = Reason::from_number(kept.event.reason) else { return false };
        let is_from = |net: &IpNet| kept.source.is_some_and(|source| net.contains(&source));
        (self.reasons.is_empty() || self.reasons.contains(&reason))
            && (self.verdicts.is_empty() || self.verdicts.contains(&verdict_of(kept, reason)))
            && self.source.as_ref().is_none_or(is_from)
            && self.service.as_ref().is_none_or(|wanted| wanted == service)
    }
}

#[cfg(test)]
mod tests {
    use filter_common::event::{Event, SNAP};

    use super::*;

    fn kept(reason: Reason, plane: Plane) -> Kept {
        let event = Event {
            time: 1,
            weight: 16,
            ifindex: u32::MAX,
            length: 60,
            captured: 14,
            reason: reason as u8,
            plane: plane as u8,
            frame: [0; SNAP],
        };
        Kept { number: 7, event, service: 0, source: Some("44.0.0.9".parse().unwrap()) }
    }

    #[test]
    fn a_filter_wants_what_it_says() {
        let drop = kept(Reason::Bogon, Plane::Enforced);
        let observed = kept(Reason::Bogon, Plane::Observed);
        let text = |text: &str| Some(text.to_owned());
        for (asked, wants) in [
            (Asked::default(), [true, true]),
            (Asked { reason: text("land,bogon"), ..Asked::default() }, [true, true]),
            (Asked { reason: text("land"), ..Asked::default() }, [false, false]),
            (Asked { verdict: text("drop"), ..Asked::default() }, [true, false]),
            (Asked { verdict: text("would_drop,reply"), ..Asked::default() }, [false, true]),
            (Asked { source: text("44.0.0.0/24"), ..Asked::default() }, [true, true]),
            (Asked { source: text("44.0.1.0/24"), ..Asked::default() }, [false, false]),
            (Asked { service: text("web"), ..Asked::default() }, [false, false]),
            (Asked { service: text("*"), ..Asked::default() }, [true, true]),
        ] {
            let filter = asked.filter().unwrap();
            assert_eq!([&drop, &observed].map(|kept| filter.wants(kept, "*")), wants, "{asked:?}");
        }
        for asked in [
            Asked { reason: text("bogus"), ..Asked::default() },
            Asked { verdict: text("drop,"), ..Asked::default() },
            Asked { source: text("here"), ..Asked::default() },
        ] {
            assert!(asked.filter().is_err(), "{asked:?}");
        }
        assert_eq!(Asked { limit: Some(usize::MAX), ..Asked::default() }.most(), MOST);
        assert_eq!(Asked { limit: Some(0), ..Asked::default() }.most(), 1);
    }

    #[test]
    fn a_line_tells_what_there_is() {
        let line = Line::new(&kept(Reason::Bogon, Plane::Observed), 1.5, ["eth0", "*"], true).unwrap();
        assert_eq!(line.frame.as_deref(), Some("0000000000000000000000000000"));
        assert_eq!((line.verdict.as_str(), line.interface.as_str()), ("would_drop", "eth0"));
        assert!(line.text().contains("16x 60 bytes that are no whole IP packet"), "{}", line.text());
        let strange = Kept {
            event: Event { reason: 127, ..kept(Reason::Pass, Plane::Enforced).event },
            ..kept(Reason::Pass, Plane::Enforced)
        };
        assert!(Line::new(&strange, 0.0, ["eth0", "*"], false).is_none());
        let again: Line = serde_json::from_str(&serde_json::to_string(&line).unwrap()).unwrap();
        assert_eq!(again, line);
    }
}
