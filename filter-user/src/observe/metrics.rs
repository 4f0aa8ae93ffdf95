//! The metrics: declared once in [`METRICS`], read from the maps when Prometheus asks.
//!
//! No address ever becomes a label: a flood would make as many series as it has sources.

mod label;
mod process;
mod rules;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use filter_common::{
    abi::{Counter, Plane},
    ban::Origin,
    reason::{Action, Reason},
};
use prometheus::{
    Opts, Registry, TextEncoder,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use self::process::Process;
pub use self::{
    label::{Label, Values},
    rules::{RuleFacts, RuleLine, lines as rule_lines},
    table::{Kind, METRICS, Metric, Unit},
};
use super::{
    Sample,
    sample::{Interface, Keys, Runs},
};
use crate::{
    config::Mode,
    daemon::{commit::Standing, feeds::Line, notify},
    dataplane::plan::Prefixes,
    detect::vector::{VECTORS, Vector},
    feed::Counts,
};

/// What the maps don't know.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether verdicts are carried out.
    pub mode: Mode,
    /// Names of the services, in the order of their numbers from 1 on.
    pub services: Vec<String>,
    /// The rules, in the order of their numbers.
    pub rules: Vec<RuleFacts>,
    /// Whether the data path may answer with cookies at all: a service asks for it, the kernel can.
    pub cookies: bool,
    /// Prefixes that the lists were given: allow, block.
    pub lists: [Prefixes; 2],
    /// Where the program is pinned that an interface's packets go on to, by interface.
    pub next: BTreeMap<String, String>,
    /// Feeds, in the configuration's order.
    pub feeds: Vec<Line>,
    /// Who is told of attacks, in the configuration's order.
    pub notify: Vec<notify::Line>,
    /// Whether the last attempt to load the configuration succeeded.
    pub reload_successful: bool,
    /// When one last did.
    pub reload_success: SystemTime,
    /// Which configuration is in force.
    pub commit: Standing,
    /// Interfaces of the configuration that are not there.
    pub absent: Vec<String>,
    /// SYNs received, by service number, estimated.
    pub syns: Vec<f64>,
    /// By service number: how often each vector of attacks was found, and whether it goes on.
    pub attacks: Vec<[(u64, bool); VECTORS]>,
    /// Incidents kept since the daemon started, and writings that failed.
    pub incidents: [u64; 2],
}

/// The verdict label: in observe mode everything passes, and what enforcing would have done is told apart.
#[must_use]
pub const fn verdict(action: Action, observed: bool) -> &'static str {
    match (action, observed) {
        (Action::Drop, true) => "would_drop",
        (Action::Reply, true) => "would_reply",
        (action, _) => action.label(),
    }
}

/// Whether a verdict is a drop, carried out or not.
#[must_use]
pub fn is_drop(verdict: &str) -> bool {
    matches!(verdict, "drop" | "would_drop")
}

/// Renders everything for one scrape.
pub fn render(registry: &Registry) -> prometheus::Result<String> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

/// A registry whose floodwall metrics come from `source` at each scrape.
pub fn registry<F>(source: F) -> prometheus::Result<Registry>
where
    F: Fn() -> Option<(Sample, Facts)> + Send + Sync + 'static,
{
    let registry = Registry::new();
    registry.register(Box::new(Process::new()))?;
    registry.register(Box::new(Exporter { source, descriptions: descriptions()? }))?;
    Ok(registry)
}

struct Exporter<F> {
    source: F,
    descriptions: Vec<Desc>,
}

impl<F: Fn() -> Option<(Sample, Facts)> + Send + Sync> Collector for Exporter<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.source)().map_or_else(unreadable, |(sample, facts)| families(&sample, &facts))
    }
}

fn descriptions() -> prometheus::Result<Vec<Desc>> {
    let describe = |metric: &Metric| {
        let labels = metric.labels.iter().map(|label| label.name.to_owned()).collect();
        Desc::new(metric.name.to_owned(), metric.help.to_owned(), labels, HashMap::new())
    };
    METRICS.iter().map(describe).collect()
}

