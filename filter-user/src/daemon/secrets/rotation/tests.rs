use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
const PERIOD: u64 = 64 * SECOND;
const JITTER: std::ops::Range<i64> = -2 * SECOND.cast_signed()..2 * SECOND.cast_signed();
const JUMP: std::ops::Range<i64> = -300 * PERIOD.cast_signed()..300 * PERIOD.cast_signed();
const START: Clock = Clock { monotonic: 1_000 * SECOND, unix: 1_700_000_000 * SECOND };

/// A cookie as the data path made it.
struct Cookie {
    at: u64,
    epoch: u64,
    mac: [u64; 2],
}

/// The key map, driven by clocks that the test sets.
struct Host {
    map: KeyMap,
    clock: Clock,
    policy: Policy,
    master: u64,
    cookies: Vec<Cookie>,
}

impl Host {
    fn new(shared: bool) -> Self {
        let policy = Policy { period: PERIOD, grace: 10 * SECOND, shared };
        Self { map: KeyMap::in_memory(), clock: START, policy, master: 1, cookies: Vec::new() }
    }

    fn keys(&self) -> Timeline {
        self.map.timeline()
    }

    fn issuing(&self) -> bool {
        let keys = self.keys();
        self.clock.monotonic < keys.window(keys.current).issue_until
    }

    fn advance(&mut self, time: u64, jump: i64) {
        self.clock.monotonic += time;
        self.clock.unix = self.clock.unix.saturating_add(time).saturating_add_signed(jump);
    }

    fn begin(&mut self, epoch: u64) {
        let mac = [self.master, epoch];
        let now = self.clock.monotonic;
        // A shared epoch that comes again after a backward jump has its old key: its cookies are good again.
        self.cookies.retain(|cookie| cookie.mac != mac || now - cookie.at < PERIOD);
        begin(&self.map, &self.keys(), epoch, &mac, now, self.policy);
    }

    fn tick(&mut self) -> Option<u64> {
        let epoch = due(&self.keys(), self.clock, self.policy)?;
        self.begin(epoch);
        Some(epoch)
    }

    fn rotate(&mut self) {
        if previous_needed(&self.keys(), self.clock.monotonic) == 0 {
            self.master += 1;
            self.begin(self.keys().current.wrapping_add(1));
        }
    }

    fn issue(&mut self) {
        if self.issuing() {
            let epoch = self.keys().current;
            self.cookies.push(Cookie { at: self.clock.monotonic, epoch, mac: self.map.mac(epoch) });
        }
    }

    /// As `filter_common::cookie::decode` looks at slots.
    fn accepts(&self, cookie: &Cookie) -> bool {
        let keys = self.keys();
        let behind = keys.current.wrapping_sub(cookie.epoch) & EPOCH_BITS;
        behind <= 1
            && self.clock.monotonic < keys.window(cookie.epoch).accept_until
            && self.map.mac(cookie.epoch) == cookie.mac
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let now = self.clock.monotonic;
        for cookie in &self.cookies {
            let age = now - cookie.at;
            if age < PERIOD - self.policy.slack() {
                prop_assert!(self.accepts(cookie), "a cookie was lost {} s after it was made", age / SECOND);
            }
            if age > (MAX_AGE_PERIODS + 1) * PERIOD {
                prop_assert!(!self.accepts(cookie), "a cookie of {} s ago is accepted", age / SECOND);
            }
        }
        let open = self.keys().windows.iter().filter(|window| window.accept_until > now).count();
        prop_assert!(open <= 2, "{open} epochs are accepted");
        Ok(())
    }
}

/// What happens in a step, after some time.
#[derive(Clone, Copy, Debug)]
enum Act {
    Tick,
    Rotate,
    /// The daemon is dead.
    Nothing,
}

fn steps() -> impl Strategy<Value = Vec<(u64, i64, Act)>> {
    let time = prop_oneof![8 => 0..2 * SECOND, 3 => 0..PERIOD, 1 => 0..8 * PERIOD];
    let jump = prop_oneof![
        20 => Just(0),
        2 => JITTER,
        1 => JUMP,
    ];
    let act = prop_oneof![8 => Just(Act::Tick), 1 => Just(Act::Rotate), 2 => Just(Act::Nothing)];
    prop::collection::vec((time, jump, act), 1..300)
}

