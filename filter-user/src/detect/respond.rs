//! Whom an attack may get banned: few, never anybody who can be forged, and never for longer than it lasts.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{attack::Attack, load::SURE, top::Heavy};

/// Knobs of the bans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Proofs per second of one source, over the attack, that get it banned.
    pub heavy: f64,
    /// Bans a second.
    pub per_second: u32,
    /// Bans at a time.
    pub most: usize,
}

/// Sources looked at in each turn, of the heaviest.
const CANDIDATES: usize = 64;

/// An attack is so many nanoseconds old before anybody is banned for it.
const AGE: u64 = 2_000_000_000;

/// Sources that have proved themselves at least `knob` times a second over the attack so far, the heaviest first. Visitors prove
/// themselves, too: one sample that stands for many packets is not enough.
#[expect(clippy::cast_precision_loss, reason = "seconds and packets of an attack")]
pub fn heavy(attack: &Attack, knob: f64, now: u64) -> impl Iterator<Item = Heavy<IpNet>> + use<> {
    let age = now.saturating_sub(attack.began);
    let enough = knob * age as f64 / 1e9;
    let coarsest = f64::from(attack.coarsest);
    let surely = move |heavy: &Heavy<IpNet>| {
        let packets = (heavy.count - heavy.error) as f64;
        // The variance of a sum of samples, drawn independently, is the sum of their squares.
        packets - SURE * (coarsest * packets).sqrt()
    };
    let all = if age < AGE { Vec::new() } else { attack.proven.heaviest(CANDIDATES) };
    all.into_iter().take_while(move |heavy| surely(heavy) >= enough)
}

/// The bans of all attacks.
#[derive(Debug, Default)]
pub struct Bans {
    /// By whom: the attack, and when the ban ends by itself.
    made: BTreeMap<IpNet, (u64, u64)>,
    /// Those that a guard rail, or somebody else's ban, has kept us from.
    left_alone: BTreeMap<IpNet, u64>,
    /// Bans that may be made now.
    tokens: f64,
    last: u64,
}

impl Bans {
    /// Whom to ban now for `attack`; each is either [`Bans::made`] or [`Bans::leave_alone`]d afterwards.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of an attack")]
    pub fn choose(&mut self, attack: &Attack, limits: &Limits, now: u64) -> Vec<IpNet> {
        let passed = now.saturating_sub(self.last) as f64 / 1e9;
        let burst = f64::from(limits.per_second);
        self.tokens = (self.tokens + passed * burst).min(burst);
        self.last = now;
        self.made.retain(|_, (_, until)| *until > now);
        let mut chosen = Vec::new();
        for heavy in heavy(attack, limits.heavy, now) {
            let known = self.made.contains_key(&heavy.key) || self.left_alone.contains_key(&heavy.key);
            if self.tokens < 1.0 || self.made.len() + chosen.len() >= limits.most {
                break;
            }
            if !known {
                self.tokens -= 1.0;
                chosen.push(heavy.key);
            }
        }
        chosen
    }

    /// It is banned for that attack until then.
    pub fn made(&mut self, whom: IpNet, attack: u64, until: u64) {
        self.made.insert(whom, (attack, until));
    }

    /// It must not be, or is already.
    pub fn leave_alone(&mut self, whom: IpNet, attack: u64) {
        self.left_alone.insert(whom, attack);
    }

    /// Forgets whom it was kept from, or with `dry_run` only counts them. Bans that it has made stay: they are in force.
    pub fn forget_sources(&mut self, dry_run: bool, is_it: impl Fn(&IpNet) -> bool) -> u64 {
        let mut count = 0;
        self.left_alone.retain(|whom, _| {
            count += u64::from(is_it(whom));
            !is_it(whom) || dry_run
        });
        count
    }

