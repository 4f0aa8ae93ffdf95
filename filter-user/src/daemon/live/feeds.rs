//! Feeds come into force.

use std::{
    net::IpAddr,
    sync::{MutexGuard, PoisonError},
};

use anyhow::Result;
use filter_common::list::Class;
use tracing::{info, warn};

use super::{Live, State};
use crate::{
    config::{Loaded, Settings, lists::compare::class_of, schema::Feed},
    daemon::{
        deadline::wall,
        feeds::{Board, Job, Line, Outcome, Update, routes},
    },
    feed::{
        About, Fault, Feeds, Good, Looked, Packed, check, combine::origin, entries::Ranges, fetch, spared,
    },
    guard::Found,
    sys,
};

/// Ranges that `feed show` prints.
const SHOWN: usize = 10;
/// The time of the last answer is kept at least so often, as a part of `stale_after`.
const KEPT: u64 = 8;

impl State {
    /// What feeds and `floodwall allow` add now, and who has to get through besides.
    pub(super) fn fed(&self) -> Feeds {
        let (parts, last) = (self.feeds.parts.clone(), Some(self.plan.lists.clone()));
        Feeds { parts, spared: neighbours(&self.settings), allowed: self.allowed.prefixes(), last }
    }

    /// Loads the programs anew if what the daemon adds to the lists has changed. This is no revision: what waits to be confirmed goes on
    /// waiting.
    pub(super) fn swap_lists(&mut self) -> Result<bool> {
        let mut staged = self.stage(self.loaded())?;
        if staged.plan.lists.digest == self.plan.lists.digest {
            // The same addresses: only which feed they are from may have changed.
            self.plan.lists = staged.plan.lists;
            return Ok(false);
        }
        // They were told when the configuration came into force.
        staged.report.diagnostics.clear();
        let (when, successful) = (self.facts.reload_success, self.facts.reload_successful);
        self.adopt(staged)?;
        (self.facts.reload_success, self.facts.reload_successful) = (when, successful);
        Ok(true)
    }
}

/// Gateways and resolvers: whom nothing works without.
pub(super) fn neighbours(settings: &Settings) -> Vec<IpAddr> {
    let auto = settings.management.auto && !settings.feed.is_empty();
    let near = if auto { Found::near(None).not_to_ban() } else { Vec::new() };
    near.into_iter().map(|(address, _)| address).collect()
}

impl Live {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Feeds as they are configured, with their copies.
    fn configured_feeds(&self) -> (Vec<Feed>, Feeds) {
        let state = self.state();
        (state.settings.feed.clone(), state.feeds.clone())
    }

    /// Feeds that are to be looked at now.
    pub fn due_feeds(&self) -> Vec<Job> {
        let (feeds, found) = self.configured_feeds();
        self.board().due(&feeds, &found)
    }

    /// That feed, or all; without a job where it is looked at already.
    pub fn asked_feeds(&self, name: Option<&str>) -> Result<Vec<(String, Option<Job>)>> {
        let (feeds, found) = self.configured_feeds();
        let mut board = self.board();
        board.follow(&feeds, &found);
        let wanted: Vec<_> = match name {
            Some(name) => {
                let feed = feeds.iter().find(|feed| feed.name.as_ref() == name);
                vec![feed.ok_or_else(|| routes::unknown(name))?]
            }
            None => feeds.iter().filter(|feed| feed.enabled).collect(),
        };
        Ok(wanted.into_iter().map(|feed| (feed.name.as_ref().clone(), board.take(feed, &found))).collect())
    }

    /// Looks at a feed's source. This takes as long as it takes; nothing is locked meanwhile.
    /// With `compare` it tells what a new copy changes.
    pub fn look_at_feed(&self, job: &Job, asked: &Update, compare: bool) -> Outcome {
        let outcome = self.look(job, asked, compare);
        // All of that has left tens of megabytes behind.
        sys::trim_memory();
        outcome
    }

    fn look(&self, job: &Job, asked: &Update, compare: bool) -> Outcome {
        let (name, feed, dry_run) = (job.feed.name.as_ref(), &job.feed, asked.dry_run);
        let result = ask(job, dry_run || asked.force, asked.force);
        if dry_run {
            self.board().release(name);
        }
        let outcome = Outcome { name: name.clone(), ..Outcome::default() };
        match result {
            Ok(None) => {
                if !dry_run {
                    self.heard_the_same(job);
                }
                Outcome { result: "same".to_owned(), ..outcome }
            }
            Ok(Some(good)) => {
                let outcome = Outcome { result: "changed".to_owned(), ..outcome };
                let outcome = if compare { self.compared(job, &good, outcome) } else { outcome };
                if !dry_run {
                    self.take_feed(feed, &good);
                }
                outcome
            }
            Err(fault) => {
                if !dry_run {
                    self.board().failed(feed, &fault, job.good.is_some());
                }
                let result = if fault.is_refusal() { "refused" } else { "failed" };
                Outcome { result: result.to_owned(), error: Some(fault.to_string()), ..outcome }
            }
        }
    }

    /// What a new copy changes.
    fn compared(&self, job: &Job, good: &Good, outcome: Outcome) -> Outcome {
        let old = job.good.as_ref().map(|good| good.packed.ranges()).unwrap_or_default();
        let new = good.packed.ranges();
        let count = |ranges: Ranges| (ranges.v4.len() + ranges.v6.len()) as u64;
        let spared = {
            let state = self.state();
            spared::spared(&state.settings, &state.host, &state.fed().spared)
        };
        Outcome {
            counts: good.about.counts.clone(),
            cut: spared::touched(good.packed.v4(), good.packed.v6(), &spared),
            added: count(new.clone().without(old.clone())),
            removed: count(old.without(new)),
            ..outcome
        }
    }