/// All families of one scrape, in the order of [`METRICS`].
#[must_use]
pub fn families(sample: &Sample, facts: &Facts) -> Vec<MetricFamily> {
    let mut values = Collected::default();
    packets(sample, &mut values);
    cookies(sample, facts, &mut values);
    armed(sample, facts, &mut values);
    lists(sample, facts, &mut values);
    attacks(sample, facts, &mut values);
    feeds(facts, &mut values);
    rules::collect(sample, facts, &mut values);
    rest(sample, facts, &mut values);
    values.families()
}

/// What there is when the tables could not be read.
fn unreadable() -> Vec<MetricFamily> {
    let mut values = Collected::default();
    about_this_scrape(None, &mut values);
    values.families()
}

/// `took`: how long the tables were read, if they could be.
fn about_this_scrape(took: Option<Duration>, values: &mut Collected) {
    values.set(&table::MAPS_READABLE, &[], flag(took.is_some()));
    if let Some(took) = took {
        values.set(&table::SCRAPE_DURATION, &[], took.as_secs_f64());
    }
    values.set(&table::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
}

fn packets(sample: &Sample, values: &mut Collected) {
    for interface in &sample.interfaces {
        let received = Reason::ALL.iter().filter(|reason| !reason.is_of_egress());
        for (plane, reason) in planes(received, &[Plane::Enforced, Plane::Observed]) {
            let (labels, Counter { packets, bytes }) = labelled(interface, plane, reason);
            values.add(&table::PACKETS, &labels, packets);
            values.add(&table::BYTES, &labels, bytes);
        }
        let sent = [Reason::Pass, Reason::LinkControl];
        let sent = sent.iter().chain(Reason::ALL.iter().filter(|reason| reason.is_of_egress()));
        for (plane, reason) in planes(sent, &[Plane::EgressEnforced, Plane::EgressObserved]) {
            let (labels, Counter { packets, bytes }) = labelled(interface, plane, reason);
            values.add(&table::EGRESS_PACKETS, &labels, packets);
            values.add(&table::EGRESS_BYTES, &labels, bytes);
        }
    }
}

fn planes<'a>(
    reasons: impl Iterator<Item = &'a Reason>,
    planes: &'a [Plane],
) -> impl Iterator<Item = (Plane, Reason)> {
    reasons.flat_map(|reason| planes.iter().map(|plane| (*plane, *reason)))
}

fn labelled(interface: &Interface, plane: Plane, reason: Reason) -> ([&str; 3], Counter) {
    let labels = [interface.name.as_str(), verdict(reason.action(), plane.is_observed()), reason.label()];
    (labels, interface.counters[plane as usize][reason as usize])
}

fn cookies(sample: &Sample, facts: &Facts, values: &mut Collected) {
    let done = |reason| sample.total(Plane::Enforced, reason).packets;
    values.add(&table::COOKIE_SENT, &[], done(Reason::CookieSent));
    values.add(&table::CHALLENGE_SENT, &[], done(Reason::ChallengeSent));
    values.add(&table::CHALLENGE_PASSED, &[], done(Reason::ChallengePassed));
    values.add(&table::COOKIE_VALIDATED, &["valid"], done(Reason::CookieAccepted));
    values.add(&table::COOKIE_VALIDATED, &["invalid"], done(Reason::CookieInvalid));
    for (result, count) in &sample.hand_overs {
        values.add(&table::COOKIE_HANDOVER, &[result], *count);
    }
    for (limiter, reason) in label::LIMITS {
        values.add(&table::RATELIMIT_DROPPED, &[limiter], done(reason));
    }
    let Keys { epoch, armed, age, expires_in } = sample.keys;
    values.set(&table::COOKIE_ARMED, &[], flag(armed && facts.cookies));
    values.set(&table::COOKIE_EPOCH, &[], float(epoch));
    values.set(&table::COOKIE_KEY_AGE, &[], age.as_secs_f64());
    values.set(&table::COOKIE_KEY_EXPIRES, &[], expires_in.as_secs_f64());
    values.set(&table::STEP_DOWN_PORTS, &[], float(sample.step_downs.len() as u64));
}

