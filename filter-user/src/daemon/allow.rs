//! Sources that somebody lets pass for a while, beside `lists.allow`: on request, kept in `daemon.state`.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Query, State},
    http::Method,
    routing::{get, post},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tracing::error;

use super::{
    api::{Peer, Refused, Right, Route},
    bans::{Deleted, Report, Shown},
    deadline::{Deadline, Moment},
    live::Live,
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::{lists::file, source::printable},
    store::Folder,
};

/// So many at once; more belong into a file of `lists.allow_files`.
pub const MOST: usize = 1024;
/// Shortest prefixes: IPv4, IPv6.
const SHORTEST: (u8, u8) = (8, 16);
const FILE: &str = "allowed";
const LARGEST: u64 = 4 << 20;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Entry {
    prefix: IpNet,
    /// Seconds since 1970.
    since: u64,
    /// Until then; absent: for ever.
    end: Option<Deadline>,
    reason: String,
    comment: String,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Allowed {
    entries: BTreeMap<IpNet, Entry>,
    folder: Option<Folder>,
    problem: bool,
}

/// See [`Allowed::snapshot`].
#[derive(Debug)]
pub struct Snapshot(BTreeMap<IpNet, Entry>);

impl Allowed {
    /// What was kept; what is damaged is put aside, and nobody is let through by it.
    #[must_use]
    pub fn open(state: &Path) -> Self {
        let mut folder = Folder::open(state).ok();
        let kept = folder.as_mut().map(|folder| folder.read::<Vec<Entry>>(FILE, LARGEST));
        let failed = |problem: &anyhow::Error| error!("cannot read who was let through: {problem:#}");
        let kept = kept.and_then(|kept| kept.inspect_err(failed).ok().flatten()).unwrap_or_default();
        let entries = kept.into_iter().take(MOST).map(|entry| (entry.prefix.trunc(), entry)).collect();
        let mut allowed = Self { entries, folder, problem: false };
        allowed.expire(&Moment::now());
        allowed
    }

    /// Whom.
    #[must_use]
    pub fn prefixes(&self) -> Vec<IpNet> {
        self.entries.keys().copied().collect()
    }

    /// Those that hold an address or prefix.
    pub fn holding(&self, address: IpNet) -> impl Iterator<Item = &IpNet> {
        self.entries.keys().filter(move |prefix| prefix.contains(&address))
    }

    /// Adds them, or says which may not be.
    pub fn add(&mut self, shown: &[Shown], now: &Moment) -> Result<u64, Failure> {
        shown.iter().try_for_each(|shown| check(&shown.prefix))?;
        let new: std::collections::BTreeSet<_> = shown.iter().map(|shown| shown.prefix.trunc()).collect();
        let new = new.iter().filter(|prefix| !self.entries.contains_key(prefix)).count();
        if self.entries.len() + new > MOST {
            let message = format!("{} entries, at most {MOST}", self.entries.len() + new);
            return Err(Failure::new(Kind::Failed, message, "put them into a file of lists.allow_files"));
        }
        for shown in shown {
            let prefix = shown.prefix.trunc();
            let end = shown.seconds_left.map(|left| Deadline::after(now, Duration::from_secs(left)));
            let since = now.wall.saturating_sub(shown.since_seconds);
            let (reason, comment) = (cut(&shown.reason), cut(&shown.comment));
            self.entries.insert(prefix, Entry { prefix, since, end, reason, comment });
        }
        self.keep();
        Ok(new as u64)
    }

    /// Takes them off; returns how many there were.
    pub fn remove(&mut self, prefixes: &[IpNet]) -> u64 {
        let before = self.entries.len();
        for prefix in prefixes {
            self.entries.remove(&prefix.trunc());
        }
        let removed = before - self.entries.len();
        if removed > 0 {
            self.keep();
        }
        removed as u64
    }

    /// Whether any of them ends by itself.
    #[must_use]
    pub fn has_ends(&self) -> bool {
        self.entries.values().any(|entry| entry.end.is_some())
    }

    /// Forgets the comments on entries in that prefix, or with `dry_run` only counts them; and whether the disk knows it, too.
    pub fn forget_comments(&mut self, of: &IpNet, dry_run: bool) -> (u64, bool) {
        let mut count = 0;
        for entry in self.entries.values_mut().filter(|entry| of.contains(&entry.prefix)) {
            count += u64::from(!entry.comment.is_empty());
            if !dry_run {
                entry.comment.clear();
            }
        }
        if !dry_run && (count > 0 || self.problem) {
            self.keep();
        }
        (count, !self.problem)
    }

    /// As they are, to go back to.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.entries.clone())
    }

    /// Goes back.
    pub fn restore(&mut self, Snapshot(entries): Snapshot) {
        self.entries = entries;
        self.keep();
    }

    /// Takes off whose time is over; returns whether there was any.
    pub fn expire(&mut self, now: &Moment) -> bool {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.end.as_ref().is_none_or(|end| end.left(now).is_some()));
        let expired = self.entries.len() < before;
        if expired {
            self.keep();
        }
        expired
    }

    /// As they are shown.
    #[must_use]
    pub fn report(&self, now: &Moment) -> Report {
        let shown = |entry: &Entry| Shown {
            prefix: entry.prefix,
            since_seconds: now.wall.saturating_sub(entry.since),
            seconds_left: entry.end.as_ref().map(|end| end.left(now).map_or(0, |left| left.as_secs())),
            origin: "operator".into(),
            reason: entry.reason.clone(),
            comment: entry.comment.clone(),
        };
        let bans: Vec<_> = self.entries.values().map(shown).collect();
        Report { schema: 1, total: bans.len() as u64, bans }
    }

    fn keep(&mut self) {
        let Some(folder) = &self.folder else { return };
        let entries: Vec<_> = self.entries.values().collect();
        let written = folder.write(FILE, &entries);
        if let (Err(problem), false) = (&written, self.problem) {
            error!("who is let through would be forgotten by a restart: {problem:#}");
        }
        self.problem = written.is_err();
    }
}

