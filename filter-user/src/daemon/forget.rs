//! Somebody who is not to be remembered any more: what is asked, what is answered.
//!
//! Sources are persons; where packets go is this host, or what is behind it. What protects the host stays (bans in force, who is let
//! through), and so does what tells nobody apart: a prefix wider than the one that is asked for.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::Method, routing::post};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{
    api::{Peer, Refused, Right, Route},
    live::Live,
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::lists::file,
    dataplane::source_of,
    detect::attack::prefix,
};

/// Shortest prefixes: IPv4, IPv6.
const SHORTEST: (u8, u8) = (8, 20);
/// Prefixes that are tried one by one: all addresses of an IPv4 /8.
const TRIED: u8 = 24;

/// What `POST /v1/forget` takes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Forget {
    /// An address or a prefix.
    pub source: String,
    /// Only tell what there is.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Removed {
    /// Sampled packets, in the daemon's memory.
    pub samples: u64,
    /// Entries of attacks in the daemon's memory: sources, prefixes, proven ones, acts that name them.
    pub attack_entries: u64,
    /// Entries of incidents on the disk: samples, prefixes, proven ones, acts that name them.
    pub incident_entries: u64,
    /// The incidents that have them.
    pub incidents: u64,
    /// Entries of notifications that wait: prefixes, acts that name them.
    pub notices: u64,
    /// Comments on bans and on entries of `floodwall allow`.
    pub comments: u64,
    /// Those that are remembered as banned before.
    pub offenders: u64,
    /// Proofs that they can receive, in the kernel's table.
    pub proofs: u64,
}

/// Something that stays.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Stays {
    /// What.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// What `POST /v1/forget` answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Forgotten {
    /// Version of this form.
    pub schema: u32,
    /// Who was forgotten; an IPv6 address is its /64.
    pub source: IpNet,
    /// Nothing was done.
    pub dry_run: bool,
    /// What of him.
    pub removed: Removed,
    /// What not.
    pub stays: Vec<Stays>,
}

impl Forgotten {
    /// Nothing yet.
    pub(super) fn new(source: IpNet, dry_run: bool) -> Self {
        Self { schema: 1, source, dry_run, removed: Removed::default(), stays: Vec::new() }
    }

    /// Something stays.
    pub(super) fn stay(&mut self, what: String, hint: impl Into<String>) {
        self.stays.push(Stays { what, hint: hint.into() });
    }
}

/// Who is to be forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    /// Everything in it. Longer IPv6 prefixes are the /64 around them: so are sources in limits, proofs and bans.
    pub(super) net: IpNet,
    asked: IpNet,
}

/// Prefixes of one length.
pub(super) struct Parts {
    pub(super) nets: Box<dyn Iterator<Item = IpNet>>,
    /// There are no others of that length.
    pub(super) is_all: bool,
}

impl Subject {
    pub(super) fn new(asked: IpNet) -> Result<Self, Failure> {
        let asked = asked.trunc();
        let shortest = if asked.addr().is_ipv4() { SHORTEST.0 } else { SHORTEST.1 };
        if asked.prefix_len() < shortest {
            let message = format!("{asked} is a large part of the Internet, not somebody to forget");
            let hint = format!(
                "name the prefixes that you mean, /{shortest} or longer; docs/privacy.md tells how to forget everything"
            );
            return Err(Failure::new(Kind::GuardRail, message, hint));
        }
        let source = source_of(asked.addr());
        let net = if asked.prefix_len() > source.prefix_len() { source } else { asked };
        Ok(Self { net, asked })
    }

    /// As the log may name him.
    pub(super) fn network(&self) -> IpNet {
        let network = prefix(self.net.addr());
        if self.net.prefix_len() > network.prefix_len() { network } else { self.net }
    }

    /// Whether somebody is no other.
    pub(super) fn holds(&self, who: &IpNet) -> bool {
        self.net.contains(who)
    }

