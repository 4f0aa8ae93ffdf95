//! Places for connections, so that no address takes all of them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections at a time.
pub(super) const ALL: usize = 32;
/// Of one IPv4 address or IPv6 /64.
pub(super) const OF_ONE: usize = 8;

/// Who is connected.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<HashMap<IpAddr, usize>>);

/// A place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    callers: Arc<Callers>,
    who: IpAddr,
}

impl Callers {
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for that address, if there is one.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let who = network(address);
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= ALL || taken.get(&who).is_some_and(|count| *count >= OF_ONE) {
            return None;
        }
        *taken.entry(who).or_default() += 1;
        drop(taken);
        Some(Place { callers: Arc::clone(self), who })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.callers.taken();
        if let Some(count) = taken.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

/// An IPv6 /64 is one caller.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_leaves_places_to_others() {
        let callers = Arc::new(Callers::default());
        let take = |text: &str| callers.take(text.parse().unwrap());
        let mut held: Vec<_> = (0..OF_ONE).map(|_| take("192.31.196.9").unwrap()).collect();
        assert!(take("192.31.196.9").is_none());
        assert!(take("::ffff:192.31.196.9").is_none(), "the same address");
        held.extend((0..OF_ONE).map(|n| take(&format!("2620:4f:8000::{n}")).unwrap()));
        assert!(take("2620:4f:8000::ffff").is_none(), "the same /64");
        held.extend((0..ALL - 2 * OF_ONE).map(|n| take(&format!("192.31.196.{}", 10 + n)).unwrap()));
        assert!(take("192.31.196.99").is_none(), "all are taken");
        drop(held);
        assert!(callers.taken().is_empty());
    }
}
