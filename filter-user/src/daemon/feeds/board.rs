//! What is known of each feed, and when it is looked at again.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use super::{Line, Looks};
use crate::{
    config::schema::Feed,
    daemon::deadline::wall,
    dataplane::Lists,
    feed::{
        Counts, Fault, Feeds, Good,
        combine::{in_force, origin},
        shelf::Shelf,
    },
};

/// Looks that go on at the same time.
const AT_ONCE: usize = 4;
/// The first pause after a failure; each further one doubles it, up to the interval.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// So long the first of several feeds waits for the others before it is swapped in.
const GATHER: Duration = Duration::from_secs(3);
/// After a swap that failed.
const RETRY_SWAP: Duration = Duration::from_secs(30);

/// A look at a feed.
#[derive(Clone, Debug)]
pub struct Job {
    /// As it is configured.
    pub feed: Feed,
    /// The copy in force.
    pub good: Option<Good>,
}

/// One feed.
#[derive(Debug)]
struct Entry {
    origin: String,
    running: bool,
    next: Instant,
    /// Failures in a row.
    failures: u32,
    looks: Looks,
    error: Option<String>,
    /// When its source was last heard, seconds since 1970.
    checked: Option<u64>,
    /// When it was first asked for, for feeds that never came.
    since: u64,
    stale: bool,
    /// What was last said of what was left out.
    said: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Board {
    shelf: Option<Shelf>,
    shelf_problem: Option<String>,
    entries: BTreeMap<String, Entry>,
    /// Since when something waits to be swapped in, and until when it has to.
    dirty: Option<Instant>,
    not_before: Option<Instant>,
    swap_problem: Option<String>,
}

/// Somewhere between nine and eleven tenths of it, so that hosts don't come all at once.
fn jittered(period: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    period.mul_f64(0.9 + 0.2 * f64::from(random) / f64::from(u32::MAX))
}

impl Board {
    /// The copies that are kept; what is wrong with the folder is said, and is no reason not to filter.
    #[must_use]
    pub fn open(state: &Path, feeds: &[Feed]) -> (Self, Feeds) {
        let (mut board, mut found) = (Self::default(), Feeds::default());
        if feeds.is_empty() {
            return (board, found);
        }
        board.open_shelf(state);
        if let Some(shelf) = &mut board.shelf {
            for feed in feeds {
                let name = feed.name.as_ref();
                match shelf.read(name) {
                    Ok(Some(good)) if good.about.origin == origin(feed) => found.put(name, good),
                    Ok(_) => {}
                    Err(problem) => warn!("feed {name}: its copy cannot be read: {problem:#}"),
                }
            }
            let names: Vec<_> = feeds.iter().map(|feed| feed.name.as_ref().as_str()).collect();
            shelf.retain(&names).unwrap_or_else(|problem| warn!("copies of former feeds stay: {problem:#}"));
        }
        board.follow(feeds, &found);
        (board, found)
    }

    fn open_shelf(&mut self, state: &Path) {
        match Shelf::open(state) {
            Ok(folder) => self.shelf = Some(folder),
            Err(problem) => {
                let problem = format!("{problem:#}");
                if self.shelf_problem.as_ref() != Some(&problem) {
                    error!("copies of feeds are not kept: {problem}; they are in force all the same");
                }
                self.shelf_problem = Some(problem);
            }
        }
    }

    /// Knows the feeds of the configuration, and no others.
    pub fn follow(&mut self, feeds: &[Feed], found: &Feeds) {
        let wanted: BTreeMap<_, _> =
            feeds.iter().map(|feed| (feed.name.as_ref().as_str(), origin(feed))).collect();
        self.entries.retain(|name, entry| wanted.get(name.as_str()) == Some(&entry.origin));
        for feed in feeds {
            if self.entries.contains_key(feed.name.as_ref()) {
                continue;
            }
            let checked = found.good(feed).map(|good| good.about.checked);
            let entry = Entry {
                origin: origin(feed),
                running: false,
                next: Instant::now(),
                failures: 0,
                looks: Looks::default(),
                error: None,
                checked,
                since: wall(),
                stale: false,
                said: None,
            };
            self.entries.insert(feed.name.as_ref().clone(), entry);
        }
    }

