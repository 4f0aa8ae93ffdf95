//! The configuration on request.
//!
//! | request | who | answer |
//! |---|---|---|
//! | `GET /v1/config` | whoever can connect | [`Running`] |

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};

use super::live::Live;
use crate::config::Effective;

/// What the daemon goes by.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Running {
    /// Version of this form.
    pub schema: u32,
    /// Each knob's value and where it is from.
    #[serde(flatten)]
    pub effective: Effective,
}

/// The routes.
pub(super) fn router() -> Router<Arc<Live>> {
    Router::new().route("/v1/config", get(running))
}

async fn running(State(live): State<Arc<Live>>) -> Json<Running> {
    Json(Running { schema: 1, effective: Effective::of(&live.sources()) })
}