    /// All in it of that length, or, where these are too many to be tried one by one, those that were asked for.
    pub(super) fn parts(&self, length: u8) -> Parts {
        let few = |net: &IpNet| (net.prefix_len()..=net.prefix_len().saturating_add(TRIED)).contains(&length);
        let is_all = length < self.net.prefix_len() || few(&self.net);
        let of = if is_all { self.net } else { self.asked };
        let nets = of.subnets(length).ok().filter(|_| few(&of));
        Parts { nets: Box::new(nets.into_iter().flatten()), is_all }
    }
}

/// The request.
pub(super) const ROUTES: &[Route] = &[Route {
    method: Method::POST,
    path: "/v1/forget",
    right: Right::Change,
    help: "Forgets what is remembered of `{source, dry_run}`, an address or a prefix (at least /8, IPv6 /20), and counts it; bans in \
           force and who is let through stay, and are told",
    handler: || post(forget),
}];

async fn forget(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(asked): Json<Forget>,
) -> Result<Json<Forgotten>, Refused> {
    peer.may_change()?;
    let wrong = |why| Failure::new(Kind::Usage, why, "name 192.31.196.9 or 192.31.196.0/24");
    let source = file::prefix(&asked.source).map_err(|why| anyhow::Error::new(wrong(why)))?;
    let subject = Subject::new(source).map_err(anyhow::Error::new)?;
    let forgotten = spawn_blocking(move || live.forget(&subject, asked.dry_run)).await;
    Ok(Json(forgotten.map_err(anyhow::Error::new)??))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        file::prefix(text).unwrap()
    }

    fn subject(text: &str) -> Subject {
        Subject::new(net(text)).unwrap()
    }

    #[test]
    fn who_is_meant() {
        for (asked, meant, logged) in [
            ("192.31.196.9", "192.31.196.9/32", "192.31.196.0/24"),
            ("192.31.196.9/24", "192.31.196.0/24", "192.31.196.0/24"),
            ("44.0.0.0/8", "44.0.0.0/8", "44.0.0.0/8"),
            ("2620:4f:8000:1::9", "2620:4f:8000:1::/64", "2620:4f:8000::/48"),
            ("2620:4f:8000:1::/100", "2620:4f:8000:1::/64", "2620:4f:8000::/48"),
            ("2620:4f::/32", "2620:4f::/32", "2620:4f::/32"),
        ] {
            let subject = subject(asked);
            assert_eq!(
                (subject.net.to_string(), subject.network().to_string()),
                (meant.into(), logged.into())
            );
        }
        for wide in ["0.0.0.0/0", "44.0.0.0/7", "::/0", "2000::/19"] {
            let refused = Subject::new(net(wide)).unwrap_err();
            assert!(refused.kind == Kind::GuardRail && refused.message.contains("large part"), "{refused}");
        }
    }

    #[test]
    fn few_are_tried_one_by_one() {
        let tried = |asked: &str, length| {
            let Parts { nets, is_all } = subject(asked).parts(length);
            (nets.count(), is_all)
        };
        assert_eq!(tried("192.31.196.9", 32), (1, true));
        assert_eq!(tried("192.31.196.9", 24), (0, true), "it is wider");
        assert_eq!((tried("192.31.196.0/23", 32), tried("192.31.196.0/23", 24)), ((512, true), (2, true)));
        assert_eq!(tried("44.0.0.0/8", 24), (65_536, true));
        assert!(subject("44.0.0.0/8").parts(32).is_all);
        assert_eq!(
            (tried("2620:4f:8000::/48", 64), tried("2620:4f:8000::/48", 128)),
            ((65_536, true), (0, false))
        );
        let asked = subject("2620:4f:8000:1::9").parts(128);
        assert!(!asked.is_all && asked.nets.eq([net("2620:4f:8000:1::9")]));
        assert_eq!(tried("2620:4f::/32", 64), (0, false));
    }
}
