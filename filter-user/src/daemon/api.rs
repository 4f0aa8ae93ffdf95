//! The control socket's requests.
//!
//! | request | who | answer |
//! |---|---|---|
//! | `GET /v1/status` | whoever can connect | [`Status`] |
//! | `GET /v1/config` | the same | see [`super::config`] |
//! | `POST /v1/cookie/rotate` | root, or the daemon's user | [`Rotated`] |
//! | `POST /v1/bans`, `/v1/bans/delete` | the same | see [`super::bans`] |

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{bans, config, live::Live, secrets};
use crate::{
    cmd::failure::{Body, Failure, Kind},
    observe::status::Status,
};

/// The user at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its user id, from the kernel (`SO_PEERCRED`).
    pub uid: u32,
}

impl Peer {
    pub(super) fn may_change(self) -> Result<(), Refused> {
        let own = nix::unistd::geteuid().as_raw();
        if self.uid == 0 || self.uid == own {
            return Ok(());
        }
        let message = format!("user {} may look but not change anything", self.uid);
        Err(Refused(Failure::new(Kind::Permission, message, "run it as root").into()))
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
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, [("content-type", "application/json")], body.to_json()).into_response()
    }
}

/// The routes.
pub fn router(live: Arc<Live>) -> Router {
    let routes = Router::new().route("/v1/status", get(status)).route("/v1/cookie/rotate", post(rotate));
    routes.merge(bans::router()).merge(config::router()).with_state(live)
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
    let (rotated, epoch) = live.rotate(options.force).map_err(|error| anyhow::Error::new(refused(error)))?;
    let after = match rotated {
        secrets::Rotated::Now { .. } => Duration::ZERO,
        secrets::Rotated::NextEpoch { after } => after,
    };
    Ok(Json(Rotated { schema: 1, epoch, after_seconds: after.as_secs() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_our_own_user_may_change_anything() {
        let own = nix::unistd::geteuid().as_raw();
        assert!(Peer { uid: 0 }.may_change().is_ok());
        assert!(Peer { uid: own }.may_change().is_ok());
        let refused = Peer { uid: own + 1 }.may_change().expect_err("refused");
        assert_eq!(refused.into_response().status(), StatusCode::FORBIDDEN);
    }
}
