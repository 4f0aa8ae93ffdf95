//! What one target has still to be told.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    Event, Notice,
    failed::{Again, Failed},
};
use crate::config::schema::{Notify, Via};

/// Notifications that wait at a time; the oldest gives way.
const MOST: usize = 64;
/// The first pause after a failure; each further one doubles it, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How often Alertmanager is told that an attack goes on: it forgets an alert that nobody repeats.
pub const REFRESH: Duration = Duration::from_mins(1);

/// What became of notifications, since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The target took them.
    pub sent: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Not taken within `give_up`, refused for good, or one too many.
    pub given_up: u64,
    /// Not said, as the same was said not long ago.
    pub deduplicated: u64,
}

impl Counts {
    /// Their labels, in this order.
    pub const LABELS: [&'static str; 4] = ["sent", "failed", "given_up", "deduplicated"];
}

#[derive(Debug)]
struct Waiting {
    notice: Notice,
    since: Instant,
}

/// A beginning that came soon after another attack on the same service.
#[derive(Debug)]
struct Held {
    notice: Notice,
    until: Instant,
}

/// What is known of a target.
#[derive(Debug)]
pub struct Queue {
    waiting: VecDeque<Waiting>,
    /// By service.
    held: BTreeMap<String, Held>,
    /// By service: when something was last said of it.
    told: BTreeMap<String, Instant>,
    /// By service: attacks that nothing was said of.
    unsaid: BTreeMap<String, u64>,
    running: bool,
    next: Instant,
    failures: u32,
    /// What became of all.
    pub counts: Counts,
    /// Why the last try failed.
    pub error: Option<String>,
    last: Option<Instant>,
}

impl Queue {
    /// One with nothing in it.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            held: BTreeMap::new(),
            told: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            running: false,
            next: now,
            failures: 0,
            counts: Counts { sent: 0, failed: 0, given_up: 0, deduplicated: 0 },
            error: None,
            last: None,
        }
    }

    /// How long ago it took something.
    #[must_use]
    pub fn sent_ago(&self, now: Instant) -> Option<Duration> {
        self.last.map(|last| now.saturating_duration_since(last))
    }

    /// How long what waits has to wait for the next try, behind one that failed.
    #[must_use]
    pub fn next_in(&self, now: Instant) -> Option<Duration> {
        let waits = self.failures > 0 && !self.waiting.is_empty();
        waits.then(|| self.next.saturating_duration_since(now))
    }

    /// What an earlier daemon could not say; `wall` is now in seconds since 1970.
    pub fn restore(&mut self, notices: Vec<Notice>, now: Instant, wall: u64) {
        for notice in notices.into_iter().take(MOST) {
            let age = Duration::from_secs(wall.saturating_sub(notice.time));
            let since = now.checked_sub(age).unwrap_or(now);
            self.waiting.push_back(Waiting { notice, since });
        }
    }

    /// What waits, the first first.
    #[must_use]
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Notice> {
        self.waiting.iter().map(|waiting| &waiting.notice)
    }

    /// All that were not sent yet, to be changed.
    pub fn unsent(&mut self) -> impl Iterator<Item = &mut Notice> {
        let held = self.held.values_mut().map(|held| &mut held.notice);
        self.waiting.iter_mut().map(|waiting| &mut waiting.notice).chain(held)
    }

    /// How many are held back for now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Something has happened; whether it changes what waits.
    pub fn offer(&mut self, target: &Notify, notice: Notice, now: Instant) -> bool {
        if *target.kind.as_ref() == Via::Alertmanager {
            return self.renew(notice, now);
        }
        let service = notice.service().to_owned();
        let held = self.held.get_mut(&service).filter(|held| held.notice.incident() == notice.incident());
        match (notice.event, held) {
            (Event::Still | Event::Vector, Some(held)) => {
                let Notice { id, event, .. } = held.notice.clone();
                held.notice = Notice { id, event, ..notice };
                false
            }
            (Event::Ended, Some(_)) => {
                self.held.remove(&service);
                *self.unsaid.entry(service).or_default() += 1;
                self.counts.deduplicated += 1;
                false
            }
            (Event::Began, _) => {
                let repeat = *target.repeat.as_ref();
                let until = self.told.get(&service).and_then(|told| told.checked_add(repeat));
                match until.filter(|until| *until > now) {
                    Some(until) => {
                        self.held.insert(service, Held { notice, until });
                        false
                    }
                    None => self.say(target, notice, now),
                }
            }
            (Event::Vector | Event::Ended, None) => self.say(target, notice, now),
            (Event::Still | Event::Test, _) => false,
        }
    }

    /// Alertmanager gets what is so, not what has happened: the latest of each service; it tells people once.
    fn renew(&mut self, notice: Notice, now: Instant) -> bool {
        let service = notice.service().to_owned();
        let fresh = self.told.get(&service).is_some_and(|told| now.duration_since(*told) < REFRESH);
        if notice.event == Event::Still && fresh {
            return false;
        }
        self.told.insert(service.clone(), now);
        self.waiting.retain(|waiting| waiting.notice.service() != service);
        self.push(notice, now);
        true
    }

    fn say(&mut self, target: &Notify, notice: Notice, now: Instant) -> bool {
        let service = notice.service().to_owned();
        self.told.insert(service.clone(), now);
        let wanted = &target.events;
        if !wanted.is_empty() && !wanted.iter().any(|event| *event.as_ref() == notice.event) {
            return false;
        }
        let unsaid = if notice.event == Event::Began { self.unsaid.remove(&service) } else { None };
        self.push(Notice { unsaid: unsaid.unwrap_or_default(), ..notice }, now);
        true
    }

    fn push(&mut self, notice: Notice, now: Instant) {
        if self.waiting.len() >= MOST {
            self.waiting.pop_front();
            self.counts.given_up += 1;
        }
        self.waiting.push_back(Waiting { notice, since: now });
    }

    /// What is to be sent now; nothing while a try goes on, or soon after one that failed.
    pub fn take(&mut self, target: &Notify, now: Instant) -> Option<Notice> {
        let over: Vec<_> =
            self.held.iter().filter(|(_, held)| held.until <= now).map(|(s, _)| s.clone()).collect();
        for service in over {
            if let Some(Held { notice, .. }) = self.held.remove(&service) {
                self.say(target, notice, now);
            }
        }
        if self.running {
            return None;
        }
        let give_up = *target.give_up.as_ref();
        let before = self.waiting.len();
        self.waiting.retain(|waiting| now.saturating_duration_since(waiting.since) < give_up);
        self.counts.given_up += (before - self.waiting.len()) as u64;
        let notice = self.waiting.front().filter(|_| self.next <= now)?.notice.clone();
        self.running = true;
        Some(notice)
    }

    /// How the try went; `jitter` is about 1.
    pub fn done(&mut self, taken: &Notice, result: Result<(), Failed>, now: Instant, jitter: f64) {
        self.running = false;
        match result {
            Ok(()) => {
                self.counts.sent += 1;
                (self.failures, self.error, self.next, self.last) = (0, None, now, Some(now));
                self.drop_front(taken);
            }
            Err(Failed { why, again: Again::Never }) => {
                self.counts.failed += 1;
                self.counts.given_up += 1;
                (self.failures, self.error, self.next) = (0, Some(why), now);
                self.drop_front(taken);
            }
            Err(Failed { why, again }) => {
                self.counts.failed += 1;
                let usual = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
                let asked = if let Again::After(pause) = again { pause } else { Duration::ZERO };
                self.next = now + usual.mul_f64(jitter).max(asked);
                self.failures = self.failures.saturating_add(1);
                self.error = Some(why);
            }
        }
    }

    /// How a test went, that has waited for nobody.
    pub fn tried(&mut self, result: &Result<(), Failed>, now: Instant) {
        match result {
            // What waits may go now.
            Ok(()) => {
                self.counts.sent += 1;
                (self.failures, self.error, self.next, self.last) = (0, None, now, Some(now));
            }
            Err(failed) => {
                self.counts.failed += 1;
                self.error = Some(failed.why.clone());
            }
        }
    }

    /// Unless another has taken its place meanwhile.
    fn drop_front(&mut self, taken: &Notice) {
        self.waiting.pop_front_if(|waiting| waiting.notice.id == taken.id);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{notice, target},
        *,
    };

    const SECOND: Duration = Duration::from_secs(1);

    /// What it sends until nothing is due.
    fn sent(queue: &mut Queue, target: &Notify, now: Instant) -> Vec<(Event, u64)> {
        let mut all = Vec::new();
        while let Some(taken) = queue.take(target, now) {
            assert!(queue.take(target, now).is_none(), "one at a time");
            all.push((taken.event, taken.unsaid));
            queue.done(&taken, Ok(()), now, 1.0);
        }
        all
    }

    fn began(queue: &mut Queue, target: &Notify, number: u64, now: Instant) {
        queue.offer(target, notice(Event::Began, number), now);
    }

    #[test]
    fn an_attack_is_told_once_and_in_order() {
        let (target, now) = (target("kind = 'syslog'"), Instant::now());
        let mut queue = Queue::new(now);
        for event in [Event::Began, Event::Still, Event::Vector, Event::Still, Event::Ended] {
            queue.offer(&target, notice(event, 1), now);
        }
        assert_eq!(
            sent(&mut queue, &target, now),
            [(Event::Began, 0), (Event::Vector, 0), (Event::Ended, 0)]
        );
        assert_eq!(queue.counts, Counts { sent: 3, ..Counts::default() });
    }

    #[test]
    fn only_what_is_asked_for() {
        let (target, now) = (target("kind = 'syslog'\nevents = ['ended']"), Instant::now());
        let mut queue = Queue::new(now);
        began(&mut queue, &target, 1, now);
        queue.offer(&target, notice(Event::Ended, 1), now);
        assert_eq!(sent(&mut queue, &target, now), [(Event::Ended, 0)]);
    }

    #[test]
    fn attacks_that_come_and_go_are_told_once() {
        let (target, now) = (target("kind = 'syslog'\nrepeat = '10m'"), Instant::now());
        let mut queue = Queue::new(now);
        began(&mut queue, &target, 1, now);
        queue.offer(&target, notice(Event::Ended, 1), now + 60 * SECOND);
        assert_eq!(sent(&mut queue, &target, now + 60 * SECOND).len(), 2);
        for number in 2..=4 {
            let then = now + u32::try_from(number).unwrap() * 120 * SECOND;
            began(&mut queue, &target, number, then);
            queue.offer(&target, notice(Event::Vector, number), then + 10 * SECOND);
            queue.offer(&target, notice(Event::Ended, number), then + 30 * SECOND);
            assert_eq!(sent(&mut queue, &target, then + 30 * SECOND), []);
        }
        let then = now + 1000 * SECOND;
        began(&mut queue, &target, 5, then);
        assert_eq!(sent(&mut queue, &target, then), [(Event::Began, 3)], "and how many were not");
        assert_eq!(queue.counts.deduplicated, 3);
    }

    #[test]
    fn one_that_lasts_is_told_all_the_same() {
        let (target, now) = (target("kind = 'syslog'\nrepeat = '10m'"), Instant::now());
        let mut queue = Queue::new(now);
        began(&mut queue, &target, 1, now);
        queue.offer(&target, notice(Event::Ended, 1), now + 60 * SECOND);
        sent(&mut queue, &target, now + 60 * SECOND);
        began(&mut queue, &target, 2, now + 100 * SECOND);
        assert_eq!(sent(&mut queue, &target, now + 659 * SECOND), []);
        assert_eq!(sent(&mut queue, &target, now + 660 * SECOND), [(Event::Began, 0)]);
        queue.offer(&target, notice(Event::Ended, 2), now + 700 * SECOND);
        assert_eq!(sent(&mut queue, &target, now + 700 * SECOND), [(Event::Ended, 0)]);
    }

    #[test]
    fn what_fails_is_tried_again_later_and_later_and_then_given_up() {
        let (target, start) = (target("kind = 'syslog'\ngive_up = '1h'"), Instant::now());
        let mut queue = Queue::new(start);
        began(&mut queue, &target, 1, start);
        let (mut tries, mut now) = (Vec::new(), start);
        while now < start + 4000 * SECOND {
            if let Some(taken) = queue.take(&target, now) {
                tries.push((now - start).as_secs());
                queue.done(&taken, Err("no connection".into()), now, 1.0);
            }
            now += SECOND;
        }
        assert_eq!(tries[..8], [0, 2, 6, 14, 30, 62, 126, 254]);
        assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= 300) && tries.len() < 25, "{tries:?}");
        assert_eq!((queue.counts.given_up, queue.counts.failed), (1, tries.len() as u64));
        assert!(tries.last().is_some_and(|last| (3300..3600).contains(last)), "{tries:?}");
    }

    #[test]
    fn too_many_push_out_the_oldest() {
        let (target, now) = (target("kind = 'syslog'\nrepeat = '0s'"), Instant::now());
        let mut queue = Queue::new(now);
        for number in 0..MOST as u64 + 5 {
            began(&mut queue, &target, number, now + SECOND);
        }
        assert_eq!((queue.waiting().len(), queue.counts.given_up), (MOST, 5));
        assert!(queue.waiting().next().is_some_and(|notice| notice.incident().ends_with("-5")));
    }

    #[test]
    fn what_a_server_says_of_the_next_try_holds() {
        let (target, now) = (target("kind = 'syslog'"), Instant::now());
        let mut queue = Queue::new(now);
        queue.offer(&target, notice(Event::Began, 1), now);
        queue.offer(&target, notice(Event::Ended, 1), now);
        let fail = |queue: &mut Queue, now, again| {
            let taken = queue.take(&target, now).unwrap();
            queue.done(&taken, Err(Failed { why: "busy".to_owned(), again }), now, 1.0);
        };
        assert_eq!((queue.sent_ago(now), queue.next_in(now)), (None, None));
        fail(&mut queue, now, Again::After(30 * SECOND));
        assert_eq!(queue.next_in(now + SECOND), Some(29 * SECOND));
        assert!(queue.take(&target, now + 29 * SECOND).is_none());
        fail(&mut queue, now + 30 * SECOND, Again::After(SECOND));
        assert!(queue.take(&target, now + 33 * SECOND).is_none(), "never sooner than without it");
        fail(&mut queue, now + 34 * SECOND, Again::Never);
        let counts = Counts { failed: 3, given_up: 1, ..Counts::default() };
        assert_eq!((queue.counts, queue.error.as_deref()), (counts, Some("busy")));
        assert_eq!(sent(&mut queue, &target, now + 34 * SECOND), [(Event::Ended, 0)], "it blocks nobody");
        assert_eq!(queue.sent_ago(now + 35 * SECOND), Some(SECOND));
        queue.tried(&Err("no connection".into()), now + 40 * SECOND);
        assert_eq!(
            (queue.next_in(now), queue.error.as_deref()),
            (None, Some("no connection")),
            "it was a test"
        );
        queue.tried(&Ok(()), now + 40 * SECOND);
        assert_eq!((queue.sent_ago(now + 40 * SECOND), &queue.error), (Some(Duration::ZERO), &None));
    }

    #[test]
    fn alertmanager_gets_what_is_so() {
        let (target, now) = (target("kind = 'alertmanager'\nto = 'http://127.0.0.1:9093'"), Instant::now());
        let mut queue = Queue::new(now);
        began(&mut queue, &target, 1, now);
        for seconds in 1..=180 {
            queue.offer(&target, notice(Event::Still, 1), now + seconds * SECOND);
        }
        assert_eq!(sent(&mut queue, &target, now + 180 * SECOND), [(Event::Still, 0)], "the latest alone");
        queue.offer(&target, notice(Event::Still, 1), now + 200 * SECOND);
        assert_eq!(sent(&mut queue, &target, now + 200 * SECOND), [], "it was told 20 s ago");
        queue.offer(&target, notice(Event::Ended, 1), now + 201 * SECOND);
        began(&mut queue, &target, 2, now + 202 * SECOND);
        assert_eq!(sent(&mut queue, &target, now + 202 * SECOND), [(Event::Began, 0)], "it goes on");
    }

    #[test]
    fn what_an_earlier_daemon_could_not_say_is_said() {
        let (target, now) = (target("kind = 'syslog'\ngive_up = '1h'"), Instant::now());
        let mut queue = Queue::new(now);
        let told = notice(Event::Began, 1).time;
        queue.restore(vec![notice(Event::Began, 1)], now, told + 100);
        assert_eq!(sent(&mut queue, &target, now), [(Event::Began, 0)]);
        queue.restore(vec![notice(Event::Began, 1)], now, told + 100);
        assert_eq!(sent(&mut queue, &target, now + 3550 * SECOND), []);
        assert_eq!(queue.counts.given_up, 1, "an hour behind its time");
    }
}
