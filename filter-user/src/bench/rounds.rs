//! Measuring: every path in every round, each beside the empty program.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use filter_common::{abi::Plane, reason::Reason};

use super::{
    Options,
    facts::Facts,
    frames::Frame,
    paths::{self, Path},
    report::{Harness, Row, Run, shares},
    scene::Scene,
    sources,
    stand::{References, Stand},
    stats::Quartiles,
};
use crate::dataplane::{
    Dataplane,
    measure::{SOURCES, Shots, Timed, Wrapper},
};

/// A path on its way through the rounds.
struct Course {
    path: &'static Path,
    frame: Frame,
    sources: Vec<u32>,
    legs: Vec<Leg>,
}

/// With one number of sources.
struct Leg {
    sources: u32,
    samples: Vec<f64>,
    met: BTreeMap<u8, u64>,
}

/// Samples of the harness itself.
#[derive(Default)]
struct Own {
    empty: Vec<f64>,
    wrapped: Vec<f64>,
    pass: Vec<f64>,
    tx: Vec<f64>,
}

/// Measures; the paths' scenes are on `stands`.
pub fn run(
    paths: &[&'static Path],
    facts: &Facts,
    stands: &mut BTreeMap<Scene, Stand>,
    mut references: References,
    options: &Options,
) -> Result<(Harness, Vec<Row>)> {
    let mut courses: Vec<_> = paths
        .iter()
        .map(|path| {
            let plan = &stands.get(&path.scene).context("a scene that is not loaded")?.plan;
            Ok(Course::new(path, facts, path.sources(options.entries, plan), options))
        })
        .collect::<Result<_>>()?;
    let syns = Course::flood(facts);
    let mut own = Own::default();
    // The first round warms up: nothing of it counts.
    for round in 0..=options.rounds {
        let costs = own.round(&mut references, &syns.frame, round > 0)?;
        for turn in 0..courses.len() {
            let at = (turn + round as usize * 7) % courses.len();
            let course = &mut courses[at];
            let stand = stands.get_mut(&course.path.scene).context("a scene that is not loaded")?;
            course.round(stand, &mut references.empty, &syns, &costs, round)?;
        }
    }
    Ok((own.harness(), courses.into_iter().map(Course::row).collect()))
}

impl Own {
    /// Measures the references; returns what it costs to undo a change of each kind.
    fn round(&mut self, references: &mut References, frame: &Frame, counts: bool) -> Result<[f64; 3]> {
        let shots = Shots { frame: &frame.bytes, places: frame.places, sources: &[], count: SOURCES };
        let time = |wrapper: &mut Wrapper| Ok::<_, anyhow::Error>(wrapper.run(&shots)?.nanoseconds);
        let wrapped = time(&mut references.empty)?;
        let mut costs = [0.0; 3];
        for (cost, wrapper) in costs.iter_mut().zip(&mut references.moves) {
            // Once by the program, once by the wrapper.
            *cost = (time(wrapper)? - wrapped) / 2.0;
        }
        let (pass, tx) = (time(&mut references.pass)? - wrapped, time(&mut references.tx)? - wrapped);
        let empty = time(&mut references.bare)?;
        if counts {
            self.empty.push(empty);
            self.wrapped.push(wrapped);
            self.pass.push(pass);
            self.tx.push(tx);
        }
        Ok(costs)
    }

    fn harness(&self) -> Harness {
        Harness {
            empty: Quartiles::of(&self.empty),
            wrapped: Quartiles::of(&self.wrapped),
            pass: Quartiles::of(&self.pass),
            tx: Quartiles::of(&self.tx),
        }
    }
}

impl Course {
    fn new(path: &'static Path, facts: &Facts, sources: Vec<u32>, options: &Options) -> Self {
        let leg = |sources: &u32| Leg { sources: *sources, samples: Vec::new(), met: BTreeMap::new() };
        let one = sources.is_empty();
        let legs = options.sources.iter().filter(|sources| !one || **sources == 1).map(leg).collect();
        Self { path, frame: path.frame(facts, &sources), sources, legs }
    }

    /// The flood that arms cookies.
    fn flood(facts: &Facts) -> FloodOfSyns {
        let sources = sources::some(SOURCES as usize);
        FloodOfSyns { frame: paths::syn(facts, sources[0]), sources }
    }

    fn round(
        &mut self,
        stand: &mut Stand,
        empty: &mut Wrapper,
        syns: &FloodOfSyns,
        costs: &[f64; 3],
        round: u32,
    ) -> Result<()> {
        for leg in &mut self.legs {
            if self.path.after_syns {
                stand.wrapper.run(&syns.shots())?;
            }
            let chosen = chosen(&self.sources, leg.sources, round);
            let shots = Shots {
                frame: &self.frame.bytes,
                places: self.frame.places,
                sources: &chosen,
                count: SOURCES,
            };
            let before = counts(&stand.dataplane)?;
            let (base, timed) = if round.is_multiple_of(2) {
                let base = empty.run(&shots)?;
                (base, stand.wrapper.run(&shots)?)
            } else {
                let timed = stand.wrapper.run(&shots)?;
                (empty.run(&shots)?, timed)
            };
            if round > 0 {
                leg.samples.push(net(&timed, &base, costs));
                leg.count(&before, &counts(&stand.dataplane)?);
            }
        }
        Ok(())
    }

    fn row(self) -> Row {
        let Self { path, frame, legs, .. } = self;
        let expects: Vec<_> = path.expects.iter().map(|reason| reason.label().to_owned()).collect();
        let bytes = frame.bytes.len();
        let run = |leg: Leg| {
            let label = |number: u8| {
                Reason::ALL
                    .iter()
                    .find(|reason| **reason as u8 == number)
                    .map_or("?", |reason| reason.label())
            };
            let counted = leg.met.into_iter().map(|(number, packets)| (label(number), packets)).collect();
            Run::new(leg.sources, bytes, &leg.samples, shares(counted), &expects)
        };
        let runs: Vec<_> = legs.into_iter().map(run).collect();
        Row {
            name: path.name.to_owned(),
            title: path.title.to_owned(),
            bytes,
            ok: runs.iter().all(|run| run.ok),
            expects,
            runs,
        }
    }
}

struct FloodOfSyns {
    frame: Frame,
    sources: Vec<u32>,
}

impl FloodOfSyns {
    fn shots(&self) -> Shots<'_> {
        Shots { frame: &self.frame.bytes, places: self.frame.places, sources: &self.sources, count: SOURCES }
    }
}

