//! A page for browsers, and what it shows. It only looks, and it knows networks, not addresses: whoever may see the metrics may see it.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use ipnet::IpNet;
use serde::Serialize;

use crate::{
    daemon::{api::Refused, deadline::since_1970, detect::Line, events::Kept, live::Live},
    detect::attack::prefix,
    observe::status::Status,
};

/// All of it: nothing is fetched but [`DATA`].
const PAGE: &str = include_str!("page.html");
/// What it asks for.
const DATA: &str = "/page.json";
/// Nothing from elsewhere is ever loaded, whatever a name in the data says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Prefixes that are told.
const TOLD: usize = 20;

/// What the page shows; it makes rates of counters by itself.
#[derive(Debug, Serialize)]
struct Shown {
    schema: u32,
    version: &'static str,
    mode: String,
    revision: u64,
    uptime_seconds: u64,
    /// When, seconds since 1970: the browser's own clock would count its waiting, too.
    time: f64,
    status: Status,
    /// Those that go on.
    attacks: Vec<Line>,
    /// Who sent most of what is remembered: /24s and /48s, packets, those that were dropped.
    prefixes: Vec<(IpNet, u64, u64)>,
}

impl Shown {
    fn now(live: &Live) -> anyhow::Result<Self> {
        let mut status = live.status()?;
        // Where the configuration is, and who waits for what, is nobody's business here.
        let daemon = status.daemon.take();
        let mut attacks = live.attacks()?.attacks;
        attacks.retain(|attack| attack.ended.is_none());
        // Acts name who was banned.
        for attack in &mut attacks {
            attack.acts.clear();
        }
        Ok(Self {
            schema: 1,
            version: env!("CARGO_PKG_VERSION"),
            mode: daemon.as_ref().map_or_else(String::new, |daemon| daemon.mode.clone()),
            revision: daemon.as_ref().map_or(0, |daemon| daemon.commit.revision),
            uptime_seconds: daemon.as_ref().map_or(0, |daemon| daemon.uptime_seconds),
            time: since_1970().as_secs_f64(),
            status,
            attacks,
            prefixes: live.remembered(heaviest),
        })
    }
}

/// The prefixes that most of these packets say that they are from.
fn heaviest(kept: &mut dyn Iterator<Item = &Kept>) -> Vec<(IpNet, u64, u64)> {
    let mut all = HashMap::<IpNet, (u64, u64)>::new();
    for kept in kept {
        let Some(source) = kept.source else { continue };
        let sums = all.entry(prefix(source)).or_default();
        sums.0 += u64::from(kept.event.weight);
        sums.1 += if kept.is_drop() { u64::from(kept.event.weight) } else { 0 };
    }
    let mut all: Vec<_> = all.into_iter().map(|(net, (packets, dropped))| (net, packets, dropped)).collect();
    all.sort_unstable_by_key(|(net, packets, _)| (std::cmp::Reverse(*packets), *net));
    all.truncate(TOLD);
    all
}

/// `/`, and what it asks for, as long as the configuration says so.
pub fn router(live: Arc<Live>) -> Router {
    let wanted = middleware::from_fn_with_state(live.clone(), only_if_wanted);
    Router::new().route("/", get(page)).route(DATA, get(data)).route_layer(wanted).with_state(live)
}

async fn only_if_wanted(State(live): State<Arc<Live>>, request: Request, next: Next) -> Response {
    if live.has_page() { next.run(request).await } else { StatusCode::NOT_FOUND.into_response() }
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE).into_response()
}

async fn data(State(live): State<Arc<Live>>) -> Result<Json<Shown>, Refused> {
    Ok(Json(Shown::now(&live)?))
}

#[cfg(test)]
mod tests {
    use filter_common::{
        event::{Event, SNAP},
        reason::Reason,
    };

    use super::*;

    #[test]
    fn it_contains_all_of_itself() {
        for outside in ["http:", "https:", "src=", "url(", "@import", "<link", "innerHTML"] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        assert!(PAGE.contains(DATA.trim_start_matches('/')) && PAGE.len() < 20_000);
    }

    #[test]
    fn networks_are_told_and_no_addresses() {
        let kept = |source: &str, reason: Reason, weight| {
            let event = Event {
                time: 1,
                weight,
                ifindex: 1,
                length: 60,
                captured: 0,
                reason: reason as u8,
                plane: 0,
                frame: [0; SNAP],
            };
            Kept { number: 1, event, service: 0, source: Some(source.parse().unwrap()) }
        };
        let all = [
            kept("44.0.0.1", Reason::Bogon, 64),
            kept("44.0.0.9", Reason::Pass, 16),
            kept("2620:fe::9", Reason::Pass, 100),
        ];
        let told = heaviest(&mut all.iter());
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(told, [(net("2620:fe::/48"), 100, 0), (net("44.0.0.0/24"), 80, 64)]);
    }
}