    /// The attack is over: whose bans end.
    pub fn undo(&mut self, attack: u64) -> Vec<IpNet> {
        self.left_alone.retain(|_, of| *of != attack);
        let over = self.made.extract_if(.., |_, (of, _)| *of == attack);
        over.map(|(whom, _)| whom).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::dataplane::source_of;

    const SECOND: u64 = 1_000_000_000;
    const LIMITS: Limits = Limits { heavy: 100.0, per_second: 2, most: 5 };

    fn net(last: u8) -> IpNet {
        source_of(IpAddr::from([44, 0, 0, last]))
    }

    #[test]
    fn few_at_a_time_and_few_in_all() {
        let mut attack = Attack::new(3, 1, SECOND);
        for i in 0..20 {
            attack.proven.add(net(i), 100_000);
            // Forged ones are no proof, however many there are.
            attack.source(IpAddr::from([45, 0, 0, i]), 1_000_000);
        }
        attack.proven.add(net(99), 100);
        let mut bans = Bans::default();
        assert!(bans.choose(&attack, &LIMITS, 2 * SECOND).is_empty(), "too young");
        for second in 3..30 {
            let chosen = bans.choose(&attack, &LIMITS, second * SECOND);
            assert!(chosen.len() <= 2);
            for whom in chosen {
                bans.made(whom, attack.id, u64::MAX);
            }
        }
        assert_eq!(bans.made.len(), 5);
        assert_eq!(bans.undo(4), []);
        let undone = bans.undo(3);
        assert!(undone.len() == 5 && undone.iter().all(|whom| whom.to_string().starts_with("44.")));
        assert!(bans.made.is_empty());
    }

    #[test]
    fn who_was_left_alone_is_not_tried_again() {
        let mut attack = Attack::new(1, 1, 0);
        attack.proven.add(net(1), 100_000);
        let mut bans = Bans::default();
        assert_eq!(bans.choose(&attack, &LIMITS, 3 * SECOND), [net(1)]);
        bans.leave_alone(net(1), 1);
        assert!(bans.choose(&attack, &LIMITS, 9 * SECOND).is_empty());
        assert_eq!(bans.forget_sources(true, |whom| *whom == net(1)), 1);
        assert!(bans.choose(&attack, &LIMITS, 11 * SECOND).is_empty(), "only told");
        assert_eq!(bans.forget_sources(false, |whom| *whom == net(1)), 1);
        assert_eq!(bans.choose(&attack, &LIMITS, 13 * SECOND), [net(1)], "nobody remembers");
        bans.made(net(1), 1, u64::MAX);
        assert_eq!(bans.forget_sources(false, |_| true), 0, "a ban is in force");
        assert_eq!(bans.undo(1), [net(1)]);
    }

    #[test]
    fn one_coarse_sample_bans_nobody() {
        let (mut attack, mut bans) = (Attack::new(1, 1, 0), Bans::default());
        for _ in 0..4 {
            attack.proof(net(1), 1024);
        }
        assert!(bans.choose(&attack, &LIMITS, 2 * SECOND).is_empty(), "4 samples of 1024");
        for _ in 0..20 {
            attack.proof(net(1), 1024);
        }
        assert_eq!(bans.choose(&attack, &LIMITS, 2 * SECOND), [net(1)]);
    }

    #[test]
    fn who_was_heavy_is_remembered_and_nobody_else() {
        let mut attack = Attack::new(1, 1, 0);
        attack.proven.add(net(1), 400);
        attack.proven.add(net(2), 100);
        attack.keep_heavy(100.0, SECOND);
        assert!(attack.heavy.is_empty(), "too young");
        attack.keep_heavy(100.0, 3 * SECOND);
        // Banned from now on, and pushed out of the sketch.
        for i in 0..u16::MAX {
            attack.proven.add(source_of(IpAddr::from([45, 0, (i >> 8) as u8, i as u8])), 50);
        }
        attack.keep_heavy(100.0, 60 * SECOND);
        let kept: Vec<_> = attack.heavy.values().map(|heavy| (heavy.key, heavy.count)).collect();
        assert_eq!(kept, [(net(1), 400)]);
    }

    #[test]
    fn an_ipv6_source_is_a_64() {
        assert_eq!(source_of("2620:4f:8000::9".parse().unwrap()).to_string(), "2620:4f:8000::/64");
    }
}