/// Text of a bounded length, fit for a terminal.
fn cut(text: &str) -> String {
    printable(&text[..text.floor_char_boundary(super::bans::COMMENT)])
}

fn check(prefix: &IpNet) -> Result<(), Failure> {
    let shortest = if prefix.addr().is_ipv4() { SHORTEST.0 } else { SHORTEST.1 };
    if prefix.prefix_len() >= shortest {
        return Ok(());
    }
    let message = format!("{prefix} is a large part of the Internet: to let all of it pass is no filter");
    Err(Failure::new(Kind::GuardRail, message, "name the networks that you mean, or: floodwall bypass"))
}

/// Whom to let through.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allow {
    /// Each with its time.
    pub entries: Vec<Shown>,
    /// Only tell what would become of them.
    pub dry_run: bool,
}

/// Whom not any more.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disallow {
    /// Exactly as they were let through.
    pub entries: Vec<IpNet>,
    /// Only tell what would become of them.
    pub dry_run: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Allowing {
    /// Version of this form.
    pub schema: u32,
    /// New ones.
    pub made: u64,
    /// Those that were there and have another end now.
    pub replaced: u64,
}

/// An address or prefix that is asked about.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    address: String,
}

/// Why somebody passes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct By {
    /// Version of this form.
    pub schema: u32,
    /// `management.allow`, `lists.allow` or `floodwall allow`, with the prefixes.
    pub by: Vec<String>,
}

/// The requests.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/allow",
        right: Right::Look,
        help: "Who passes for a while by `floodwall allow`",
        handler: || get(list),
    },
    Route {
        method: Method::GET,
        path: "/v1/allow/test",
        right: Right::Look,
        help: "Whether `?address=` passes before all checks, and by what",
        handler: || get(test),
    },
    Route {
        method: Method::POST,
        path: "/v1/allow",
        right: Right::Change,
        help: "Lets `{entries, dry_run}` pass, of the form that `GET /v1/allow` answers with; 1,024 at most in all",
        handler: || post(add),
    },
    Route {
        method: Method::POST,
        path: "/v1/allow/delete",
        right: Right::Change,
        help: "Ends that for exactly these `{entries, dry_run}`",
        handler: || post(delete),
    },
];

async fn list(State(live): State<Arc<Live>>) -> Json<Report> {
    Json(live.allowed())
}

async fn test(State(live): State<Arc<Live>>, Query(asked): Query<Asked>) -> Result<Json<By>, Refused> {
    let wrong = |why| Failure::new(Kind::Usage, why, "ask for 192.31.196.9 or 192.31.196.0/24");
    let prefix = file::prefix(&asked.address).map_err(|why| anyhow::Error::new(wrong(why)))?;
    Ok(Json(By { schema: 1, by: live.passes_by(prefix) }))
}

