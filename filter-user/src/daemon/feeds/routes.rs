//! The requests.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Query, State},
    http::Method,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Line, Outcome};
use crate::{
    cmd::failure::{Failure, Kind},
    daemon::{
        api::{Peer, Refused, Right, Route},
        live::Live,
    },
};

/// An answer comes before the client gives up; a look may take longer.
const PATIENCE: Duration = Duration::from_secs(45);

/// The answer to a look at all feeds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Lines {
    /// Version of this form.
    pub schema: u32,
    /// All of them, or those that hold the address.
    pub feeds: Vec<Line>,
}

/// One feed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct One {
    /// Version of this form.
    pub schema: u32,
    /// As in the list of all.
    pub feed: Line,
    /// The range that holds the address: first and last.
    pub holding: Option<(IpAddr, IpAddr)>,
    /// Whether packets from the address are dropped because of it: else it is cut, or allowed.
    pub blocked: bool,
    /// The first ranges.
    pub first: Vec<(IpAddr, IpAddr)>,
}

/// Which feed, which address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Which {
    /// The feed's name.
    pub name: String,
    /// An address to look for.
    pub address: Option<IpAddr>,
}

/// A look to be taken now.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Update {
    /// The feed; all of them if absent.
    pub name: Option<String>,
    /// Only tell what would change.
    pub dry_run: bool,
    /// Take it although it has lost more than `max_shrink`.
    pub force: bool,
}

/// What became of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Updated {
    /// Version of this form.
    pub schema: u32,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Feed by feed.
    pub feeds: Vec<Outcome>,
}

pub(in crate::daemon) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/feeds",
        right: Right::Look,
        help: "All feeds: state, entries, ages, what was wrong; `?address=` only those that hold it",
        handler: || get(all),
    },
    Route {
        method: Method::GET,
        path: "/v1/feeds/show",
        right: Right::Look,
        help: "One feed, `?name=`, with its first ranges; `&address=` with the range that holds it",
        handler: || get(one),
    },
    Route {
        method: Method::POST,
        path: "/v1/feeds/update",
        right: Right::Change,
        help: "Looks at `{name, dry_run, force}` now, or at all feeds, and takes what is new into force",
        handler: || post(update),
    },
];

async fn all(State(live): State<Arc<Live>>, Query(which): Query<Which>) -> Json<Lines> {
    Json(Lines { schema: 1, feeds: live.feeds(which.address) })
}

async fn one(State(live): State<Arc<Live>>, Query(which): Query<Which>) -> Result<Json<One>, Refused> {
    Ok(Json(live.feed(&which.name, which.address)?))
}

async fn update(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(asked): Json<Update>,
) -> Result<Json<Updated>, Refused> {
    peer.may_change()?;
    let dry_run = asked.dry_run;
    let mut tasks = Vec::new();
    for (name, job) in live.asked_feeds(asked.name.as_deref())? {
        let (live, asked) = (live.clone(), asked.clone());
        let task = job.map(|job| tokio::task::spawn_blocking(move || live.look_at_feed(&job, &asked, true)));
        tasks.push((name, task));
    }
    let mut feeds = Vec::new();
    let looks = async {
        for (name, task) in &mut tasks {
            let Some(task) = task.take() else { continue };
            let failed = |error: tokio::task::JoinError| Outcome {
                result: "failed".to_owned(),
                error: Some(error.to_string()),
                ..Outcome::default()
            };
            let outcome = task.await.unwrap_or_else(failed);
            feeds.push(Outcome { name: name.clone(), ..outcome });
        }
    };
    let _ = timeout(PATIENCE, looks).await;
    for (name, _) in tasks {
        if !feeds.iter().any(|outcome| outcome.name == name) {
            feeds.push(Outcome { name, result: "running".to_owned(), ..Outcome::default() });
        }
    }
    if !dry_run && feeds.iter().any(|outcome| outcome.result == "changed") {
        let swap = tokio::task::spawn_blocking(move || live.swap_feeds());
        swap.await.map_err(anyhow::Error::from)??;
    }
    Ok(Json(Updated { schema: 1, dry_run, feeds }))
}

pub(in crate::daemon) fn unknown(name: &str) -> anyhow::Error {
    let message = format!("there is no feed {name:?}");
    Failure::new(Kind::Failed, message, "floodwall feed list shows them").into()
}
