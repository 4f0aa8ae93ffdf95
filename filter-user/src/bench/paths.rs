//! The ways through the filter that are measured: which frame goes where, and what has to become of it.

use std::net::{Ipv4Addr, Ipv6Addr};

use filter_common::reason::Reason;

use super::{
    facts::Facts,
    frames::{Ends, Frame, OPTIONS, SYN_OPTIONS, flag, malformed, with_second_word},
    scene::{BLOCKED, FEW, Scene},
    sources,
};
use crate::dataplane::{measure::SOURCES, plan::Plan};

/// One way through the filter.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// On the command line and in JSON.
    pub name: &'static str,
    /// In tables.
    pub title: &'static str,
    /// Which filter.
    pub scene: Scene,
    /// What may become of it.
    pub expects: &'static [Reason],
    crowd: Crowd,
    frame: fn(&Facts, u32) -> Frame,
    /// SYNs go before: cookies have to be armed.
    pub after_syns: bool,
}

/// Whose packets they are.
#[derive(Clone, Copy, Debug)]
enum Crowd {
    /// The frame's own source and no other.
    One,
    /// Anybody's.
    Any,
    /// So many public addresses.
    Some(u32),
    /// Other /64s of one /32.
    Networks,
    /// 198.18.0.0/15.
    Bogons,
    /// The one listed prefix.
    Blocked,
    /// Those on the list.
    Listed,
    /// Those who are not.
    Unlisted,
    /// Everybody who is banned.
    Banned,
    /// Those who are not.
    Unbanned,
}

impl Path {
    /// Its sources, as they lie in a packet: a power of two of them, the first is that of the frame. Empty: it has but one.
    #[must_use]
    pub fn sources(&self, entries: u32, plan: &Plan) -> Vec<u32> {
        match self.crowd {
            Crowd::One => Vec::new(),
            Crowd::Any => sources::any(),
            Crowd::Some(count) => sources::some(count as usize),
            Crowd::Networks => (0..1 << 20).map(|index| sources::scattered(index) as u32).collect(),
            Crowd::Bogons => sources::bogons(),
            Crowd::Blocked => sources::within(BLOCKED),
            Crowd::Listed => sources::listed(entries),
            Crowd::Unlisted => sources::unlisted(&plan.lists.v4),
            Crowd::Banned => sources::power_of_two(sources::some(self.scene.bans(entries) as usize)),
            Crowd::Unbanned => sources::unbanned(),
        }
    }

    /// The frame from the first of its sources.
    #[must_use]
    pub fn frame(&self, facts: &Facts, sources: &[u32]) -> Frame {
        let first = sources.first().copied().unwrap_or_else(|| sources::some(1)[0]);
        (self.frame)(facts, first)
    }
}

fn v4(source: u32) -> Ipv4Addr {
    source.to_ne_bytes().into()
}

/// An address of 2a00::/32.
fn v6(source: u32) -> Ipv6Addr {
    with_second_word(Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, 7), source)
}

const PAYLOAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn syn_to(ends: Ends) -> Frame {
    ends.tcp(flag::SYN, &SYN_OPTIONS, &[])
}

fn data_to(ends: Ends) -> Frame {
    ends.tcp(flag::ACK | flag::PSH, &OPTIONS, PAYLOAD)
}

/// A SYN with everything that Linux puts into it.
#[must_use]
pub fn syn(facts: &Facts, source: u32) -> Frame {
    syn_to(Ends::new(v4(source), facts.v4, facts.port))
}

/// A request on a connection.
fn data(facts: &Facts, source: u32) -> Frame {
    data_to(Ends::new(v4(source), facts.v4, facts.port))
}

const fn path(
    name: &'static str,
    title: &'static str,
    scene: Scene,
    expects: &'static [Reason],
    crowd: Crowd,
    frame: fn(&Facts, u32) -> Frame,
) -> Path {
    Path { name, title, scene, expects, crowd, frame, after_syns: false }
}

const ANSWERED: &[Reason] = &[Reason::CookieSent, Reason::ChallengeSent];