async fn add(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(allow): Json<Allow>,
) -> Result<Json<Allowing>, Refused> {
    peer.may_change()?;
    Ok(Json(live.allow(&allow)?))
}

async fn delete(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(disallow): Json<Disallow>,
) -> Result<Json<Deleted>, Refused> {
    peer.may_change()?;
    Ok(Json(live.disallow(&disallow)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: &str, up: u64, wall: u64) -> Moment {
        Moment { boot: boot.to_owned(), up, wall }
    }

    fn shown(prefix: &str, seconds_left: Option<u64>) -> Shown {
        let (origin, reason, comment) = ("operator".into(), "why\x1b".to_owned(), String::new());
        Shown { prefix: prefix.parse().unwrap(), since_seconds: 0, seconds_left, origin, reason, comment }
    }

    #[test]
    fn they_end_in_time_also_after_a_boot() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let now = Moment::now();
        let mut allowed = Allowed::open(&state);
        let entries =
            [shown("9.9.9.9/24", Some(60)), shown("2620:fe::/48", None), shown("8.8.8.8/32", Some(5))];
        assert_eq!(allowed.add(&entries, &now).unwrap(), 3);
        assert_eq!(allowed.add(&entries[..1], &now).unwrap(), 0);
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(allowed.holding(net("9.9.9.7/32")).collect::<Vec<_>>(), [&net("9.9.9.0/24")]);
        let report = allowed.report(&now);
        assert!(report.total == 3 && report.bans.iter().all(|shown| shown.reason == "why\u{fffd}"));
        assert!(!allowed.expire(&now));
        assert!(allowed.expire(&at(&now.boot, now.up + 6, 0)) && allowed.prefixes().len() == 2);
        let mut again = Allowed::open(&state);
        assert_eq!(again.prefixes(), allowed.prefixes());
        assert!(!again.expire(&at("another", 3, now.wall + 50)));
        assert!(again.expire(&at("another", 3, now.wall + 61)));
        assert_eq!(again.prefixes(), [net("2620:fe::/48")]);
        assert_eq!((again.remove(&[net("9.9.9.0/24"), net("2620:fe::/48")]), again.prefixes().len()), (1, 0));
        assert!(Allowed::open(&state).prefixes().is_empty());
    }

    #[test]
    fn a_comment_is_forgotten_and_the_entry_stays() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let (mut allowed, now) = (Allowed::open(&state), Moment::now());
        let commented = |prefix| Shown { comment: "somebody".to_owned(), ..shown(prefix, None) };
        allowed
            .add(&[commented("9.9.9.9/32"), commented("9.9.0.0/16"), shown("9.9.9.8/32", None)], &now)
            .unwrap();
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(allowed.forget_comments(&net("9.9.9.9/32"), true), (1, true));
        assert_eq!(allowed.forget_comments(&net("9.9.9.0/24"), false), (1, true));
        assert_eq!(allowed.forget_comments(&net("9.9.9.0/24"), false), (0, true));
        for allowed in [allowed, Allowed::open(&state)] {
            let comments = allowed.report(&now).bans.into_iter().map(|shown| shown.comment);
            assert_eq!(comments.collect::<Vec<_>>(), ["somebody", "", ""], "the wider one has its own");
        }
    }

    #[test]
    fn too_many_and_too_large_ones_are_refused_as_a_whole() {
        let (mut allowed, now) = (Allowed::default(), Moment::now());
        for wide in ["0.0.0.0/0", "8.0.0.0/7", "2000::/3"] {
            let refused = allowed.add(&[shown("9.9.9.9/32", None), shown(wide, None)], &now).unwrap_err();
            assert!(refused.to_string().contains("large part"), "{refused}");
        }
        let many: Vec<_> =
            (0..=MOST).map(|i| shown(&format!("9.9.{}.{}/32", i >> 8, i & 255), Some(9))).collect();
        assert!(allowed.add(&many, &now).is_err() && allowed.prefixes().is_empty());
        assert_eq!(allowed.add(&many[1..], &now).unwrap(), MOST as u64);
        assert_eq!(allowed.add(&many[1..3], &now).unwrap(), 0);
    }
}
