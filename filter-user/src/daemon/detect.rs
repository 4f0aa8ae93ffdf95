//! The detector at work: what it reads, what it arms, what is asked about it.

mod form;
mod keep;

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use anyhow::Result;
use axum::{
    Json,
    extract::{Path, State},
    http::Method,
    routing::get,
};
use tracing::warn;

use filter_common::{
    config::{Config, MAX_SERVICES, flags, syn_mode},
    reason::REASONS,
};

pub(super) use self::form::told;
pub use self::form::{ActLine, Attacks, Heavy, Line, One, VectorLine, short};
use self::keep::Usual;
use super::{
    api::{Refused, Right, Route},
    deadline::{Clock, wall},
    events::History,
    live::Live,
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::{Settings, schema},
    dataplane::{Arming, Dataplane, Events, Plan, monotonic},
    detect::{
        Change, Detector, Knobs,
        attack::{ACTS, Act, Attack},
        baseline::{Baseline, Bounds},
        load::{Seen, ServiceFacts, Tick},
        read::Reader,
        record::Recorder,
        respond::{Bans, Limits},
        vector::{VECTORS, Vector},
    },
};

/// Events that one turn takes out of the ring: what comes in more than a second.
const MOST: usize = 30_000;

/// For so long something stays armed if the daemon does not keep it so.
const LEASE: Duration = Duration::from_secs(5);

/// What the configuration in force asks for.
struct View {
    reader: Reader,
    mode: schema::Detection,
    limits: Limits,
    ban_ttl: Duration,
    /// By service number: its SYNs may be armed.
    auto: Vec<bool>,
    /// Segments to services, to the rest of the host are looked up.
    checks: [bool; 2],
    /// How many times narrower limits of sources get; 1: never.
    tighten: u32,
    /// By service number: it limits sources.
    limited: Vec<bool>,
}

impl View {
    fn new(settings: &Settings, plan: &Plan) -> Option<Self> {
        let mode = *settings.detect.mode.as_ref();
        let config = &plan.interfaces.first()?.config;
        if mode == schema::Detection::Off || !config.has(flags::EVENTS) {
            return None;
        }
        let destinations = plan.words.service_destinations.iter();
        let destinations = destinations.map(|(prefix, word)| (crate::config::mapped(prefix), *word));
        let detect = &settings.detect;
        Some(Self {
            reader: Reader::new(config, &plan.ports, destinations),
            mode,
            limits: Limits {
                heavy: f64::from(*detect.heavy.as_ref()),
                per_second: *detect.bans_per_second.as_ref(),
                most: *detect.bans.as_ref() as usize,
            },
            ban_ttl: *detect.ban_ttl.as_ref(),
            auto: config.services.iter().map(|service| service.syn_mode == syn_mode::AUTO).collect(),
            checks: [config.has(flags::CHECK_STATE), config.has(flags::CHECK_STATE_OF_HOST)],
            tighten: config.tighten,
            limited: (0..MAX_SERVICES).map(|number| limits_sources(config, number)).collect(),
        })
    }

    /// What an attack asks for, and what is listed about it.
    fn answers(&self, attack: &Attack) -> Vec<(Arming, String)> {
        let service = attack.service;
        let of = |list: &[bool]| list.get(service).copied().unwrap_or(false);
        let is_checked = self.checks[usize::from(service == 0)];
        let mut answers = Vec::new();
        if attack.has(Vector::Syn) && of(&self.auto) {
            answers.push((Arming::Syn, "armed the answers to SYNs".to_owned()));
        }
        if is_checked && attack.hits.iter().any(|hit| hit.vector.is_segment()) {
            answers.push((Arming::Stray, "armed the look-up of segments".to_owned()));
        }
        let why = attack.hits.iter().find(|hit| hit.vector.needs_limits(is_checked));
        if let Some(hit) = why.filter(|_| self.tighten > 1 && of(&self.limited)) {
            let (factor, vector) = (self.tighten, hit.vector.label());
            answers
                .push((Arming::Limits, format!("made limits of sources {factor} times narrower: {vector}")));
        }
        answers
    }
}

