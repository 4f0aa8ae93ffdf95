//! What would become of a packet, and why: the verdict is the program's own, from a rehearsal; what surrounds it are facts about it.
//!
//! The major components are:
//! - [`frame`]: a packet from a description or from digits; [`packet`]: a packet in a line.
//! - [`names`]: what services and rules are called.
//! - [`sampled`]: packets that the data path told of.
//! - [`capture`]: the packets of a pcap or pcapng file.
//! - [`replay`]: all of them through a program, or through two of them.
//! - [`text`], `replay::text`: what comes out, for people.

pub mod capture;
pub mod frame;
pub mod names;
pub mod packet;
pub mod replay;
pub mod sampled;
pub mod text;

use anyhow::Result;
use filter_common::{
    config::flags,
    packet::Packet,
    reason::{Action, Reason},
    stages::order::{STAGES, stage_of},
};
use serde::Serialize;

use self::{names::Names, sampled::Was};
use crate::{
    dataplane::rehearsal::{Met, Outcome, Rehearsal},
    observe::{metrics::verdict, threats::Threat},
};

/// Version of the forms that are printed as JSON.
pub const SCHEMA: u32 = 1;

/// What becomes of one packet.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Version of this form.
    pub schema: u32,
    /// The packet in a line.
    pub packet: String,
    /// What became of it when it came, if it is one that was sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<Was>,
    /// `pass`, `drop`, `reply`; `would_drop`, `would_reply` where it is only observed and passes.
    pub verdict: &'static str,
    /// The reason's label.
    pub reason: &'static str,
    /// What the reason means.
    pub help: &'static str,
    /// Its verdict is counted and not carried out.
    pub observed: bool,
    /// The number in `stages`, from 1 on, of the one that decided; absent if none objected.
    pub stage: Option<usize>,
    /// The service's name, or its number.
    pub service: Option<String>,
    /// The name or number of the rule that decided.
    pub rule: Option<String>,
    /// The program that said so.
    pub program: Subject,
    /// The pipeline.
    pub stages: Vec<Step>,
    /// The answer that goes out in the packet's place, in hexadecimal digits.
    pub reply: Option<String>,
    /// What can be done about it.
    #[serde(rename = "try")]
    pub remedies: Vec<String>,
    /// What is odd about this answer.
    pub notes: Vec<String>,
}

/// Which program was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The interface that packets come in on.
    pub interface: String,
    /// What the program was made from, in short; absent for a candidate.
    pub fingerprint: Option<String>,
    /// observe or enforce.
    pub mode: &'static str,
    /// What goes on with packets that pass, if that is not the stack. It is not asked.
    pub next: Option<String>,
}

impl Subject {
    /// Of a rehearsal.
    #[must_use]
    pub fn of(rehearsal: &Rehearsal) -> Self {
        let mode = if rehearsal.config().has(flags::OBSERVE) { "observe" } else { "enforce" };
        Self {
            interface: rehearsal.interface().to_owned(),
            fingerprint: rehearsal.fingerprint(),
            mode,
            next: rehearsal.next().map(str::to_owned),
        }
    }
}

/// What a stage found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Nothing; the packet went on.
    No,
    /// The packet's fate.
    Match,
    /// Nothing that concerns such a packet.
    NotConcerned,
    /// The packet did not come that far.
    NotReached,
}

/// A stage and what it found.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Its name.
    pub stage: &'static str,
    /// What it looks for.
    pub about: &'static str,
    /// What it found.
    pub found: Found,
    /// More about that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Runs the frame, and tells about it.
