//! Feeds over HTTP(S), and one look at a feed wherever it is. Blocking: for a thread of its own.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

use ureq::{
    Agent, Body,
    http::{HeaderMap, Response, StatusCode, header},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};
use zeroize::Zeroizing;

use super::{
    Fault, Format, Limits, Looked, Validators,
    file::{self, Timed},
    format,
};
use crate::config::{schema::Feed, value::Origin};

/// Redirects that are followed.
const REDIRECTS: u32 = 4;
/// Longest header of an answer, and longest validator that is kept.
const LONGEST_HEADER: usize = 16 << 10;
const LONGEST_VALIDATOR: usize = 512;
/// Longest secret.
const LONGEST_KEY: usize = 4096;
/// Where distributions keep the certificates that they trust.
const ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What the configuration asks of the content.
#[must_use]
pub fn limits(feed: &Feed) -> Limits {
    // The schema bounds both to the address' length.
    let bits = |given: &toml::Spanned<u32>| u8::try_from(*given.as_ref()).unwrap_or(u8::MAX);
    Limits {
        bytes: (*feed.max_bytes.as_ref()).into(),
        entries: *feed.max_entries.as_ref() as usize,
        shortest: [bits(&feed.min_prefix_v4), bits(&feed.min_prefix_v6)],
        shrink: *feed.max_shrink.as_ref(),
        cover: *feed.max_cover.as_ref(),
    }
}

/// Asks the source whether it has something newer than what `known` tells of.
pub fn look(feed: &Feed, known: &Validators) -> Result<Looked, Fault> {
    let (format, limits, timeout) = (*feed.format.as_ref(), limits(feed), *feed.timeout.as_ref());
    match feed.source.as_ref() {
        Origin::File(path) => file::look(path, format, &limits, timeout, known),
        Origin::Url(url) => fetch(feed, url, format, &limits, timeout, known),
    }
}

fn fetch(
    feed: &Feed,
    url: &str,
    format: Format,
    limits: &Limits,
    timeout: Duration,
    known: &Validators,
) -> Result<Looked, Fault> {
    let key = feed.key_file.as_ref().map(|path| key(path.as_ref())).transpose()?;
    let agent = agent(feed, url, timeout, key.is_some())?;
    let mut request = agent.get(url);
    if let Some(etag) = &known.etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    if let Some(modified) = &known.modified {
        request = request.header(header::IF_MODIFIED_SINCE, modified);
    }
    if let Some(key) = &key {
        request = request.header(feed.header.as_ref(), key.as_str());
    }
    let answer = request.call().map_err(|error| told(&error, timeout))?;
    match answer.status() {
        StatusCode::NOT_MODIFIED if *known != Validators::default() => return Ok(Looked::Same),
        StatusCode::OK => {}
        status if status.is_redirection() && key.is_some() => {
            return Err(Fault::Source("it redirects, and the secret is for nobody else".to_owned()));
        }
        status => return Err(Fault::Source(format!("the server answered {status}"))),
    }
    read(answer, format, limits, timeout)
}

fn read(
    mut answer: Response<Body>,
    format: Format,
    limits: &Limits,
    timeout: Duration,
) -> Result<Looked, Fault> {
    let encoded = answer.headers().get(header::CONTENT_ENCODING);
    if encoded.is_some_and(|name| name != "identity") {
        return Err(Fault::Encoding("it is compressed, although nobody asked for that"));
    }
    if answer.body().content_length().is_some_and(|length| length > limits.bytes) {
        return Err(Fault::TooLarge(limits.bytes));
    }
    let validators = validators(answer.headers());
    // Ours counts the bytes.
    let body = answer.body_mut().with_config().limit(u64::MAX).reader();
    let body = Translated { inner: body, timeout };
    let (entries, format) = format::read(Timed::new(body, timeout), format, limits)?;
    Ok(Looked::New(Box::new(entries), validators, format))
}

