//! Bans in files: a JSON object a line, what `ipset save` writes, or plain prefixes.

use std::{
    borrow::Cow,
    io::{self, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

use ipnet::IpNet;

use super::{DryRunArg, Failure, Kind, Ttl, ttl};
use crate::{
    config::lists::file,
    daemon::bans::{Report, Shown},
};

/// Bytes of the longest line: a JSON object with a comment, all of it escaped.
const LONGEST: usize = 4096;
/// The longest timeout that ipset takes, in seconds.
const IPSET_MAX: u64 = 2_147_483;

/// The form of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cmd) enum Format {
    /// A JSON object a line: everything there is to know
    #[default]
    Json,
    /// For ipset restore: sets floodwall4 and floodwall6
    Ipset,
    /// A prefix a line
    Plain,
}

const HINT: &str = "nothing was imported; --help tells what can be read";

/// What is imported.
#[derive(Debug, clap::Args)]
pub struct Source {
    /// What export has written, an ipset save file, or an address or prefix a line; - is stdin
    file: PathBuf,
    /// How long for entries that don't say, as 90s, 5m, 1h, 7d; or forever
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    ttl: Option<Ttl>,
    /// Why, for entries that don't say; of a ban 32 bytes are kept
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    pub(in crate::cmd) dry: DryRunArg,
}

impl Source {
    /// All entries of it, or none.
    pub(in crate::cmd) fn read(&self) -> anyhow::Result<Vec<Shown>> {
        let wrong =
            |(line, why)| Failure::new(Kind::Usage, format!("{}:{line}: {why}", self.file.display()), HINT);
        Ok(parse(&bytes(&self.file)?, self.ttl, &self.reason).map_err(wrong)?)
    }
}

/// The bytes of a file, or of stdin.
fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let wrong = |why: String| Failure::new(Kind::Usage, format!("{}: {why}", path.display()), HINT);
    if path != Path::new("-") {
        return Ok(file::read(path).map_err(|error| wrong(error.to_string()))?);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().take(file::LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > file::LARGEST {
        return Err(wrong("larger than 256 MiB".to_owned()).into());
    }
    Ok(bytes)
}

/// All bans of a file, or the line that makes no sense and why. Entries without a time last for `ttl`.
fn parse(bytes: &[u8], ttl: Option<Ttl>, reason: &str) -> Result<Vec<Shown>, (usize, String)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut bans = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        let ban = (line.len() <= LONGEST)
            .then_some(line)
            .ok_or_else(|| format!("{} bytes in one line, at most {LONGEST}", line.len()))
            .and_then(|line| std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned()))
            .and_then(|line| entry(line, ttl, reason));
        bans.extend(ban.map_err(|why| (number, why))?);
    }
    Ok(bans)
}

fn entry(line: &str, ttl: Option<Ttl>, reason: &str) -> Result<Option<Shown>, String> {
    if line.starts_with('{') {
        // Here an absent end is one that was exported: for ever.
        return serde_json::from_str(line).map(Some).map_err(|error| error.to_string());
    }
    match line.split_whitespace().next() {
        None | Some("create" | "flush" | "COMMIT") => Ok(None),
        Some("add") => ipset(line, ttl, reason).map(Some),
        Some(word) if word.starts_with(['#', ';']) => Ok(None),
        Some(_) => {
            let text = line.split(['#', ';']).next().unwrap_or_default().trim();
            ban(text, None, ttl, reason).map(Some)
        }
    }
}

/// `add NAME PREFIX [timeout SECONDS] [comment "TEXT"] ..`
fn ipset(line: &str, ttl: Option<Ttl>, reason: &str) -> Result<Shown, String> {
    let (line, comment) = match line.split_once(" comment \"") {
        Some((before, rest)) => (before, rest.split('"').next().unwrap_or_default()),
        None => (line, ""),
    };
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, _, prefix, options @ ..] = &words[..] else {
        return Err("add NAME PREFIX is expected".to_owned());
    };
    let timeout = options.iter().position(|word| *word == "timeout").map(|at| options.get(at + 1));
    let timeout = match timeout {
        None => None,
        Some(seconds) => {
            Some(seconds.and_then(|text| text.parse::<u64>().ok()).ok_or("timeout without a number")?)
        }
    };
    ban(prefix, timeout, ttl, if comment.is_empty() { reason } else { comment })
}

