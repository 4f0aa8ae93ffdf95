//! What is never banned.

use std::{net::IpAddr, sync::Arc};

use filter_common::list::{
    Class,
    build::{Span, resolve},
};
use ipnet::IpNet;

use crate::{
    config::{
        lists::compare::{is_allowed, touched},
        schema::Ban,
    },
    dataplane::{Lists, Plan},
};

/// What must not be banned: nobody locks out the operator, this host, or half of the Internet by a slip.
#[derive(Debug)]
pub struct Guard {
    /// Management (allowed) and this host's own addresses (blocked).
    spans: Vec<Span<u128>>,
    /// `ban.never`.
    never: Vec<Span<u128>>,
    /// The lists in force.
    lists: Arc<Lists>,
    /// Shortest prefixes that may be banned: IPv4, IPv6.
    shortest: (u32, u32),
    /// Others, with the words for why.
    peers: Vec<(IpAddr, &'static str)>,
}

impl Guard {
    /// For what is in force.
    #[must_use]
    pub fn new(plan: &Plan, settings: &Ban) -> Self {
        let never = settings.never.iter().map(|prefix| *prefix.as_ref()).collect::<Vec<_>>();
        let shortest = (*settings.min_prefix_v4.as_ref(), *settings.min_prefix_v6.as_ref());
        let guard = Self::of(&plan.management, &plan.local, &never, shortest);
        Self { lists: plan.lists.clone(), ..guard }
    }

    fn of(management: &[IpNet], local: &[IpAddr], never: &[IpNet], shortest: (u32, u32)) -> Self {
        let local = local.iter().map(|address| ends(&IpNet::from(*address)));
        let spans = resolve(management.iter().map(ends).collect(), local.collect());
        let never = resolve(never.iter().map(ends).collect(), Vec::new());
        Self { spans, never, lists: Arc::default(), shortest, peers: Vec::new() }
    }

    /// And these.
    #[must_use]
    pub fn also(self, peers: Vec<(IpAddr, &'static str)>) -> Self {
        Self { peers, ..self }
    }

    /// Why a prefix must not be banned, and what to do instead.
    #[must_use]
    pub fn refusal(&self, entry: &IpNet) -> Option<(String, &'static str)> {
        let (v4, v6) = self.shortest;
        let (shortest, knob) =
            if entry.addr().is_ipv4() { (v4, "ban.min_prefix_v4") } else { (v6, "ban.min_prefix_v6") };
        if u32::from(entry.prefix_len()) < shortest {
            let why = format!("{entry} is a large part of the Internet ({knob} = {shortest})");
            return Some((why, "ban the parts of it that you mean"));
        }
        let (first, last) = ends(entry);
        if entry.addr().is_ipv6() && first >> 96 == 0 {
            return Some((
                format!("{entry} is nobody's source"),
                "write IPv4 addresses as such: 192.31.196.9",
            ));
        }
        if let Some((address, why)) = self.peers.iter().find(|(address, _)| entry.contains(address)) {
            let hint = "ban the prefixes around it, or set management.auto = false";
            return Some((format!("{entry} holds {address}: {why}"), hint));
        }
        if touched(&self.never, first, last).is_some() {
            let why = format!("{entry} holds addresses that are never banned");
            return Some((why, "take them out of ban.never first"));
        }
        if is_allowed(&self.lists, entry) {
            let why = format!("{entry} is on the allow list: it passes all the same");
            return Some((why, "take it off lists.allow, lists.allow_files or floodwall allow first"));
        }
        Some(match touched(&self.spans, first, last)?.class {
            Class::Allow => {
                let hint = "it passes all the same: take it out of management.allow first";
                (format!("{entry} holds management addresses"), hint)
            }
            _ => (format!("{entry} holds an address of this host"), "ban the prefixes around it"),
        })
    }
}

/// First and last address, v4-mapped.
fn ends(net: &IpNet) -> (u128, u128) {
    let mapped = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    (mapped(net.network()), mapped(net.broadcast()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_do_harm_is_refused() {
        let management = ["192.31.196.0/28", "2620:4f:8000::/64"].map(|text| text.parse().unwrap());
        let local = ["192.31.197.2", "2620:4f:8001::2"].map(|text| text.parse().unwrap());
        let guard = Guard::of(&management, &local, &["192.88.0.0/24".parse().unwrap()], (8, 20));
        let said = |text: &str| guard.refusal(&text.parse().unwrap()).map(|(message, _)| message);
        for (text, words) in [
            ("192.31.196.9/32", "management"),
            ("192.31.0.0/16", "management"),
            ("192.31.197.0/24", "address of this host"),
            ("192.31.197.2/32", "address of this host"),
            ("2620:4f:8000::/48", "management"),
            ("2620:4f:8000::9/128", "management"),
            ("2620:4f:8001::/64", "address of this host"),
            ("192.88.0.7/32", "never banned"),
            ("192.88.0.0/23", "never banned"),
            ("0.0.0.0/0", "large part"),
            ("64.0.0.0/7", "large part"),
            ("2000::/19", "large part"),
            ("::ffff:192.31.198.1/128", "nobody's"),
            ("::/64", "nobody's"),
        ] {
            assert!(said(text).is_some_and(|message| message.contains(words)), "{text}: {:?}", said(text));
        }
        for text in ["192.31.196.16/32", "192.31.197.3/32", "8.0.0.0/8", "2a00::/20", "2620:4f:8001:1::/64"] {
            assert_eq!(said(text), None);
        }
        let peers = vec![("192.31.198.7".parse().unwrap(), "it is this host's gateway")];
        let none = Guard::of(&[], &[], &[], (8, 20)).also(peers);
        let refused = |text: &str| none.refusal(&text.parse().unwrap()).map(|(message, _)| message);
        assert_eq!(
            refused("192.31.198.0/24").unwrap(),
            "192.31.198.0/24 holds 192.31.198.7: it is this host's gateway"
        );
        assert_eq!(refused("192.31.198.8/29"), None);
        assert!(none.refusal(&"9.9.9.9/32".parse().unwrap()).is_none());
    }
}
