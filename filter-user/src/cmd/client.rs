//! A client of the daemon's control socket.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use super::failure::{Failure, Kind};

/// Loading programs for many interfaces, with large lists, takes a while.
const PATIENCE: Duration = Duration::from_mins(2);
/// A revision has as much text as its files.
const LARGEST_ANSWER: usize = 64 << 20;

/// Sends one request and waits for its answer.
pub fn call<T: DeserializeOwned>(socket: &Path, method: Method, path: &str) -> anyhow::Result<T> {
    request(socket, method, path, Bytes::new())
}

/// The same with a body in JSON.
pub fn send<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> anyhow::Result<T> {
    request(socket, method, path, serde_json::to_vec(body)?.into())
}

fn request<T: DeserializeOwned>(socket: &Path, method: Method, path: &str, body: Bytes) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, exchange(socket, method, path, body)).await });
    let (status, body) =
        answer.map_err(|_| unreachable(socket, &format!("no answer within {} s", PATIENCE.as_secs())))??;
    if status.is_success() {
        return serde_json::from_slice(&body).context("the daemon's answer is not what it should be");
    }
    Err(refusal(status, &body).into())
}

async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => anyhow::Error::new(Failure::new(
            Kind::Permission,
            format!("{}: {error}", socket.display()),
            "run it as root, or as a member of the configuration's daemon.group",
        )),
        _ => unreachable(socket, &error.to_string()).into(),
    })?;
    let lost = |error: hyper::Error| unreachable(socket, &error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "floodwall");
    let request = request.header("content-type", "application/json").body(Full::new(body))?;
    let answer = sender.send_request(request).await.map_err(lost)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| unreachable(socket, &error.to_string()))?;
    Ok((status, body.to_bytes()))
}

fn unreachable(socket: &Path, why: &str) -> Failure {
    Failure::new(
        Kind::DaemonUnreachable,
        format!("no daemon at {}: {why}", socket.display()),
        "start it with: floodwall run --config FILE, or name its --socket",
    )
}

/// The daemon's own words, if it sent an error of the documented shape.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| value["error"][key].as_str().map(str::to_owned);
    let kind = match status {
        StatusCode::FORBIDDEN => Kind::Permission,
        StatusCode::CONFLICT => Kind::GuardRail,
        StatusCode::GONE => Kind::RolledBack,
        StatusCode::UNPROCESSABLE_ENTITY => Kind::ConfigInvalid,
        StatusCode::BAD_REQUEST => Kind::Usage,
        _ => Kind::Failed,
    };
    let message = text("message").unwrap_or_else(|| format!("the daemon answered {status}"));
    Failure::new(kind, message, text("hint").unwrap_or_else(|| "look at the daemon's log".to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::post};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        cmd::failure::Body,
        daemon::{peer::Access, server},
    };

    const REFUSAL: &str =
        r#"{"schema":1,"error":{"code":6,"kind":"guard_rail","message":"not yet","hint":"wait"}}"#;

    /// A daemon that refuses everything.
    fn serve(socket: &Path, stop: CancellationToken) -> std::thread::JoinHandle<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let router =
            Router::new().route("/v1/cookie/rotate", post(|| async { (StatusCode::CONFLICT, REFUSAL) }));
        let listener = runtime.block_on(async { server::bind_unix(socket, None) }).unwrap();
        std::thread::spawn(move || {
            runtime.block_on(server::serve_unix(listener, router, Access::default(), stop));
        })
    }

    fn ask(socket: &Path, path: &str) -> Body {
        let answer = call::<serde_json::Value>(socket, Method::POST, path);
        Body::of(&answer.expect_err("an answer"))
    }

    #[test]
    fn the_daemons_refusal_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s.sock");
        let stop = CancellationToken::new();
        let server = serve(&socket, stop.clone());
        let body = ask(&socket, "/v1/cookie/rotate");
        assert_eq!((body.code, body.message.as_str(), body.hint.as_str()), (6, "not yet", "wait"));
        assert_eq!(ask(&socket, "/v2").code, 1);
        stop.cancel();
        server.join().unwrap();
        // Its socket is still there, but nobody listens.
        assert_eq!(ask(&socket, "/v1/cookie/rotate").code, 3);
    }

    #[test]
    fn without_a_socket_there_is_no_daemon() {
        let body = ask(Path::new("/nonexistent/floodwall.sock"), "/");
        assert_eq!(body.code, 3);
        assert!(body.message.contains("/nonexistent/floodwall.sock") && body.hint.contains("floodwall run"));
    }
}
