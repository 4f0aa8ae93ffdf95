//! The packets of a capture through one program, or through two.

mod text;

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context as _, Result};
use filter_common::reason::Reason;
use serde::Serialize;

use super::{
    SCHEMA, Subject,
    capture::{Captured, Damaged, Skipped},
    packet,
};
use crate::{
    dataplane::rehearsal::{Outcome, Rehearsal},
    observe::metrics::verdict,
};

/// What became of a file's packets.
#[derive(Clone, Debug, Serialize)]
pub struct Replay {
    /// Version of this form.
    pub schema: u32,
    /// The file.
    pub file: String,
    /// The program that was asked.
    pub program: Subject,
    /// Verdicts, most frequent first.
    pub verdicts: Vec<Line>,
    /// What was read.
    #[serde(flatten)]
    pub read: Tally,
}

/// Packets with one fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What became of them.
    #[serde(flatten)]
    pub fate: Fate,
    /// How many.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

/// Verdict and reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fate {
    /// As in [`super::Explanation`].
    pub verdict: &'static str,
    /// The reason's label.
    pub reason: &'static str,
}

impl Fate {
    fn of(outcome: &Outcome) -> Self {
        Self::new(outcome.reason, outcome.observed)
    }

    const fn new(reason: Reason, observed: bool) -> Self {
        Self { verdict: verdict(reason.action(), observed), reason: reason.label() }
    }
}

/// What was read of a file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// Packets that were judged.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, packets of which the capture holds the beginning only.
    pub cut: u64,
    /// Packets that were not judged.
    pub skipped: BTreeMap<Skipped, u64>,
    /// Where the file is damaged; what comes before is counted.
    pub damaged: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// What is odd about the answer.
    pub notes: Vec<String>,
}

/// What a candidate would do otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Version of this form.
    pub schema: u32,
    /// The file.
    pub file: String,
    /// The attached program.
    pub program: Subject,
    /// The other one.
    pub candidate: Subject,
    /// Packets whose fate would change.
    pub changed: u64,
    /// Changes, most frequent first.
    pub changes: Vec<Change>,
    /// What was read.
    #[serde(flatten)]
    pub read: Tally,
}

/// Packets that would have another fate.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Now.
    pub from: Fate,
    /// With the candidate.
    pub to: Fate,
    /// How many.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// The number of the first one.
    pub first: u64,
    /// What it is.
    pub example: String,
}

/// One packet of a replay.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Judged {
    /// Version of this form.
    pub schema: u32,
    /// Its number in the file.
    pub packet: u64,
    /// What became of it; absent if it was skipped.
    #[serde(flatten)]
    pub fate: Option<Fate>,
    /// Why it was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Skipped>,
    /// The number of the rule that decided, from 1 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// Bytes on the wire.
    pub bytes: u64,
    /// The capture holds its beginning only.
    pub cut: bool,
}

/// Judges every packet, in the file's order; `each` hears of it.
pub fn replay(
    file: &str,
    capture: impl Iterator<Item = std::result::Result<Captured, Damaged>>,
    rehearsal: &mut Rehearsal,
    mut each: impl FnMut(&Judged) -> Result<()>,
) -> Result<Replay> {
    let mut found = BTreeMap::<Fate, (u64, u64)>::new();
    let mut read = walk(capture, |captured, frame| {
        let number = captured.number;
        let judged = |fate, skipped, rule, bytes| Judged {
            schema: SCHEMA,
            packet: number,
            fate,
            skipped,
            rule,
            bytes,
            cut: captured.cut,
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(why) => return each(&judged(None, Some(why), None, 0)),
        };
        let outcome = rehearsal.run(frame).with_context(|| format!("packet {number}"))?;
        let (fate, bytes) = (Fate::of(&outcome), frame.len() as u64);
        add(found.entry(fate).or_default(), bytes);
        each(&judged(Some(fate), None, outcome.rule().map(|rule| rule + 1), bytes))
    })?;
    let mut verdicts: Vec<_> =
        found.into_iter().map(|(fate, (packets, bytes))| Line { fate, packets, bytes }).collect();
    verdicts.sort_by_key(|line| std::cmp::Reverse(line.packets));
    read.notes.splice(..0, rehearsal.notes().iter().cloned());
    Ok(Replay { schema: SCHEMA, file: file.to_owned(), program: Subject::of(rehearsal), verdicts, read })
}

