//! Who was banned before, and is banned for longer the next time.

use std::{collections::HashMap, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::schema::Ban;

/// So many are remembered.
const MOST: usize = 65_536;
/// Doublings: beyond these any time is longer than `ban.ttl_max`.
const HIGHEST: u32 = 32;

/// How often somebody was banned lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Offence {
    level: u32,
    /// When he was banned last, seconds since 1970.
    at: u64,
}

impl Offence {
    /// Each `decay` without a ban takes one back.
    fn level(self, now: u64, decay: Duration) -> u32 {
        let faded = now.saturating_sub(self.at) / decay.as_secs().max(1);
        self.level.saturating_sub(u32::try_from(faded).unwrap_or(u32::MAX))
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Offenders(HashMap<IpNet, Offence>);

impl Offenders {
    /// How long to ban somebody who has come up now (seconds since 1970).
    #[must_use]
    pub fn length(&self, prefix: &IpNet, now: u64, settings: &Ban) -> Duration {
        let (ttl, longest) = (*settings.ttl.as_ref(), *settings.ttl_max.as_ref());
        let level = self.0.get(prefix).map_or(0, |offence| offence.level(now, *settings.decay.as_ref()));
        if !settings.escalate {
            return ttl;
        }
        ttl.saturating_mul(1_u32.checked_shl(level).unwrap_or(u32::MAX)).min(longest)
    }

    /// Remembers that he was banned.
    pub fn note(&mut self, prefix: IpNet, now: u64, decay: Duration) {
        if self.0.len() >= MOST && !self.0.contains_key(&prefix) {
            self.make_room(now, decay);
        }
        let level = self.0.get(&prefix).map_or(0, |offence| offence.level(now, decay));
        self.0.insert(prefix, Offence { level: (level + 1).min(HIGHEST), at: now });
    }

    /// Somebody has ended his ban: it was a mistake.
    pub fn forgive(&mut self, prefix: &IpNet) {
        self.0.remove(prefix);
    }

    /// Forgets those in that prefix, or with `dry_run` only counts them.
    pub fn forget(&mut self, of: &IpNet, dry_run: bool) -> u64 {
        let found = self.0.keys().filter(|prefix| of.contains(*prefix)).count();
        self.0.retain(|prefix, _| dry_run || !of.contains(prefix));
        found as u64
    }

    /// Those whose time is over go first, then those who were banned longest ago, a quarter at once.
    fn make_room(&mut self, now: u64, decay: Duration) {
        self.0.retain(|_, offence| offence.level(now, decay) > 0);
        if self.0.len() < MOST {
            return;
        }
        let mut times: Vec<_> = self.0.values().map(|offence| offence.at).collect();
        let (_, oldest, _) = times.select_nth_unstable(MOST / 4);
        let (oldest, mut left) = (*oldest, MOST / 4);
        self.0.retain(|_, offence| {
            let goes = offence.at <= oldest && left > 0;
            left -= usize::from(goes);
            !goes
        });
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// To be kept: prefix, level, time.
    #[must_use]
    pub fn all(&self) -> Vec<(IpNet, u32, u64)> {
        self.0.iter().map(|(prefix, offence)| (*prefix, offence.level, offence.at)).collect()
    }

    /// Those that were kept. What lies in the future is a clock that was wrong: it fades from now on.
    #[must_use]
    pub fn of(kept: Vec<(IpNet, u32, u64)>, now: u64) -> Self {
        let offence = |level: u32, at: u64| Offence { level: level.min(HIGHEST), at: at.min(now) };
        Self(kept.into_iter().take(MOST).map(|(prefix, level, at)| (prefix, offence(level, at))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Ban {
        let file = format!("schema = 1\n[[interface]]\nname = \"eth0\"\n[ban]\n{text}");
        crate::config::parse(crate::config::Source { path: String::new(), text: file }).unwrap().settings.ban
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn times_double_up_to_a_cap_and_fade() {
        let ban = settings("ttl = \"10m\"\nttl_max = \"1h\"\ndecay = \"24h\"");
        let (decay, who) = (*ban.decay.as_ref(), net("9.9.9.9/32"));
        let (mut offenders, mut now) = (Offenders::default(), 1_000_000);
        let mut minutes = Vec::new();
        for _ in 0..5 {
            minutes.push(offenders.length(&who, now, &ban).as_secs() / 60);
            offenders.note(who, now, decay);
            now += 3600;
        }
        assert_eq!(minutes, [10, 20, 40, 60, 60]);
        assert_eq!(offenders.length(&net("9.9.9.8/32"), now, &ban).as_secs(), 600, "others are none");
        now += 4 * 86_400 - 3600;
        assert_eq!(offenders.length(&who, now, &ban).as_secs(), 1200, "four of five have faded");
        assert_eq!(offenders.length(&who, now + 86_400, &ban).as_secs(), 600);
        assert_eq!(offenders.length(&who, 0, &ban).as_secs(), 3600, "a clock set back shortens nothing");
        offenders.forgive(&who);
        assert_eq!(offenders.length(&who, now, &ban).as_secs(), 600);
    }

    #[test]
    fn who_is_forgotten_begins_anew() {
        let (ban, mut offenders) = (settings("ttl = \"10m\""), Offenders::default());
        for who in ["9.9.9.9/32", "9.9.9.8/32", "9.9.0.0/16"] {
            offenders.note(net(who), 100, *ban.decay.as_ref());
        }
        assert_eq!((offenders.forget(&net("9.9.9.9/32"), true), offenders.len()), (1, 3));
        assert_eq!((offenders.forget(&net("9.9.9.9/32"), false), offenders.len()), (1, 2));
        assert_eq!(offenders.length(&net("9.9.9.9/32"), 100, &ban).as_secs(), 600);
        assert_eq!(offenders.length(&net("9.9.0.0/16"), 100, &ban).as_secs(), 1200, "it is wider");
        assert_eq!((offenders.forget(&net("9.0.0.0/8"), false), offenders.len()), (2, 0));
    }

    #[test]
    fn it_can_be_switched_off() {
        let ban = settings("escalate = false");
        let mut offenders = Offenders::default();
        (0..100).for_each(|now| offenders.note(net("9.9.9.9/32"), now, *ban.decay.as_ref()));
        assert_eq!(offenders.length(&net("9.9.9.9/32"), 100, &ban).as_secs(), 3600);
    }

    #[test]
    fn their_number_is_bounded_and_the_latest_stay() {
        let (mut offenders, decay) = (Offenders::default(), Duration::from_hours(24));
        let who = |i: u32| IpNet::from(std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(i)));
        for i in 0..3 * MOST as u32 {
            offenders.note(who(i), 1_000_000 + u64::from(i / 1000), decay);
            assert!(offenders.len() <= MOST);
        }
        assert!(offenders.0.contains_key(&who(3 * MOST as u32 - 1)) && !offenders.0.contains_key(&who(0)));
        let kept = Offenders::of(offenders.all(), 1_000_001);
        assert!(kept.len() == offenders.len() && kept.0.values().all(|offence| offence.at <= 1_000_001));
    }
}
