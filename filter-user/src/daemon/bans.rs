//! Bans on request: the requests and their forms.

mod guard;
mod keep;
mod notes;
mod offenders;
mod report;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Query, State},
    http::Method,
    routing::{get, post},
};
use filter_common::ban::Origin;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::{
    guard::Guard,
    keep::{Keeper, Kept, Writer},
    notes::{LONGEST as COMMENT, Note, Notes},
    offenders::Offenders,
    report::{Report, Shown},
};
use super::{
    api::{Peer, Refused, Right, Route},
    live::Live,
};
use crate::cmd::failure::{Failure, Kind};

/// Entries of one request: it is answered within a fraction of a second.
pub const CHUNK: usize = 20_000;

/// New bans.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Add {
    /// Whom.
    pub entries: Vec<IpNet>,
    /// How long; absent: `ban.ttl`, and longer for those who were banned before.
    pub ttl_seconds: Option<u64>,
    /// Until somebody ends it; then there is no `ttl_seconds`.
    pub forever: bool,
    /// Why, for people; 32 bytes are kept.
    pub reason: String,
    /// More about it, kept as long as the ban: at most [`notes::LONGEST`] bytes.
    pub comment: String,
    /// Only tell what would become of them.
    pub dry_run: bool,
    /// The caller's `SSH_CONNECTION`.
    pub ssh: Option<String>,
    /// Who bans; nothing that a client can say.
    #[serde(skip)]
    pub origin: Origin,
}

/// Bans from elsewhere, as `ban export --json` writes them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Import {
    /// Version of this form.
    pub schema: u32,
    /// The bans.
    pub bans: Vec<Shown>,
    /// Only tell what would become of them.
    pub dry_run: bool,
    /// The caller's `SSH_CONNECTION`.
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
    /// Those that last longer than `ban.ttl`, for whom it is not the first time.
    #[serde(default)]
    pub escalated: u64,
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

/// Which bans to show.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Which {
    /// Those that hold this address or prefix, or lie in it.
    pub within: Option<IpNet>,
    /// At most so many.
    pub limit: usize,
}

impl Default for Which {
    fn default() -> Self {
        Self { within: None, limit: 1000 }
    }
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
        method: Method::GET,
        path: "/v1/bans",
        right: Right::Look,
        help: "The bans in force in the order of their addresses, `?limit=1000` (at most 20,000), `?within=PREFIX` those that overlap it",
        handler: || get(list),
    },
    Route {
        method: Method::POST,
        path: "/v1/bans",
        right: Right::Change,
        help: "Bans `{entries, ttl_seconds, forever, reason, comment, dry_run}`, at most 20,000 entries; without a time for `ban.ttl`",
        handler: || post(add),
    },
    Route {
        method: Method::POST,
        path: "/v1/bans/import",
        right: Right::Change,
        help: "Bans `{bans, dry_run}`, at most 20,000 of the form that `GET /v1/bans` answers with",
        handler: || post(import),
    },
    Route {
        method: Method::POST,
        path: "/v1/bans/delete",
        right: Right::Change,
        help: "Ends the bans of exactly these `{entries, dry_run}`",
        handler: || post(delete),
    },
    Route {
        method: Method::GET,
        path: "/v1/bans/notes",
        right: Right::Look,
        help: "Who made bans on request, and the comments on them",
        handler: || get(notes),
    },
];

/// One request is answered before others wait for long.
fn bounded(entries: usize) -> Result<(), Refused> {
    if entries <= CHUNK {
        return Ok(());
    }
    Err(usage(format!("{entries} entries in one request, at most {CHUNK}"), "send them in several requests"))
}

fn usage(message: String, hint: &str) -> Refused {
    anyhow::Error::new(Failure::new(Kind::Usage, message, hint)).into()
}

async fn list(State(live): State<Arc<Live>>, Query(which): Query<Which>) -> Result<Json<Report>, Refused> {
    bounded(which.limit)?;
    Ok(Json(live.bans(&which)?))
}

async fn notes(State(live): State<Arc<Live>>) -> Json<Vec<Note>> {
    Json(live.ban_notes())
}

async fn add(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(add): Json<Add>,
) -> Result<Json<Added>, Refused> {
    peer.may_change()?;
    bounded(add.entries.len())?;
    if add.forever && add.ttl_seconds.is_some() {
        return Err(usage("forever and ttl_seconds at once".to_owned(), "send one of them"));
    }
    if add.comment.len() > notes::LONGEST {
        let message = format!("{} bytes of comment, at most {}", add.comment.len(), notes::LONGEST);
        return Err(usage(message, "shorten it"));
    }
    Ok(Json(live.ban(&add, peer.uid)?))
}

async fn import(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(import): Json<Import>,
) -> Result<Json<Added>, Refused> {
    peer.may_change()?;
    bounded(import.bans.len())?;
    Ok(Json(live.import_bans(&import)?))
}

async fn delete(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(delete): Json<Delete>,
) -> Result<Json<Deleted>, Refused> {
    peer.may_change()?;
    bounded(delete.entries.len())?;
    Ok(Json(live.unban(&delete)?))
}
