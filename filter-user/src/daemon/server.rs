//! HTTP on the control socket, and what other listeners share with it. One request a connection, small and quick, so that no
//! client can hold the daemon up.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use nix::unistd::{Gid, chown};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixListener,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::peer::{Access, Places};

/// Time for a request's head.
const HEAD: Duration = Duration::from_secs(2);
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

pub(super) async fn until<T>(stop: &CancellationToken, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        value = future => Some(value),
    }
}

/// Out of file descriptors, as a rule: trying again at once would only heat the CPU.
pub(super) async fn cool_down(error: &std::io::Error) {
    warn!("accept: {error}");
    sleep(Duration::from_millis(100)).await;
}

/// Answers one connection in the background; drops it when there is no place for it.
pub(super) fn converse<S, P>(stream: S, router: Router, time: Duration, place: Option<P>)
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
