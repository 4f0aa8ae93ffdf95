//! Prometheus' alert rules, with what to do about each: `prometheus/` in the tree, docs/alerts.md. Each is tested by `promtool test
//! rules`: by series that make it fire, and by others that don't.

mod table;
#[cfg(test)]
mod tests;
mod text;

pub use self::{
    table::ALERTS,
    text::{manual, rules, tests},
};

/// How soon somebody has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Now, at night too.
    Critical,
    /// Today.
    Warning,
    /// When there is time.
    Info,
}

impl Severity {
    /// The value of the `severity` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// An alert rule.
#[derive(Clone, Copy, Debug)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// When it is so.
    pub expr: &'static str,
    /// For how long it has to be so.
    pub lasts: &'static str,
    /// How soon somebody has to look.
    pub severity: Severity,
    /// One line; Prometheus' templates.
    pub summary: &'static str,
    /// What that means.
    pub description: &'static str,
    /// What to do, in Markdown.
    pub runbook: &'static str,
    /// Series that make it fire; values in promtool's notation, one a minute.
    pub fires: &'static [(&'static str, &'static str)],
    /// Series that are near to it, and don't.
    pub quiet: &'static [(&'static str, &'static str)],
}

impl Alert {
    /// Its section of docs/alerts.md.
    #[must_use]
    pub fn anchor(&self) -> String {
        self.name.to_ascii_lowercase()
    }
}