    fn heard_the_same(&self, job: &Job) {
        self.board().heard(&job.feed, false, None);
        let Some(good) = &job.good else { return };
        let age = wall().saturating_sub(good.about.checked);
        if age > job.feed.stale_after.as_ref().as_secs() / KEPT {
            let mut good = good.clone();
            good.about.checked = wall();
            self.put_feed(&job.feed, &good);
        }
    }

    fn take_feed(&self, feed: &Feed, good: &Good) {
        let (name, counts) = (feed.name.as_ref(), good.about.counts.clone());
        info!("feed {name}: {} entries of IPv4, {} of IPv6", counts.taken[0], counts.taken[1]);
        if self.put_feed(feed, good) {
            let mut board = self.board();
            board.heard(feed, true, Some(&counts));
            board.mark();
        } else {
            self.board().release(name);
        }
    }

    /// Keeps a copy, if the configuration has not changed its source meanwhile.
    fn put_feed(&self, feed: &Feed, good: &Good) -> bool {
        let name = feed.name.as_ref();
        let folder = {
            let mut state = self.state();
            let is_it = |now: &Feed| now.name.as_ref() == name && origin(now) == good.about.origin;
            if !state.settings.feed.iter().any(is_it) {
                return false;
            }
            state.feeds.put(name, good.clone());
            state.settings.daemon.state.as_ref().clone()
        };
        self.board().keep(&folder, name, good);
        true
    }

    /// Whether something waits to be swapped in.
    #[must_use]
    pub fn feeds_want_a_swap(&self) -> bool {
        self.board().wants_a_swap()
    }

    /// Takes the copies into force, all at once.
    pub fn swap_feeds(&self) -> Result<()> {
        let swapped = self.swap();
        // The lists before are gone only now.
        sys::trim_memory();
        swapped
    }

    fn swap(&self) -> Result<()> {
        self.board().swapping();
        let mut state = self.state();
        let swapped = state.swap_lists();
        let left_out: Vec<_> =
            state.plan.lists.fed.iter().filter(|fed| fed.left_out).map(|fed| &fed.name).collect();
        if !left_out.is_empty() {
            warn!(
                "there is no room for feed(s) {left_out:?}: lists and feeds together hold too many prefixes"
            );
        }
        drop(state);
        let problem = |problem: &anyhow::Error| format!("{problem:#}");
        self.board().swapped(swapped.as_ref().map(|_| ()).map_err(problem));
        if swapped? {
            info!("feeds swapped in");
        }
        Ok(())
    }

    /// All feeds, or those that hold an address.
    #[must_use]
    pub fn feeds(&self, address: Option<IpAddr>) -> Vec<Line> {
        let state = self.state();
        let mut feeds = state.settings.feed.clone();
        if let Some(address) = address {
            let holds = |feed: &Feed| {
                state.feeds.good(feed).is_some_and(|good| good.packed.holding(address).is_some())
            };
            feeds.retain(|feed| feed.enabled && holds(feed));
        }
        let (found, lists) = (state.feeds.clone(), state.plan.lists.clone());
        drop(state);
        self.board().lines(&feeds, &found, &lists)
    }

    /// One of them.
    pub fn feed(&self, name: &str, address: Option<IpAddr>) -> Result<routes::One> {
        let line = self.feeds(None).into_iter().find(|line| line.name == name);
        let feed = line.ok_or_else(|| routes::unknown(name))?;
        let state = self.state();
        let configured = state.settings.feed.iter().find(|feed| feed.name.as_ref() == name);
        let packed = configured.and_then(|feed| Some(state.feeds.good(feed)?.packed.clone()));
        let lists = state.plan.lists.clone();
        drop(state);
        let packed = packed.unwrap_or_default();
        let holding = address.and_then(|address| packed.holding(address));
        let blocks = |address| feed.in_force && class_of(&lists, address) == Class::Block;
        Ok(routes::One {
            schema: 1,
            holding,
            blocked: holding.is_some() && address.is_some_and(blocks),
            first: first(&packed),
            feed,
        })
    }

    /// With the copies that are in force: for a configuration that is only compared.
    pub fn with_feeds(&self, loaded: Loaded) -> Loaded {
        Loaded { feeds: self.state().fed(), ..loaded }
    }
}

fn first(packed: &Packed) -> Vec<(IpAddr, IpAddr)> {
    let v4 = packed.v4().map(|(first, last)| (IpAddr::V4(first.into()), IpAddr::V4(last.into())));
    let v6 = packed.v6().map(|(first, last)| (IpAddr::V6(first.into()), IpAddr::V6(last.into())));
    v4.chain(v6).take(SHOWN).collect()
}

/// A copy that may be taken into force; `None` if there is nothing newer.
fn ask(job: &Job, whole: bool, force: bool) -> Result<Option<Good>, Fault> {
    let known = job.good.as_ref().filter(|_| !whole).map(|good| good.about.validators.clone());
    let (entries, validators, format) = match fetch::look(&job.feed, &known.unwrap_or_default())? {
        Looked::Same => return Ok(None),
        Looked::New(entries, validators, format) => (entries, validators, format),
    };
    let before = job.good.as_ref().map(|good| &good.about.counts);
    let (packed, counts) = check::checked(*entries, &fetch::limits(&job.feed), before, force)?;
    let time = wall();
    let about = About {
        origin: origin(&job.feed),
        format: format.label().to_owned(),
        validators,
        fetched: time,
        checked: time,
        counts,
    };
    Ok(Some(Good { about, packed: packed.into() }))
}