fn validators(headers: &HeaderMap) -> Validators {
    let of = |name| {
        let text = headers.get(name)?.to_str().ok()?;
        (text.len() <= LONGEST_VALIDATOR).then(|| text.to_owned())
    };
    Validators { etag: of(header::ETAG), modified: of(header::LAST_MODIFIED) }
}

fn agent(feed: &Feed, url: &str, timeout: Duration, secret: bool) -> Result<Agent, Fault> {
    let https = url.starts_with("https://");
    let mut config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(if secret { 0 } else { REDIRECTS })
        .max_redirects_will_error(!secret)
        // From https to http would be from safe to open.
        .https_only(https)
        .http_status_as_error(false)
        .max_response_header_size(LONGEST_HEADER)
        .max_idle_connections(0)
        .accept_encoding("identity")
        .user_agent(concat!("floodwall/", env!("CARGO_PKG_VERSION")));
    if https || !secret {
        config = config.tls_config(tls(feed.ca_file.as_ref().map(|path| path.as_ref().as_path()), https)?);
    }
    Ok(config.build().new_agent())
}

/// The roots are read each time: certificates are renewed, and a fetch takes longer.
fn tls(ca_file: Option<&Path>, needed: bool) -> Result<TlsConfig, Fault> {
    let pem = match ca_file {
        Some(path) => {
            fs::read(path).map_err(|error| Fault::Source(format!("{}: {error}", path.display())))?
        }
        None => ROOTS.iter().find_map(|path| fs::read(path).ok()).unwrap_or_default(),
    };
    let items = parse_pem(&pem).filter_map(Result::ok);
    let certificates: Vec<_> = items
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() && needed {
        let why = "there is no certificate to trust: install ca-certificates, or set ca_file";
        return Err(Fault::Source(why.to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::new_with_certs(&certificates);
    Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
}

/// The secret; nobody else may be able to read it.
fn key(path: &Path) -> Result<Zeroizing<String>, Fault> {
    let fault = |why: String| Fault::Source(format!("{}: {why}", path.display()));
    let found = fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    if !found.is_file() || found.mode() & 0o077 != 0 {
        return Err(fault("the secret is no file, or open to others: chmod 0600".to_owned()));
    }
    if found.len() > LONGEST_KEY as u64 {
        return Err(fault("longer than a secret is".to_owned()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| fault(error.to_string()))?);
    let key = Zeroizing::new(text.trim().to_owned());
    if key.is_empty() || !key.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(fault("the secret is empty, or no line of text".to_owned()));
    }
    Ok(key)
}

/// Without the URL, which may hold something secret.
fn told(error: &ureq::Error, timeout: Duration) -> Fault {
    use ureq::Error;
    Fault::Source(match error {
        Error::Timeout(_) => return Fault::Slow(timeout.as_secs()),
        Error::Io(error) => error.to_string(),
        Error::HostNotFound => "its host is not known".to_owned(),
        Error::ConnectionFailed => "no connection".to_owned(),
        Error::TooManyRedirects => format!("more than {REDIRECTS} redirects"),
        Error::RequireHttpsOnly(_) => "it redirects from https to http".to_owned(),
        Error::RedirectFailed => "it redirects to nowhere".to_owned(),
        Error::BadUri(_) => "it redirects to what is no URL".to_owned(),
        Error::Rustls(error) => format!("TLS: {error}"),
        Error::Protocol(error) => format!("no HTTP: {error}"),
        other => other.to_string().chars().take(200).collect(),
    })
}

/// A body whose errors are ours.
struct Translated<R> {
    inner: R,
    timeout: Duration,
}

impl<R: io::Read> io::Read for Translated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
            match (inner, error.kind()) {
                (_, io::ErrorKind::UnexpectedEof) => {
                    Fault::Cut("the connection ended early".to_owned()).into()
                }
                (_, io::ErrorKind::TimedOut) => Fault::Slow(self.timeout.as_secs()).into(),
                (Some(inner), _) => told(inner, self.timeout).into(),
                _ => error,
            }
        })
    }
}
