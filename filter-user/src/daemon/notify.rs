//! Who is told of attacks, and how.
//!
//! The major components are:
//! - [`notice`]: what is said.
//! - [`queue`]: what one target has still to be told: in order, once, again until it works. Pure: times go in.
//! - `outbox`: all of them, and what of them outlives the daemon.
//! - [`failed`]: why a try failed, and what comes next.
//! - `webhook`, `alertmanager` (both by `post`), `journal`, `syslog` (both by `datagram`), `command`: one try each.

mod alertmanager;
mod command;
mod datagram;
pub mod failed;
mod journal;
pub mod notice;
mod outbox;
mod post;
pub mod queue;
mod syslog;
mod webhook;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::Method,
    routing::{get, post as posted},
};
use serde::{Deserialize, Serialize};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

pub(super) use self::outbox::{Job, Outbox};
pub use self::{
    failed::Failed,
    notice::{Event, Notice},
    queue::Counts,
};
use super::{
    api::{Peer, Refused, Right, Route},
    live::Live,
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::{
        fit::later::{Trouble, trouble},
        schema::{Notify, Via},
        value::Origin,
    },
    web::{certificates, secret},
};

/// How often it is looked who has to be told something.
const TURN: Duration = Duration::from_secs(1);

/// One target, for people and programs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// How it is told.
    pub kind: String,
    /// Where, without what may be secret.
    pub to: String,
    /// Notifications that wait.
    pub waiting: u64,
    /// Beginnings that wait for the attack to last longer than `repeat`.
    pub held: u64,
    /// What became of the others, since the daemon started.
    pub sent: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Not taken within `give_up`, refused for good, or one too many.
    pub given_up: u64,
    /// Not said twice.
    pub deduplicated: u64,
    /// Why the last try failed.
    pub error: Option<String>,
    /// How long ago it took something, if it did since the daemon started.
    pub sent_seconds: Option<u64>,
    /// When what waits is tried again, if it failed before.
    pub next_seconds: Option<u64>,
}

/// What `GET /v1/notify` answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Lines {
    /// Version of this form.
    pub schema: u32,
    /// As configured.
    pub targets: Vec<Line>,
}

/// Which target is to be tried.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Which {
    /// Its name; all of them if absent.
    pub name: Option<String>,
}

/// How a try went.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Tried {
    /// The target.
    pub name: String,
    /// Why it failed; null: it took it.
    pub error: Option<String>,
}

/// What `POST /v1/notify/test` answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Trial {
    /// Version of this form.
    pub schema: u32,
    /// One by one.
    pub targets: Vec<Tried>,
}

/// The requests.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/notify",
        right: Right::Look,
        help: "Who is told of attacks: what waits, what became of the rest, why the last try failed",
        handler: || get(list),
    },
    Route {
        method: Method::POST,
        path: "/v1/notify/test",
        right: Right::Change,
        help: "Sends a notification that says it is a test to `{name}`, or to all targets, now and once",
        handler: || posted(test),
    },
];

async fn list(State(live): State<Arc<Live>>) -> Json<Lines> {
    Json(Lines { schema: 1, targets: live.told() })
}

async fn test(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Json(which): Json<Which>,
) -> Result<Json<Trial>, Refused> {
    peer.may_change()?;
    let mut tries = Vec::new();
    for target in targets(&live, which.name.as_deref())? {
        let (live, name) = (live.clone(), target.name.as_ref().clone());
        tries.push((name, spawn_blocking(move || live.try_out(&target))));
    }
    let mut targets = Vec::new();
    for (name, result) in tries {
        let result = result.await.map_err(anyhow::Error::new)?;
        targets.push(Tried { name, error: result.err().map(|failed| failed.why) });
    }
    Ok(Json(Trial { schema: 1, targets }))
}

fn targets(live: &Live, name: Option<&str>) -> anyhow::Result<Vec<Notify>> {
    let mut targets = live.targets();
    if let Some(name) = name {
        targets.retain(|target| target.name.as_ref() == name);
        let hint = "floodwall notify list shows them";
        anyhow::ensure!(
            !targets.is_empty(),
            Failure::new(Kind::Failed, format!("there is no target {name:?}"), hint)
        );
    }
    Ok(targets)
}

/// One try; it ends within the target's `timeout`.
pub(super) fn send(target: &Notify, notice: &Notice) -> Result<(), Failed> {
    match target.kind.as_ref() {
        Via::Webhook => webhook::send(target, notice),
        Via::Alertmanager => alertmanager::send(target, notice),
        Via::Journal => journal::send(target, notice),
        Via::Syslog => syslog::send(target, notice),
        Via::Command => command::send(target, notice),
    }
}

/// What is wrong with the target's files, and where they are named.
pub(crate) fn troubles(target: &Notify) -> Vec<Trouble> {
    let program = match (target.kind.as_ref(), &target.to) {
        (Via::Command, Some(to)) => match to.as_ref() {
            Origin::File(path) => command::is_ours(path).err().map(|why| (to.span(), why)),
            Origin::Url(_) => None,
        },
        _ => None,
    };
    let found = [
        program,
        trouble(&target.to_file, |_| post::url(target)),
        trouble(&target.key_file, secret),
        trouble(&target.sign_key_file, webhook::key),
        trouble(&target.ca_file, certificates),
    ];
    found.into_iter().flatten().collect()
}

/// Sends what waits, until `stop`.
pub async fn watch(live: Arc<Live>, stop: CancellationToken) {
    let turns = async {
        loop {
            sleep(TURN).await;
            for job in live.due_notices() {
                let live = live.clone();
                // A thread of its own: a try may take a minute.
                spawn_blocking(move || live.send_notice(&job));
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = turns => {}
    }
}

#[cfg(test)]
mod tests;