impl Leg {
    fn count(&mut self, before: &[u64], after: &[u64]) {
        for (number, (before, after)) in (0..).zip(before.iter().zip(after)) {
            if after > before {
                *self.met.entry(number).or_default() += after - before;
            }
        }
    }
}

/// The sources of one round: none for one, so many of them, or those whose turn it is.
fn chosen(all: &[u32], wanted: u32, round: u32) -> Vec<u32> {
    let most = SOURCES as usize;
    match wanted {
        1 => Vec::new(),
        0 if all.len() > most => {
            let from = (round as usize * most) % all.len();
            all[from..from + most].to_vec()
        }
        0 => all.to_vec(),
        count => all[..all.len().min(count as usize)].to_vec(),
    }
}

/// What a packet takes above the empty program, less what the wrapper had to undo.
fn net(timed: &Timed, base: &Timed, costs: &[f64; 3]) -> f64 {
    let undone: f64 = timed.undone.iter().zip(costs).map(|(part, cost)| part * cost).sum();
    timed.nanoseconds - base.nanoseconds - undone
}

/// Packets by the number of their reason, received ones, carried out or not.
fn counts(dataplane: &Dataplane) -> Result<Vec<u64>> {
    let mut counts = vec![0; filter_common::reason::REASONS];
    for count in dataplane.counters()? {
        if count.plane == Plane::received(false) || count.plane == Plane::received(true) {
            counts[count.reason as usize] += count.packets;
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_other_sources_until_all_have_had_their_turn() {
        let most = SOURCES as usize;
        let all: Vec<u32> = (0..2 * SOURCES).collect();
        assert!(chosen(&all, 1, 3).is_empty());
        assert_eq!(chosen(&all, 0, 1), all[most..]);
        assert_eq!(chosen(&all, 0, 2), all[..most]);
        assert_eq!(chosen(&all, 4, 9), [0, 1, 2, 3]);
        assert_eq!(chosen(&all[..8], 0, 5), all[..8]);
        assert_eq!(chosen(&all[..8], 16, 5), all[..8]);
    }

    #[test]
    fn what_the_wrapper_undid_is_not_the_filters() {
        let timed = Timed { nanoseconds: 100.0, undone: [0.0, 1.0, 0.5] };
        let base = Timed { nanoseconds: 40.0, ..Timed::default() };
        assert!((net(&timed, &base, &[7.0, 11.0, 6.0]) - 46.0).abs() < 1e-9);
    }
}
