//! An attack: what somebody asks about afterwards.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::{
    load::Load,
    respond,
    top::{self, Top},
    vector::Vector,
};

/// Counters of each sketch: no count is wrong by more than a thousandth of all.
const COUNTERS: usize = 1024;

/// One vector of an attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Which.
    pub vector: Vector,
    /// When it was found, the detector's clock.
    pub since: u64,
    /// The usual load when it was found, packets per second.
    pub usual: f64,
    /// From where on it was a flood.
    pub threshold: f64,
    /// Most packets per second.
    pub peak_pps: f64,
    /// Most bits per second.
    pub peak_bps: f64,
}

/// Something that was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// When, the detector's clock.
    pub at: u64,
    /// What and why, for people.
    pub what: String,
    /// When it was taken back.
    pub undone: Option<u64>,
}

/// Heavy sources that an attack lists, of those that were the first.
const HEAVY: usize = 1024;

/// Acts that an attack lists; more are counted.
pub const ACTS: usize = 100;

/// Floods of one service at one time.
#[derive(Clone, Debug)]
pub struct Attack {
    /// Number, from 1 on.
    pub id: u64,
    /// Number of the service; 0 is the rest of the host.
    pub service: usize,
    /// When it was found, the detector's clock.
    pub began: u64,
    /// When its last vector was over for long enough.
    pub ended: Option<u64>,
    /// When a vector was last seen.
    pub seen: u64,
    /// What it is made of.
    pub hits: Vec<Hit>,
    /// Packets per second of all vectors together, at the last turn.
    pub pps: f64,
    /// Bits per second.
    pub bps: f64,
    /// Most packets per second of all vectors together.
    pub peak_pps: f64,
    /// Most bits per second.
    pub peak_bps: f64,
    /// What was done.
    pub acts: Vec<Act>,
    /// Sources as the packets give them: forged ones, where nothing proves the contrary.
    pub sources: Top<IpAddr>,
    /// Their prefixes: IPv4 /24, IPv6 /48.
    pub prefixes: Top<IpNet>,
    /// Sources whose packets prove that they can receive, as a ban takes them.
    pub proven: Top<IpNet>,
    /// Most packets that one sample of them stood for.
    pub coarsest: u32,
    /// Those of them that were heavy at some time, as they were then or, if that is more, later.
    pub heavy: BTreeMap<IpNet, top::Heavy<IpNet>>,
}

impl Attack {
    pub(super) fn new(id: u64, service: usize, now: u64) -> Self {
        Self {
            id,
            service,
            began: now,
            ended: None,
            seen: now,
            hits: Vec::new(),
            pps: 0.0,
            bps: 0.0,
            peak_pps: 0.0,
            peak_bps: 0.0,
            acts: Vec::new(),
            sources: Top::new(COUNTERS),
            prefixes: Top::new(COUNTERS),
            proven: Top::new(COUNTERS),
            coarsest: 0,
            heavy: BTreeMap::new(),
        }
    }

    /// A sampled packet proves that its source can receive.
    pub(super) fn proof(&mut self, source: IpNet, weight: u32) {
        self.proven.add(source, weight.into());
        self.coarsest = self.coarsest.max(weight);
    }

    /// Remembers who is heavy now: whoever is banned for it sends no proof any more, and others may push it out of the sketch.
    pub fn keep_heavy(&mut self, knob: f64, now: u64) {
        for heavy in respond::heavy(self, knob, now) {
            if self.heavy.len() < HEAVY || self.heavy.contains_key(&heavy.key) {
                self.heavy.insert(heavy.key, heavy);
            }
        }
    }

    /// Whether it has that vector.
    #[must_use]
    pub fn has(&self, vector: Vector) -> bool {
        self.hits.iter().any(|hit| hit.vector == vector)
    }

    pub(super) fn peak(&mut self, load: impl Fn(Vector) -> Load) {
        let (mut pps, mut bps) = (0.0, 0.0);
        for hit in &mut self.hits {
            let load = load(hit.vector);
            hit.peak_pps = hit.peak_pps.max(load.pps);
            hit.peak_bps = hit.peak_bps.max(load.bps);
            pps += load.pps;
            bps += load.bps;
        }
        (self.pps, self.bps) = (pps, bps);
        self.peak_pps = self.peak_pps.max(pps);
        self.peak_bps = self.peak_bps.max(bps);
    }

    pub(super) fn source(&mut self, source: IpAddr, weight: u32) {
        self.sources.add(source, weight.into());
        self.prefixes.add(prefix(source), weight.into());
    }

