//! What is shown: rates out of two readings, and who sends most out of samples. Pure.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::Hash,
    net::IpAddr,
};

use filter_common::reason::Reason;
use ipnet::IpNet;
use serde::Serialize;

use crate::{
    daemon::{detect, events},
    detect::{attack::prefix, vector::Evidence},
    observe::{
        metrics::is_drop,
        status::{Status, Table},
    },
};

/// Rates that are remembered, one for each reading.
pub(super) const REMEMBERED: usize = 120;
/// Readings whose samples tell who sends most.
const WINDOW: usize = 10;
/// Sources and prefixes that are told, at most.
const TOLD: usize = 100;

/// A moment's rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rate {
    /// Packets per second.
    pub pps: f64,
    /// Bits per second on the wire.
    pub bps: f64,
}

impl Rate {
    fn add(&mut self, other: Self) {
        self.pps += other.pps;
        self.bps += other.bps;
    }
}

/// What somebody sends or gets, estimated from samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Load {
    /// Now; dropped packets among them.
    #[serde(flatten)]
    pub rate: Rate,
    /// Of these, packets per second that were dropped, or would have been.
    pub dropped_pps: f64,
}

impl Load {
    fn add(&mut self, seen: &Seen, window: f64) {
        let pps = f64::from(seen.weight) / window;
        self.rate.add(Rate { pps, bps: pps * f64::from(seen.bytes) * 8.0 });
        self.dropped_pps += if seen.dropped { pps } else { 0.0 };
    }
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Fate {
    /// Its label.
    pub reason: String,
    /// Its verdict.
    pub verdict: String,
    /// Now.
    #[serde(flatten)]
    pub rate: Rate,
}

/// Who sends; estimated from samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Sender<K> {
    /// Who, as packets say.
    pub who: K,
    /// What it sends.
    #[serde(flatten)]
    pub load: Load,
    /// It belongs to a connection or has answered a challenge: it is not forged.
    pub proven: bool,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Service {
    /// Its name; `*` is the rest of the host.
    pub name: String,
    /// What it gets.
    #[serde(flatten)]
    pub load: Load,
    /// What is armed: `syn`, `stray`.
    pub armed: Vec<String>,
    /// Vectors of the attacks on it that go on.
    pub attacks: Vec<String>,
}

/// A processor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Cpu {
    /// Its number.
    pub number: usize,
    /// Part of its time that was spent in software interrupts, where packets are: 0 to 1.
    pub softirq: f64,
    /// Part of its time that was not idle.
    pub busy: f64,
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct View {
    /// Version of this form.
    pub schema: u32,
    /// observe or enforce.
    pub mode: String,
    /// Of the configuration.
    pub revision: u64,
    /// Interfaces with their XDP mode.
    pub interfaces: Vec<(String, String)>,
    /// Seconds between the two readings.
    pub seconds: f64,
    /// By verdict.
    pub verdicts: BTreeMap<String, Rate>,
    /// Reasons that packets met since the last reading, most packets first.
    pub reasons: Vec<Fate>,
    /// Services with traffic, attacks or something armed.
    pub services: Vec<Service>,
    /// Attacks that go on.
    pub attacks: Vec<detect::Line>,
    /// Addresses.
    pub sources: Vec<Sender<IpAddr>>,
    /// Their /24s and /48s.
    pub prefixes: Vec<Sender<IpNet>>,
    /// Fill levels.
    pub tables: Vec<Table>,
    /// Processors.
    pub cpus: Vec<Cpu>,
    /// Samples of the last readings that are missing.
    pub lost: u64,
}

/// A sample, as far as it counts.
#[derive(Clone, Debug)]
struct Seen {
    source: Option<IpAddr>,
    service: String,
    weight: u32,
    bytes: u32,
    dropped: bool,
    proven: bool,
}

impl Seen {
    fn new(line: &events::Line) -> Self {
        let reason = Reason::from_label(&line.reason);
        Self {
            source: line.packet.as_ref().map(|packet| packet.source),
            service: line.service.clone(),
            weight: line.weight,
            bytes: line.bytes,
            dropped: is_drop(&line.verdict),
            proven: reason.is_some_and(|reason| reason == Reason::Established || Evidence::proves(reason)),
        }
    }
}

/// One reading of everything.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Seconds of a clock that goes on.
    pub at: f64,
    /// Counters.
    pub status: Status,
    /// Attacks.
    pub attacks: Vec<detect::Line>,
    /// Samples since the last reading.
    pub events: Vec<events::Line>,
    /// Samples that are missing.
    pub lost: u64,
    /// What `/proc/stat` says.
    pub cpu: String,
}

