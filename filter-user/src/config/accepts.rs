//! What a rule accepts, field by field: what the checks compare and the compiler writes into tables.

use filter_common::{
    headers::{flag, protocol},
    packet::Fragment,
};
use ipnet::IpNet;
use toml::Spanned;

use super::{
    schema::{FragmentKind, Rule},
    value::{Between, TcpFlags},
};

/// A set of byte values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes([bool; 256]);

impl Bytes {
    fn of(accepts: impl Fn(u8) -> bool) -> Self {
        Self(std::array::from_fn(|value| accepts(value as u8)))
    }

    fn ranges(ranges: &[Spanned<Between<u8>>]) -> Self {
        let holds = |value: u8, range: &Between<u8>| range.first <= value && value <= range.last;
        Self::of(|value| ranges.is_empty() || ranges.iter().any(|range| holds(value, range.as_ref())))
    }

    /// Whether `value` is in it.
    pub(super) fn has(&self, value: u8) -> bool {
        self.0[usize::from(value)]
    }

    /// Whether every value is.
    pub(super) fn is_all(&self) -> bool {
        self.0.iter().all(|accepted| *accepted)
    }

    fn within(&self, allowed: &[u8]) -> bool {
        (0..=255).all(|value| !self.has(value) || allowed.contains(&value))
    }

    fn covers(&self, other: &Self) -> bool {
        (0..=255).all(|value| self.has(value) || !other.has(value))
    }
}

/// A set of 16-bit values: ranges that neither touch nor overlap, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words(Vec<Between<u16>>);

impl Words {
    fn all() -> Self {
        Self(vec![Between { first: 0, last: u16::MAX }])
    }