/// Judges every packet twice.
pub fn compare(
    file: &str,
    capture: impl Iterator<Item = std::result::Result<Captured, Damaged>>,
    live: &mut Rehearsal,
    candidate: &mut Rehearsal,
) -> Result<Difference> {
    let mut changes = BTreeMap::<(Fate, Fate), Change>::new();
    let mut read = walk(capture, |captured, frame| {
        let Ok(frame) = frame else { return Ok(()) };
        let fate = |rehearsal: &mut Rehearsal| -> Result<Fate> {
            let outcome = rehearsal.run(frame).with_context(|| format!("packet {}", captured.number))?;
            Ok(Fate::of(&outcome))
        };
        let (from, to) = (fate(live)?, fate(candidate)?);
        if from != to {
            let first = || {
                let example = packet::line(frame);
                Change { from, to, packets: 0, bytes: 0, first: captured.number, example }
            };
            let change = changes.entry((from, to)).or_insert_with(first);
            change.packets += 1;
            change.bytes += frame.len() as u64;
        }
        Ok(())
    })?;
    let mut changes: Vec<_> = changes.into_values().collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.packets));
    read.notes.splice(..0, live.notes().iter().chain(candidate.notes()).cloned());
    Ok(Difference {
        schema: SCHEMA,
        file: file.to_owned(),
        program: Subject::of(live),
        candidate: Subject::of(candidate),
        changed: changes.iter().map(|change| change.packets).sum(),
        changes,
        read,
    })
}

fn add(sum: &mut (u64, u64), bytes: u64) {
    sum.0 += 1;
    sum.1 += bytes;
}

/// Shows every packet, until the file ends or stops making sense.
fn walk(
    capture: impl Iterator<Item = std::result::Result<Captured, Damaged>>,
    mut judge: impl FnMut(&Captured, std::result::Result<&[u8], Skipped>) -> Result<()>,
) -> Result<Tally> {
    let (mut tally, start) = (Tally::default(), Instant::now());
    for captured in capture {
        let captured = match captured {
            Ok(captured) => captured,
            Err(damaged) => {
                tally.damaged = Some(damaged.to_string());
                break;
            }
        };
        match &captured.frame {
            Ok(frame) => {
                tally.packets += 1;
                tally.bytes += frame.len() as u64;
                tally.cut += u64::from(captured.cut);
                judge(&captured, Ok(frame))?;
            }
            Err(why) => {
                *tally.skipped.entry(*why).or_default() += 1;
                judge(&captured, Err(*why))?;
            }
        }
    }
    tally.seconds = start.elapsed().as_secs_f64();
    tally.notes.push(CLOCK.to_owned());
    Ok(tally)
}

/// The program's time is the clock's.
const CLOCK: &str = "packets follow each other as fast as they are judged, not as they were captured: rates see more of them in a second";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::capture::Capture;

    /// A pcap file of Ethernet frames.
    fn file(packets: &[&[u8]]) -> Vec<u8> {
        let mut file = vec![0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend([0, 0, 0xff, 0xff, 0, 0, 0, 1]);
        for bytes in packets {
            let length = (bytes.len() as u32).to_be_bytes();
            file.extend([&[0; 8], length.as_slice(), &length, bytes].concat());
        }
        file
    }

    #[test]
    fn what_comes_before_the_damage_is_counted() {
        let mut file = file(&[&[1; 60], &[2; 9], &[3; 61]]);
        file.truncate(file.len() - 1);
        let mut shown = Vec::new();
        let tally = walk(Capture::new(file.as_slice()).unwrap(), |captured, frame| {
            shown.push((captured.number, frame.is_ok()));
            Ok(())
        });
        let tally = tally.unwrap();
        assert_eq!(shown, [(1, true), (2, false)]);
        assert_eq!((tally.packets, tally.bytes, tally.skipped[&Skipped::Short]), (1, 60, 1));
        assert!(tally.damaged.unwrap().starts_with("the capture is damaged behind packet 2: "));
    }

    #[test]
    fn lines_are_flat_json() {
        let fate = Fate::new(Reason::Bogon, true);
        let line = serde_json::to_string(&Line { fate, packets: 2, bytes: 120 }).unwrap();
        assert_eq!(line, r#"{"verdict":"would_drop","reason":"bogon","packets":2,"bytes":120}"#);
        let judged = Judged {
            schema: 1,
            packet: 3,
            fate: Some(fate),
            skipped: None,
            rule: None,
            bytes: 60,
            cut: false,
        };
        let expected =
            r#"{"schema":1,"packet":3,"verdict":"would_drop","reason":"bogon","bytes":60,"cut":false}"#;
        assert_eq!(serde_json::to_string(&judged).unwrap(), expected);
    }
}
