//! What an incident says. Of sources it holds what `privacy.addresses` allows, wherever they appear.

use std::{collections::BTreeMap, fmt::Write as _};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::privacy::Privacy;
use crate::{
    config::schema::{Addresses, Mode},
    daemon::{
        detect::{ActLine, Heavy, Line, One, short, told},
        events,
    },
    detect::record::{Collateral, Course, Fates, Point},
};

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The attack goes on.
    Active,
    /// It is over.
    Over,
    /// The daemon ended before it was over.
    Interrupted,
}

impl Standing {
    /// Of an attack of this daemon, by when it was over.
    #[must_use]
    pub const fn of(ended: Option<u64>) -> Self {
        if ended.is_some() { Self::Over } else { Self::Active }
    }

    /// In a word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Over => "over",
            Self::Interrupted => "interrupted",
        }
    }
}

/// An attack, as it is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Incident {
    /// Version of this form.
    pub schema: u32,
    /// When it began, UTC, and the attack's number: `20261122T191500Z-3`.
    pub id: String,
    /// Where it stands.
    pub state: Standing,
    /// When this was written, seconds since 1970.
    pub written: u64,
    /// Revision of the configuration when it began; 0 is none.
    pub revision: u64,
    /// `enforce`, or `observe`: what is told as dropped and answered passed in truth.
    pub mode: String,
    /// What is kept of sources' addresses (`privacy.addresses`).
    pub addresses: Addresses,
    /// Vectors, peaks, acts.
    pub attack: Line,
    /// What became of the host's packets meanwhile.
    pub fates: Fates,
    /// What it cost those who are real.
    pub collateral: Collateral,
    /// Its course; at most 601 points.
    pub timeline: Vec<Point>,
    /// Prefixes that sent most, as packets give them: forged, where nothing proves the contrary.
    pub prefixes: Vec<Heavy<IpNet>>,
    /// Prefixes of sources that proved most often that they can receive, as cookies and challenges are answered.
    pub proven: Vec<Heavy<IpNet>>,
    /// Prefixes of those of them that did so more than `detect.heavy` times a second, each by itself: whom a report may name.
    #[serde(default)]
    pub heavy: Vec<Heavy<IpNet>>,
    /// No number of packets of a prefix is too high by more than this.
    pub error: u64,
    /// Some of its packets.
    pub samples: Vec<events::Line>,
}

/// An incident in a line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Summary {
    /// What to ask for.
    pub id: String,
    /// Where it stands.
    pub state: Standing,
    /// The service; `*` is the rest of the host.
    pub service: String,
    /// When it was found, seconds since 1970.
    pub began: u64,
    /// When it was over, or interrupted.
    pub ended: Option<u64>,
    /// What it is made of.
    pub vectors: Vec<String>,
    /// Most packets per second.
    pub peak_pps: u64,
    /// Most bits per second.
    pub peak_bps: u64,
}

/// What `GET /v1/incidents` answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Incidents {
    /// Version of this form.
    pub schema: u32,
    /// The last one first.
    pub incidents: Vec<Summary>,
}

/// What of an incident is the same whenever it is written.
#[derive(Clone)]
pub(in crate::daemon) struct Fixed {
    pub(in crate::daemon) id: String,
    pub(in crate::daemon) began: u64,
    pub(in crate::daemon) revision: u64,
    pub(in crate::daemon) mode: String,
    pub(in crate::daemon) addresses: Addresses,
    pub(in crate::daemon) privacy: Privacy,
    pub(in crate::daemon) samples: Vec<events::Line>,
}

/// Date and time, UTC, as RFC 3339 writes them.
#[must_use]
pub fn utc(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}

/// The id of the incident that began then.
pub(crate) fn id(began: u64, number: u64) -> String {
    let digits: String = utc(began).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{digits}-{number}")
}

/// A sampled packet with what is kept of its source.
pub(in crate::daemon) fn kept(line: events::Line, privacy: &Privacy) -> events::Line {
    let mut line = line;
    if let Some(packet) = &mut line.packet {
        packet.source = privacy.address(packet.source);
    }
    events::Line { frame: None, ..line }
}

