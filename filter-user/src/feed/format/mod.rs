//! The formats. All read a stream and keep what they take, never the text.

mod crowdsec;
mod cscli;
mod ipset;
mod lines;
mod nft;
mod plain;
mod spamhaus;

use std::io::{BufRead, BufReader, Cursor, Read};

use serde::de::DeserializeSeed;

use super::{
    Fault, Limits,
    entries::{Entries, Sink},
};

/// How a feed is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// By its first bytes.
    Auto,
    /// An address or a prefix a line.
    Plain,
    /// A JSON object with `cidr` a line, and one that ends them.
    Spamhaus,
    /// What `ipset save` prints.
    Ipset,
    /// What `nft -j list set` prints.
    Nft,
    /// CSV of `cscli decisions`.
    Cscli,
    /// What CrowdSec's local API answers about decisions.
    Crowdsec,
}

/// With their names in the configuration.
pub const FORMATS: &[(&str, Format)] = &[
    ("auto", Format::Auto),
    ("plain", Format::Plain),
    ("spamhaus", Format::Spamhaus),
    ("ipset", Format::Ipset),
    ("nft", Format::Nft),
    ("cscli", Format::Cscli),
    ("crowdsec", Format::Crowdsec),
];

impl Format {
    /// Its name in the configuration.
    #[must_use]
    pub fn label(self) -> &'static str {
        FORMATS.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }
}

/// Bytes that a format is recognised by.
const HEAD: usize = 4096;

/// Reads everything.
pub fn read(mut source: impl Read, format: Format, limits: &Limits) -> Result<(Entries, Format), Fault> {
    let mut head = Vec::with_capacity(HEAD);
    let bounded = source.by_ref().take(limits.bytes + 1);
    bounded.take(HEAD as u64).read_to_end(&mut head)?;
    encoding(&head)?;
    let format = if format == Format::Auto { detect(&head) } else { format };
    let marked = if head.starts_with(MARK) { MARK.len() } else { 0 };
    let rest = Bounded { source, left: limits.bytes.saturating_sub(head.len() as u64), most: limits.bytes };
    let mut text = BufReader::with_capacity(1 << 16, Cursor::new(head.split_off(marked)).chain(rest));
    let mut sink = Sink::new(limits);
    let whole = match format {
        Format::Auto | Format::Plain => plain::read(&mut text, &mut sink),
        Format::Spamhaus => spamhaus::read(&mut text, &mut sink),
        Format::Ipset => ipset::read(&mut text, &mut sink),
        Format::Nft => nft::read(&mut text, &mut sink),
        Format::Cscli => cscli::read(&mut text, &mut sink),
        Format::Crowdsec => crowdsec::read(&mut text, &mut sink, limits),
    }?;
    Ok((sink.done(whole), format))
}

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

fn encoding(head: &[u8]) -> Result<(), Fault> {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err(Fault::Encoding("it is UTF-16: only UTF-8 is read"));
    }
    if head.starts_with(b"\x1f\x8b") || head.starts_with(b"\x28\xb5\x2f\xfd") || head.starts_with(b"BZh") {
        return Err(Fault::Encoding("it is compressed: only plain text is read"));
    }
    if head.contains(&0) {
        return Err(Fault::Encoding("there are zero bytes in it: it is no text"));
    }
    Ok(())
}

/// By the first line that says anything.
fn detect(head: &[u8]) -> Format {
    let text = String::from_utf8_lossy(head.strip_prefix(MARK).unwrap_or(head));
    let lines = text.lines().map(str::trim);
    let Some(first) = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with(['#', ';'])) else {
        return Format::Plain;
    };
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match first.as_bytes()[0] {
        b'{' if has(&["\"cidr\""]) => Format::Spamhaus,
        b'{' if has(&["\"nftables\"", "\"elem\""]) => Format::Nft,
        b'{' | b'[' => Format::Crowdsec,
        _ if first == "null" => Format::Crowdsec,
        _ if first.starts_with("create ") || first.starts_with("add ") => Format::Ipset,
        _ if cscli::is_head(first) => Format::Cscli,
        _ => Format::Plain,
    }
}

/// The rest of a source, up to the limit.
struct Bounded<R> {
    source: R,
    left: u64,
    most: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            // A source of exactly that many bytes is fine.
            return match self.source.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(Fault::TooLarge(self.most).into()),
            };
        }
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.source.read(&mut buffer[..room])?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Reads one JSON document by `seed`; what it found wrong is in `fault`.
fn document<S>(text: &mut impl BufRead, seed: S) -> Result<(), Fault>
where
    S: for<'de> DeserializeSeed<'de, Value = ()>,
{
    let mut document = serde_json::Deserializer::from_reader(text);
    seed.deserialize(&mut document).and_then(|()| document.end()).map_err(|error| json(&error))
}

/// Faults travel through serde as text: theirs begin with this.
const FAULT: &str = "too many entries: ";

fn carried<E: serde::de::Error>(fault: Fault) -> E {
    match fault {
        Fault::TooMany(most) => E::custom(format_args!("{FAULT}{most}")),
        other => E::custom(other),
    }
}

fn json(error: &serde_json::Error) -> Fault {
    if let Some(kind) = error.io_error_kind() {
        // The reader's own faults come out of the error that it was wrapped in.
        return source(error).unwrap_or_else(|| Fault::Source(kind.to_string()));
    }
    let text = error.to_string();
    if let Some(most) = text.strip_prefix(FAULT).and_then(|rest| rest.split(' ').next()?.parse().ok()) {
        return Fault::TooMany(most);
    }
    let shown: String = text.chars().take(120).collect();
    match error.classify() {
        serde_json::error::Category::Eof => Fault::Cut(shown),
        _ => Fault::Form(format!("not the JSON that is expected: {shown}")),
    }
}

fn source(error: &serde_json::Error) -> Option<Fault> {
    let inner = std::error::Error::source(error)?;
    inner.downcast_ref::<Fault>().cloned().or_else(|| {
        let error = inner.downcast_ref::<std::io::Error>()?;
        error.get_ref()?.downcast_ref::<Fault>().cloned()
    })
}
