//! HTTP(S) to others: feeds, and those who are told of attacks. Blocking: for threads of their own.

use std::{fs, io::Read as _, os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};
use zeroize::Zeroizing;

use crate::files::{self, regular};

/// Redirects that are followed.
const REDIRECTS: u32 = 4;
/// Longest header of an answer.
const LONGEST_HEADER: usize = 16 << 10;
/// Longest secret.
const LONGEST_KEY: usize = 4096;
/// Largest file of certificates; distributions' own have 250 kB.
const LARGEST_BUNDLE: u64 = 4 << 20;
/// Where distributions keep the certificates that they trust.
const ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// It did not come in time.
    #[error("it did not end within {0} s")]
    Slow(u64),
    /// The rest.
    #[error("{0}")]
    Other(String),
}

/// Whom to ask, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    /// `http://..` or `https://..`
    pub(crate) url: &'a str,
    /// Certificates (PEM) to trust in the place of the host's.
    pub(crate) ca_file: Option<&'a Path>,
    /// For the whole exchange.
    pub(crate) timeout: Duration,
    /// Whether redirects are followed. Not with a secret: it is for nobody else.
    pub(crate) redirects: bool,
}

impl Client<'_> {
    /// Asks once: no connection is kept. The roots are read each time, as certificates are renewed and an exchange takes longer.
    pub(crate) fn agent(&self) -> Result<Agent, Trouble> {
        let https = self.url.starts_with("https://");
        let mut config = Agent::config_builder()
            .timeout_global(Some(self.timeout))
            .max_redirects(if self.redirects { REDIRECTS } else { 0 })
            .max_redirects_will_error(self.redirects)
            // From https to http would be from safe to open.
            .https_only(https)
            .http_status_as_error(false)
            .max_response_header_size(LONGEST_HEADER)
            .max_idle_connections(0)
            .accept_encoding("identity")
            .user_agent(concat!("floodwall/", env!("CARGO_PKG_VERSION")));
        if https || self.redirects {
            config = config.tls_config(tls(self.ca_file, https)?);
        }
        Ok(config.build().new_agent())
    }
}

/// Those in a file of the operator's.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Trouble> {
    let trouble = |why: String| Trouble::Other(format!("{}: {why}", path.display()));
    let pem = regular(path, LARGEST_BUNDLE).map_err(|error| trouble(error.to_string()))?;
    let found = in_pem(&pem);
    if found.is_empty() { Err(trouble("there is no certificate in it (PEM)".to_owned())) } else { Ok(found) }
}

fn in_pem(pem: &[u8]) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem).filter_map(Result::ok);
    items
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect()
}

fn tls(ca_file: Option<&Path>, needed: bool) -> Result<TlsConfig, Trouble> {
    let certificates = match ca_file {
        Some(path) => certificates(path)?,
        None => ROOTS.iter().find_map(|path| fs::read(path).ok()).map_or_else(Vec::new, |pem| in_pem(&pem)),
    };
    if certificates.is_empty() && needed {
        let why = "there is no certificate to trust: install ca-certificates, or set ca_file";
        return Err(Trouble::Other(why.to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::new_with_certs(&certificates);
    Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
}

/// A secret from a file: one line of text that nobody else may be able to read.
pub(crate) fn secret(path: &Path) -> Result<Zeroizing<String>, Trouble> {
    let trouble = |why: String| Trouble::Other(format!("{}: {why}", path.display()));
    let (file, found) = files::open(path).map_err(|error| trouble(error.to_string()))?;
    if found.mode() & 0o077 != 0 {
        return Err(trouble("the secret is open to others: chmod 0600".to_owned()));
    }
    let mut text = Zeroizing::new(String::with_capacity(LONGEST_KEY + 1));
    let read = file.take(LONGEST_KEY as u64 + 1).read_to_string(&mut text);
    if read.map_err(|error| trouble(error.to_string()))? > LONGEST_KEY {
        return Err(trouble("longer than a secret is".to_owned()));
    }
    let key = Zeroizing::new(text.trim().to_owned());
    if key.is_empty() || !key.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(trouble("the secret is empty, or no line of text".to_owned()));
    }
    Ok(key)
}

/// Without the URL, which may hold something secret.
#[must_use]
pub(crate) fn told(error: &ureq::Error, timeout: Duration) -> Trouble {
    use ureq::Error;
    Trouble::Other(match error {
        Error::Timeout(_) => return Trouble::Slow(timeout.as_secs()),
        Error::Io(error) => error.to_string(),
        Error::HostNotFound => "its host is not known".to_owned(),
        Error::ConnectionFailed => "no connection".to_owned(),
        Error::TooManyRedirects => format!("more than {REDIRECTS} redirects"),
        Error::RequireHttpsOnly(_) => "it redirects from https to http".to_owned(),
        Error::RedirectFailed => "it redirects to nowhere".to_owned(),
        Error::BadUri(_) => "it redirects to what is no URL".to_owned(),
        Error::Rustls(rustls::Error::InvalidMessage(_)) => {
            "no TLS: is that server's port one of HTTPS?".to_owned()
        }
        Error::Rustls(error) => format!("TLS: {error}"),
        Error::Protocol(error) => format!("no HTTP: {error}"),
        other => other.to_string().chars().take(200).collect(),
    })
}
