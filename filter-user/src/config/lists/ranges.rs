//! Addresses as ranges.

use filter_common::list::{
    Class,
    build::{Number, resolve},
};
use ipnet::IpNet;

use crate::dataplane::plan::Prefixes;

/// Ranges of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// IPv4: first, last.
    pub v4: Vec<(u32, u32)>,
    /// IPv6: first, last.
    pub v6: Vec<(u128, u128)>,
}

impl Ranges {
    /// Adds a prefix.
    pub fn push(&mut self, net: &IpNet) {
        match net {
            IpNet::V4(net) => self.v4.push((net.network().to_bits(), net.broadcast().to_bits())),
            IpNet::V6(net) => self.v6.push((net.network().to_bits(), net.broadcast().to_bits())),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn prefixes(&self) -> Prefixes {
        Prefixes { v4: self.v4.len() as u64, v6: self.v6.len() as u64 }
    }

    /// These without `holes`: disjoint, ascending, neighbours joined.
    #[must_use]
    pub fn without(self, holes: Self) -> Self {
        Self { v4: rest(holes.v4, self.v4), v6: rest(holes.v6, self.v6) }
    }
}

/// Those without the holes, the same way.
pub(super) fn rest<A: Number>(holes: Vec<(A, A)>, ranges: Vec<(A, A)>) -> Vec<(A, A)> {
    let spans = resolve(holes, ranges).into_iter().filter(|span| span.class == Class::Block);
    spans.map(|span| (span.first, span.last)).collect()
}

impl FromIterator<IpNet> for Ranges {
    fn from_iter<T: IntoIterator<Item = IpNet>>(nets: T) -> Self {
        let mut ranges = Self::default();
        nets.into_iter().for_each(|net| ranges.push(&net));
        ranges
    }
}