/// What is remembered between readings.
#[derive(Debug, Default)]
pub(super) struct Model {
    before: Option<(f64, Status, String)>,
    seen: VecDeque<(f64, Vec<Seen>)>,
    /// Packets per second that passed, were answered, were dropped (or would have been), the oldest first.
    pub past: [VecDeque<f64>; 3],
}

/// The place of a verdict in [`Model::past`].
#[must_use]
pub(super) fn row(verdict: &str) -> usize {
    match verdict {
        "pass" => 0,
        verdict if verdict.ends_with("reply") => 1,
        _ => 2,
    }
}

impl Model {
    /// What has changed since the last reading; the first one shows no rates.
    pub(super) fn take(&mut self, reading: Reading) -> View {
        let Reading { at, status, attacks, events, lost, cpu } = reading;
        let before = self.before.take();
        let seconds = before.as_ref().map_or(0.0, |(then, ..)| at - then);
        if before.is_some() {
            self.seen.push_back((seconds, events.iter().map(Seen::new).collect()));
            if self.seen.len() > WINDOW {
                self.seen.pop_front();
            }
        }
        let reasons = before.as_ref().map_or_else(Vec::new, |(_, then, _)| fates(then, &status, seconds));
        let mut verdicts = BTreeMap::<String, Rate>::new();
        for fate in &reasons {
            verdicts.entry(fate.verdict.clone()).or_default().add(fate.rate);
        }
        self.remember(&verdicts);
        let active: Vec<_> = attacks.into_iter().filter(|attack| attack.ended.is_none()).collect();
        let view = View {
            schema: 1,
            mode: status.daemon.as_ref().map_or_else(String::new, |daemon| daemon.mode.clone()),
            revision: status.daemon.as_ref().map_or(0, |daemon| daemon.commit.revision),
            interfaces: status.interfaces.iter().map(|i| (i.name.clone(), i.xdp.clone())).collect(),
            seconds,
            verdicts,
            reasons,
            services: self.services(&status, &active),
            attacks: active,
            sources: self.senders(|source| source),
            prefixes: self.senders(prefix),
            tables: status.tables.clone(),
            cpus: before.as_ref().map_or_else(Vec::new, |(_, _, then)| cpus(then, &cpu)),
            lost,
        };
        self.before = Some((at, status, cpu));
        view
    }

    fn remember(&mut self, verdicts: &BTreeMap<String, Rate>) {
        let mut sums = [0.0; 3];
        for (verdict, rate) in verdicts {
            sums[row(verdict)] += rate.pps;
        }
        for (past, sum) in self.past.iter_mut().zip(sums) {
            past.push_back(sum);
            if past.len() > REMEMBERED {
                past.pop_front();
            }
        }
    }

    fn window(&self) -> f64 {
        self.seen.iter().map(|(seconds, _)| seconds).sum::<f64>().max(0.1)
    }

    fn all(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().flat_map(|(_, seen)| seen)
    }