/// By service; `*` is the rest of the host.
fn armed(sample: &Sample, facts: &Facts, values: &mut Collected) {
    let names = std::iter::once("*").chain(facts.services.iter().map(String::as_str));
    for (number, service) in names.enumerate() {
        let armed = sample.armed.get(number).copied().unwrap_or_default();
        let syns = facts.syns.get(number).copied().unwrap_or_default();
        values.add_float(&table::SYN_RECEIVED, &[service], syns.round());
        for (switched, on, count) in [
            (armed.syn, &table::SYN_ARMED, &table::SYN_ARMINGS),
            (armed.stray, &table::STRAY_ARMED, &table::STRAY_ARMINGS),
        ] {
            values.set(on, &[service], flag(switched.on));
            values.add(count, &[service], switched.count);
        }
        values.set(&table::LIMITS_TIGHTENED, &[service], f64::from(u8::from(armed.limits)));
    }
}

/// By service and vector; `*` is the rest of the host.
fn attacks(sample: &Sample, facts: &Facts, values: &mut Collected) {
    let names = std::iter::once("*").chain(facts.services.iter().map(String::as_str));
    for (number, service) in names.enumerate() {
        let found = facts.attacks.get(number).copied().unwrap_or_default();
        for (vector, (count, goes_on)) in Vector::ALL.iter().zip(found) {
            let labels = [vector.label(), service];
            values.set(&table::ATTACK_ACTIVE, &labels, flag(goes_on));
            values.add(&table::ATTACKS, &labels, count);
        }
    }
    for target in &facts.notify {
        let notify::Line { name, sent, failed, given_up, deduplicated, waiting, .. } = target;
        let counts = [*sent, *failed, *given_up, *deduplicated];
        for (result, count) in notify::Counts::LABELS.into_iter().zip(counts) {
            values.add(&table::NOTIFICATIONS, &[name, result], count);
        }
        values.set(&table::NOTIFICATIONS_WAITING, &[name], float(*waiting));
    }
    for (result, count) in label::KEEPING.into_iter().zip(facts.incidents) {
        values.add(&table::INCIDENTS, &[result], count);
    }
    values.add(&table::EVENTS, &[], sample.events.written);
    values.add(&table::EVENTS_LOST, &["ring_full"], sample.events.full);
    values.add(&table::EVENTS_LOST, &["budget"], sample.events.over);
}

fn lists(sample: &Sample, facts: &Facts, values: &mut Collected) {
    for (list, prefixes) in ["allow", "block"].into_iter().zip(facts.lists) {
        values.set(&table::LIST_PREFIXES, &[list, "ipv4"], float(prefixes.v4));
        values.set(&table::LIST_PREFIXES, &[list, "ipv6"], float(prefixes.v6));
    }
    values.set(&table::BAN_ENTRIES, &["source"], float(sample.bans.sources));
    values.set(&table::BAN_ENTRIES, &["prefix"], float(sample.bans.prefixes));
    for (origin, made) in Origin::ALL.into_iter().zip(sample.bans.made) {
        values.add(&table::BANS_MADE, &[origin.label()], made);
    }
    values.add(&table::BANS_REFUSED, &[], sample.bans.refused);
}

fn feeds(facts: &Facts, values: &mut Collected) {
    for feed in &facts.feeds {
        let name = feed.name.as_str();
        for (family, count) in label::FAMILIES.into_iter().zip(feed.ranges) {
            values.set(&table::FEED_RANGES, &[name, family], float(count));
        }
        for (family, count) in label::FAMILIES.into_iter().zip(feed.counts.taken) {
            values.set(&table::FEED_ENTRIES, &[name, family], float(count));
        }
        let Counts { wide, bad, other, .. } = feed.counts;
        for (why, count) in [("wide", wide), ("bad", bad), ("other", other), ("spared", feed.cut)] {
            values.set(&table::FEED_LEFT_OUT, &[name, why], float(count));
        }
        for (result, count) in feed.looks.by_label() {
            values.add(&table::FEED_LOOKS, &[name, result], count);
        }
        values.set(&table::FEED_SUCCESS_TIME, &[name], float(feed.checked.unwrap_or(0)));
        values.set(&table::FEED_IN_FORCE, &[name], flag(feed.in_force));
        values.set(&table::FEED_FAILING, &[name], flag(feed.error.is_some()));
        values.set(&table::FEED_STALE, &[name], flag(feed.state == "stale"));
    }
}

