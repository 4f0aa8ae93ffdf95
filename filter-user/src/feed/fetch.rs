//! Feeds over HTTP(S), and one look at a feed wherever it is. Blocking: for a thread of its own.

use std::{io, time::Duration};

use ureq::{
    Body,
    http::{HeaderMap, Response, StatusCode, header},
};

use super::{
    Fault, Format, Limits, Looked, Validators,
    file::{self, Timed},
    format,
};
use crate::{
    config::{schema::Feed, value::Origin},
    web::{Client, Trouble, secret, told},
};

/// Longest validator that is kept.
const LONGEST_VALIDATOR: usize = 512;

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
    let key = feed.key_file.as_ref().map(|path| secret(path.as_ref())).transpose()?;
    let ca_file = feed.ca_file.as_ref().map(|path| path.as_ref().as_path());
    let agent = Client { url, ca_file, timeout, redirects: key.is_none() }.agent()?;
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
    let answer = request.call().map_err(|error| Fault::from(told(&error, timeout)))?;
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
                (Some(inner), _) => Fault::from(told(inner, self.timeout)).into(),
                _ => error,
            }
        })
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Slow(seconds) => Self::Slow(seconds),
            Trouble::Other(why) => Self::Source(why),
        }
    }
}
