//! What is read of a feed: ranges of addresses, and how many entries were left out.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Fault, Limits};
use crate::config::lists::file::prefix;
pub use crate::config::lists::ranges::Ranges;

/// Characters of a wrong entry that are told.
const TOLD: usize = 60;

/// How many entries there are, and what became of those that are not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Counts {
    /// Taken: IPv4, IPv6.
    pub taken: [u64; 2],
    /// Taken as the networks around them: they have bits beyond their length.
    pub odd: u64,
    /// Left out: shorter than the shortest prefix.
    pub wide: u64,
    /// The first of those.
    pub first_wide: Option<String>,
    /// Left out: neither address nor prefix.
    pub bad: u64,
    /// The first of those, with its place.
    pub first_bad: Option<String>,
    /// Left out: decisions that are no bans of addresses.
    pub other: u64,
}

impl Counts {
    /// Taken, both families.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.taken[0] + self.taken[1]
    }
}

/// Where in a feed something is.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A line, from 1.
    Line(u64),
    /// An element of a document, from 1.
    Entry(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Entry(number) => write!(f, "entry {number}"),
        }
    }
}

/// What was read of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// What it blocks.
    pub ranges: Ranges,
    /// What it leaves out of that (`nomatch`).
    pub holes: Ranges,
    /// Counts.
    pub counts: Counts,
    /// It says by itself that it is whole, so that it may be empty.
    pub whole: bool,
}

/// Takes entries one by one.
#[derive(Debug)]
pub struct Sink<'a> {
    limits: &'a Limits,
    seen: usize,
    entries: Entries,
}

impl<'a> Sink<'a> {
    /// Of nothing yet.
    #[must_use]
    pub fn new(limits: &'a Limits) -> Self {
        Self { limits, seen: 0, entries: Entries::default() }
    }

    /// All of them.
    #[must_use]
    pub fn done(self, whole: bool) -> Entries {
        Entries { whole, ..self.entries }
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.seen += 1;
        if self.seen > self.limits.entries { Err(Fault::TooMany(self.limits.entries)) } else { Ok(()) }
    }

    /// An address, a prefix, or a range `FIRST-LAST`.
    pub fn entry(&mut self, text: &str, place: Place) -> Result<(), Fault> {
        match text.split_once('-') {
            Some((first, last)) => self.range(first, last, place),
            None => match prefix(text) {
                Ok(net) => self.prefix(net),
                Err(why) => self.bad(place, &why),
            },
        }
    }

    /// A prefix.
    pub fn prefix(&mut self, net: IpNet) -> Result<(), Fault> {
        let family = usize::from(net.addr().is_ipv6());
        if net.prefix_len() < self.limits.shortest[family] {
            return self.wide(&net.to_string());
        }
        self.count()?;
        let counts = &mut self.entries.counts;
        counts.taken[family] += 1;
        counts.odd += u64::from(net != net.trunc());
        self.entries.ranges.push(&net);
        Ok(())
    }

    /// What an earlier entry does not mean.
    pub fn except(&mut self, text: &str, place: Place) -> Result<(), Fault> {
        self.count()?;
        match prefix(text) {
            Ok(net) => self.entries.holes.push(&net),
            Err(why) => return self.bad(place, &why),
        }
        Ok(())
    }

    /// From the first address to the last.
    pub fn range(&mut self, first: &str, last: &str, place: Place) -> Result<(), Fault> {
        let [shortest_v4, shortest_v6] = self.limits.shortest;
        let ends = (first.trim().parse::<IpAddr>(), last.trim().parse::<IpAddr>());
        let shown = match &ends {
            (Ok(first), Ok(last)) => format!("{first}-{last}"),
            _ => String::new(),
        };
        let wide = match ends {
            (Ok(IpAddr::V4(a)), Ok(IpAddr::V4(b))) if a <= b => {
                let (a, b) = (a.to_bits(), b.to_bits());
                let wide = (b - a).leading_zeros() < u32::from(shortest_v4);
                if !wide {
                    self.entries.ranges.v4.push((a, b));
                    self.entries.counts.taken[0] += 1;
                }
                wide
            }
            (Ok(IpAddr::V6(a)), Ok(IpAddr::V6(b))) if a <= b && a.to_ipv4_mapped().is_none() => {
                let (a, b) = (a.to_bits(), b.to_bits());
                let wide = (b - a).leading_zeros() < u32::from(shortest_v6);
                if !wide {
                    self.entries.ranges.v6.push((a, b));
                    self.entries.counts.taken[1] += 1;
                }
                wide
            }
            _ => {
                let shown: String = format!("{first}-{last}").chars().take(TOLD).collect();
                return self.bad(place, &format!("{shown:?} is no range of addresses"));
            }
        };
        if wide { self.wide(&shown) } else { self.count() }
    }

    fn wide(&mut self, text: &str) -> Result<(), Fault> {
        self.entries.counts.wide += 1;
        self.entries.counts.first_wide.get_or_insert_with(|| text.to_owned());
        self.count()
    }

    /// Something that is no entry.
    pub fn bad(&mut self, place: Place, why: &str) -> Result<(), Fault> {
        let counts = &mut self.entries.counts;
        counts.bad += 1;
        let told = || format!("{place}: {}", why.chars().take(2 * TOLD).collect::<String>());
        counts.first_bad.get_or_insert_with(told);
        self.count()
    }

    /// A decision about something else.
    pub fn other(&mut self) -> Result<(), Fault> {
        self.entries.counts.other += 1;
        self.count()
    }
}
