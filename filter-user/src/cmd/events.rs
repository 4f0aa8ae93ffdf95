//! Sampled packets from the daemon: what `watch`, `capture`, `explain --last` and `replay --live` have in common.

use std::{
    fmt::Write as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use filter_common::reason::Reason;
use hyper::Method;
use ipnet::IpNet;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{client, interrupt::Interrupt, times::time};
use crate::{
    config::lists::file,
    daemon::events::{Line, Page, VERDICTS},
    detect::TURN,
};

/// Packets that are asked for at a time.
const PORTION: u64 = 2000;

/// Which packets.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FilterArgs {
    /// Only packets with this reason (docs/metrics.md lists them); several times: any of them
    #[arg(long, value_name = "REASON", value_parser = reasons(), hide_possible_values = true)]
    reason: Vec<String>,
    /// Only packets with this verdict; several times: any of them
    #[arg(long, value_name = "VERDICT", value_parser = VERDICTS)]
    verdict: Vec<String>,
    /// Only packets that say that they are from there
    #[arg(long, value_name = "ADDRESS|PREFIX", value_parser = file::prefix)]
    source: Option<IpNet>,
    /// Only packets for this service; * is the rest of the host
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

/// How many.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct EndArgs {
    /// End after so many packets
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// End after that time
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
}

fn reasons() -> clap::builder::PossibleValuesParser {
    Reason::ALL.iter().map(|reason| reason.label()).collect::<Vec<_>>().into()
}

/// What was lost while somebody was looking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Forgotten by the daemon before they were asked for.
    pub missed: u64,
    /// Samples that the data path could not tell of.
    pub lost: u64,
}

impl Losses {
    /// A remark, if there is anything to remark.
    #[must_use]
    pub fn text(self) -> Option<String> {
        let Self { missed, lost } = self;
        (missed + lost > 0).then(|| format!("lost: {lost} samples in the data path, {missed} behind it"))
    }
}

impl FilterArgs {
    /// Drops of that source, carried out or not.
    #[must_use]
    pub fn drops_of(source: IpNet) -> Self {
        let verdict = ["drop", "would_drop"].map(str::to_owned).to_vec();
        Self { source: Some(source), verdict, ..Self::default() }
    }

    fn query(&self, frames: bool) -> String {
        let mut query = format!("/v1/events?frames={frames}");
        for (key, words) in [("reason", &self.reason), ("verdict", &self.verdict)] {
            if !words.is_empty() {
                let _ = write!(query, "&{key}={}", words.join(","));
            }
        }
        if let Some(source) = self.source {
            let _ = write!(query, "&source={source}");
        }
        if let Some(service) = &self.service {
            let _ = write!(query, "&service={}", utf8_percent_encode(service, PLAIN));
        }
        query
    }
}

/// What stays as it is in a query, beside letters and digits.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

impl EndArgs {
    /// After that time.
    #[must_use]
    pub const fn after(time: Duration) -> Self {
        Self { count: None, time: Some(time) }
    }
}

/// Shows packets to `visit`, in portions and as they come, until the end; `visit` may end it before, by returning false, and ^C does.
pub fn follow(
    socket: &Path,
    filter: &FilterArgs,
    end: EndArgs,
    frames: bool,
    mut visit: impl FnMut(&[Line]) -> anyhow::Result<bool>,
) -> anyhow::Result<Losses> {
    let (query, interrupt) = (filter.query(frames), Interrupt::listen()?);
    let first: Page = client::call(socket, Method::GET, &query)?;
    let (mut after, mut losses, began) = (first.next, Losses::default(), Instant::now());
    let (mut left, mut is_all) = (end.count.unwrap_or(u64::MAX), true);
    while left > 0 {
        let rest = end.time.map(|time| time.saturating_sub(began.elapsed()));
        if is_all && !interrupt.is_asked() {
            thread::sleep(rest.unwrap_or(TURN).min(TURN));
        }
        let limit = left.min(PORTION);
        let page: Page = client::call(socket, Method::GET, &format!("{query}&after={after}&limit={limit}"))?;
        // A full page has more behind it, which the daemon soon forgets.
        is_all = (page.events.len() as u64) < limit;
        // A daemon that was started anew counts from 1 on.
        after = page.next;
        losses.missed += page.missed;
        losses.lost = page.lost.saturating_sub(first.lost);
        left = left.saturating_sub(page.events.len() as u64);
        // What came meanwhile was asked for once more.
        let is_over = interrupt.is_asked() || rest.is_some_and(|rest| rest.is_zero());
        if !visit(&page.events)? || is_over {
            break;
        }
    }
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_query() {
        assert_eq!(FilterArgs::default().query(false), "/v1/events?frames=false");
        let filter = FilterArgs {
            reason: vec!["land".to_owned(), "bogon".to_owned()],
            verdict: vec!["drop".to_owned()],
            source: Some("2620:4f:8000::/48".parse().unwrap()),
            service: Some("a&b *".to_owned()),
        };
        let query = filter.query(true);
        let rest = query.strip_prefix("/v1/events?frames=true").unwrap();
        assert_eq!(rest, "&reason=land,bogon&verdict=drop&source=2620:4f:8000::/48&service=a%26b%20%2A");
    }

    #[test]
    fn losses_are_told_where_there_are_any() {
        assert_eq!(Losses::default().text(), None);
        assert_eq!(
            Losses { missed: 2, lost: 1 }.text().unwrap(),
            "lost: 1 samples in the data path, 2 behind it"
        );
    }
}
