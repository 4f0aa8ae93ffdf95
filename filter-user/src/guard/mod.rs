//! Not locking oneself out: who has to get through, and whether a configuration lets them.
//!
//! The major components are:
//! - [`peers`]: found in `/proc`: SSH and BGP connections, gateways, resolvers.
//! - [`rehearse`]: their packets through the programs that a configuration would load.
//!
//! Whoever is found here is checked, and protected from bans. Nobody is allowed by it: an address that anybody can forge
//! (a public resolver's, a gateway's), or that anybody gets into the list by opening a connection, would be a hole. Who
//! has to pass whatever happens is listed in `management.allow`.

pub mod peers;
pub mod rehearse;

use anyhow::Result;
use tracing::error;

pub use self::{
    peers::{Connection, Found},
    rehearse::{Finding, Weight},
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::{Host, Settings},
    dataplane::Plan,
};

/// Refuses a plan that would drop what has to pass, unless it is forced; returns what there is to say about it.
pub fn try_out(
    (plan, host): (&Plan, &Host),
    settings: &Settings,
    ssh: Option<&str>,
    force: bool,
) -> Result<Vec<String>> {
    if !settings.management.auto {
        return Ok(vec!["management.auto is false: nobody's packets were tried out".to_owned()]);
    }
    let found = Found::look(&settings.management, ssh).on(host);
    let findings = rehearse::findings(plan, settings, &found);
    let refused: Vec<_> = findings.iter().filter(|finding| finding.weight == Weight::Refused).collect();
    if let Some(first) = refused.first().filter(|_| !force) {
        let all: Vec<_> = refused.iter().map(|finding| finding.message.as_str()).collect();
        let hint = format!("{}; --force does it all the same", first.hint);
        return Err(Failure::new(Kind::GuardRail, format!("refused: {}", all.join("\n  ")), hint).into());
    }
    for finding in refused {
        error!("FORCED: {}", finding.message);
    }
    let mut lines: Vec<_> = findings.into_iter().map(|finding| finding.message).collect();
    if found.caller.is_none() {
        lines.push("no SSH connection of yours is known, so none was tried out".to_owned());
    }
    Ok(lines)
}
