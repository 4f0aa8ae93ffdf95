//! Attacks as they are kept: evidence that outlives the daemon.
//!
//! The major components are:
//! - [`form`]: what an incident says; [`report`]: the same in Markdown; [`xarf`]: reports for those whose hosts took part.
//! - `privacy`: how much of addresses is kept; `forget`: what goes on request.
//! - `shelf`: incidents in `daemon.state`, bounded in number, bytes and age.

mod forget;
pub mod form;
mod privacy;
pub mod report;
mod shelf;
pub mod xarf;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::Method,
    routing::get,
};
use tokio::task::spawn_blocking;

pub use self::form::{Incident, Incidents, Standing, Summary};
pub(super) use self::{
    forget::{Cut, Wanted, pseudonyms},
    form::Fixed,
    privacy::{KEY as PSEUDONYM_KEY, Privacy},
    shelf::{FOLDER as INCIDENTS, Shelf},
};
use super::{
    api::{Refused, Right, Route},
    live::Live,
};
use crate::cmd::failure::{Failure, Kind};

/// The requests.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/incidents",
        right: Right::Look,
        help: "Attacks that are kept, the last one first, those of earlier daemons among them",
        handler: || get(list),
    },
    Route {
        method: Method::GET,
        path: "/v1/incidents/{id}",
        right: Right::Look,
        help: "One of them, `latest` the last one: course, vectors, acts, collateral, prefixes, samples",
        handler: || get(show),
    },
];

async fn list(State(live): State<Arc<Live>>) -> Result<Json<Incidents>, Refused> {
    let listed = spawn_blocking(move || live.incidents()).await.map_err(anyhow::Error::new)?;
    Ok(Json(listed))
}

async fn show(State(live): State<Arc<Live>>, Path(id): Path<String>) -> Result<Json<Incident>, Refused> {
    let unknown = || {
        let message =
            if id == "latest" { "no incident is kept".to_owned() } else { format!("no incident {id}") };
        anyhow::Error::new(Failure::new(Kind::Failed, message, "floodwall incident list shows them"))
    };
    let wanted = id.clone();
    let found = spawn_blocking(move || live.incident(&wanted)).await.map_err(anyhow::Error::new)??;
    Ok(Json(found.ok_or_else(unknown)?))
}