/// Whether each source has its share of that service, or of the host.
const fn limits_sources(config: &Config, number: usize) -> bool {
    let (service, wire) = (&config.services[number], &config.wire);
    let of_host = wire.fragments_per_source.is_some()
        || wire.errors_per_source.is_some()
        || wire.echo_per_source.is_some();
    service.per_source.is_some()
        || service.per_source_syn.is_some()
        || service.per_source_bytes.is_some()
        || service.per_source_flows.is_some()
        || service.per_prefix.is_some()
        || (number == 0 && of_host)
}

/// Somebody to ban.
pub(super) struct Whom {
    pub(super) attack: u64,
    pub(super) reason: String,
    pub(super) nets: Vec<ipnet::IpNet>,
    pub(super) ttl: Duration,
}

/// The detector and its surroundings.
pub(super) struct Detection {
    detector: Detector,
    view: Option<View>,
    events: Option<Events>,
    /// Names of the services, from number 1 on.
    names: Vec<String>,
    generation: Option<u64>,
    completed: Option<u64>,
    pub(super) recorder: Recorder,
    counted: Option<Box<[u64; REASONS]>>,
    pub(super) bans: Bans,
    leases: BTreeMap<(usize, Arming), u64>,
    keeper: keep::Keeper,
    /// What was usual before the daemon started has been recalled.
    recalled: bool,
    /// The last complaint, told once.
    pub(super) complaint: Option<String>,
}

impl std::fmt::Debug for Detection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detection").field("generation", &self.generation).finish_non_exhaustive()
    }
}

fn knobs(settings: &Settings) -> Knobs {
    let detect = &settings.detect;
    let (floor, factor) = (f64::from(*detect.floor.as_ref()), f64::from(*detect.factor.as_ref()));
    Knobs { bounds: Bounds { floor, factor }, hold: *detect.hold.as_ref() }
}

