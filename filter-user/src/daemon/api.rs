//! The control socket's requests: HTTP/1.1 with JSON, one list for the router, its index, its guard and `docs/api.md`.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::to_bytes,
    extract::{DefaultBodyLimit, Query, Request, State},
    http::{Method, StatusCode, header::CONTENT_TYPE},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

pub use super::peer::{Peer, Right};
use super::{
    allow, bans, commit, config, detect, events, feeds, forget, incidents, live::Live, notify, secrets,
};
use crate::{
    cmd::failure::{Body, Failure, Kind},
    observe::status::Status,
};

/// Bytes of a request's body: a chunk of bans with the longest prefixes takes half of it.
pub const BODY: usize = 2 << 20;

/// Time for a request's body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// One request.
pub struct Route {
    /// GET or POST.
    pub method: Method,
    /// Its path; the version of the interface is the first part.
    pub path: &'static str,
    /// What whoever asks needs.
    pub right: Right,
    /// What it does, for people.
    pub help: &'static str,
    pub(super) handler: fn() -> MethodRouter<Arc<Live>>,
}

const OWN: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1",
        right: Right::Look,
        help: "These requests",
        handler: || get(index),
    },
    Route {
        method: Method::GET,
        path: "/v1/status",
        right: Right::Look,
        help: "What is attached and what it did",
        handler: || get(status),
    },
    Route {
        method: Method::POST,
        path: "/v1/cookie/rotate",
        right: Right::Change,
        help: "Takes a new secret into use; `?force=true` even within a period of the last time, `?dry_run=true` to see",
        handler: || post(rotate),
    },
];

/// All requests.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    [
        OWN,
        config::ROUTES,
        commit::ROUTES,
        allow::ROUTES,
        bans::ROUTES,
        detect::ROUTES,
        events::ROUTES,
        incidents::ROUTES,
        notify::ROUTES,
        feeds::ROUTES,
        forget::ROUTES,
    ]
    .into_iter()
    .flatten()
}

impl Peer {
    /// The guard has asked already; handlers that change something ask again.
    pub(super) fn may_change(self) -> Result<(), Refused> {
        self.may(Right::Change)
    }

    fn may(self, needed: Right) -> Result<(), Refused> {
        let (what, groups) = match needed {
            _ if self.right >= needed => return Ok(()),
            Right::Change if self.right == Right::Look => {
                ("may look but not change anything", "daemon.admin_group")
            }
            Right::Change => ("may not change anything", "daemon.admin_group"),
            _ => ("may not look", "daemon.group or daemon.admin_group"),
        };
        let hint = format!("run it as root, or as a member of the configuration's {groups}");
        Err(Refused(Failure::new(Kind::Permission, format!("user {} {what}", self.uid), hint).into()))
    }
}

/// The answer to a rotation.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Rotated {
    /// Version of this form.
    pub schema: u32,
    /// The epoch that issues cookies now.
    pub epoch: u64,
    /// Seconds until the new secret is used: not 0 with a key file, so that all hosts change together.
    pub after_seconds: u64,
}

/// Options of a rotation.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rotate {
    /// Rotate although cookies in flight end.
    pub force: bool,
    /// Only tell what would be done.
    pub dry_run: bool,
}

/// An error on its way to the client, in the shape that the CLI prints.
#[derive(Debug)]
pub(super) struct Refused(anyhow::Error);

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = Body::of(&self.0);
        let status = match body.kind {
            Kind::Permission => StatusCode::FORBIDDEN,
            Kind::GuardRail => StatusCode::CONFLICT,
            Kind::RolledBack => StatusCode::GONE,
            Kind::ConfigInvalid => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Usage => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, [(CONTENT_TYPE, JSON)], body.to_json()).into_response()
    }
}

const JSON: &str = "application/json";

/// The routes, behind their guard.
pub fn router(live: Arc<Live>) -> Router {
    let routes = routes().fold(Router::new(), |all, route| all.route(route.path, (route.handler)()));
    routes
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn(guard))
        .with_state(live)
}

/// Refuses before the body is read, and what nobody has listed as well: only looking is for lookers.
async fn guard(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let peer = peer.unwrap_or(Peer { uid: u32::MAX, right: Right::None });
    if let Err(refused) = peer.may(needed(request.method(), request.uri().path())) {
        return refused.into_response();
    }
    match timeout(BODY_TIME, whole(request)).await {
        Ok(Ok(request)) => in_json(next.run(request).await).await,
        Ok(Err(status)) => in_json(status.into_response()).await,
        Err(_) => in_json(StatusCode::REQUEST_TIMEOUT.into_response()).await,
    }
}

