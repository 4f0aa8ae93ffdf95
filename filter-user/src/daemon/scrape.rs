//! What Prometheus, load balancers and browsers ask over TCP: `/metrics`, `/healthz`, `/readyz`, a page if it is wanted. The caller may be anybody: one request a
//! connection, bounds on size and time, a few places for each address, TLS and passwords where they are configured.

mod callers;
pub mod page;
mod tls;
mod users;
mod watched;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use axum::{Router, http::StatusCode, middleware, response::IntoResponse, routing::get};
use prometheus::Registry;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::{
    callers::{Callers, Place},
    tls::Tls,
    users::Users,
};
use super::server::{converse, cool_down, until};
use crate::{
    config::{
        fit::later::{Trouble, trouble},
        schema,
    },
    observe::metrics,
};

/// Time for all of an exchange.
const EXCHANGE: Duration = Duration::from_secs(10);
/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// The listener, bound before anything is attached.
#[derive(Debug)]
pub struct Scrape {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    users: Option<Arc<Users>>,
}

impl Scrape {
    /// Binds it and reads its files; `None` if the configuration wants none.
    ///
    /// # Errors
    /// An address in use, a certificate or a list of users that is no such thing.
    pub async fn bind(settings: &schema::Metrics) -> Result<Option<Self>> {
        let Some(address) = settings.listen.as_ref() else { return Ok(None) };
        let tls = settings.tls_cert.as_ref().zip(settings.tls_key.as_ref());
        let tls = tls.map(|(cert, key)| Tls::open(cert.as_ref(), key.as_ref())).transpose();
        let tls = tls.context("metrics.tls_cert, metrics.tls_key")?.map(Arc::new);
        let users = settings.users_file.as_ref().map(|path| Users::open(path.as_ref())).transpose();
        let users = users.context("metrics.users_file")?.map(Arc::new);
        let listener = TcpListener::bind(address).await;
        let context =
            || format!("cannot serve metrics on {address}; change metrics.listen, or set it to \"off\"");
        Ok(Some(Self { listener: listener.with_context(context)?, tls, users }))
    }

    /// Serves `router` until it is told to stop.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let callers = Arc::new(Callers::default());
        let router = match self.users {
            Some(users) => router.layer(middleware::from_fn_with_state(users, users::only_known)),
            None => router,
        };
        while let Some(accepted) = until(&stop, self.listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    let Some(place) = callers.take(peer.ip()) else {
                        debug!("too many connections");
                        continue;
                    };
                    answer(stream, router.clone(), place, self.tls.as_ref());
                }
                Err(error) => cool_down(&error).await,
            }
        }
    }
}

/// What is wrong with the files, and where they are named.
pub(crate) fn troubles(settings: &schema::Metrics) -> Vec<Trouble> {
    if settings.listen.as_ref().is_none() {
        return Vec::new();
    }
    let tls = settings.tls_cert.as_ref().zip(settings.tls_key.as_ref()).and_then(|(cert, key)| {
        let error = Tls::open(cert.as_ref(), key.as_ref()).err()?;
        Some((cert.span(), format!("{error:#}")))
    });
    let users = trouble(&settings.users_file, |path| Users::open(path).map_err(|error| format!("{error:#}")));
    [tls, users].into_iter().flatten().collect()
}

/// One connection, in the background.
fn answer(stream: TcpStream, router: Router, place: Place, tls: Option<&Arc<Tls>>) {
    let Some(tls) = tls else { return converse(stream, router, EXCHANGE, Some(place)) };
    let acceptor = tls.acceptor();
    tokio::spawn(async move {
        match timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, router, EXCHANGE, Some(place)),
            Ok(Err(error)) => debug!("TLS: {error}"),
            Err(_) => debug!("TLS: too slow"),
        }
    });
}

/// `/metrics`; `/healthz`, which says that the daemon is alive; `/readyz`, which says why it does not filter everywhere. `unready`: the
/// reasons.
pub fn router<F>(registry: Registry, unready: F) -> Router
where
    F: Fn() -> Vec<String> + Clone + Send + Sync + 'static,
{
    let scrape = move || {
        let registry = registry.clone();
        async move {
            match metrics::render(&registry) {
                Ok(text) => ([("content-type", prometheus::TEXT_FORMAT)], text).into_response(),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
            }
        }
    };
    let ready = move || {
        let unready = unready.clone();
        async move {
            match &unready()[..] {
                [] => "ready\n".into_response(),
                why => (StatusCode::SERVICE_UNAVAILABLE, why.join("\n") + "\n").into_response(),
            }
        }
    };
    Router::new()
        .route("/metrics", get(scrape))
        .route(users::OPEN, get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

#[cfg(test)]
mod tests;