/// Every way that is measured, in the order of the table.
pub static PATHS: [Path; 21] = [
    path("bogon", "bogon source", Scene::Calm, &[Reason::Bogon], Crowd::Bogons, syn),
    path("bogon6", "bogon source, IPv6", Scene::Calm, &[Reason::Bogon], Crowd::Networks, |facts, source| {
        let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
        syn_to(Ends::new(with_second_word(documentation, source), facts.v6, facts.port))
    }),
    path("flags", "SYN and FIN", Scene::Calm, &[Reason::TcpFlags], Crowd::Any, |facts, source| {
        Ends::new(v4(source), facts.v4, facts.port).tcp(flag::SYN | flag::FIN, &[], &[])
    }),
    path("land", "LAND", Scene::Calm, &[Reason::Land], Crowd::One, |facts, _| {
        syn_to(Ends::new(facts.v4, facts.v4, facts.port))
    }),
    path(
        "malformed",
        "IPv4 header of 16 bytes",
        Scene::Calm,
        &[Reason::Ipv4Header],
        Crowd::Any,
        |facts, source| malformed(data(facts, source)),
    ),
    path("block-1", "on a block list of 1", Scene::BlockOne, &[Reason::BlockList], Crowd::Blocked, syn),
    path("block", "on the full block list", Scene::BlockMany, &[Reason::BlockList], Crowd::Listed, syn),
    path(
        "unlisted",
        "data, not on the full block list",
        Scene::BlockMany,
        &[Reason::Pass],
        Crowd::Unlisted,
        data,
    ),
    path("ban-few", "banned, with few others", Scene::BanFew, &[Reason::Banned], Crowd::Banned, syn),
    path("ban", "banned, all bans taken", Scene::BanMany, &[Reason::Banned], Crowd::Banned, syn),
    path(
        "unbanned",
        "data, not banned, all bans taken",
        Scene::BanMany,
        &[Reason::Pass],
        Crowd::Unbanned,
        data,
    ),
    path(
        "over-rate",
        "data over its source's rate",
        Scene::Tight,
        &[Reason::SourceRate],
        Crowd::Some(SOURCES),
        data,
    ),
    path("syn", "SYN answered, armed", Scene::Armed, ANSWERED, Crowd::Any, syn),
    path("syn-always", "SYN answered, mode = cookie", Scene::Always, ANSWERED, Crowd::Any, syn),
    path(
        "syn-gateway",
        "SYN answered for a host behind: no look-up",
        Scene::Gateway,
        &[Reason::ChallengeSent],
        Crowd::Any,
        |facts, source| syn_to(Ends::new(v4(source), facts.behind, facts.port)),
    ),
    path("syn6", "SYN answered, armed, IPv6", Scene::Armed, ANSWERED, Crowd::Networks, |facts, source| {
        syn_to(Ends::new(v6(source), facts.v6, facts.port))
    }),
    Path {
        after_syns: true,
        ..path(
            "ack",
            "ACK with a wrong cookie",
            Scene::Armed,
            &[Reason::CookieInvalid],
            Crowd::Any,
            |facts, source| Ends::new(v4(source), facts.v4, facts.port).tcp(flag::ACK, &OPTIONS, &[]),
        )
    },
    path("data", "data to a service", Scene::Calm, &[Reason::Pass], Crowd::Any, data),
    path("unserved", "data to no service", Scene::Calm, &[Reason::Pass], Crowd::Any, |facts, source| {
        data_to(Ends::new(v4(source), facts.v4, facts.free))
    }),
    path("ntp", "NTP reflection", Scene::Calm, &[Reason::UdpReflection], Crowd::Any, |facts, source| {
        Ends { ports: [123, 40_000], ..Ends::new(v4(source), facts.v4, 0) }.udp(&[0; 440])
    }),
    path(
        "data-vlan",
        "data to a service, VLAN tag",
        Scene::Calm,
        &[Reason::Pass],
        Crowd::Any,
        |facts, source| data_to(Ends { tagged: true, ..Ends::new(v4(source), facts.v4, facts.port) }),
    ),
];

/// Bans of the scene with few.
const _: () = assert!(FEW.is_power_of_two());

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_plain() {
        let names: BTreeSet<_> = PATHS.iter().map(|path| path.name).collect();
        assert_eq!(names.len(), PATHS.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')));
        let titles: BTreeSet<_> = PATHS.iter().map(|path| path.title).collect();
        assert_eq!(titles.len(), PATHS.len());
    }
}