/// With a body that is there: what the handlers do then takes the daemon's time, not the client's.
async fn whole(request: Request) -> Result<Request, StatusCode> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    Ok(Request::from_parts(head, body.into()))
}

fn needed(method: &Method, path: &str) -> Right {
    let looks = *method == Method::GET || *method == Method::HEAD;
    let method = if looks { &Method::GET } else { method };
    let listed = routes().find(|route| route.method == *method && route.path == path);
    listed.map_or(if looks { Right::Look } else { Right::Change }, |route| route.right)
}

/// Errors of the HTTP layers (no such path, a body that is no JSON, too large) in the documented shape.
async fn in_json(response: Response) -> Response {
    let status = response.status();
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == JSON.as_bytes());
    if status.is_success() || is_json {
        return response;
    }
    let body = to_bytes(response.into_body(), 4096).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&body);
    let said =
        if said.trim().is_empty() { status.canonical_reason().unwrap_or("refused") } else { said.trim() };
    let failure = Failure::new(Kind::Usage, said, "GET /v1 lists the requests");
    (status, [(CONTENT_TYPE, JSON)], Body::of(&failure.into()).to_json()).into_response()
}

/// What `GET /v1` answers.
#[derive(Serialize)]
struct Index {
    schema: u32,
    version: &'static str,
    routes: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    method: &'static str,
    path: &'static str,
    right: Right,
    help: &'static str,
}

async fn index() -> Json<Index> {
    let routes = routes().map(|route| Listed {
        method: route.method.as_str(),
        path: route.path,
        right: route.right,
        help: route.help,
    });
    Json(Index { schema: 1, version: env!("CARGO_PKG_VERSION"), routes: routes.collect() })
}

async fn status(State(live): State<Arc<Live>>) -> Result<Json<Status>, Refused> {
    Ok(Json(live.status()?))
}

async fn rotate(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Query(options): Query<Rotate>,
) -> Result<Json<Rotated>, Refused> {
    peer.may_change()?;
    let refused = |error: anyhow::Error| {
        Failure::new(Kind::GuardRail, format!("{error:#}"), "floodwall cookie status shows the keys' times")
    };
    let (rotated, epoch) = live.rotate(options).map_err(|error| anyhow::Error::new(refused(error)))?;
    let after = match rotated {
        secrets::Rotated::Now { .. } => Duration::ZERO,
        secrets::Rotated::NextEpoch { after } => after,
    };
    Ok(Json(Rotated { schema: 1, epoch, after_seconds: after.as_secs() }))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn rights_include_the_smaller_ones() {
        let peer = |right| Peer { uid: 1000, right };
        assert!(
            peer(Right::Change).may(Right::Look).is_ok() && peer(Right::Change).may(Right::Change).is_ok()
        );
        assert!(peer(Right::Look).may(Right::Look).is_ok());
        for (has, needs) in [(Right::Look, Right::Change), (Right::None, Right::Look)] {
            let refused = peer(has).may(needs).expect_err("refused");
            assert_eq!(refused.into_response().status(), StatusCode::FORBIDDEN);
        }
    }

    #[test]
    fn what_is_not_listed_needs_what_its_method_says() {
        assert_eq!(needed(&Method::GET, "/v1/status"), Right::Look);
        assert_eq!(needed(&Method::HEAD, "/v1/status"), Right::Look);
        assert_eq!(needed(&Method::POST, "/v1/bans"), Right::Change);
        assert_eq!(needed(&Method::GET, "/v1/no-such-path"), Right::Look);
        assert_eq!(needed(&Method::PUT, "/v1/status"), Right::Change);
        assert_eq!(needed(&Method::DELETE, "//v1/bans"), Right::Change);
    }

    /// A GET never changes anything, a path never lacks its version.
    #[test]
    fn the_list_is_sound() {
        for route in routes() {
            let looks = route.method == Method::GET;
            assert!(route.path == "/v1" || route.path.starts_with("/v1/"), "{}", route.path);
            assert_eq!(route.right, if looks { Right::Look } else { Right::Change }, "{}", route.path);
        }
    }

    #[test]
    fn api_md_is_current() {
        let mut text = include_str!("api.md").to_owned();
        text += "\n| request | right | what it does |\n|---|---|---|\n";
        for Route { method, path, right, help, .. } in routes() {
            let right = if *right == Right::Look { "look" } else { "change" };
            let _ = writeln!(text, "| `{method} {path}` | {right} | {help} |");
        }
        crate::testing::is_current("api.md", &text);
    }
}