impl Detection {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            detector: Detector::new(knobs(settings)),
            view: None,
            events: None,
            names: Vec::new(),
            generation: None,
            completed: None,
            recorder: Recorder::default(),
            counted: None,
            bans: Bans::default(),
            leases: BTreeMap::new(),
            keeper: keep::Keeper::default(),
            recalled: false,
            complaint: None,
        }
    }

    /// Takes another configuration over; what that ends.
    pub(super) fn follow(
        &mut self,
        generation: u64,
        settings: &Settings,
        plan: &Plan,
        dataplane: &Dataplane,
    ) -> Result<Vec<Change>> {
        if self.generation == Some(generation) {
            return Ok(Vec::new());
        }
        let names: Vec<_> = settings.service.iter().map(|service| service.name.as_ref().clone()).collect();
        let view = View::new(settings, plan);
        self.events = view.as_ref().map(|_| dataplane.events()).transpose()?;
        let mut ended = Vec::new();
        if names != self.names || view.is_none() {
            let usual = self.usual();
            ended = self.detector.forget();
            self.names = names;
            if view.is_some() {
                self.recall(usual);
            }
        }
        if view.is_some() && !std::mem::replace(&mut self.recalled, true) {
            let usual = keep::read(settings.daemon.state.as_ref(), wall());
            self.recall(usual.unwrap_or_else(|problem| {
                warn!("attacks are found by the load from now on: {problem:#}");
                Vec::new()
            }));
        }
        (self.view, self.counted) = (view, None);
        self.detector.set_knobs(knobs(settings));
        self.generation = Some(generation);
        Ok(ended)
    }

    /// What is usual, by names.
    fn usual(&self) -> Vec<Usual> {
        let of = |(service, vector, baseline): (usize, Vector, Baseline)| Usual {
            service: self.service(service).to_owned(),
            vector: vector.label().to_owned(),
            baseline,
        };
        self.detector.learned().filter(|(service, ..)| *service <= self.names.len()).map(of).collect()
    }

    /// Takes it back, as far as there still are such services and vectors.
    fn recall(&mut self, usual: Vec<Usual>) {
        for Usual { service, vector, baseline } in usual {
            let number = (0..=self.names.len()).find(|number| self.service(*number) == service);
            let vector = Vector::ALL.iter().find(|known| known.label() == vector);
            if let Some((number, vector)) = number.zip(vector) {
                self.detector.recall(number, *vector, baseline);
            }
        }
    }

    /// Writes down what is usual, if it is time, or `now`.
    pub(super) fn keep(&mut self, state: &std::path::Path, now: bool) -> Result<()> {
        if self.view.is_some() && (self.keeper.is_due() || now) {
            let usual = self.usual();
            self.keeper.write(state, usual, wall())?;
        }
        Ok(())
    }

    /// One turn: what has changed.
    pub(super) fn turn(&mut self, history: &mut History) -> Result<Vec<Change>> {
        let (Some(view), Some(events)) = (&self.view, &mut self.events) else { return Ok(Vec::new()) };
        let now = monotonic()?;
        let mut seen: Vec<Seen> = Vec::new();
        events.drain(MOST, |event| {
            let Some(read) = view.reader.read(&event) else { return };
            history.push(event, read.service, read.source);
            seen.push(read);
        });
        let counted = events.received()?;
        let before = self.counted.replace(counted.clone());
        let counted = before.map(|before| {
            let mut since = counted;
            since.iter_mut().zip(before.iter()).for_each(|(now, before)| *now = now.saturating_sub(*before));
            since
        });
        let completed = completed();
        let since = completed.zip(self.completed).map(|(now, before)| now.saturating_sub(before));
        self.completed = completed;
        let facts = (0..MAX_SERVICES).map(|number| {
            let served = number == 0 || events.is_served(number);
            ServiceFacts { sockets: served, checked: view.checks[usize::from(number == 0)] && served }
        });
        self.detector.set_services(facts.collect());
        let tick = Tick { now, seen: &seen, counted: counted.as_deref(), completed: since };
        let changes = self.detector.tick(&tick);
        self.recorder.tick(&tick, self.detector.active());
        for attack in self.detector.active_mut() {
            attack.keep_heavy(view.limits.heavy, now);
        }
        Ok(changes)
    }

    /// With `mode = "act"`: keeps armed what attacks ask for.
    pub(super) fn arm(&mut self) -> Result<()> {
        let (Some(view), Some(events)) = (&self.view, &self.events) else { return Ok(()) };
        if view.mode != schema::Detection::Act {
            return Ok(());
        }
        let now = monotonic()?;
        let until = now.saturating_add(u64::try_from(LEASE.as_nanos())?);
        for attack in self.detector.active_mut() {
            for (what, words) in view.answers(attack) {
                events.arm(what, attack.service, now, until);
                if self.leases.insert((attack.service, what), until).is_none() {
                    note(attack, now, words);
                }
            }
        }
        Ok(())
    }

    /// With `mode = "act"`: whom to ban now.
    pub(super) fn choose(&mut self) -> Result<Vec<Whom>> {
        let Some(view) = &self.view else { return Ok(Vec::new()) };
        if view.mode != schema::Detection::Act {
            return Ok(Vec::new());
        }
        let now = monotonic()?;
        let mut all = Vec::new();
        for attack in self.detector.active_mut() {
            let nets = self.bans.choose(attack, &view.limits, now);
            let Some(hit) = attack.hits.first().filter(|_| !nets.is_empty()) else { continue };
            let reason = format!("auto/{}#{}", hit.vector.label(), attack.id);
            all.push(Whom { attack: attack.id, reason, nets, ttl: view.ban_ttl });
        }
        Ok(all)
    }

    /// Lists what was done.
    pub(super) fn note(&mut self, attack: u64, what: String) -> Result<()> {
        let now = monotonic()?;
        if let Some(attack) = self.detector.attack_mut(attack) {
            note(attack, now, what);
        }
        Ok(())
    }

    /// The attack is over: disarms what was armed for it, and tells whose bans are to end.
    pub(super) fn undo(&mut self, id: u64) -> Result<Vec<ipnet::IpNet>> {
        let now = monotonic()?;
        if let Some(attack) = self.detector.attack_mut(id) {
            for act in attack.acts.iter_mut().filter(|act| act.undone.is_none()) {
                act.undone = Some(now);
            }
            for what in Arming::ALL {
                let until = self.leases.remove(&(attack.service, what));
                if let Some((until, events)) = until.zip(self.events.as_ref()) {
                    events.disarm(what, attack.service, now, until);
                }
            }
        }
        Ok(self.bans.undo(id))
    }

    pub(super) fn attack(&self, id: u64) -> Option<&Attack> {
        self.detector.attack(id)
    }

    /// Its name; `*` is the rest of the host.
    pub(super) fn service(&self, number: usize) -> &str {
        let name = number.checked_sub(1).and_then(|index| self.names.get(index));
        name.map_or("*", String::as_str)
    }

    /// Names by service number, if packets are sampled.
    pub(super) fn sampled_services(&self) -> Option<Vec<String>> {
        self.view.as_ref()?;
        Some((0..=self.names.len()).map(|number| self.service(number).to_owned()).collect())
    }

    /// By service number: how often each vector was found, and whether it goes on.
    pub(super) fn found(&self) -> Vec<[(u64, bool); VECTORS]> {
        (0..=self.names.len()).map(|number| self.detector.found(number)).collect()
    }

    /// SYNs that came, by service number; estimated.
    pub(super) fn syns(&self) -> &[f64] {
        self.detector.syns()
    }

    /// Forgets some sources, or with `dry_run` only counts what there is of them.
    pub(super) fn forget_sources(&mut self, dry_run: bool, is_it: impl Fn(&ipnet::IpNet) -> bool) -> u64 {
        self.detector.forget_sources(dry_run, &is_it)
            + self.recorder.forget_sources(dry_run, &is_it)
            + self.bans.forget_sources(dry_run, &is_it)
    }

    pub(super) fn lines(&self, clock: &Clock) -> Vec<Line> {
        self.detector.attacks().map(|a| Line::new(a, self.service(a.service), clock)).collect()
    }
}