fn rest(sample: &Sample, facts: &Facts, values: &mut Collected) {
    for table in &sample.tables {
        values.set(&table::MAP_ENTRIES, &[&table.name], float(table.entries));
        values.set(&table::MAP_MAX_ENTRIES, &[&table.name], float(table.max));
    }
    for mode in [Mode::Observe, Mode::Enforce] {
        values.set(&table::MODE, &[mode.label()], flag(mode == facts.mode));
    }
    for interface in &sample.interfaces {
        for mode in label::WAYS {
            let value = flag(interface.xdp == mode);
            values.set(&table::INTERFACE_ATTACHED, &[&interface.name, mode], value);
        }
        if facts.next.contains_key(&interface.name) {
            let value = flag(interface.next.is_some());
            values.set(&table::INTERFACE_NEXT, &[&interface.name], value);
        }
    }
    for (interface, mode) in facts.absent.iter().flat_map(|name| label::WAYS.map(|mode| (name, mode))) {
        values.set(&table::INTERFACE_ATTACHED, &[interface, mode], 0.0);
    }
    values.set(&table::RELOAD_SUCCESSFUL, &[], flag(facts.reload_successful));
    let since_epoch = facts.reload_success.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    values.set(&table::RELOAD_SUCCESS_TIME, &[], since_epoch.as_secs_f64());
    commit(&facts.commit, values);
    programs(sample, values);
    about_this_scrape(Some(sample.took), values);
}

/// Zero for a hook that nothing is attached to.
fn programs(sample: &Sample, values: &mut Collected) {
    values.set(&table::BPF_STATS, &[], flag(sample.stats_enabled));
    for interface in &sample.interfaces {
        for hook in label::HOOKS {
            let mut runs =
                sample.runs.iter().filter(|runs| runs.interface == interface.name && runs.hook == hook);
            let Runs { count, time, .. } = runs.next().cloned().unwrap_or_default();
            let labels = [interface.name.as_str(), hook];
            values.add_float(&table::BPF_RUN_SECONDS, &labels, time.as_secs_f64());
            values.add(&table::BPF_RUNS, &labels, count);
        }
    }
}

fn commit(commit: &Standing, values: &mut Collected) {
    values.set(&table::CONFIG_REVISION, &[], float(commit.revision));
    values.set(&table::CONFIG_PENDING, &[], flag(commit.confirm_seconds.is_some()));
    values.set(&table::CONFIG_DIFFERS, &[], flag(commit.differs_from_file));
    values.set(&table::BYPASS, &[], flag(commit.bypass_seconds.is_some()));
    values.set(&table::STATE_WRITABLE, &[], flag(commit.state_problem.is_none()));
    values.add(&table::STATE_QUARANTINED, &[], commit.quarantined);
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[expect(clippy::cast_precision_loss, reason = "exposition values are floats; 2^53 is out of reach")]
const fn float(value: u64) -> f64 {
    value as f64
}

/// Values by metric and labels; the same place twice adds up.
#[derive(Default)]
struct Collected(HashMap<&'static str, Family>);

enum Family {
    Counter(prometheus::CounterVec),
    Gauge(prometheus::GaugeVec),
}

impl Family {
    fn new(metric: &Metric) -> Self {
        let opts = Opts::new(metric.name, metric.help);
        let names: Vec<_> = metric.labels.iter().map(|label| label.name).collect();
        match metric.kind {
            Kind::Counter => prometheus::CounterVec::new(opts, &names).map(Self::Counter),
            Kind::Gauge => prometheus::GaugeVec::new(opts, &names).map(Self::Gauge),
        }
        .expect("the table's names and labels are valid, says its test")
    }
}

impl Collected {
    fn of(&mut self, metric: &Metric) -> &Family {
        self.0.entry(metric.name).or_insert_with(|| Family::new(metric))
    }

    fn add(&mut self, metric: &Metric, labels: &[&str], value: u64) {
        self.add_float(metric, labels, float(value));
    }

    fn add_float(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        if let Family::Counter(counter) = self.of(metric) {
            counter.with_label_values(labels).inc_by(value);
        }
    }

    fn set(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        if let Family::Gauge(gauge) = self.of(metric) {
            gauge.with_label_values(labels).set(value);
        }
    }

    fn families(&self) -> Vec<MetricFamily> {
        METRICS.iter().flat_map(|metric| self.family(metric)).collect()
    }

    fn family(&self, metric: &Metric) -> Vec<MetricFamily> {
        match self.0.get(metric.name) {
            Some(Family::Counter(counter)) => counter.collect(),
            Some(Family::Gauge(gauge)) => gauge.collect(),
            None => Vec::new(),
        }
    }
}