pub fn explain(rehearsal: &mut Rehearsal, frame: &[u8], names: &Names) -> Result<Explanation> {
    let outcome = rehearsal.run(frame)?;
    let parsed = packet::read(frame);
    let service = parsed.as_ref().map_or(Ok(0), |packet| rehearsal.service(packet))?;
    let meaning = parsed.unwrap_or(Packet::EMPTY);
    let at = stage_of(outcome.reason, &meaning, rehearsal.config());
    let mut stages: Vec<_> =
        (0..STAGES.len()).map(|index| step(index, at, &meaning, rehearsal.config())).collect();
    let did = |met: &Met| {
        format!("{} {}", names.rule(met.rule), if met.acted { "acts" } else { "counts, or passes it" })
    };
    stages[RULES].detail = outcome.rules.iter().map(did).collect::<Vec<_>>().join(", ");
    Ok(Explanation {
        schema: SCHEMA,
        packet: packet::line(frame),
        was: None,
        verdict: verdict(outcome.reason.action(), outcome.observed),
        reason: outcome.reason.label(),
        help: outcome.reason.help(),
        observed: outcome.observed,
        stage: at.map(|index| index + 1),
        service: (service != 0).then(|| names.service(service)),
        rule: outcome.rule().map(|rule| names.rule(rule)),
        program: Subject::of(rehearsal),
        stages,
        remedies: remedies(&outcome, &meaning),
        reply: outcome.reply.as_deref().map(frame::to_hex),
        notes: rehearsal.notes().to_vec(),
    })
}

/// The place of the operator's rules among the stages.
const RULES: usize = 10;

fn step(index: usize, at: Option<usize>, packet: &Packet, config: &filter_common::config::Config) -> Step {
    let stage = &STAGES[index];
    let found = match at {
        Some(at) if at == index => Found::Match,
        Some(at) if at < index => Found::NotReached,
        _ if !(stage.concerns)(packet, config) => Found::NotConcerned,
        _ => Found::No,
    };
    Step { stage: stage.name, about: stage.about, found, detail: String::new() }
}

/// What an operator can do so that such a packet passes.
fn remedies(outcome: &Outcome, packet: &Packet) -> Vec<String> {
    if outcome.reason.action() != Action::Drop {
        return Vec::new();
    }
    let mut remedies = Vec::new();
    if outcome.reason == Reason::Banned {
        remedies.push(format!("floodwall ban test {}", packet::address(&packet.source)));
    }
    let settings = Threat::of(outcome.reason).map_or(&[][..], |threat| threat.settings);
    if !settings.is_empty() {
        remedies.push(format!("settings: {}", settings.join(", ")));
    }
    // What can't be parsed has no source.
    if *packet != Packet::EMPTY {
        let source = packet::address(&packet.source);
        remedies.push(format!(
            "lists.allow = [\"{source}\"], or management.allow for a host that you log in from"
        ));
    }
    remedies
}

#[cfg(test)]
mod tests {
    use filter_common::config::Config;

    use super::*;

    #[test]
    fn the_rules_are_where_they_are() {
        assert_eq!(STAGES[RULES].name, "rules");
    }

    #[test]
    fn stages_behind_the_one_that_decided_are_not_reached() {
        let found = |index, at| step(index, at, &Packet::EMPTY, &Config::EMPTY).found;
        assert_eq!(
            (found(0, Some(6)), found(6, Some(6)), found(8, Some(6))),
            (Found::No, Found::Match, Found::NotReached)
        );
        assert_eq!((found(9, None), found(8, None)), (Found::NotConcerned, Found::No));
    }

    #[test]
    fn a_drop_says_what_to_do() {
        let outcome = |reason| Outcome { reason, observed: true, bytes: 60, rules: Vec::new(), reply: None };
        let packet = Packet { ttl: 1, source: filter_common::packet::Address([0, 0, 0, 0]), ..Packet::EMPTY };
        let all = remedies(&outcome(Reason::Banned), &packet);
        assert!(all[0].starts_with("floodwall ban test") && all[1].contains("lists.block"), "{all:?}");
        assert!(remedies(&outcome(Reason::Pass), &packet).is_empty());
        assert_eq!(remedies(&outcome(Reason::Ipv4Truncated), &Packet::EMPTY), Vec::<String>::new());
    }
}