/// What is kept of them, together where that is the same; the heaviest first.
fn heaviest(sources: &[Heavy<IpNet>], privacy: &Privacy) -> Vec<Heavy<IpNet>> {
    let mut sums: BTreeMap<IpNet, [u64; 2]> = BTreeMap::new();
    for source in sources {
        let [packets, at_least] = sums.entry(privacy.net(source.who)).or_default();
        (*packets, *at_least) = (*packets + source.packets, *at_least + source.at_least);
    }
    let sums = sums.into_iter();
    let mut all: Vec<_> = sums.map(|(who, [packets, at_least])| Heavy { who, packets, at_least }).collect();
    all.sort_by_key(|heavy| std::cmp::Reverse(heavy.packets));
    all
}

impl Incident {
    /// What is known of it at `written`, seconds since 1970.
    pub(in crate::daemon) fn new(fixed: &Fixed, one: One, course: &Course, written: u64) -> Self {
        let One { attack, prefixes, proven, heavy, error, .. } = one;
        let acts = attack.acts.into_iter().map(|act| ActLine { what: fixed.privacy.text(&act.what), ..act });
        let attack = Line { began: fixed.began, acts: acts.collect(), ..attack };
        Self {
            schema: 1,
            id: fixed.id.clone(),
            state: Standing::of(attack.ended),
            written,
            revision: fixed.revision,
            mode: fixed.mode.clone(),
            fates: course.fates(),
            collateral: course.collateral(),
            timeline: course.points(),
            addresses: fixed.addresses,
            prefixes: heaviest(&prefixes, &fixed.privacy),
            proven: heaviest(&proven, &fixed.privacy),
            heavy: heaviest(&heavy, &fixed.privacy),
            error,
            samples: fixed.samples.clone(),
            attack,
        }
    }

    /// The daemon that wrote it has ended.
    pub(in crate::daemon) fn interrupted(self) -> Self {
        let attack = Line { ended: Some(self.written.max(self.attack.began)), ..self.attack };
        Self { state: Standing::Interrupted, attack, ..self }
    }

    pub(in crate::daemon) fn summary(&self) -> Summary {
        let Line { service, began, ended, peak_pps, peak_bps, .. } = self.attack.clone();
        let vectors = self.vectors();
        Summary { id: self.id.clone(), state: self.state, service, began, ended, vectors, peak_pps, peak_bps }
    }

    /// Labels of its vectors.
    #[must_use]
    pub fn vectors(&self) -> Vec<String> {
        self.attack.vectors.iter().map(|vector| vector.vector.clone()).collect()
    }