    /// Feeds that are to be looked at now; they are marked as running.
    pub fn due(&mut self, feeds: &[Feed], found: &Feeds) -> Vec<Job> {
        self.follow(feeds, found);
        let at = Instant::now();
        let mut room = AT_ONCE.saturating_sub(self.entries.values().filter(|entry| entry.running).count());
        let mut jobs = Vec::new();
        for feed in feeds.iter().filter(|feed| feed.enabled) {
            let Some(entry) = self.entries.get_mut(feed.name.as_ref()) else { continue };
            if room > 0 && !entry.running && entry.next <= at {
                entry.running = true;
                room -= 1;
                jobs.push(Job { feed: feed.clone(), good: found.good(feed).cloned() });
            }
        }
        self.tell_stale(feeds);
        jobs
    }

    /// One feed, now, unless it is looked at already.
    pub fn take(&mut self, feed: &Feed, found: &Feeds) -> Option<Job> {
        let entry = self.entries.get_mut(feed.name.as_ref())?;
        let free = !std::mem::replace(&mut entry.running, true);
        free.then(|| Job { feed: feed.clone(), good: found.good(feed).cloned() })
    }

    /// It is not looked at any more, and nothing was learnt.
    pub fn release(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.running = false;
        }
    }

    /// The entry, if the feed is still the one that was looked at.
    fn of(&mut self, feed: &Feed) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(feed.name.as_ref())?;
        (entry.origin == origin(feed)).then_some(entry)
    }

    /// A look ended with an answer of the source's.
    pub fn heard(&mut self, feed: &Feed, changed: bool, counts: Option<&Counts>) {
        let name = feed.name.as_ref();
        let Some(entry) = self.of(feed) else { return self.release(name) };
        entry.running = false;
        entry.failures = 0;
        entry.next = Instant::now() + jittered(*feed.interval.as_ref());
        entry.checked = Some(wall());
        if changed {
            entry.looks.changed += 1;
        } else {
            entry.looks.same += 1;
        }
        if entry.error.take().is_some() {
            info!("feed {name}: it is fine again");
        }
        entry.stale = false;
        let left_out = counts.and_then(left_out);
        if let Some(text) = left_out.as_ref().filter(|text| entry.said.as_ref() != Some(*text)) {
            warn!("feed {name}: {text}");
        }
        if counts.is_some() {
            entry.said = left_out;
        }
    }

    /// A look brought nothing that could be taken.
    pub fn failed(&mut self, feed: &Feed, fault: &Fault, has_copy: bool) {
        let name = feed.name.as_ref();
        let Some(entry) = self.of(feed) else { return self.release(name) };
        entry.running = false;
        let pause = FIRST_PAUSE.saturating_mul(1 << entry.failures.min(16)).min(*feed.interval.as_ref());
        entry.next = Instant::now() + jittered(pause);
        entry.failures = entry.failures.saturating_add(1);
        let refused = fault.is_refusal();
        if refused {
            entry.looks.refused += 1;
        } else {
            entry.looks.failed += 1;
        }
        let text = fault.to_string();
        // Once, until it is something else.
        if entry.error.as_ref() != Some(&text) {
            let what = if refused { "refused" } else { "not fetched" };
            let stays =
                if has_copy { "the last good copy stays in force" } else { "nothing of it is in force" };
            error!("feed {name}: {what}: {text} ({}); {stays}", feed.source.as_ref().shown());
        }
        entry.error = Some(text);
    }

    fn tell_stale(&mut self, feeds: &[Feed]) {
        let at = wall();
        for feed in feeds.iter().filter(|feed| feed.enabled) {
            let Some(entry) = self.entries.get_mut(feed.name.as_ref()) else { continue };
            let heard = entry.checked.unwrap_or(entry.since);
            let stale = at.saturating_sub(heard) > feed.stale_after.as_ref().as_secs();
            if stale && !entry.stale {
                let hours = at.saturating_sub(heard) / 3600;
                error!("feed {}: stale, nothing good for {hours} h; it stays in force", feed.name.as_ref());
            }
            entry.stale = stale;
        }
    }

    /// Keeps a copy; the feed is in force whether that succeeds or not.
    pub fn keep(&mut self, state: &Path, name: &str, good: &Good) {
        if self.shelf.is_none() {
            self.open_shelf(state);
        }
        let Some(folder) = &self.shelf else { return };
        match folder.write(name, good) {
            Ok(()) if self.shelf_problem.take().is_some() => info!("copies of feeds are kept again"),
            Ok(()) => {}
            Err(problem) => {
                let problem = format!("{problem:#}");
                if self.shelf_problem.as_ref() != Some(&problem) {
                    error!("the copy of feed {name} is not kept: {problem}; it is in force all the same");
                }
                self.shelf_problem = Some(problem);
            }
        }
    }

    /// Something waits to be swapped in.
    pub fn mark(&mut self) {
        self.dirty.get_or_insert_with(Instant::now);
    }

    /// Whether it is time for that: nobody else is about to bring something.
    #[must_use]
    pub fn wants_a_swap(&self) -> bool {
        let at = Instant::now();
        let running = self.entries.values().any(|entry| entry.running);
        let waited = self.dirty.is_some_and(|since| !running || since.elapsed() > GATHER);
        waited && self.not_before.is_none_or(|moment| moment <= at)
    }

    /// What is swapped in from now on is new.
    pub fn swapping(&mut self) {
        self.dirty = None;
    }

    /// How the swap ended.
    pub fn swapped(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => (self.not_before, self.swap_problem) = (None, None),
            Err(problem) => {
                if self.swap_problem.as_ref() != Some(&problem) {
                    error!("feeds cannot be taken into force, what was in force stays: {problem}");
                }
                self.swap_problem = Some(problem);
                self.not_before = Some(Instant::now() + RETRY_SWAP);
                self.mark();
            }
        }
    }

    /// All feeds in the configuration's order.
    #[must_use]
    pub fn lines(&self, feeds: &[Feed], found: &Feeds, lists: &Lists) -> Vec<Line> {
        feeds.iter().map(|feed| self.line(feed, found, lists)).collect()
    }

    fn line(&self, feed: &Feed, found: &Feeds, lists: &Lists) -> Line {
        let name = feed.name.as_ref();
        let (good, entry) = (found.good(feed), self.entries.get(name));
        let part = lists.fed.iter().find(|part| part.name == *name).filter(|_| feed.enabled);
        let age = |time: u64| wall().saturating_sub(time);
        let in_force = feed.enabled && good.is_some_and(|good| in_force(lists, name, good));
        let error = entry.and_then(|entry| entry.error.clone());
        let state = match entry {
            _ if !feed.enabled => "off",
            Some(entry) if entry.stale => "stale",
            _ if part.is_some_and(|part| part.left_out) => "no_room",
            _ if error.is_some() => "failing",
            _ if good.is_none() => "never",
            _ => "ok",
        };
        let about = good.map(|good| &good.about);
        let checked = entry.and_then(|entry| entry.checked).filter(|_| good.is_some());
        Line {
            name: name.clone(),
            source: feed.source.as_ref().shown(),
            format: about.map_or(feed.format.as_ref().label().to_owned(), |about| about.format.clone()),
            state: state.to_owned(),
            in_force,
            ranges: good
                .filter(|_| part.is_some_and(|part| !part.left_out))
                .map_or([0; 2], |g| g.packed.counts()),
            counts: about.map(|about| about.counts.clone()).unwrap_or_default(),
            cut: part.map_or(0, |part| part.cut),
            fetched_seconds: about.map(|about| age(about.fetched)),
            checked_seconds: checked.map(age),
            checked,
            next_seconds: entry
                .filter(|_| feed.enabled)
                .map(|entry| entry.next.saturating_duration_since(Instant::now()).as_secs()),
            running: entry.is_some_and(|entry| entry.running),
            error: error.or_else(|| self.swap_problem.clone().filter(|_| feed.enabled && !in_force)),
            looks: entry.map(|entry| entry.looks).unwrap_or_default(),
        }
    }
}

/// What to tell of entries that were left out.
fn left_out(counts: &Counts) -> Option<String> {
    let mut parts = Vec::new();
    if counts.wide > 0 {
        let first = counts.first_wide.as_deref().unwrap_or_default();
        parts.push(format!("{} entries are too wide and left out, the first {first}", counts.wide));
    }
    if counts.bad > 0 {
        let first = counts.first_bad.as_deref().unwrap_or_default();
        parts.push(format!("{} entries make no sense and are left out, the first in {first}", counts.bad));
    }
    if counts.odd > 0 {
        parts.push(format!(
            "{} entries have bits beyond their length: read as the networks around them",
            counts.odd
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
