//! Sampled packets, for people: what `watch`, `capture` and `explain --last` ask for.
//!
//! Readers ask again and again for what is behind the last number that they have seen. So nobody is waited for, and a reader that is
//! too slow is told how many it missed.

mod form;
mod history;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Query, State},
    http::Method,
    routing::get,
};
use ipnet::IpNet;

pub use self::{
    form::{Asked, Filter, Last, Line, Page, VERDICTS},
    history::{History, Kept},
};
use super::{
    api::{Peer, Refused, Right, Route},
    live::Live,
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::lists::file,
};

/// The requests.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/events",
        right: Right::Look,
        help: "Sampled packets behind the number `?after=`, without it none but the number to begin with; `&reason=`, \
               `&verdict=` (both: some, with commas), `&source=`, `&service=`, `&limit=`; `&frames=true` with the first 128 bytes, \
               for who may change things",
        handler: || get(list),
    },
    Route {
        method: Method::GET,
        path: "/v1/events/last",
        right: Right::Look,
        help: "The last sampled drop of `?source=`, an address or a prefix, with its frame for who may change things",
        handler: || get(last),
    },
];

async fn list(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page>, Refused> {
    if asked.frames {
        peer.may_change()?;
    }
    let wrong = |why| Failure::new(Kind::Usage, why, "GET /v1 tells what can be asked for");
    let filter = asked.filter().map_err(|why| anyhow::Error::new(wrong(why)))?;
    Ok(Json(live.events(&asked, &filter)?))
}

async fn last(
    State(live): State<Arc<Live>>,
    Extension(peer): Extension<Peer>,
    Query(asked): Query<Last>,
) -> Result<Json<Line>, Refused> {
    let wrong = |why| Failure::new(Kind::Usage, why, "ask for 192.31.196.9 or 192.31.196.0/24");
    let source: IpNet = file::prefix(&asked.source).map_err(|why| anyhow::Error::new(wrong(why)))?;
    let none = || {
        let message = format!("no drop of {source} is remembered");
        let hint = "only some packets are sampled (events.sample), and the last few of each reason remembered; \
                    try: floodwall explain --src ADDRESS";
        anyhow::Error::new(Failure::new(Kind::Failed, message, hint))
    };
    Ok(Json(live.last_drop(&source, peer.right >= Right::Change)?.ok_or_else(none)?))
}
