//! The configuration on request.

use std::sync::Arc;

use axum::{Json, extract::State, http::Method, routing::get};
use serde::{Deserialize, Serialize};

use super::{
    api::{Right, Route},
    live::Live,
};
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

/// The requests.
pub(super) const ROUTES: &[Route] = &[Route {
    method: Method::GET,
    path: "/v1/config",
    right: Right::Look,
    help: "The running configuration: each knob's value and where it is from",
    handler: || get(running),
}];

async fn running(State(live): State<Arc<Live>>) -> Json<Running> {
    Json(Running { schema: 1, effective: Effective::of(&live.sources()) })
}
