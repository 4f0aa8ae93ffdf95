//! What two states of the lists differ by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::list::{
    Class,
    build::{Number, Span},
};
use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use serde::{Deserialize, Serialize};

use super::ranges::rest;
use crate::dataplane::plan::{Lists, Prefixes};

/// Prefixes that are named one by one.
const SHOWN: usize = 5;

/// What became of both lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Compared {
    /// `[lists] allow` and its files.
    pub allow: Delta,
    /// `[lists] block` and its files, without what is allowed.
    pub block: Delta,
}

/// What became of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Delta {
    /// Entries before and now, as they are written.
    pub entries: [u64; 2],
    /// What is on it now and was not, in the fewest prefixes.
    pub added: Set,
    /// What was on it and is not any more.
    pub removed: Set,
}

/// Some prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Set {
    /// How many.
    pub prefixes: u64,
    /// The first of them.
    pub first: Vec<IpNet>,
}

impl Compared {
    /// From `old` to `new`.
    #[must_use]
    pub fn between(old: &Lists, new: &Lists) -> Self {
        let sum = |lists: &Lists, number: usize| {
            let Prefixes { v4, v6 } = lists.prefixes[number];
            v4 + v6
        };
        let delta = |class: Class, number: usize| Delta {
            entries: [sum(old, number), sum(new, number)],
            added: Set::of(new, old, class),
            removed: Set::of(old, new, class),
        };
        if old.digest == new.digest {
            let same = |number| Delta { entries: [sum(old, number), sum(new, number)], ..Delta::default() };
            return Self { allow: same(0), block: same(1) };
        }
        Self { allow: delta(Class::Allow, 0), block: delta(Class::Block, 1) }
    }

    /// Whether a source is listed otherwise now.
    #[must_use]
    pub fn any(&self) -> bool {
        [&self.allow, &self.block].iter().any(|delta| delta.added.prefixes + delta.removed.prefixes > 0)
    }
}

impl Set {
    /// What is of `class` in `list` but not in `without`.
    fn of(list: &Lists, without: &Lists, class: Class) -> Self {
        let mut set = Self::default();
        for (first, last) in minus(&list.v4, &without.v4, class) {
            set.take(Ipv4Subnets::new(Ipv4Addr::from(first), Ipv4Addr::from(last), 0).map(IpNet::V4));
        }
        for (first, last) in minus(&list.v6, &without.v6, class) {
            set.take(Ipv6Subnets::new(Ipv6Addr::from(first), Ipv6Addr::from(last), 0).map(IpNet::V6));
        }
        set
    }

    fn take(&mut self, prefixes: impl Iterator<Item = IpNet>) {
        for prefix in prefixes {
            self.prefixes += 1;
            if self.first.len() < SHOWN {
                self.first.push(prefix);
            }
        }
    }
}

fn minus<A: Number>(list: &[Span<A>], without: &[Span<A>], class: Class) -> Vec<(A, A)> {
    let of = |spans: &[Span<A>]| {
        spans.iter().filter(|span| span.class == class).map(|span| (span.first, span.last)).collect()
    };
    rest(of(without), of(list))
}

/// A range as prefixes: the first of them, and how many more.
#[must_use]
pub fn prefixes(first: IpAddr, last: IpAddr) -> String {
    let all: Vec<IpNet> = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Ipv4Subnets::new(first, last, 0).map(IpNet::V4).take(2).collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Ipv6Subnets::new(first, last, 0).map(IpNet::V6).take(2).collect()
        }
        _ => Vec::new(),
    };
    match &all[..] {
        [only] => only.to_string(),
        _ => format!("{first}-{last}"),
    }
}

/// What the lists say of a source.
#[must_use]
pub fn class_of(lists: &Lists, source: IpAddr) -> Class {
    match source.to_canonical() {
        IpAddr::V4(v4) => class(&lists.v4, v4.to_bits()),
        IpAddr::V6(v6) => class(&lists.v6, v6.to_bits()),
    }
}

fn class<A: Number>(spans: &[Span<A>], address: A) -> Class {
    touched(spans, address, address).map_or(Class::None, |span| span.class)
}

/// The first of disjoint spans in order that has a part of these addresses.
pub fn touched<A: Number>(spans: &[Span<A>], first: A, last: A) -> Option<&Span<A>> {
    let found = spans.get(spans.partition_point(|span| span.last < first));
    found.filter(|span| span.first <= last)
}

/// Whether all of a prefix is on the allow list.
#[must_use]
pub fn is_allowed(lists: &Lists, prefix: &IpNet) -> bool {
    match prefix {
        IpNet::V4(net) => is_in(&lists.v4, net.network().to_bits(), net.broadcast().to_bits()),
        IpNet::V6(net) => is_in(&lists.v6, net.network().to_bits(), net.broadcast().to_bits()),
    }
}

/// Allowed neighbours are one span.
fn is_in<A: Number>(spans: &[Span<A>], first: A, last: A) -> bool {
    touched(spans, first, last)
        .is_some_and(|span| span.class == Class::Allow && span.first <= first && last <= span.last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, diagnostic::Problems, lists, parse};

    fn listed(lines: &str) -> Lists {
        let text = format!("schema = 1\n[[interface]]\nname = \"e\"\n[lists]\n{lines}\n");
        let loaded = parse(Source { path: String::new(), text }).unwrap();
        lists::read(&loaded.settings.lists, &mut Problems::default())
    }

    #[test]
    fn differences_are_told_in_the_fewest_prefixes() {
        let old = listed("block = [\"192.31.196.0/24\", \"2620:4f:8000::/48\"]\nallow = [\"192.31.196.9\"]");
        let new = listed(
            "block = [\"192.31.196.0/25\", \"192.31.198.0/24\", \"192.31.199.0/24\", \"2620:4f:8000::/48\"]",
        );
        let compared = Compared::between(&old, &new);
        let nets = |text: &[&str]| text.iter().map(|net| net.parse().unwrap()).collect::<Vec<IpNet>>();
        assert_eq!(compared.block.added.first, nets(&["192.31.196.9/32", "192.31.198.0/23"]));
        assert_eq!(compared.block.removed.first, nets(&["192.31.196.128/25"]));
        assert_eq!(compared.allow.removed, Set { prefixes: 1, first: nets(&["192.31.196.9/32"]) });
        assert_eq!((compared.block.entries, compared.any()), ([2, 4], true));
        assert!(!Compared::between(&old, &old).any());
        let class = |lists: &Lists, address: &str| class_of(lists, address.parse().unwrap());
        assert_eq!(class(&old, "192.31.196.9"), Class::Allow);
        assert_eq!(class(&new, "::ffff:192.31.196.9"), Class::Block);
        assert_eq!(class(&old, "192.31.197.0"), Class::None);
        assert_eq!(class(&old, "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"), Class::Block);
        assert_eq!(class(&old, "ffff::"), Class::None);
    }
}
