//! Configurations on request: apply, confirm, roll back; and letting everything pass for a while.

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::Method,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{
    api::{Peer, Refused, Right, Route},
    ledger::{Reverted, Revision},
    live::Live,
    peer::is_own,
    probes,
};
use crate::{
    cmd::failure::{Failure, Kind},
    config,
};

/// A configuration to apply.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Apply {
    /// The file; absent: the daemon's own.
    pub config: Option<PathBuf>,
    /// Go back unless somebody confirms in time.
    pub confirm: bool,
    /// How long that is; absent: `commit.confirm`.
    pub confirm_seconds: Option<u64>,
    /// Only tell what would happen.
    pub dry_run: bool,
    /// Whatever the guard rails say.
    pub force: bool,
    /// Why, for the history.
    pub comment: String,
    /// The caller's `SSH_CONNECTION`.
    pub ssh: Option<String>,
}

/// A revision to go back to.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// Its number; absent: the one before.
    pub revision: Option<u64>,
    /// Only tell what would happen.
    pub dry_run: bool,
    /// Whatever the guard rails say.
    pub force: bool,
    /// Why, for the history.
    pub comment: String,
    /// The caller's `SSH_CONNECTION`.
    pub ssh: Option<String>,
}

/// How long everything passes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bypass {
    /// Seconds; 0: no longer.
    pub seconds: u64,
}

/// What became of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Applied {
    /// Version of this form.
    pub schema: u32,
    /// The revision in force, or in a dry run the one that it would be.
    pub revision: u64,
    /// Whether it says anything else than the one before.
    pub changed: bool,
    /// Nothing was done.
    pub dry_run: bool,
    /// Seconds in which it has to be confirmed; absent: it stays.
    pub confirm_seconds: Option<u64>,
    /// The daemon's file says something else: it was passed over.
    pub differs_from_file: bool,
    /// What is to be said about the configuration.
    pub warnings: Vec<String>,
    /// What the guard rails say.
    pub guard: Vec<String>,
}

/// Which configuration is in force, and what waits.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Standing {
    /// Version of this form.
    pub schema: u32,
    /// The revision in force; 0: none that is known.
    pub revision: u64,
    /// How it came into force.
    pub how: String,
    /// The last that needs no confirmation.
    pub confirmed: u64,
    /// It has to be confirmed within so many seconds; absent: it stays.
    pub confirm_seconds: Option<u64>,
    /// The last that was taken back, until something else is applied.
    pub reverted: Option<Reverted>,
    /// The daemon's file says something else: it was passed over.
    pub differs_from_file: bool,
    /// Everything passes for so many seconds; absent: the filter is on.
    pub bypass_seconds: Option<u64>,
    /// Why nothing can be kept in `daemon.state`, if so.
    pub state_problem: Option<String>,
    /// Damaged state files found since the start.
    pub quarantined: u64,
}

impl Standing {
    /// For `floodwall status`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.revision != 0 {
            let file = if self.differs_from_file { "; its FILE says something else" } else { "" };
            let _ = writeln!(text, "revision  {} ({}){file}", self.revision, self.how);
        }
        if let Some(seconds) = self.confirm_seconds {
            let back = self.confirmed;
            let _ =
                writeln!(text, "confirm   within {seconds} s (floodwall confirm), or it goes back to {back}");
        }
        if let Some(Reverted { revision, why, .. }) = &self.reverted {
            let _ = writeln!(text, "reverted  revision {revision} was taken back: {why}");
        }
        if let Some(seconds) = self.bypass_seconds {
            let _ =
                writeln!(text, "BYPASS    everything passes for {seconds} s: floodwall bypass --off ends it");
        }
        if let Some(problem) = &self.state_problem {
            let _ = writeln!(text, "state     NOT KEPT: {problem}");
        }
        if self.quarantined > 0 {
            let _ = writeln!(text, "state     {} damaged file(s) put aside, see the log", self.quarantined);
        }
        text
    }
}