    /// Seconds from beginning to end, or to the last writing.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.attack.ended.unwrap_or(self.written).saturating_sub(self.attack.began)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { id, attack, collateral, .. } = self;
        let mut text = format!("incident  {id}, {}\n", self.state.label());
        let _ = writeln!(text, "service   {}: {}", attack.service, self.vectors().join(", "));
        let _ = writeln!(text, "time      {}, {} s", utc(attack.began), self.seconds());
        let (pps, bps) = (short(attack.peak_pps), short(attack.peak_bps));
        let _ = writeln!(text, "peak      {pps} packets/s, {bps} bit/s");
        let _ = writeln!(text, "config    revision {}, mode {}", self.revision, self.mode);
        let _ = writeln!(text, "packets   {} (the host's)", self.fates_text(short));
        let _ = writeln!(text, "real      {}", self.collateral_text());
        let _ = writeln!(text, "          handshakes/s: {}", handshakes(collateral));
        let loads: Vec<_> = self.timeline.iter().map(|point| point.pps).collect();
        let _ = writeln!(text, "load      {}", bars(&loads, 60));
        for vector in &attack.vectors {
            let _ = writeln!(text, "  {}", vector.text());
        }
        for act in &attack.acts {
            let undone = if act.undone.is_some() { " (undone)" } else { "" };
            let _ = writeln!(text, "  after {} s {}{undone}", act.at.saturating_sub(attack.began), act.what);
        }
        told(&mut text, "prefixes, as packets give them", &self.prefixes);
        told(&mut text, "prefixes of proven sources, by handshakes", &self.proven);
        told(&mut text, "of those with more than detect.heavy a second each", &self.heavy);
        text
    }

    /// Before what became of packets: nothing where it came true.
    fn in_truth(&self) -> &'static str {
        if self.mode == Mode::Observe.label() { "would have been " } else { "" }
    }

    /// What became of the host's packets; `number` writes one.
    pub(super) fn fates_text(&self, number: impl Fn(u64) -> String) -> String {
        let Fates { passed, dropped, answered } = self.fates;
        let [passed, dropped, answered] = [passed, dropped, answered].map(number);
        let would = self.in_truth();
        format!("{passed} passed, {dropped} {would}dropped, {answered} {would}answered")
    }

    /// How many packets of proven sources were dropped.
    pub(in crate::daemon) fn collateral_text(&self) -> String {
        let Collateral { proven_packets, proven_dropped, .. } = self.collateral;
        if proven_packets == 0 {
            return "no packet of a proven source was sampled".to_owned();
        }
        let percent = proven_dropped.saturating_mul(100) / proven_packets;
        let [dropped, all] = [proven_dropped, proven_packets].map(short);
        let would = self.in_truth();
        format!("{percent} % of proven sources' packets {would}dropped at most ({dropped} of {all})")
    }
}

/// Handshakes per second, before, meanwhile, after.
pub(super) fn handshakes(collateral: &Collateral) -> String {
    let shown = |rate: Option<f64>| rate.map_or("?".to_owned(), |rate| format!("{rate:.1}"));
    let Collateral { handshakes_before, handshakes_during, handshakes_after, .. } = *collateral;
    let [before, during, after] = [handshakes_before, handshakes_during, handshakes_after].map(shown);
    format!("{before} before, {during} meanwhile, {after} after")
}

/// Values as bars, at most so many: the highest of those that share one.
fn bars(values: &[u64], most: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let each = values.len().div_ceil(most).max(1);
    let highest = values.iter().copied().max().unwrap_or(0).max(1);
    let bar = |group: &[u64]| {
        let value = u128::from(group.iter().copied().max().unwrap_or(0));
        BARS[usize::try_from(value * 7 / u128::from(highest)).unwrap_or(7)]
    };
    values.chunks(each).map(bar).collect()
}

impl Summary {
    /// What its columns are.
    pub const HEAD: &str =
        "id                    state        service         length     pps   bit/s  vectors\n";

    /// One line.
    #[must_use]
    pub fn text(&self) -> String {
        let length = self.ended.map_or("-".to_owned(), |end| format!("{} s", end.saturating_sub(self.began)));
        let (pps, bps) = (short(self.peak_pps), short(self.peak_bps));
        let (id, state, vectors) = (&self.id, self.state.label(), self.vectors.join(","));
        format!("{id:<20}  {state:<11}  {:<12} {length:>9} {pps:>7} {bps:>7}  {vectors}", self.service)
    }
}

#[cfg(test)]
pub(in crate::daemon) mod tests {
    use super::*;
    use crate::daemon::detect::VectorLine;

