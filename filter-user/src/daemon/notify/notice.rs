//! What is said of an attack. Of sources it holds what incidents keep (`privacy.addresses`).

use std::fmt::Write as _;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    config::schema::Addresses,
    daemon::{
        detect::{Heavy, short},
        incidents::{Incident, Standing, Summary, form::utc},
    },
    explain::frame::to_hex,
};

/// Prefixes that are told, and acts.
const PREFIXES: usize = 5;
const ACTS: usize = 10;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An attack was found.
    Began,
    /// It has another vector.
    Vector,
    /// It is over, or the daemon that saw it has ended.
    Ended,
    /// It goes on: said again and again to those who forget.
    Still,
    /// Nothing: somebody asked for a test.
    Test,
}

impl Event {
    /// In a word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Vector => "vector",
            Self::Ended => "ended",
            Self::Still => "still",
            Self::Test => "test",
        }
    }
}

/// A notification.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Notice {
    /// Version of this form.
    pub schema: u32,
    /// The same for the same happening, however often it is sent: `fw_` and 32 hexadecimal digits.
    pub id: String,
    /// What has happened.
    pub event: Event,
    /// When, seconds since 1970.
    pub time: u64,
    /// Where: the host's name.
    pub host: String,
    /// The attack; nothing in a test.
    pub attack: Option<Attack>,
    /// Attacks on the same service that began and ended without a notification since the last one.
    pub unsaid: u64,
}

/// What is said of the attack.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Attack {
    /// Incident, service, times, vectors, peaks.
    #[serde(flatten)]
    pub summary: Summary,
    /// Revision of the configuration when it began; 0 is none.
    pub revision: u64,
    /// `enforce` or `observe`.
    pub mode: String,
    /// What is told of sources' addresses (`privacy.addresses`).
    pub addresses: Addresses,
    /// What was done, the last ten.
    pub acts: Vec<String>,
    /// What it cost those who are real, for people.
    pub collateral: String,
    /// Prefixes that sent most, as packets give them: forged, where nothing proves the contrary. At most five.
    pub prefixes: Vec<Heavy<IpNet>>,
}

impl Attack {
    fn of(incident: &Incident) -> Self {
        let acts = &incident.attack.acts;
        let last = acts.len().saturating_sub(ACTS);
        Self {
            summary: incident.summary(),
            revision: incident.revision,
            mode: incident.mode.clone(),
            addresses: incident.addresses,
            acts: acts[last..].iter().map(|act| act.what.clone()).collect(),
            collateral: incident.collateral_text(),
            prefixes: incident.prefixes.iter().take(PREFIXES).cloned().collect(),
        }
    }

    /// Whether it goes on.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.summary.state == Standing::Active
    }
}

fn id(parts: [&str; 4]) -> String {
    let sum = Sha256::digest(parts.join("\0"));
    format!("fw_{}", to_hex(&sum[..16]))
}

impl Notice {
    /// Of an incident, at `time`, seconds since 1970.
    #[must_use]
    pub fn new(event: Event, incident: &Incident, host: &str, time: u64) -> Self {
        let attack = Attack::of(incident);
        // Another vector is another happening.
        let vectors = if event == Event::Vector { attack.summary.vectors.join(",") } else { String::new() };
        let id = id([host, event.label(), &incident.id, &vectors]);
        Self { schema: 1, id, event, time, host: host.to_owned(), attack: Some(attack), unsaid: 0 }
    }

    /// Of nothing.
    #[must_use]
    pub fn test(host: &str, time: u64) -> Self {
        // Each is a happening of its own: who takes each once is to take two of them.
        let id =
            id([host, Event::Test.label(), &time.to_string(), &getrandom::u64().unwrap_or(time).to_string()]);
        Self { schema: 1, id, event: Event::Test, time, host: host.to_owned(), attack: None, unsaid: 0 }
    }

    /// The incident's id; `test` in a test.
    #[must_use]
    pub fn incident(&self) -> &str {
        self.attack.as_ref().map_or("test", |attack| &attack.summary.id)
    }

    /// The attacked service; nothing in a test.
    #[must_use]
    pub fn service(&self) -> &str {
        self.attack.as_ref().map_or("", |attack| &attack.summary.service)
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let Some(Attack { summary, mode, .. }) = &self.attack else {
            return format!("Floodwall on {}: this is a test, nothing is attacked", self.host);
        };
        let what = match (self.event, summary.state) {
            (Event::Vector, _) => "the attack has another vector",
            (_, Standing::Active) if self.event == Event::Began => "an attack began",
            (_, Standing::Active) => "an attack goes on",
            (_, Standing::Over) => "the attack is over",
            (_, Standing::Interrupted) => "the daemon ended during the attack",
        };
        let of = match summary.service.as_str() {
            "*" => "the host".to_owned(),
            service => format!("service {service}"),
        };
        let (vectors, pps) = (summary.vectors.join(", "), short(summary.peak_pps));
        let mut text = format!("Floodwall on {}: {what}: {of}, {vectors}, peak {pps} packets/s", self.host);
        if let Some(ended) = summary.ended {
            let _ = write!(text, ", {} s", ended.saturating_sub(summary.began));
        }
        if mode == "observe" {
            text += ", only observed";
        }
        if self.unsaid > 0 {
            let _ = write!(text, "; {} shorter ones before were not told", self.unsaid);
        }
        text
    }

    /// More of it for people: the first line, and what else is known.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.line();
        let Some(attack) = &self.attack else { return text };
        let Attack { summary, acts, collateral, prefixes, .. } = attack;
        let _ = write!(text, "\n{collateral}");
        for act in acts {
            let _ = write!(text, "\n{act}");
        }
        for heavy in prefixes {
            let _ = write!(text, "\n{} sent {} packets, or seems to", heavy.who, short(heavy.packets));
        }
        let _ = write!(text, "\nfound {}: floodwall incident show {}", utc(summary.began), summary.id);
        text
    }
}