/// A revision without its text.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Line {
    /// Its number.
    pub number: u64,
    /// When, seconds since 1970.
    pub time: u64,
    /// Whose request it was.
    pub uid: Option<u32>,
    /// How.
    pub how: String,
    /// Why.
    pub comment: String,
    /// SHA-256 of its text.
    pub sha256: String,
    /// In force.
    pub active: bool,
    /// Waits to be confirmed.
    pub pending: bool,
}

/// All of them, the oldest first.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Revisions {
    /// Version of this form.
    pub schema: u32,
    /// The revisions.
    pub revisions: Vec<Line>,
}

/// One of them with its text.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct One {
    /// Version of this form.
    pub schema: u32,
    /// The revision.
    pub revision: Revision,
}

/// The requests.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/commit",
        right: Right::Look,
        help: "Which configuration is in force, and what waits to be confirmed",
        handler: || get(standing),
    },
    Route {
        method: Method::GET,
        path: "/v1/revisions",
        right: Right::Look,
        help: "The configurations that were in force",
        handler: || get(revisions),
    },
    Route {
        method: Method::GET,
        path: "/v1/revisions/{number}",
        right: Right::Look,
        help: "One of them, with its text",
        handler: || get(revision),
    },
    Route {
        method: Method::POST,
        path: "/v1/apply",
        right: Right::Change,
        help: "Takes a file into force: `{config, confirm, confirm_seconds, dry_run, force, comment, ssh}`, all optional",
        handler: || post(apply),
    },
    Route {
        method: Method::POST,
        path: "/v1/confirm",
        right: Right::Change,
        help: "Keeps what waits",
        handler: || post(confirm),
    },
    Route {
        method: Method::POST,
        path: "/v1/rollback",
        right: Right::Change,
        help: "Takes an earlier `{revision}` into force again; `dry_run, force, comment, ssh` as above",
        handler: || post(rollback),
    },
    Route {
        method: Method::POST,
        path: "/v1/bypass",
        right: Right::Change,
        help: "Lets everything pass for so many `{seconds}`; 0 ends it",
        handler: || post(bypass),
    },
];

async fn standing(State(live): State<Arc<Live>>) -> Json<Standing> {
    Json(live.standing())
}

async fn revisions(State(live): State<Arc<Live>>) -> Json<Revisions> {
    Json(Revisions { schema: 1, revisions: live.revisions() })
}

async fn revision(State(live): State<Arc<Live>>, Path(number): Path<u64>) -> Result<Json<One>, Refused> {
    Ok(Json(One { schema: 1, revision: live.revision(number)? }))
}

async fn apply(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<Apply>,
) -> Result<Json<Applied>, Refused> {
    peer.may_change()?;
    own_file_only(peer, &request)?;
    let path = request.config.clone().unwrap_or_else(|| live.path().to_owned());
    let loaded = config::load(&path).map_err(anyhow::Error::new)?;
    let asked = loaded.settings.commit.probes.iter().map(|probe| probe.as_ref().clone()).collect();
    let working = if request.confirm && !request.dry_run { probes::working(asked).await } else { Vec::new() };
    Ok(Json(live.apply(&request, peer.uid, loaded, working)?))
}

/// The daemon can read what the caller cannot, and says what is wrong with it.
fn own_file_only(peer: Peer, request: &Apply) -> anyhow::Result<()> {
    if is_own(peer.uid) || request.config.is_none() {
        return Ok(());
    }
    let hint = "apply without --config, or run it as root";
    Err(Failure::new(Kind::Permission, "only root may name another file than the daemon's", hint).into())
}

async fn confirm(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
) -> Result<Json<Standing>, Refused> {
    peer.may_change()?;
    Ok(Json(live.confirm()?))
}

async fn rollback(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<Rollback>,
) -> Result<Json<Applied>, Refused> {
    peer.may_change()?;
    Ok(Json(live.rollback(&request, peer.uid)?))
}

async fn bypass(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<Bypass>,
) -> Result<Json<Standing>, Refused> {
    peer.may_change()?;
    Ok(Json(live.bypass(request.seconds)?))
}

/// Something that would do harm.
pub(super) fn guard_rail(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Failure::new(Kind::GuardRail, message, hint).into()
}
