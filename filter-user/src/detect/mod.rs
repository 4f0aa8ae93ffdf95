//! The detector: which service is flooded, by what, from where. Pure: it is driven by a clock and samples, and reads nothing.
//!
//! The major components are:
//! - [`vector`]: kinds of floods, and what a packet's fate says about its sender.
//! - [`read`]: an event to what it means.
//! - [`load`]: samples to packets per second that nobody honest explains.
//! - [`baseline`]: what is usual.
//! - [`attack`]: what is found; [`top`]: who sends most; [`respond`]: who may be banned for it; [`record`]: its course.
//!
//! What tells a flash crowd from a flood is completion. SYNs count only as far as no handshake was completed for them (the stack
//! says how many were, and each needs the acknowledgment number that only its receiver knows); segments only where they belong to no
//! connection; UDP only where it answers nothing. So ten times the honest visitors are nothing unusual, and the floor alone decides
//! about what is left. UDP, ICMP, fragments and the rest have no such evidence: there load counts beside the usual.

pub mod attack;
pub mod baseline;
pub mod load;
pub mod read;
pub mod record;
pub mod respond;
pub mod top;
pub mod vector;

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use filter_common::config::MAX_SERVICES;
use ipnet::IpNet;

use self::{
    attack::{Attack, Hit},
    baseline::{Baseline, Bounds},
    load::{CELLS, Load, Loads, ServiceFacts, Tick, cell},
    vector::{Evidence, VECTORS, Vector},
};
use crate::dataplane::source_of;

/// How often the detector's turn comes.
pub const TURN: Duration = Duration::from_millis(250);

/// Turns in a row over the threshold that make a flood.
const CONFIRM: u8 = 2;

/// Of the way from the usual to the threshold, both at the start: below it a vector is over.
const OVER: f64 = 0.5;

/// SYNs without a completed handshake below this part of all are no flood: retransmissions, scans.
const INCOMPLETE: f64 = 0.1;

/// Attacks that are remembered after their end.
const REMEMBERED: usize = 100;

/// Knobs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knobs {
    /// From where on a load is a flood.
    pub bounds: Bounds,
    /// How long all vectors have to be over.
    pub hold: Duration,
}

/// What a turn has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// An attack began.
    Began(u64),
    /// It has one more vector.
    Joined(u64, Vector),
    /// It is over.
    Ended(u64),
}

/// The detector.
#[derive(Debug)]
pub struct Detector {
    knobs: Knobs,
    services: Vec<ServiceFacts>,
    loads: Loads,
    baselines: Vec<Baseline>,
    /// Turns in a row over the threshold, by cell.
    over: Vec<u8>,
    now: u64,
    next: u64,
    active: Vec<Attack>,
    past: VecDeque<Attack>,
    /// Vectors found so far, by cell.
    found: Vec<u64>,
}

impl Detector {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(knobs: Knobs) -> Self {
        Self {
            knobs,
            services: Vec::new(),
            loads: Loads::default(),
            baselines: vec![Baseline::default(); CELLS],
            over: vec![0; CELLS],
            now: 0,
            next: 1,
            active: Vec::new(),
            past: VecDeque::new(),
            found: vec![0; CELLS],
        }
    }

    /// Other knobs; what has been learned stays.
    pub const fn set_knobs(&mut self, knobs: Knobs) {
        self.knobs = knobs;
    }

    /// What is known about services, by number.
    pub fn set_services(&mut self, services: Vec<ServiceFacts>) {
        self.services = services;
    }

    /// The numbers are other services' now: ends what goes on and forgets what was usual.
    pub fn forget(&mut self) -> Vec<Change> {
        let now = self.now;
        let ended =
            std::mem::take(&mut self.active).into_iter().map(|attack| self.end(attack, now)).collect();
        self.baselines.fill(Baseline::default());
        self.over.fill(0);
        self.found.fill(0);
        self.loads = Loads::default();
        ended
    }

    /// One turn.
    pub fn tick(&mut self, tick: &Tick<'_>) -> Vec<Change> {
        let before = std::mem::replace(&mut self.now, tick.now);
        let Some(loads) = self.loads.take(tick, &self.services) else { return Vec::new() };
        #[expect(clippy::cast_precision_loss, reason = "a quarter of a second in nanoseconds")]
        let seconds = tick.now.saturating_sub(before) as f64 / 1e9;
        let mut changes = Vec::new();
        for service in 0..MAX_SERVICES {
            self.look(service, &loads, seconds, &mut changes);
        }
        self.feed(tick);
        self.end_quiet(&mut changes);
        changes
    }

    /// One service's vectors.
    fn look(&mut self, service: usize, loads: &[Load], seconds: f64, changes: &mut Vec<Change>) {
        let bounds = self.knobs.bounds;
        let of = |vector: Vector| loads[cell(service, vector)];
        let mut calm = true;
        for vector in Vector::ALL.iter().copied() {
            let (place, load) = (cell(service, vector), of(vector));
            let active = self.active.iter_mut().find(|attack| attack.service == service);
            let hit = active.and_then(|attack| {
                let hit = *attack.hits.iter().find(|hit| hit.vector == vector)?;
                Some((hit, &mut attack.seen))
            });
            if let Some((hit, seen)) = hit {
                calm = false;
                if load.pps > hit.usual + (hit.threshold - hit.usual) * OVER {
                    *seen = self.now;
                }
                continue;
            }
            let mut threshold = self.baselines[place].threshold(&bounds, load.evident);
            if vector == Vector::Syn {
                threshold = threshold.max(load.all * INCOMPLETE);
            }
            if load.surely <= threshold {
                self.over[place] = 0;
                continue;
            }
            calm = false;
            self.over[place] = self.over[place].saturating_add(1);
            if self.over[place] >= CONFIRM {
                self.hit(service, vector, threshold, changes);
            }
        }
        if calm {
            for vector in Vector::ALL.iter().copied() {
                let load = of(vector);
                self.baselines[cell(service, vector)].learn(load.pps, seconds, &bounds, load.evident);
            }
        }
        if let Some(attack) = self.active.iter_mut().find(|attack| attack.service == service) {
            attack.peak(of);
        }
    }

