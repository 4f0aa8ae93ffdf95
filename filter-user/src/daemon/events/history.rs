//! What was sampled of late: a bounded memory, so that any number of readers come and go and none holds the daemon up.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
};

use filter_common::{
    event::Event,
    reason::{Action, Reason},
};
use ipnet::IpNet;

/// Events that are remembered: more than a second of the usual budget.
const RECENT: usize = 8192;
/// Drops of each reason that are remembered besides: a flood pushes out its own kind only.
const DROPS: usize = 64;

/// A remembered event.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Its number, from 1 on since the daemon started.
    pub number: u64,
    /// As the data path wrote it.
    pub event: Event,
    /// Number of its service; 0 is the rest of the host.
    pub service: u8,
    /// Where it says that it comes from; `None` if it could not be parsed.
    pub source: Option<IpAddr>,
}

impl Kept {
    /// Whether it was dropped, or would have been.
    #[must_use]
    pub fn is_drop(&self) -> bool {
        Reason::from_number(self.event.reason).is_some_and(|reason| reason.action() == Action::Drop)
    }
}

/// The memory.
#[derive(Debug, Default)]
pub struct History {
    last: u64,
    recent: VecDeque<Kept>,
    drops: BTreeMap<u8, VecDeque<Kept>>,
}

fn push(queue: &mut VecDeque<Kept>, most: usize, kept: Kept) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(kept);
}

impl History {
    /// One more.
    pub fn push(&mut self, event: Event, service: u8, source: Option<IpAddr>) {
        self.last += 1;
        let kept = Kept { number: self.last, event, service, source };
        push(&mut self.recent, RECENT, kept);
        if kept.is_drop() {
            push(self.drops.entry(event.reason).or_default(), DROPS, kept);
        }
    }

    /// The number of the last one.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// How many behind that number are not remembered any more; the rest of them, oldest first.
    pub fn after(&self, number: u64) -> (u64, impl Iterator<Item = &Kept>) {
        let first = self.recent.front().map_or(self.last + 1, |kept| kept.number);
        let missed = first.saturating_sub(number.saturating_add(1));
        let from = self.recent.partition_point(|kept| kept.number <= number);
        (missed, self.recent.range(from..))
    }

    /// Forgets what came from that prefix, or with `dry_run` only counts it. Readers are told of it as of what is pushed out.
    pub fn forget(&mut self, of: &IpNet, dry_run: bool) -> u64 {
        let mut numbers = BTreeSet::new();
        let mut stays = |kept: &Kept| {
            let found = kept.source.is_some_and(|source| of.contains(&source));
            if found {
                numbers.insert(kept.number);
            }
            !found || dry_run
        };
        self.recent.retain(&mut stays);
        self.drops.values_mut().for_each(|drops| drops.retain(&mut stays));
        numbers.len() as u64
    }

    /// The last remembered drop of a source in that prefix.
    #[must_use]
    pub fn last_drop(&self, of: &IpNet) -> Option<&Kept> {
        let is_wanted = |kept: &&Kept| kept.source.is_some_and(|source| of.contains(&source));
        let newest = |drops: &'_ VecDeque<Kept>| drops.iter().rev().find(is_wanted).map(|kept| kept.number);
        let number = self.drops.values().filter_map(newest).max()?;
        self.drops.values().flatten().find(|kept| kept.number == number)
    }
}

#[cfg(test)]
mod tests {
    use filter_common::event::SNAP;

    use super::*;

    fn event(reason: Reason) -> Event {
        Event {
            time: 1,
            weight: 1,
            ifindex: 2,
            length: 60,
            captured: 60,
            reason: reason as u8,
            plane: 0,
            frame: [0; SNAP],
        }
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn readers_go_on_where_they_were() {
        let mut history = History::default();
        assert_eq!(history.after(0).0, 0);
        for _ in 0..RECENT + 10 {
            history.push(event(Reason::Pass), 0, None);
        }
        let (missed, rest) = history.after(0);
        assert_eq!((missed, rest.count()), (10, RECENT));
        let (missed, mut rest) = history.after(history.last() - 1);
        assert_eq!((missed, rest.next().map(|kept| kept.number)), (0, Some(RECENT as u64 + 10)));
        // A reader of another daemon's numbers.
        let (missed, rest) = history.after(u64::MAX);
        assert_eq!((missed, rest.count()), (0, 0));
    }

    #[test]
    fn a_flood_pushes_out_its_own_kind_only() {
        let mut history = History::default();
        let honest = "192.31.196.9".parse().unwrap();
        history.push(event(Reason::SourceRate), 0, Some(honest));
        for _ in 0..2 * RECENT {
            history.push(event(Reason::Bogon), 0, Some("10.0.0.1".parse().unwrap()));
        }
        let found = history.last_drop(&net("192.31.196.0/24")).unwrap();
        assert_eq!((found.number, found.source), (1, Some(honest)));
        assert_eq!(history.last_drop(&net("10.0.0.1/32")).unwrap().number, history.last());
        assert!(history.last_drop(&net("9.9.9.9/32")).is_none());
    }

    #[test]
    fn who_is_forgotten_was_never_there() {
        let mut history = History::default();
        let [one, other] = ["192.31.196.9", "192.31.196.10"].map(|text| text.parse().unwrap());
        for _ in 0..RECENT {
            history.push(event(Reason::SourceRate), 0, Some(one));
            history.push(event(Reason::Pass), 0, Some(other));
        }
        history.push(event(Reason::Bogon), 0, None);
        let [first, both] = [net("192.31.196.9/32"), net("192.31.196.0/24")];
        let half = RECENT as u64 / 2;
        assert_eq!([true, true].map(|dry_run| history.forget(&first, dry_run)), [half - 1; 2]);
        assert!(history.last_drop(&first).is_some(), "only told");
        assert_eq!([false, false].map(|dry_run| history.forget(&first, dry_run)), [half - 1, 0]);
        assert!(history.last_drop(&first).is_none());
        assert!(history.after(0).1.all(|kept| kept.source != Some(one)));
        let (missed, rest) = history.after(history.last() - 3);
        assert_eq!((missed, rest.count()), (0, 2), "the third is no more");
        assert_eq!((history.forget(&both, false), history.after(0).1.count()), (half, 1));
        history.push(event(Reason::Pass), 0, Some(one));
        assert_eq!(history.after(history.last() - 1).1.map(|kept| kept.source).last(), Some(Some(one)));
    }

    #[test]
    fn only_drops_are_drops() {
        let mut history = History::default();
        let source = "192.31.196.9".parse().unwrap();
        history.push(event(Reason::Pass), 0, Some(source));
        history.push(event(Reason::CookieSent), 0, Some(source));
        assert!(history.last_drop(&source.into()).is_none());
    }
}