proptest! {
    #[test]
    fn no_cookie_is_lost_and_none_lives_for_ever(steps in steps(), shared: bool) {
        let mut host = Host::new(shared);
        for (time, jump, act) in steps {
            host.advance(time, jump);
            host.check()?;
            host.issue();
            match act {
                Act::Tick => drop(host.tick()),
                // A key file is only read again; the next epoch uses it.
                Act::Rotate if shared => host.master += 1,
                Act::Rotate => host.rotate(),
                Act::Nothing => {}
            }
            host.check()?;
            host.issue();
        }
    }

    #[test]
    fn one_jump_interrupts_nothing(
        warm_up in 0_u64..200, jump in JUMP,
    ) {
        let mut host = Host::new(true);
        let mut run = |seconds: u64, jump: i64| -> Result<(), TestCaseError> {
            host.advance(0, jump);
            for _ in 0..seconds {
                host.tick();
                prop_assert!(host.issuing());
                host.issue();
                host.advance(SECOND, 0);
                host.check()?;
            }
            Ok(())
        };
        run(warm_up, 0)?;
        run(5 * 64, jump)?;
        prop_assert!(host.keys().current.abs_diff(host.clock.unix / PERIOD) <= 1);
    }

    #[test]
    fn late_wake_ups_do_not_add_up(delays in prop::collection::vec(0..SECOND, 200)) {
        let mut host = Host::new(true);
        host.tick();
        for delay in delays {
            host.advance(until_due(&host.keys(), host.clock, host.policy) + delay, 0);
            prop_assert_eq!(host.tick(), Some(host.clock.unix / PERIOD));
            prop_assert!(host.clock.unix % PERIOD <= delay + 1);
        }
    }
}

#[test]
fn the_first_tick_arms_with_grace_and_the_second_does_nothing() {
    for shared in [false, true] {
        let mut host = Host::new(shared);
        assert!(!host.issuing());
        assert!(host.tick().is_some());
        assert!(host.issuing());
        assert_eq!(host.keys().grace_until, START.monotonic + 10 * SECOND);
        assert_eq!(host.tick(), None);
    }
}

#[test]
fn a_random_master_rotates_every_period_without_grace() {
    let mut host = Host::new(false);
    let first = host.tick().expect("armed");
    let grace = host.keys().grace_until;
    for epoch in first + 1..first + 50 {
        host.advance(PERIOD - 1, 0);
        assert_eq!(host.tick(), None);
        host.advance(1, 0);
        assert_eq!(host.tick(), Some(epoch));
        assert_eq!(host.keys().grace_until, grace);
    }
}

#[test]
fn nobody_rotates_and_the_key_ages_out() {
    let mut host = Host::new(false);
    host.tick();
    host.advance(MAX_AGE_PERIODS * PERIOD - 1, 0);
    assert!(host.issuing());
    host.issue();
    host.advance(1, 0);
    assert!(!host.issuing());
    host.advance(PERIOD - 1, 0);
    assert!(host.accepts(&host.cookies[0]));
    host.advance(1, 0);
    assert!(!host.accepts(&host.cookies[0]));
}

#[test]
fn a_restarted_daemon_goes_on_with_the_epoch() {
    let mut host = Host::new(false);
    let first = host.tick().expect("armed");
    host.issue();
    host.advance(PERIOD / 2, 0);
    host.master += 1;
    let before = host.keys();
    assert_eq!(host.tick(), None, "the random master is gone, its key is not");
    assert_eq!(host.keys(), before);
    host.advance(PERIOD / 2, 0);
    assert_eq!(host.tick(), Some(first + 1));
    assert!(host.accepts(&host.cookies[0]), "made with the old master");
}

#[test]
fn hosts_that_share_a_master_agree() {
    let (mut one, mut two) = (Host::new(true), Host::new(true));
    two.clock.monotonic = 77 * SECOND;
    for _ in 0..500 {
        one.tick();
        two.tick();
        assert_eq!(one.keys().current, two.keys().current);
        let current = one.keys().current;
        assert_eq!(one.map.mac(current), two.map.mac(current));
        one.advance(SECOND, 0);
        two.advance(SECOND, 0);
    }
}

#[test]
fn a_shorter_period_is_used_from_the_next_epoch_on() {
    let mut host = Host::new(false);
    host.tick();
    host.advance(PERIOD / 2, 0);
    host.policy.period = PERIOD / 4;
    assert!(host.tick().is_some(), "the key is older than a period now");
    assert_eq!(host.tick(), None);
    host.advance(PERIOD / 4, 0);
    assert_eq!(host.tick(), None, "cookies of the long period are still in flight");
    host.advance(3 * PERIOD / 4, 0);
    assert!(host.tick().is_some());
}