    fn hit(&mut self, service: usize, vector: Vector, threshold: f64, changes: &mut Vec<Change>) {
        let place = cell(service, vector);
        let usual = self.baselines[place].usual();
        let now = self.now;
        (self.over[place], self.found[place]) = (0, self.found[place] + 1);
        let hit = Hit { vector, since: now, usual, threshold, peak_pps: 0.0, peak_bps: 0.0 };
        if let Some(attack) = self.active.iter_mut().find(|attack| attack.service == service) {
            attack.hits.push(hit);
            attack.seen = now;
            changes.push(Change::Joined(attack.id, vector));
            return;
        }
        let mut attack = Attack::new(self.next, service, now);
        attack.hits.push(hit);
        self.next += 1;
        changes.push(Change::Began(attack.id));
        self.active.push(attack);
    }

    /// Who takes part in what goes on.
    fn feed(&mut self, tick: &Tick<'_>) {
        for attack in &mut self.active {
            let service = attack.service;
            for seen in tick.seen.iter().filter(|seen| usize::from(seen.service) == service) {
                let Some(source) = seen.source else { continue };
                let evidence = Evidence::of(seen.reason);
                if Evidence::proves(seen.reason) {
                    attack.proof(source_of(source), seen.weight);
                } else if !matches!(evidence, Evidence::Exempt | Evidence::Honest) && attack.has(seen.vector)
                {
                    attack.source(source, seen.weight);
                }
            }
        }
    }

    fn end_quiet(&mut self, changes: &mut Vec<Change>) {
        let hold = u64::try_from(self.knobs.hold.as_nanos()).unwrap_or(u64::MAX);
        let now = self.now;
        let (over, active) = std::mem::take(&mut self.active)
            .into_iter()
            .partition(|attack: &Attack| now.saturating_sub(attack.seen) >= hold);
        self.active = active;
        let over: Vec<Attack> = over;
        for attack in over {
            let change = self.end(attack, now);
            changes.push(change);
        }
    }

    fn end(&mut self, mut attack: Attack, now: u64) -> Change {
        attack.ended = Some(now);
        let change = Change::Ended(attack.id);
        self.past.push_back(attack);
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
        change
    }

    /// Attacks that go on, then those that are over, the last one first.
    pub fn attacks(&self) -> impl Iterator<Item = &Attack> {
        self.active.iter().chain(self.past.iter().rev())
    }

    /// Those that go on.
    #[must_use]
    pub fn active(&self) -> &[Attack] {
        &self.active
    }

    /// The same, to note what is done.
    pub fn active_mut(&mut self) -> &mut [Attack] {
        &mut self.active
    }

    /// The attack of that number.
    #[must_use]
    pub fn attack(&self, id: u64) -> Option<&Attack> {
        self.attacks().find(|attack| attack.id == id)
    }

    /// The attack of that number, to note what was done.
    pub fn attack_mut(&mut self, id: u64) -> Option<&mut Attack> {
        self.active.iter_mut().chain(&mut self.past).find(|attack| attack.id == id)
    }

    /// Forgets some sources in all attacks, or with `dry_run` only counts what there is of them.
    pub fn forget_sources(&mut self, dry_run: bool, is_it: impl Fn(&IpNet) -> bool) -> u64 {
        let attacks = self.active.iter_mut().chain(&mut self.past);
        attacks.map(|attack| attack.forget(dry_run, &is_it)).sum()
    }

    /// How often each vector of a service was found, and whether it goes on.
    #[must_use]
    pub fn found(&self, service: usize) -> [(u64, bool); VECTORS] {
        let active = self.active.iter().find(|attack| attack.service == service);
        let mut found = [(0, false); VECTORS];
        for (vector, found) in Vector::ALL.iter().zip(&mut found) {
            let goes_on = active.is_some_and(|attack| attack.has(*vector));
            *found = (self.found[cell(service, *vector)], goes_on);
        }
        found
    }

    /// SYNs that came since the beginning, by service number; estimated.
    #[must_use]
    pub fn syns(&self) -> &[f64] {
        self.loads.syns()
    }

    /// What has been learned, by service and vector.
    pub fn learned(&self) -> impl Iterator<Item = (usize, Vector, Baseline)> {
        let cells = (0..MAX_SERVICES).flat_map(|service| Vector::ALL.iter().map(move |v| (service, *v)));
        let all = cells.map(|(service, vector)| (service, vector, self.baselines[cell(service, vector)]));
        all.filter(|(_, _, baseline)| baseline.is_learned())
    }

    /// What was learned before.
    pub fn recall(&mut self, service: usize, vector: Vector, baseline: Baseline) {
        self.baselines[cell(service, vector)] = baseline;
    }

    /// What is usual for a vector of a service, packets per second.
    #[must_use]
    pub fn usual(&self, service: usize, vector: Vector) -> f64 {
        self.baselines[cell(service, vector)].usual()
    }
}
