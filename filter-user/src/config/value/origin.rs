//! Where a feed is, or somebody who is told.

use std::{
    fmt,
    net::IpAddr,
    path::{Component, PathBuf},
};

use super::{Complaint, Leaf, text};

/// A file or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An absolute path.
    File(PathBuf),
    /// `http://..` or `https://..`
    Url(String),
}

impl Origin {
    /// For people: a URL without its query, which may be secret.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Url(url) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
        }
    }

    /// For people: a URL's server alone, where what follows may be secret.
    #[must_use]
    pub fn server(&self) -> String {
        let server = |url: &str| {
            let uri: hyper::Uri = url.parse().ok()?;
            Some(format!("{}://{}/", uri.scheme_str()?, uri.authority()?))
        };
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Url(url) => server(url).unwrap_or_default(),
        }
    }

    /// Whether nobody on the way can read and change it.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        match self {
            Self::Url(url) => url.starts_with("https://") || is_here(url),
            Self::File(_) => true,
        }
    }
}

/// Whether the server is on this host.
fn is_here(url: &str) -> bool {
    let uri = url.parse::<hyper::Uri>().ok();
    let host = uri.as_ref().and_then(hyper::Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// A path, `file:///path`, `http://..` or `https://..`
pub(in crate::config) fn origin() -> Leaf<Origin> {
    text("an absolute path, `\"file:///..\"`, `\"https://..\"` or `\"http://..\"`", parse)
}

fn parse(raw: &str) -> Result<Origin, Complaint> {
    let shown: String = raw.chars().take(60).collect();
    let wrong =
        |hint: &str| Err(Complaint::new(format!("{shown:?} is neither an absolute path nor a URL"), hint));
    if let Some(path) = Some(raw.strip_prefix("file://").unwrap_or(raw)).filter(|path| path.starts_with('/'))
    {
        let path = PathBuf::from(path);
        let climbs = path.components().any(|part| part == Component::ParentDir);
        if climbs || raw.contains('\0') || raw.len() > 4096 {
            return wrong("an absolute path without ..");
        }
        return Ok(Origin::File(path));
    }
    if !raw.starts_with("http://") && !raw.starts_with("https://") || raw.len() > 2048 {
        return wrong("write \"/path/to/file\" or \"https://host/path\"");
    }
    let Some((uri, authority)) = raw.parse::<hyper::Uri>().ok().and_then(|uri| {
        let authority = uri.authority()?.clone();
        Some((uri, authority))
    }) else {
        return wrong("write \"https://host/path\", with what is no letter or digit as %XX");
    };
    if authority.as_str().contains('@') {
        return Err(Complaint::new(
            "a user or password in a URL is read by everybody who may see the configuration",
            "put the secret into a file, and name that as key_file",
        ));
    }
    if uri.host().is_none_or(str::is_empty) {
        return wrong("it names no host");
    }
    Ok(Origin::Url(raw.to_owned()))
}

/// The name of an HTTP header.
pub(in crate::config) fn header() -> Leaf<String> {
    text("the name of an HTTP header", |raw| {
        let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if (1..=64).contains(&raw.len()) && raw.bytes().all(token) {
            return Ok(raw.to_owned());
        }
        let shown: String = raw.chars().take(40).collect();
        Err(Complaint::new(
            format!("{shown:?} is no header's name"),
            "write \"X-Api-Key\" or \"Authorization\"",
        ))
    })
    .pattern("^[A-Za-z0-9_-]{1,64}$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        for (text, shown) in [
            ("/var/lib/feeds/drop", "/var/lib/feeds/drop"),
            ("file:///var/lib/feeds/drop", "/var/lib/feeds/drop"),
            ("https://lists.example/drop.json?token=x#y", "https://lists.example/drop.json"),
            (
                "http://192.31.196.9:8080/v1/decisions/stream?startup=true",
                "http://192.31.196.9:8080/v1/decisions/stream",
            ),
            ("http://[2620:4f:8000::9]/x", "http://[2620:4f:8000::9]/x"),
        ] {
            let origin = parse(text).unwrap();
            assert_eq!(origin.shown(), shown);
            assert_eq!(origin.is_safe(), !text.starts_with("http:"));
        }
        for here in ["http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost:8080/x"] {
            assert!(parse(here).unwrap().is_safe());
        }
        for away in ["http://127.example/x", "http://localhost.example/x"] {
            assert!(!parse(away).unwrap().is_safe());
        }
        for text in [
            "",
            "drop",
            "../drop",
            "/a/../b",
            "ftp://x/y",
            "file://host/x",
            "https://",
            "https:///x",
            "https://u:p@x/y",
            "https://x y/",
            "HTTPS:/x",
            "https://@/",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