    /// The values of any of these ranges; all if there are none.
    pub(super) fn of(ranges: impl Iterator<Item = Between<u16>>) -> Self {
        let mut sorted: Vec<_> = ranges.collect();
        if sorted.is_empty() {
            return Self::all();
        }
        sorted.sort_by_key(|range| range.first);
        let mut merged: Vec<Between<u16>> = Vec::new();
        for range in sorted {
            match merged.last_mut() {
                Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    fn list(ranges: &[Spanned<Between<u16>>]) -> Self {
        Self::of(ranges.iter().map(|range| *range.as_ref()))
    }

    /// Its ranges.
    pub(super) fn ranges(&self) -> &[Between<u16>] {
        &self.0
    }

    /// Whether every value is in it.
    pub(super) fn is_all(&self) -> bool {
        *self == Self::all()
    }

    fn covers(&self, other: &Self) -> bool {
        let inside =
            |small: &Between<u16>| self.0.iter().any(|r| r.first <= small.first && small.last <= r.last);
        other.0.iter().all(inside)
    }
}

/// What a rule accepts.
#[derive(Clone, Debug)]
pub(super) struct Accepts {
    /// IPv4, IPv6.
    pub(super) families: [bool; 2],
    /// By [`Fragment`].
    pub(super) fragments: [bool; 3],
    pub(super) protocols: Bytes,
    pub(super) ttls: Bytes,
    pub(super) tcp_flags: Bytes,
    pub(super) icmp_types: Bytes,
    pub(super) source_ports: Words,
    pub(super) destination_ports: Words,
    pub(super) lengths: Words,
    /// None: any.
    pub(super) sources: Vec<IpNet>,
    /// None: any.
    pub(super) destinations: Vec<IpNet>,
}

impl Accepts {
    /// What `rule` says.
    pub(super) fn of(rule: &Rule) -> Self {
        let nets = |list: &[Spanned<IpNet>]| list.iter().map(|prefix| *prefix.as_ref()).collect::<Vec<_>>();
        let protocols =
            Bytes::of(|number| rule.proto.is_empty() || rule.proto.iter().any(|p| *p.as_ref() == number));
        Self {
            families: [family(rule, &protocols, false), family(rule, &protocols, true)],
            fragments: [Fragment::No, Fragment::First, Fragment::Later].map(|kind| fragment(rule, kind)),
            protocols,
            ttls: Bytes::ranges(rule.ttl.as_slice()),
            tcp_flags: flags(rule.flags.as_ref().map(Spanned::as_ref)),
            icmp_types: Bytes::ranges(&rule.icmp_type),
            source_ports: Words::list(&rule.sport),
            destination_ports: Words::list(&rule.dport),
            lengths: Words::list(rule.length.as_slice()),
            sources: nets(&rule.src),
            destinations: nets(&rule.dst),
        }
    }

    /// Whether it accepts whatever `other` accepts.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let all =
            |mine: &[bool], theirs: &[bool]| mine.iter().zip(theirs).all(|(mine, theirs)| *mine || !theirs);
        all(&self.families, &other.families)
            && all(&self.fragments, &other.fragments)
            && self.protocols.covers(&other.protocols)
            && self.ttls.covers(&other.ttls)
            && self.tcp_flags.covers(&other.tcp_flags)
            && self.icmp_types.covers(&other.icmp_types)
            && self.source_ports.covers(&other.source_ports)
            && self.destination_ports.covers(&other.destination_ports)
            && self.lengths.covers(&other.lengths)
            && covers(&self.sources, &other.sources)
            && covers(&self.destinations, &other.destinations)
    }

    /// Whether it accepts every packet.
    pub(super) fn is_all(&self) -> bool {
        self.families == [true; 2]
            && self.fragments == [true; 3]
            && [&self.protocols, &self.ttls, &self.tcp_flags, &self.icmp_types].iter().all(|set| set.is_all())
            && [&self.source_ports, &self.destination_ports, &self.lengths].iter().all(|set| set.is_all())
            && self.sources.is_empty()
            && self.destinations.is_empty()
    }

    /// Whether only packets of these protocols are accepted.
    pub(super) fn only(&self, protocols: &[u8]) -> bool {
        self.protocols.within(protocols)
    }

    /// Whether it accepts any TCP SYN.
    pub(super) fn has_syns(&self) -> bool {
        let is_syn = |flags: u8| flags & (flag::SYN | flag::ACK | flag::RST | flag::FIN) == flag::SYN;
        self.protocols.has(protocol::TCP)
            && self.fragments[Fragment::No as usize]
            && (0..=255).any(|flags| is_syn(flags) && self.tcp_flags.has(flags))
    }
}

/// Whether `rule` asks about a field of the transport header.
pub(super) fn asks_transport(rule: &Rule) -> bool {
    !rule.sport.is_empty() || !rule.dport.is_empty() || rule.flags.is_some() || !rule.icmp_type.is_empty()
}

fn fragment(rule: &Rule, kind: Fragment) -> bool {
    match rule.fragment.as_ref().map(|fragment| *fragment.as_ref()) {
        None => kind != Fragment::Later || !asks_transport(rule),
        Some(FragmentKind::No) => kind == Fragment::No,
        Some(FragmentKind::First) => kind == Fragment::First,
        Some(FragmentKind::Later) => kind == Fragment::Later,
        Some(FragmentKind::Any) => true,
    }
}

/// Whether packets of that family can match: ICMP is IPv4's, ICMPv6 the other's.
fn family(rule: &Rule, protocols: &Bytes, v6: bool) -> bool {
    let in_list = |list: &[Spanned<IpNet>]| {
        list.is_empty() || list.iter().any(|prefix| matches!(prefix.as_ref(), IpNet::V6(_)) == v6)
    };
    let others = if v6 { [protocol::ICMP, protocol::IGMP] } else { [protocol::ICMPV6; 2] };
    in_list(&rule.src) && in_list(&rule.dst) && !protocols.within(&others)
}

fn flags(wanted: Option<&TcpFlags>) -> Bytes {
    Bytes::of(|flags| wanted.is_none_or(|wanted| flags & wanted.mask == wanted.value))
}

/// Whether every address of `theirs` is one of `mine`; an empty list is all addresses.
fn covers(mine: &[IpNet], theirs: &[IpNet]) -> bool {
    if mine.is_empty() {
        return true;
    }
    let mine = IpNet::aggregate(&mine.to_vec());
    !theirs.is_empty() && theirs.iter().all(|small| mine.iter().any(|large| large.contains(small)))
}
