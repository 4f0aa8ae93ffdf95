//! Feeds: whether each has brought something good lately.

use hyper::Method;

use super::Check;
use crate::{
    cmd::client,
    config::Settings,
    daemon::{
        SOCKET,
        feeds::{Line, Lines},
    },
};

/// As the daemon sees them; nothing where none is configured.
pub(super) fn check(settings: &Settings) -> Option<Check> {
    let feeds = settings.feed.iter().filter(|feed| feed.enabled).count();
    if feeds == 0 {
        return None;
    }
    let socket = settings.daemon.runtime.as_ref().join(SOCKET);
    Some(match client::call::<Lines>(&socket, Method::GET, "/v1/feeds") {
        Ok(found) => told(&found.feeds),
        Err(_) => Check::warn(
            "feeds",
            format!("{feeds} configured; no daemon tells how they are"),
            "start it: the last good copies are in force as long as the filter is",
        ),
    })
}

fn told(feeds: &[Line]) -> Check {
    let bad = |feed: &&Line| !matches!(feed.state.as_str(), "ok" | "off");
    let bad: Vec<_> = feeds.iter().filter(bad).map(|feed| format!("{}: {}", feed.name, feed.state)).collect();
    if bad.is_empty() {
        let on = feeds.iter().filter(|feed| feed.state == "ok").count();
        return Check::ok("feeds", format!("{on} in force"));
    }
    let todo = "floodwall feed show NAME tells why; the last good copy, if there is one, is in force";
    Check::warn("feeds", bad.join(", "), todo)
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn what_is_stale_or_failing_is_named() {
        let feed = |name: &str, state: &str| Line {
            name: name.to_owned(),
            state: state.to_owned(),
            ..Line::default()
        };
        let fine = told(&[feed("a", "ok"), feed("b", "off")]);
        assert_eq!((fine.state, fine.why.as_str()), (State::Ok, "1 in force"));
        let bad = told(&[feed("a", "ok"), feed("b", "stale"), feed("c", "failing"), feed("d", "never")]);
        assert_eq!((bad.state, bad.why.as_str()), (State::Warn, "b: stale, c: failing, d: never"));
    }
}
