//! `floodwall doctor --risk`: what this host's configuration leaves open.

mod facts;
mod items;
#[cfg(test)]
mod tests;

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use serde::Serialize;

use self::{facts::Facts, items::ITEMS};
use crate::{
    cmd::{CONFIG, output::Output},
    config::{self, Host, Settings},
};

/// How much is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// A common attack works.
    High,
    /// Some attack works, or a common one costs more than it must.
    Medium,
    /// Worth knowing.
    Low,
}

/// All that an item may look at.
struct View<'a> {
    settings: &'a Settings,
    host: &'a Host,
    facts: &'a Facts,
}

/// Something that a configuration may leave open.
struct Item {
    severity: Severity,
    id: &'static str,
    why: &'static str,
    set: &'static str,
    /// What is open, if it is.
    found: fn(&View<'_>) -> Option<String>,
}

/// What is open here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Risk {
    severity: Severity,
    id: &'static str,
    /// What was found, and where.
    what: String,
    /// Why it matters.
    why: &'static str,
    /// What closes it.
    set: &'static str,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    risks: Vec<Risk>,
}

/// Looks and prints; an error means that it could not look.
pub(super) fn run(config: Option<PathBuf>, out: Output) -> anyhow::Result<ExitCode> {
    let settings = config::load(&config.unwrap_or_else(|| PathBuf::from(CONFIG)))?.settings;
    let host = Host::read()?;
    let facts = Facts::read(&settings);
    let risks = risks(&View { settings: &settings, host: &host, facts: &facts });
    out.print(&Report { schema: 1, risks }, |report| text(&report.risks, out))?;
    Ok(ExitCode::SUCCESS)
}

/// Worst first.
fn risks(view: &View<'_>) -> Vec<Risk> {
    let open = ITEMS.iter().filter_map(|item| {
        let Item { severity, id, why, set, found } = *item;
        Some(Risk { severity, id, what: found(view)?, why, set })
    });
    let mut open: Vec<_> = open.collect();
    open.sort_by_key(|risk| risk.severity);
    open
}

fn text(risks: &[Risk], out: Output) -> String {
    if risks.is_empty() {
        return "nothing that doctor knows of is left open".to_owned();
    }
    let mut text = String::new();
    for Risk { severity, id, what, why, set } in risks {
        let word = match severity {
            Severity::High => out.paint(31, "high  "),
            Severity::Medium => out.paint(33, "medium"),
            Severity::Low => out.paint(1, "low   "),
        };
        let _ = writeln!(text, "{word}  {id:<22} {what}");
        let _ = writeln!(text, "        {:<22} {why}\n        {:<22} -> {set}", "", "");
    }
    text
}