/// An ipset timeout of 0 is none.
fn ban(prefix: &str, seconds: Option<u64>, ttl: Option<Ttl>, reason: &str) -> Result<Shown, String> {
    let seconds_left = match (seconds, ttl) {
        (Some(0), _) | (None, Some(Ttl(None))) => None,
        (Some(seconds), _) => Some(seconds),
        (None, Some(Ttl(Some(ttl)))) => Some(ttl.as_secs()),
        (None, None) => return Err(format!("{prefix} has no end: say --ttl TIME")),
    };
    Ok(Shown {
        prefix: file::prefix(prefix)?,
        since_seconds: 0,
        seconds_left,
        origin: Cow::Borrowed("operator"),
        reason: reason.to_owned(),
        comment: String::new(),
    })
}

/// Writes all of them to stdout. A reader that went away is no error.
pub(in crate::cmd) fn write(report: &Report, format: Format) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match lines(report, format, &mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn lines(report: &Report, format: Format, out: &mut impl io::Write) -> io::Result<()> {
    if format == Format::Ipset {
        let most = report.bans.len().next_power_of_two().max(65_536);
        for (name, family) in [("floodwall4", "inet"), ("floodwall6", "inet6")] {
            writeln!(out, "create {name} hash:net family {family} timeout 0 comment maxelem {most} -exist")?;
        }
    }
    for ban in &report.bans {
        match format {
            Format::Json => writeln!(out, "{}", serde_json::to_string(ban)?)?,
            Format::Plain => writeln!(out, "{}", ban.prefix)?,
            Format::Ipset => {
                let set = if matches!(ban.prefix, IpNet::V4(_)) { "floodwall4" } else { "floodwall6" };
                let timeout = ban.seconds_left.unwrap_or(0).min(IPSET_MAX);
                let reason = ban.reason.replace('"', "'");
                writeln!(out, "add {set} {} timeout {timeout} comment \"{reason}\" -exist", ban.prefix)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HOUR: Option<Ttl> = Some(Ttl(Some(Duration::from_hours(1))));

    fn shown(prefix: &str, seconds_left: Option<u64>, reason: &str) -> Shown {
        let prefix = prefix.parse().unwrap();
        let (origin, reason) = ("operator".into(), reason.to_owned());
        Shown { prefix, since_seconds: 0, seconds_left, origin, reason, comment: String::new() }
    }

    #[test]
    fn each_form_is_read() {
        let text = "\u{feff}# a comment\r\n9.9.9.9\r\n9.9.0.0/16 ; why not\r\n\
                    create bad hash:net family inet\nadd bad 8.8.8.0/24 timeout 599 comment \"from there\"\n\
                    add bad 2620:fe::/64 timeout 0\n\
                    {\"prefix\":\"7.7.7.7/32\",\"seconds_left\":5,\"reason\":\"x\",\"origin\":\"operator\"}\n";
        let bans = parse(text.as_bytes(), HOUR, "usual").unwrap();
        assert_eq!(
            bans,
            [
                shown("9.9.9.9/32", Some(3600), "usual"),
                shown("9.9.0.0/16", Some(3600), "usual"),
                shown("8.8.8.0/24", Some(599), "from there"),
                shown("2620:fe::/64", None, "usual"),
                shown("7.7.7.7/32", Some(5), "x"),
            ]
        );
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, line, words) in [
            ("9.9.9.9", 1, "--ttl"),
            ("\nadd bad", 2, "expected"),
            ("add bad 9.9.9.9 timeout x", 1, "number"),
            ("add bad 9.9.9.999 timeout 5", 1, "no address"),
            ("{\"prefix\":\"9.9.9.9\"", 1, "column"),
            ("{\"prefix\":\"9.9.9.9/32\",\"what\":1}", 1, "unknown field"),
            (&"x".repeat(5000), 1, "at most"),
        ] {
            let (found, why) = parse(text.as_bytes(), None, "").unwrap_err();
            assert!(found == line && why.contains(words), "{text}: {found}: {why}");
        }
        assert_eq!(parse(b"\xff", None, "").unwrap_err().1, "not UTF-8");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bans = vec![shown("9.9.9.9/32", Some(5), "a \"b\""), shown("2620:fe::/48", None, "")];
        let report = Report { schema: 1, total: 2, bans: bans.clone() };
        let written = |format| {
            let mut bytes = Vec::new();
            lines(&report, format, &mut bytes).unwrap();
            bytes
        };
        assert_eq!(parse(&written(Format::Json), None, "").unwrap(), bans);
        let ipset = parse(&written(Format::Ipset), None, "").unwrap();
        assert_eq!(ipset, [shown("9.9.9.9/32", Some(5), "a 'b'"), bans[1].clone()]);
        assert_eq!(written(Format::Plain), b"9.9.9.9/32\n2620:fe::/48\n");
    }

    proptest! {
        #[test]
        fn nonsense_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, HOUR, "");
            let _ = parse(&[b"add ", &bytes[..]].concat(), None, "");
            let _ = parse(&[b"{\"prefix\":", &bytes[..]].concat(), None, "");
        }
    }
}