fn note(attack: &mut Attack, at: u64, what: String) {
    if attack.acts.len() < ACTS {
        attack.acts.push(Act { at, what, undone: None });
    }
}

/// Handshakes that the stack has completed: `PassiveOpens` of `/proc/net/snmp`.
fn completed() -> Option<u64> {
    passive_opens(&fs::read_to_string("/proc/net/snmp").ok()?)
}

fn passive_opens(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let place = lines.next()?.split_whitespace().position(|name| name == "PassiveOpens")?;
    lines.next()?.split_whitespace().nth(place)?.parse().ok()
}

/// The requests.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/attacks",
        right: Right::Look,
        help: "Attacks that go on, and the last 100 that are over",
        handler: || get(list),
    },
    Route {
        method: Method::GET,
        path: "/v1/attacks/{id}",
        right: Right::Look,
        help: "One of them, with the sources and prefixes that sent most",
        handler: || get(show),
    },
];

async fn list(State(live): State<Arc<Live>>) -> Result<Json<Attacks>, Refused> {
    Ok(Json(live.attacks()?))
}

async fn show(State(live): State<Arc<Live>>, Path(id): Path<u64>) -> Result<Json<One>, Refused> {
    let unknown = || {
        Failure::new(
            Kind::Failed,
            format!("no attack has the number {id}"),
            "floodwall attack list shows them",
        )
    };
    Ok(Json(live.attack(id)?.ok_or_else(|| anyhow::Error::new(unknown()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_read_by_name() {
        let text = "Ip: Forwarding\nIp: 1\nTcp: RtoMin ActiveOpens PassiveOpens\nTcp: 200 5 77\n";
        assert_eq!(passive_opens(text), Some(77));
        assert_eq!(passive_opens("Tcp: RtoMin\nTcp: 1\n"), None);
        assert_eq!(passive_opens("Tcp: PassiveOpens\n"), None);
        assert!(completed().is_some());
    }
}
