//! Notifications: whether whoever should be told of attacks can be.

use hyper::Method;

use super::Check;
use crate::{
    cmd::client,
    config::Settings,
    daemon::{
        SOCKET,
        notify::{Line, Lines},
    },
};

/// As the daemon sees them; nothing where nobody is to be told.
pub(super) fn check(settings: &Settings) -> Option<Check> {
    if settings.notify.is_empty() {
        return None;
    }
    let socket = settings.daemon.runtime.as_ref().join(SOCKET);
    let found = client::call::<Lines>(&socket, Method::GET, "/v1/notify").ok();
    let targets = settings.notify.len();
    let nobody = || {
        let why = format!("{targets} target(s) configured; no daemon tells them of attacks");
        Check::warn("notify", why, "start it; what waits is kept")
    };
    Some(found.map_or_else(nobody, |found| told(&found.targets)))
}

fn told(targets: &[Line]) -> Check {
    let failing: Vec<_> =
        targets.iter().filter(|target| target.error.is_some()).map(|t| t.name.as_str()).collect();
    if !failing.is_empty() {
        let todo = "floodwall notify list tells why, floodwall notify test NAME tries it";
        return Check::warn("notify", format!("cannot be told: {}", failing.join(", ")), todo);
    }
    let never: Vec<_> = targets.iter().filter(|target| target.sent == 0).map(|t| t.name.as_str()).collect();
    if never.is_empty() {
        return Check::ok("notify", format!("{} target(s)", targets.len()));
    }
    Check::ok("notify", format!("not used yet: {} (floodwall notify test)", never.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn a_target_that_fails_is_told() {
        let line = |name: &str, sent, error: Option<&str>| Line {
            name: name.to_owned(),
            sent,
            error: error.map(str::to_owned),
            ..Line::default()
        };
        let fine = told(&[line("a", 1, None)]);
        let fresh = told(&[line("a", 1, None), line("b", 0, None)]);
        let bad = told(&[line("a", 1, None), line("b", 3, Some("no connection"))]);
        assert!(fine.state == State::Ok && fresh.state == State::Ok && bad.state == State::Warn);
        assert!(fresh.why.contains('b') && bad.why.contains('b') && !bad.why.contains("a,"), "{bad:?}");
    }
}