    /// Forgets some sources, or with `dry_run` only counts what there is of them.
    pub fn forget(&mut self, dry_run: bool, is_it: impl Fn(&IpNet) -> bool) -> u64 {
        let mut count = self.sources.forget(dry_run, |source| is_it(&IpNet::from(*source)));
        count += self.prefixes.forget(dry_run, &is_it) + self.proven.forget(dry_run, &is_it);
        count += self.heavy.keys().filter(|net| is_it(net)).count() as u64;
        if !dry_run {
            self.heavy.retain(|net, _| !is_it(net));
        }
        for act in &mut self.acts {
            let Some(what) = without(&act.what, &is_it) else { continue };
            count += 1;
            if !dry_run {
                act.what = what;
            }
        }
        count
    }
}

/// What stands in a text in the place of whoever is forgotten.
const FORGOTTEN: &str = "(forgotten)";

/// An address or a prefix.
fn net(word: &str) -> Option<IpNet> {
    word.parse().ok().or_else(|| Some(IpNet::from(word.parse::<IpAddr>().ok()?)))
}

/// The addresses and prefixes among a text's words.
pub fn named(text: &str) -> impl Iterator<Item = IpNet> {
    text.split(' ').filter_map(net)
}

/// The text with other words for the addresses and prefixes among its own, as far as there are some.
#[must_use]
pub fn reworded(text: &str, mut other: impl FnMut(IpNet) -> Option<String>) -> String {
    let mut word = |word: &str| net(word).and_then(&mut other).unwrap_or_else(|| word.to_owned());
    text.split(' ').map(&mut word).collect::<Vec<_>>().join(" ")
}

/// The text without them; `None` if it names none of them.
pub fn without(text: &str, is_it: impl Fn(&IpNet) -> bool) -> Option<String> {
    let is_named = named(text).any(|net| is_it(&net));
    is_named.then(|| reworded(text, |net| is_it(&net).then(|| FORGOTTEN.to_owned())))
}

/// The /24 or /48 of an address: what logs and incidents show of it.
#[must_use]
pub fn prefix(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).map_or(IpNet::from(address), |net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn attack() -> Attack {
        let mut attack = Attack::new(1, 1, 0);
        for source in ["192.31.196.9", "192.31.196.10", "2620:4f:8000:1::9"] {
            let source = source.parse().unwrap();
            attack.source(source, 10);
            attack.proven.add(crate::dataplane::source_of(source), 5);
        }
        let what = "banned 192.31.196.9/32 for 600 s: auto/syn#1".to_owned();
        attack.acts.push(Act { at: 1, what, undone: None });
        attack
    }

    #[test]
    fn what_cannot_be_told_apart_stays() {
        for (whom, gone, [sources, prefixes, proven]) in [
            ("192.31.196.9/32", 3, [2, 2, 2]),
            ("192.31.196.0/24", 6, [1, 1, 1]),
            ("2620:4f:8000:1::/64", 2, [2, 2, 2]),
            ("2620:4f:8000::/48", 3, [2, 1, 2]),
            ("44.0.0.0/8", 0, [3, 2, 3]),
        ] {
            let (mut attack, whom) = (attack(), net(whom));
            let left = |attack: &Attack| {
                let lengths = [attack.prefixes.heaviest(9).len(), attack.proven.heaviest(9).len()];
                [attack.sources.heaviest(9).len(), lengths[0], lengths[1]]
            };
            assert_eq!(attack.forget(true, |net| whom.contains(net)), gone, "{whom}");
            assert_eq!(left(&attack), [3, 2, 3], "only told");
            assert_eq!(attack.forget(false, |net| whom.contains(net)), gone, "{whom}");
            assert_eq!(
                (left(&attack), attack.forget(false, |net| whom.contains(net))),
                ([sources, prefixes, proven], 0)
            );
            assert!(!attack.acts.iter().any(|act| without(&act.what, |net| whom.contains(net)).is_some()));
        }
    }

    #[test]
    fn texts_lose_a_name_and_nothing_else() {
        let text = "banned 192.31.196.9/32 for 600 s: auto/syn#1, as 192.31.196.9 and 2620:4f::1";
        let without = |whom: &str| without(text, |net_of| net(whom).contains(net_of));
        assert_eq!(
            without("192.31.196.9/32").unwrap(),
            "banned (forgotten) for 600 s: auto/syn#1, as (forgotten) and 2620:4f::1"
        );
        assert!(without("2620:4f::/64").unwrap().ends_with("192.31.196.9 and (forgotten)"));
        assert_eq!(without("192.31.197.0/24"), None);
    }
}
