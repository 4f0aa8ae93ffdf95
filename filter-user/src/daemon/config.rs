//! The configuration on request: what is, and what would be.

pub mod peers;
pub mod plan;

use std::sync::Arc;

use anyhow::Context as _;
use axum::{
    Extension, Json,
    extract::{DefaultBodyLimit, State},
    http::Method,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use self::plan::Planned;
use super::{
    api::{Peer, Refused, Right, Route},
    live::Live,
    peer::is_own,
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::{self, Effective, Host, Source, source},
};

/// Bytes of a request: the largest configuration, written as JSON.
const LARGEST: usize = 16 << 20;

/// What the daemon goes by.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Running {
    /// Version of this form.
    pub schema: u32,
    /// Each knob's value and where it is from.
    #[serde(flatten)]
    pub effective: Effective,
}

/// A configuration that is not applied.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Its files, the main one first.
    pub sources: Vec<Source>,
}

/// The requests.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/config",
        right: Right::Look,
        help: "The running configuration: each knob's value and where it is from",
        handler: || get(running),
    },
    Route {
        method: Method::POST,
        path: "/v1/plan",
        right: Right::Change,
        help: "What would change if `sources` (`path`, `text`; the main file first) were applied; for root alone, as it reads \
               the files that they name",
        handler: || post(plan).layer(DefaultBodyLimit::max(LARGEST)),
    },
];

async fn running(State(live): State<Arc<Live>>) -> Json<Running> {
    Json(Running { schema: 1, effective: Effective::of(&live.sources()) })
}

async fn plan(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(candidate): Json<Candidate>,
) -> Result<Json<Planned>, Refused> {
    peer.may_change()?;
    if !is_own(peer.uid) {
        // Complaints quote lines of list files that only root may read.
        let failure = Failure::new(Kind::Permission, "only root may plan", "run it as root");
        return Err(anyhow::Error::new(failure).into());
    }
    if candidate.sources.len() > source::MOST + 1 {
        let failure = Failure::new(Kind::Usage, "too many files", "see docs/config.md for the bounds");
        return Err(anyhow::Error::new(failure).into());
    }
    // Large lists take a second: the daemon goes on meanwhile.
    let work = move || -> anyhow::Result<Planned> {
        let loaded = live.with_feeds(config::of_sources(candidate.sources)?);
        Planned::compare(Some(&live.side()), &loaded, &Host::read()?)
    };
    let planned = tokio::task::spawn_blocking(work).await.context("the comparison ended early")??;
    Ok(Json(planned))
}