    fn senders<K: Copy + Eq + Hash + Ord>(&self, key: impl Fn(IpAddr) -> K) -> Vec<Sender<K>> {
        let (mut all, window) = (HashMap::<K, Sender<K>>::new(), self.window());
        for seen in self.all() {
            let Some(source) = seen.source else { continue };
            let who = key(source);
            let sender =
                all.entry(who).or_insert_with(|| Sender { who, load: Load::default(), proven: false });
            sender.load.add(seen, window);
            sender.proven |= seen.proven;
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by(|a, b| b.load.rate.pps.total_cmp(&a.load.rate.pps).then(a.who.cmp(&b.who)));
        all.truncate(TOLD);
        all
    }

    fn services(&self, status: &Status, attacks: &[detect::Line]) -> Vec<Service> {
        let (mut all, window) = (BTreeMap::<String, Service>::new(), self.window());
        let names = status.daemon.iter().flat_map(|daemon| &daemon.services);
        for name in names.map(String::as_str).chain(["*"]) {
            let armed = status.armed.iter().filter(|armed| armed.on && armed.service == name);
            let vectors = attacks.iter().filter(|attack| attack.service == name);
            let service = Service {
                name: name.to_owned(),
                load: Load::default(),
                armed: armed.map(|armed| armed.what.clone()).collect(),
                attacks: vectors.flat_map(|attack| &attack.vectors).map(|v| v.vector.clone()).collect(),
            };
            all.insert(name.to_owned(), service);
        }
        for seen in self.all() {
            let Some(service) = all.get_mut(&seen.service) else { continue };
            service.load.add(seen, window);
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by(|a, b| b.load.rate.pps.total_cmp(&a.load.rate.pps).then(a.name.cmp(&b.name)));
        all
    }
}

/// How fast each counter rose; one that went back was made anew.
fn fates(then: &Status, now: &Status, seconds: f64) -> Vec<Fate> {
    if seconds <= 0.0 {
        return Vec::new();
    }
    let before: HashMap<_, _> =
        then.reasons.iter().map(|fate| ((&fate.reason, &fate.verdict), (fate.packets, fate.bytes))).collect();
    let fate = |fate: &crate::observe::status::Fate| {
        let (packets, bytes) = before.get(&(&fate.reason, &fate.verdict)).copied().unwrap_or_default();
        let per_second = |now: u64, then: u64| whole(now.checked_sub(then).unwrap_or(now)) / seconds;
        let rate = Rate { pps: per_second(fate.packets, packets), bps: per_second(fate.bytes, bytes) * 8.0 };
        Fate { reason: fate.reason.clone(), verdict: fate.verdict.clone(), rate }
    };
    let mut fates: Vec<_> = now.reasons.iter().map(fate).filter(|fate| fate.rate.pps > 0.0).collect();
    fates.sort_by(|a, b| b.rate.pps.total_cmp(&a.rate.pps).then(a.reason.cmp(&b.reason)));
    fates
}

#[expect(clippy::cast_precision_loss, reason = "for a rate")]
const fn whole(number: u64) -> f64 {
    number as f64
}

/// By processor: proc_stat(5), in ticks since the boot.
fn cpus(then: &str, now: &str) -> Vec<Cpu> {
    let read = |text: &str| -> Vec<Vec<u64>> {
        let lines = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
        lines
            .map(|line| line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect())
            .collect()
    };
    let cpu = |(number, (then, now)): (usize, (Vec<u64>, Vec<u64>))| {
        let value = |fields: &[u64], field: usize| fields.get(field).copied().unwrap_or_default();
        let step = |field| whole(value(&now, field).saturating_sub(value(&then, field)));
        // user nice system idle iowait irq softirq steal
        let all: f64 = (0..8).map(step).sum();
        let part = |ticks: f64| if all > 0.0 { ticks / all } else { 0.0 };
        Cpu { number, softirq: part(step(6)), busy: part(all - step(3) - step(4)) }
    };
    read(then).into_iter().zip(read(now)).enumerate().map(cpu).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{daemon::detect::VectorLine, explain::packet::Told};

    pub(in crate::cmd::top) fn status(packets: u64) -> Status {
        let text = format!(
            r#"{{"schema":1,"daemon":{{"pid":1,"version":"0","mode":"enforce","services":["web","dns"],"config":"/f.toml",
            "reload_successful":true,"uptime_seconds":5}},"interfaces":[],"reasons":[
            {{"reason":"bogon","verdict":"drop","packets":{packets},"bytes":{bytes}}},
            {{"reason":"pass","verdict":"pass","packets":7,"bytes":700}},
            {{"reason":"established","verdict":"pass","packets":{half},"bytes":{bytes}}}],
            "cookie":{cookie},"armed":[{{"service":"web","what":"syn","on":true,"seconds":2,"count":1}}],
            "tables":[{{"name":"SOURCES","entries":10,"max":100}}]}}"#,
            bytes = packets * 60,
            half = packets / 2,
            cookie = serde_json::to_string(&crate::observe::status::Cookie::default()).unwrap(),
        );
        serde_json::from_str(&text).unwrap()
    }

    pub(in crate::cmd::top) fn event(source: &str, reason: &str, weight: u32) -> events::Line {
        let verdict = if reason == "bogon" { "drop" } else { "pass" };
        let packet = Told {
            source: source.parse().unwrap(),
            destination: "192.31.196.2".parse().unwrap(),
            protocol: "tcp".to_owned(),
            ports: Some([5000, 80]),
            flags: Some("SYN".to_owned()),
            icmp: None,
            ttl: 60,
            fragment: None,
        };
        let text = str::to_owned;
        events::Line {
            number: 1,
            time: 1.0,
            weight,
            interface: text("eth0"),
            verdict: text(verdict),
            reason: text(reason),
            service: text("web"),
            bytes: 100,
            packet: Some(packet),
            frame: None,
            answer: false,
        }
    }

    pub(in crate::cmd::top) fn attack() -> detect::Line {
        detect::Line {
            id: 3,
            service: "web".to_owned(),
            began: 1000,
            ended: None,
            vectors: vec![VectorLine {
                vector: "syn".to_owned(),
                usual_pps: 3,
                threshold_pps: 1000,
                peak_pps: 50_000,
                peak_bps: 4_000_000,
            }],
            peak_pps: 50_000,
            peak_bps: 4_000_000,
            acts: Vec::new(),
        }
    }

    pub(in crate::cmd::top) fn reading(
        at: f64,
        packets: u64,
        events: Vec<events::Line>,
        cpu: &str,
    ) -> Reading {
        Reading { at, status: status(packets), attacks: vec![attack()], events, lost: 0, cpu: cpu.to_owned() }
    }

    #[test]
    fn rates_are_what_rose() {
        let mut model = Model::default();
        let first = model.take(reading(
            10.0,
            1000,
            vec![event("44.0.0.1", "bogon", 64)],
            "cpu0 10 0 10 80 0 0 0 0\n",
        ));
        assert!(first.reasons.is_empty() && first.sources.is_empty() && first.cpus.is_empty());
        let events = vec![
            event("44.0.0.1", "bogon", 64),
            event("44.0.0.2", "bogon", 16),
            event("9.9.9.9", "established", 200),
            event("44.0.0.1", "bogon", 64),
        ];
        let view = model.take(reading(12.0, 3000, events, "cpu0 20 0 10 100 0 0 70 0\n"));
        let shown: Vec<_> = view.reasons.iter().map(|fate| (fate.reason.as_str(), fate.rate.pps)).collect();
        assert_eq!(shown, [("bogon", 1000.0), ("established", 500.0)]);
        assert!((view.verdicts["drop"].bps - 480_000.0).abs() < 1e-6);
        let who: Vec<_> =
            view.sources.iter().map(|s| (s.who.to_string(), s.load.rate.pps, s.proven)).collect();
        let expected = [("9.9.9.9", 100.0, true), ("44.0.0.1", 64.0, false), ("44.0.0.2", 8.0, false)];
        assert_eq!(who, expected.map(|(who, pps, proven)| (who.to_owned(), pps, proven)));
        assert_eq!(
            (view.prefixes[1].who.to_string().as_str(), view.prefixes[1].load.dropped_pps),
            ("44.0.0.0/24", 72.0)
        );
        let web = &view.services[0];
        assert_eq!(
            (web.name.as_str(), &web.armed[..], &web.attacks[..]),
            ("web", &["syn".to_owned()][..], &["syn".to_owned()][..])
        );
        assert!((view.cpus[0].softirq - 0.7).abs() < 1e-9 && (view.cpus[0].busy - 0.8).abs() < 1e-9);
        assert_eq!(model.past[2], [0.0, 1000.0]);
    }

    #[test]
    fn tables_made_anew_are_no_negative_rates() {
        let mut model = Model::default();
        model.take(reading(1.0, 5000, Vec::new(), ""));
        let view = model.take(reading(2.0, 100, Vec::new(), "garbage"));
        assert!(view.reasons.iter().all(|fate| fate.rate.pps >= 0.0) && view.cpus.is_empty());
        for at in 3..200 {
            model.take(reading(f64::from(at), 100, vec![event("44.0.0.1", "bogon", 1)], ""));
        }
        assert_eq!((model.past[0].len(), model.seen.len()), (REMEMBERED, WINDOW));
    }
}
