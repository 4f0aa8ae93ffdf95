//! Feeds.

use toml::Spanned;

use super::unique;
use crate::config::{
    diagnostic::{Diagnostic, Problems},
    schema::Feed,
    value::Origin,
};

/// Most feeds.
pub(super) const MOST: usize = 32;

pub(super) fn feeds(feeds: &[Feed], problems: &mut Problems) {
    unique("feed", feeds.iter().map(|feed| &feed.name), problems);
    if let Some(extra) = feeds.get(MOST) {
        let error = Diagnostic::error(extra.name.span(), format!("more than {MOST} feeds"));
        problems.push(error.hint("put several lists into one file"));
    }
    for feed in feeds {
        one(feed, problems);
    }
}

fn one(feed: &Feed, problems: &mut Problems) {
    let (interval, stale) = (feed.interval.as_ref(), feed.stale_after.as_ref());
    if stale <= interval {
        let span = [&feed.stale_after, &feed.interval].map(Spanned::span).into_iter().find(|s| !s.is_empty());
        let error = Diagnostic::error(span, "it would be stale before it is asked for again");
        problems.push(error.hint("set stale_after to several times the interval"));
    }
    let web = matches!(feed.source.as_ref(), Origin::Url(_));
    if let Some(key) = &feed.key_file {
        if !web {
            let error = Diagnostic::error(key.span(), "a secret for a file");
            problems.push(error.hint("key_file is for sources of https://"));
        } else if !feed.source.as_ref().is_safe() {
            let warning = Diagnostic::warning(feed.source.span(), "the secret is sent in clear");
            problems.push(warning.hint("use https://"));
        }
    } else if !feed.source.as_ref().is_safe() {
        let warning = Diagnostic::warning(feed.source.span(), "whoever is on the way can change this list");
        problems.push(warning.hint("use https://"));
    }
}