    /// An incident that the daemon could have written.
    pub(in crate::daemon) fn incident(began: u64, number: u64) -> Incident {
        let attack = Line {
            id: number,
            service: "web".to_owned(),
            began,
            ended: Some(began + 90),
            vectors: vec![VectorLine {
                vector: "syn".to_owned(),
                usual_pps: 3,
                threshold_pps: 1000,
                peak_pps: 12_345_678,
                peak_bps: 9_876_543_210,
            }],
            peak_pps: 12_345_678,
            peak_bps: 9_876_543_210,
            acts: vec![ActLine {
                at: began + 1,
                what: "banned 192.31.196.9/32 for 600 s: auto/syn#7".to_owned(),
                undone: Some(began + 90),
            }],
        };
        let heavy = |who: &str, packets| Heavy { who: who.parse().unwrap(), packets, at_least: packets - 1 };
        let one = One {
            schema: 1,
            attack,
            sources: vec![],
            prefixes: vec![heavy("44.0.0.0/24", 5000)],
            proven: vec![
                heavy("192.31.196.9/32", 30),
                heavy("2620:4f:8000:1::/64", 50),
                heavy("192.31.196.77/32", 40),
                heavy("192.31.197.5/32", 9),
            ],
            heavy: vec![heavy("192.31.196.9/32", 30), heavy("2620:4f:8000:1::/64", 50)],
            error: 10,
        };
        let fixed = Fixed {
            id: id(began, number),
            began,
            revision: 3,
            mode: "enforce".to_owned(),
            addresses: Addresses::Truncated,
            privacy: Privacy::Truncated,
            samples: vec![kept(sample(), &Privacy::Truncated)],
        };
        let points = (0..90).map(|n| Point { after: 2 * n, pps: 1000 * (n + 1), ..Point::default() });
        let timeline = points.collect();
        Incident { timeline, ..Incident::new(&fixed, one, &Course::default(), began + 95) }
    }

    fn sample() -> events::Line {
        serde_json::from_value(serde_json::json!({
            "number": 1, "time": 1.5, "weight": 16, "interface": "eth0", "verdict": "reply",
            "reason": "cookie_sent", "service": "web", "bytes": 74, "frame": "00",
            "packet": {
                "source": "192.31.196.9", "destination": "203.0.113.1", "protocol": "tcp",
                "ports": [40000, 80], "flags": "SYN", "ttl": 63
            }
        }))
        .unwrap()
    }

    #[test]
    fn ids_are_times() {
        assert_eq!(utc(1_795_374_900), "2026-11-22T19:15:00Z");
        assert_eq!(id(1_795_374_900, 3), "20261122T191500Z-3");
        assert_eq!(utc(u64::MAX), u64::MAX.to_string());
        assert!(id(1_795_374_900, 3) < id(1_795_374_901, 1), "they sort by time");
    }

    #[test]
    fn no_whole_address_is_kept() {
        let incident = incident(1_795_374_900, 7);
        let json = serde_json::to_string(&incident).unwrap();
        assert!(!json.contains("196.9") && !json.contains("196.77") && !json.contains("8000:1"), "{json}");
        assert!(json.contains("banned 192.31.196.0/24 for 600 s: auto/syn#7"), "{json}");
        let proven: Vec<_> = incident.proven.iter().map(|h| (h.who.to_string(), h.packets)).collect();
        assert_eq!(
            proven,
            [
                ("192.31.196.0/24".to_owned(), 70),
                ("2620:4f:8000::/48".to_owned(), 50),
                ("192.31.197.0/24".to_owned(), 9)
            ]
        );
        assert_eq!(incident.samples[0].frame, None);
    }

    #[test]
    fn it_fits_the_terminal() {
        let incident = incident(1_795_374_900, 7);
        let text = incident.text();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for wanted in ["20261122T191500Z-7, over", "(undone)", "? before", "44.0.0.0/24", "192.31.196.0/24"] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
        let line = incident.summary().text();
        assert_eq!(line, "20261122T191500Z-7    over         web               90 s     12M   9876M  syn");
        assert_eq!(bars(&[0, 50, 100], 60), "▁▄█");
        assert_eq!(bars(&[1; 600], 60).chars().count(), 60);
        assert_eq!(bars(&[], 60), "");
    }

    #[test]
    fn it_may_be_interrupted() {
        let active = Incident { state: Standing::Active, written: 500, ..incident(400, 1) };
        let found = active.interrupted();
        assert_eq!(
            (found.state, found.attack.ended, found.seconds()),
            (Standing::Interrupted, Some(500), 100)
        );
    }
}
