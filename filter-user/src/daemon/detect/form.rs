//! Attacks as they are told.

use std::{cmp::Reverse, fmt::Write as _, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    daemon::deadline::Clock,
    detect::{attack::Attack, top},
};

/// Sources and prefixes that are told of.
const TOLD: usize = 20;

/// What `GET /v1/attacks` answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Attacks {
    /// Version of this form.
    pub schema: u32,
    /// Those that go on, then the last one that is over, and so on.
    pub attacks: Vec<Line>,
}

/// An attack.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Line {
    /// Its number, from 1 on since the daemon started.
    pub id: u64,
    /// The service; `*` is the rest of the host.
    pub service: String,
    /// When it was found, seconds since 1970.
    pub began: u64,
    /// When it was over; absent: it goes on.
    pub ended: Option<u64>,
    /// What it is made of, in the order of its finding.
    pub vectors: Vec<VectorLine>,
    /// Most packets per second, that nobody honest explains.
    pub peak_pps: u64,
    /// Most bits per second.
    pub peak_bps: u64,
    /// What was done about it.
    pub acts: Vec<ActLine>,
}

/// One vector of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct VectorLine {
    /// The `vector` label.
    pub vector: String,
    /// The usual load, packets per second.
    pub usual_pps: u64,
    /// From where on it was an attack.
    pub threshold_pps: u64,
    /// Most packets per second.
    pub peak_pps: u64,
    /// Most bits per second.
    pub peak_bps: u64,
}

impl VectorLine {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let [peak, usual, threshold] = [self.peak_pps, self.usual_pps, self.threshold_pps].map(short);
        format!("{}: up to {peak} packets/s, usual {usual}, an attack from {threshold}", self.vector)
    }
}

/// Something that was done.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ActLine {
    /// When, seconds since 1970.
    pub at: u64,
    /// What.
    pub what: String,
    /// When it was taken back.
    pub undone: Option<u64>,
}

/// What `GET /v1/attacks/{id}` answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct One {
    /// Version of this form.
    pub schema: u32,
    /// The attack.
    pub attack: Line,
    /// Who sent most, as packets give it: forged, where nothing proves the contrary.
    pub sources: Vec<Heavy<IpAddr>>,
    /// Their /24s and /48s.
    pub prefixes: Vec<Heavy<IpNet>>,
    /// Who proved most often that they can receive; addresses, and /64s.
    pub proven: Vec<Heavy<IpNet>>,
    /// Those of them that did so more than `detect.heavy` times a second.
    pub heavy: Vec<Heavy<IpNet>>,
    /// No number of packets is too high by more than this.
    pub error: u64,
}

/// Somebody who sent much.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Heavy<K> {
    /// Who.
    pub who: K,
    /// Packets, estimated from samples.
    pub packets: u64,
    /// At least so many of them.
    pub at_least: u64,
}

impl Line {
    pub(in crate::daemon) fn new(attack: &Attack, service: &str, clock: &Clock) -> Self {
        let at = |moment: u64| clock.whole(moment);
        let vectors = attack.hits.iter().map(|hit| VectorLine {
            vector: hit.vector.label().to_owned(),
            usual_pps: whole(hit.usual),
            threshold_pps: whole(hit.threshold),
            peak_pps: whole(hit.peak_pps),
            peak_bps: whole(hit.peak_bps),
        });
        let acts = attack.acts.iter();
        let acts = acts.map(|a| ActLine { at: at(a.at), what: a.what.clone(), undone: a.undone.map(at) });
        Self {
            id: attack.id,
            service: service.to_owned(),
            began: at(attack.began),
            ended: attack.ended.map(at),
            vectors: vectors.collect(),
            peak_pps: whole(attack.peak_pps),
            peak_bps: whole(attack.peak_bps),
            acts: acts.collect(),
        }
    }

    /// One line.
    #[must_use]
    pub fn text(&self) -> String {
        let vectors: Vec<_> = self.vectors.iter().map(|vector| vector.vector.as_str()).collect();
        let state =
            self.ended.map_or("goes on".to_owned(), |ended| format!("{} s", ended - self.began.min(ended)));
        let (pps, bps) = (short(self.peak_pps), short(self.peak_bps));
        format!("{:>5}  {:<16} {:<9} {pps:>7} {bps:>7}  {}", self.id, self.service, state, vectors.join(","))
    }

    /// What its columns are.
    pub const HEAD: &str = "   id  service          length        pps   bit/s  vectors\n";
}

impl One {
    pub(in crate::daemon) fn new(attack: &Attack, line: Line) -> Self {
        Self {
            schema: 1,
            attack: line,
            sources: told_of(attack.sources.heaviest(TOLD)),
            prefixes: told_of(attack.prefixes.heaviest(TOLD)),
            proven: told_of(attack.proven.heaviest(TOLD)),
            heavy: told_of(attack.heavy.values().copied()),
            error: attack.sources.bound(),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}{}\n", Line::HEAD, self.attack.text());
        for vector in &self.attack.vectors {
            let _ = writeln!(text, "  {}", vector.text());
        }
        for act in &self.attack.acts {
            let undone = if act.undone.is_some() { " (undone)" } else { "" };
            let _ = writeln!(text, "  {}{undone}", act.what);
        }
        told(&mut text, "sources, as packets give them", &self.sources);
        told(&mut text, "their prefixes", &self.prefixes);
        told(&mut text, "proven sources, by handshakes", &self.proven);
        told(&mut text, "more than detect.heavy a second", &self.heavy);
        let _ = write!(text, "numbers are at most {} packets too high", short(self.error));
        text
    }
}

pub(in crate::daemon) fn told<K: ToString>(text: &mut String, title: &str, list: &[Heavy<K>]) {
    if !list.is_empty() {
        let _ = writeln!(text, "{title}:");
    }
    for heavy in list.iter().take(TOLD) {
        let _ = writeln!(text, "  {:<43} {:>7} packets", heavy.who.to_string(), short(heavy.packets));
    }
}

fn told_of<K>(heavy: impl IntoIterator<Item = top::Heavy<K>>) -> Vec<Heavy<K>> {
    let heavy = heavy.into_iter();
    let mut all: Vec<_> =
        heavy.map(|h| Heavy { who: h.key, packets: h.count, at_least: h.count - h.error }).collect();
    all.sort_by_key(|heavy| Reverse(heavy.at_least));
    all
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are finite and not negative"
)]
const fn whole(rate: f64) -> u64 {
    rate as u64
}

/// With a letter for thousands, millions and so on.
#[must_use]
pub fn short(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..10_000_000 => format!("{}k", number / 1000),
        10_000_000..10_000_000_000 => format!("{}M", number / 1_000_000),
        _ => format!("{}G", number / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_fits_the_terminal() {
        let line = Line {
            id: 12_345,
            service: "web".to_owned(),
            began: 1000,
            ended: Some(1090),
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
                at: 1001,
                what: "armed the answers to SYNs".to_owned(),
                undone: Some(1090),
            }],
        };
        assert_eq!(line.text(), "12345  web              90 s          12M   9876M  syn");
        let one = One {
            schema: 1,
            attack: line,
            sources: vec![Heavy { who: "44.0.0.1".parse().unwrap(), packets: 5000, at_least: 4000 }],
            prefixes: vec![],
            proven: vec![],
            heavy: vec![],
            error: 1000,
        };
        let text = one.text();
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(text.contains("44.0.0.1") && text.contains("(undone)") && !text.contains("prefixes"));
    }
}
