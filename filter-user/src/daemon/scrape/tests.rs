//! What callers get, and what they don't.

use std::{fs, net::SocketAddr, path::Path};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::config::{Source, parse};

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// With these lines in `[metrics]`.
    async fn start(lines: &str, unready: &'static [&'static str]) -> Self {
        let text = format!(
            "schema = 1\n[[interface]]\nname = \"x\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n{lines}\n"
        );
        let source = Source { path: "f.toml".to_owned(), text };
        let settings = parse(source).unwrap_or_else(|error| panic!("{error}")).settings;
        let scrape = Scrape::bind(&settings.metrics).await.unwrap().unwrap();
        let (address, stop) = (scrape.listener.local_addr().unwrap(), CancellationToken::new());
        let registry = metrics::registry(|| None).unwrap();
        let unready = move || unready.iter().map(|why| (*why).to_owned()).collect();
        let task = tokio::spawn(scrape.serve(router(registry, unready), stop.clone()));
        Self { address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        ask(self.connect().await, &request(path, headers)).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn request(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes()
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    // A reset after an oversized request is an answer, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn basic(name: &str, password: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    format!("authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{name}:{password}")))
}

#[tokio::test]
async fn metrics_are_served_and_nothing_else() {
    let server = Server::start("", &[]).await;
    let scrape = server.get("/metrics", "").await;
    assert!(scrape.starts_with("HTTP/1.1 200"), "{scrape}");
    assert!(scrape.contains("text/plain; version=0.0.4") && scrape.contains("process_open_fds"));
    assert!(server.get("/healthz", "").await.ends_with("ok\n"));
    assert!(server.get("/readyz", "").await.ends_with("ready\n"));
    assert!(server.get("/v1/status", "").await.starts_with("HTTP/1.1 404"));
    let large = server.get("/", &format!("x: {}\r\n", "a".repeat(16 << 10))).await;
    assert!(!large.starts_with("HTTP/1.1 200"), "{large}");
    let post = ask(server.connect().await, b"POST /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    server.end().await;
}

#[tokio::test]
async fn who_is_not_ready_says_why() {
    let server = Server::start("", &["eth1 is not filtered", "eth2 is not there"]).await;
    let answer = server.get("/readyz", "").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("eth1 is not filtered\neth2 is not there\n"), "{answer}");
    assert!(server.get("/healthz", "").await.starts_with("HTTP/1.1 200"));
    server.end().await;
}

/// Who says nothing keeps only some places, and those not for long.
#[tokio::test]
async fn a_silent_caller_is_let_go() {
    let server = Server::start("", &[]).await;
    let mut silent = Vec::new();
    for _ in 0..callers::OF_ONE {
        silent.push(server.connect().await);
    }
    let began = std::time::Instant::now();
    assert_eq!(server.get("/healthz", "").await, "", "all of this address's places are taken");
    for mut stream in silent {
        assert!(stream.read_to_end(&mut Vec::new()).await.is_ok());
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(server.get("/healthz", "").await.ends_with("ok\n"));
    server.end().await;
}

#[tokio::test]
async fn users_need_their_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let account = |name: &str, password: &str| format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap());
    fs::write(&path, format!("# scrapers\n{}", account("prometheus", "right"))).unwrap();
    let server = Server::start(&format!("users_file = {path:?}"), &[]).await;
    for (headers, code) in [
        (String::new(), "401"),
        (basic("prometheus", "wrong"), "401"),
        (basic("nobody", "right"), "401"),
        (basic("prometheus", ""), "401"),
        ("authorization: Basic %%%\r\n".to_owned(), "401"),
        (format!("authorization: Basic {}\r\n", "A".repeat(4096)), "401"),
        (basic("prometheus", "right"), "200"),
        (basic("prometheus", "right"), "200"),
        (basic("prometheus", "wrong"), "401"),
    ] {
        let answer = server.get("/metrics", &headers).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{headers}: {answer}");
        assert_eq!(answer.contains("www-authenticate: Basic"), code == "401");
    }
    assert!(server.get("/readyz", "").await.starts_with("HTTP/1.1 401"));
    assert!(server.get("/healthz", "").await.starts_with("HTTP/1.1 200"));
    // Who is taken out is out, also if he was known.
    fs::write(&path, account("grafana", "other")).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(server.get("/metrics", &basic("prometheus", "right")).await.starts_with("HTTP/1.1 401"));
    assert!(server.get("/metrics", &basic("grafana", "other")).await.starts_with("HTTP/1.1 200"));
    server.end().await;
}

#[test]
fn a_list_of_users_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let endless = format!("\na:{}\n", bcrypt::hash("secret", 4).unwrap().replace("$04$", "$31$"));
    for (text, complaint) in [
        ("", "names nobody"),
        ("# nobody\n\n", "names nobody"),
        ("prometheus:secret\n", "users:1"),
        (&endless, "users:2"),
        ("no colon\n", "users:1"),
    ] {
        fs::write(&path, text).unwrap();
        let said = format!("{:#}", Users::open(&path).unwrap_err());
        assert!(said.contains(complaint) && !said.contains("secret"), "{text}: {said}");
    }
    assert!(Users::open(Path::new("/nonexistent/users")).is_err());
}

fn certificate(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["floodwall.test".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

async fn trusting(pem: &str, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("floodwall.test").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn tls_serves_a_renewed_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path());
    let lines = ["tls_cert = \"cert.pem\"", "tls_key = \"key.pem\""].join("\n");
    let lines = lines.replace("= \"", &format!("= \"{}/", folder.path().display()));
    let server = Server::start(&lines, &[]).await;
    let stream = trusting(&first, server.connect().await).await.unwrap();
    let answer = ask(stream, &request("/metrics", "")).await;
    assert!(answer.contains("process_open_fds"), "{answer}");
    assert!(!server.get("/metrics", "").await.contains("HTTP/1.1 200"), "nothing in clear");
    let second = certificate(folder.path());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(trusting(&first, server.connect().await).await.is_err());
    let stream = trusting(&second, server.connect().await).await.unwrap();
    assert!(ask(stream, &request("/healthz", "")).await.ends_with("ok\n"));
    // Nobody who never speaks TLS keeps a place.
    let mut silent = server.connect().await;
    let over = timeout(HANDSHAKE * 2, silent.read_to_end(&mut Vec::new())).await;
    assert!(over.is_ok());
    server.end().await;
}

#[test]
fn a_certificate_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    certificate(folder.path());
    assert!(Tls::open(&at("cert.pem"), &at("key.pem")).is_ok());
    let complaint = |cert: &str, key: &str| format!("{:#}", Tls::open(&at(cert), &at(key)).unwrap_err());
    assert!(complaint("key.pem", "key.pem").contains("no certificate"));
    assert!(complaint("cert.pem", "cert.pem").contains("no private key"));
    fs::copy(at("cert.pem"), at("other.pem")).unwrap();
    certificate(folder.path());
    assert!(complaint("other.pem", "key.pem").contains("do not fit"));
}
