//! HTTP for two audiences: the control socket and Prometheus. One request a connection, small and quick, so
//! that no client can hold the daemon up.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::{Extension, Router, http::StatusCode, response::IntoResponse, routing::get};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use nix::unistd::{Gid, chown};
use prometheus::Registry;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::peer::{Access, Places};
use crate::observe::metrics;

/// Connections at a time to the metrics.
const CONNECTIONS: usize = 32;
/// Time for a request's head, and for all of an exchange.
const HEAD: Duration = Duration::from_secs(2);
const EXCHANGE: Duration = Duration::from_secs(10);
/// Time for an exchange on the control socket: an apply with large lists on a busy host is no slow client. Requests have to be
/// there sooner (`api`).
const WORK: Duration = Duration::from_mins(2);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;

/// Binds the control socket, in the place of one that a dead daemon left. The caller holds the lock.
pub fn bind_unix(path: &Path, group: Option<Gid>) -> anyhow::Result<UnixListener> {
    if path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
    }
    let listener = UnixListener::bind(path).with_context(|| format!("bind {}", path.display()))?;
    // Until here its folder's mode has kept others out.
    if group.is_some() {
        chown(path, None, group).with_context(|| format!("chgrp {}", path.display()))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves `router` on the control socket, with the peer and its rights known to handlers.
pub async fn serve_unix(listener: UnixListener, router: Router, access: Access, stop: CancellationToken) {
    let places = Arc::new(Places::default());
    while let Some(accepted) = until(&stop, listener.accept()).await {
        let accepted = accepted.and_then(|(stream, _)| Ok((access.peer(&stream)?, stream)));
        match accepted {
            Ok((peer, stream)) => {
                converse(stream, router.clone().layer(Extension(peer)), WORK, places.take(peer.uid));
            }
            Err(error) => cool_down(&error).await,
        }
    }
}

/// Serves `router` on TCP.
pub async fn serve_tcp(listener: TcpListener, router: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some(accepted) = until(&stop, listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                converse(stream, router.clone(), EXCHANGE, places.clone().try_acquire_owned().ok());
            }
            Err(error) => cool_down(&error).await,
        }
    }
}

async fn until<T>(stop: &CancellationToken, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        value = future => Some(value),
    }
}

/// Out of file descriptors, as a rule: trying again at once would only heat the CPU.
async fn cool_down(error: &std::io::Error) {
    warn!("accept: {error}");
    sleep(Duration::from_millis(100)).await;
}

/// Answers one connection in the background; drops it when there is no place for it.
fn converse<S, P>(stream: S, router: Router, time: Duration, place: Option<P>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Send + 'static,
{
    let Some(place) = place else {
        debug!("too many connections");
        return;
    };
    tokio::spawn(async move {
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES).keep_alive(false);
        let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        match timeout(time, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!("connection: {error}"),
            Err(_) => debug!("connection: too slow"),
        }
        drop(place);
    });
}

/// `/metrics` and `/healthz`.
pub fn metrics_router(registry: Registry) -> Router {
    let scrape = move || {
        let registry = registry.clone();
        async move {
            match metrics::render(&registry) {
                Ok(text) => ([("content-type", prometheus::TEXT_FORMAT)], text).into_response(),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
            }
        }
    };
    Router::new().route("/metrics", get(scrape)).route("/healthz", get(|| async { "ok\n" }))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn ask(address: std::net::SocketAddr, request: &[u8]) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A reset after an oversized request is an answer, too.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn metrics_are_served_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let registry = metrics::registry(|| None).unwrap();
        let server = tokio::spawn(serve_tcp(listener, metrics_router(registry), stop.clone()));
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes();
        let scrape = ask(address, &get("/metrics")).await;
        assert!(scrape.starts_with("HTTP/1.1 200"), "{scrape}");
        assert!(scrape.contains("text/plain; version=0.0.4") && scrape.contains("process_open_fds"));
        assert!(ask(address, &get("/healthz")).await.ends_with("ok\n"));
        assert!(ask(address, &get("/v1/status")).await.starts_with("HTTP/1.1 404"));
        let large = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(HEAD_BYTES));
        assert!(!ask(address, large.as_bytes()).await.starts_with("HTTP/1.1 200"));
        stop.cancel();
        server.await.unwrap();
    }
}
