//! Bans on request: what is refused, and the requests' forms.

use std::{net::IpAddr, sync::Arc};

use axum::{Extension, Json, extract::State, http::Method, routing::post};
use filter_common::list::{
    Class,
    build::{Span, resolve},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    api::{Peer, Refused, Right, Route},
    live::Live,
};
use crate::{
    cmd::failure::{Failure, Kind},
    dataplane::Plan,
};

/// Entries of one request: it is answered within a fraction of a second.
pub const CHUNK: usize = 20_000;

/// New bans.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Add {
    /// Whom.
    pub entries: Vec<IpNet>,
    /// How long; absent: until somebody ends it.
    pub ttl_seconds: Option<u64>,
    /// Why, for people; 32 bytes are kept.
    #[serde(default)]
    pub reason: String,
    /// Only tell what would become of them.
    #[serde(default)]
    pub dry_run: bool,
    /// The caller's `SSH_CONNECTION`.
    #[serde(default)]
    pub ssh: Option<String>,
}

/// What became of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Added {
    /// Version of this form.
    pub schema: u32,
    /// New ones.
    pub made: u64,
    /// Those that were there and end at another time now.
    pub replaced: u64,
    /// Those that were refused.
    pub refused: u64,
    /// The first of them.
    pub refusals: Vec<Refusal>,
}

/// Refusals that are told one by one.
const TOLD: usize = 20;

/// Why one was refused.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Refusal {
    /// Whom it was about.
    pub entry: IpNet,
    /// Because the table is full, not because it would do harm.
    pub full: bool,
    /// What is in the way.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Added {
    /// Counts a refusal.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refused += 1;
        if self.refusals.len() < TOLD {
            self.refusals.push(refusal);
        }
    }
}

/// Bans to end.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// Whom, exactly as they were banned.
    pub entries: Vec<IpNet>,
    /// Only tell what would become of them.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Deleted {
    /// Version of this form.
    pub schema: u32,
    /// Bans that have ended.
    pub removed: u64,
    /// Entries without one.
    pub absent: u64,
}

/// The requests.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/v1/bans",
        right: Right::Change,
        help: "Bans `{entries, ttl_seconds, reason, dry_run}`, at most 20,000 entries; without `ttl_seconds` for ever",
        handler: || post(add),
    },
    Route {
        method: Method::POST,
        path: "/v1/bans/delete",
        right: Right::Change,
        help: "Ends the bans of exactly these `{entries, dry_run}`",
        handler: || post(delete),
    },
];

/// One request is answered before others wait for long.
fn bounded(entries: &[IpNet]) -> Result<(), Refused> {
    if entries.len() <= CHUNK {
        return Ok(());
    }
    let message = format!("{} entries in one request, at most {CHUNK}", entries.len());
    Err(anyhow::Error::new(Failure::new(Kind::Usage, message, "send them in several requests")).into())
}

async fn add(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(add): Json<Add>,
) -> Result<Json<Added>, Refused> {
    peer.may_change()?;
    bounded(&add.entries)?;
    Ok(Json(live.ban(&add)?))
}

async fn delete(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(delete): Json<Delete>,
) -> Result<Json<Deleted>, Refused> {
    peer.may_change()?;
    bounded(&delete.entries)?;
    Ok(Json(live.unban(&delete)?))
}

/// What must not be banned: nobody locks out the operator, this host, or half of the Internet by a slip.
#[derive(Debug)]
pub struct Guard {
    spans: Vec<Span<u128>>,
    /// Others, with the words for why.
    peers: Vec<(IpAddr, &'static str)>,
}

/// Shortest prefixes that may be banned.
const SHORTEST: (u8, u8) = (8, 20);

impl Guard {
    /// For the configuration in force.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self::of(&plan.management, &plan.local)
    }

    fn of(management: &[IpNet], local: &[IpAddr]) -> Self {
        let local = local.iter().map(|address| ends(&IpNet::from(*address)));
        let spans = resolve(management.iter().map(ends).collect(), local.collect());
        Self { spans, peers: Vec::new() }
    }

    /// And these.
    #[must_use]
    pub fn also(self, peers: Vec<(IpAddr, &'static str)>) -> Self {
        Self { peers, ..self }
    }

    /// Why a prefix must not be banned, and what to do instead.
    #[must_use]
    pub fn refusal(&self, entry: &IpNet) -> Option<(String, &'static str)> {
        let shortest = if entry.addr().is_ipv4() { SHORTEST.0 } else { SHORTEST.1 };
        if entry.prefix_len() < shortest {
            let why = format!("{entry} is a large part of the Internet");
            return Some((why, "IPv4 prefixes from /8 on and IPv6 prefixes from /20 on can be banned"));
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
        let from = self.spans.partition_point(|span| span.last < first);
        let touched = self.spans.get(from).filter(|span| span.first <= last)?;
        Some(match touched.class {
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
        let guard = Guard::of(&management, &local);
        let said = |text: &str| guard.refusal(&text.parse().unwrap()).map(|(message, _)| message);
        for (text, words) in [
            ("192.31.196.9/32", "management"),
            ("192.31.0.0/16", "management"),
            ("192.31.197.0/24", "address of this host"),
            ("192.31.197.2/32", "address of this host"),
            ("2620:4f:8000::/48", "management"),
            ("2620:4f:8000::9/128", "management"),
            ("2620:4f:8001::/64", "address of this host"),
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
        let none = Guard::of(&[], &[]).also(peers);
        let refused = |text: &str| none.refusal(&text.parse().unwrap()).map(|(message, _)| message);
        assert_eq!(
            refused("192.31.198.0/24").unwrap(),
            "192.31.198.0/24 holds 192.31.198.7: it is this host's gateway"
        );
        assert_eq!(refused("192.31.198.8/29"), None);
        assert!(none.refusal(&"9.9.9.9/32".parse().unwrap()).is_none());
    }
}
