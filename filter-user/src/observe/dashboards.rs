//! Grafana dashboards, made of the same metrics that [`super::metrics`] declares: a test looks up every name and label that an
//! expression uses. `grafana/` in the tree and `floodwall support dashboards` are these.

mod attack;
mod bans;
mod host;
mod json;
mod overview;
#[cfg(test)]
mod tests;

pub use self::json::{SCHEMA, files};

/// A dashboard.
#[derive(Clone, Copy, Debug)]
pub struct Dashboard {
    /// Its fixed uid, and the name of its file.
    pub uid: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Titles of rows, and what is in them.
    pub rows: &'static [(&'static str, &'static [Panel])],
}

/// A panel.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// What it shows, and what to make of it.
    pub description: &'static str,
    /// Unit, as Grafana names it.
    pub unit: &'static str,
    /// How it is drawn.
    pub view: View,
    /// From where on values are drawn in which colour; below all of them it is Grafana's `green`, or `blue` where there are none.
    pub thresholds: &'static [(f64, &'static str)],
    /// Columns of 24.
    pub width: u32,
    /// What it asks for.
    pub targets: &'static [Target],
}

/// How a panel is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum View {
    /// One large number; these values have names and colours.
    Stat(&'static [(f64, &'static str, &'static str)]),
    /// Lines over time.
    Lines,
    /// Areas on top of each other.
    Stacked,
    /// Bars over time, one line each, for what is on or off.
    States(&'static [(f64, &'static str, &'static str)]),
}

/// A query and the name of its series.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// PromQL; `%` stands for [`WHERE`].
    pub expr: &'static str,
    /// Grafana's legend format.
    pub legend: &'static str,
}

/// The hosts that were chosen.
pub const WHERE: &str = "job=~\"$job\",instance=~\"$instance\"";

impl Target {
    /// The query as Grafana gets it.
    #[must_use]
    pub fn query(&self) -> String {
        self.expr.replace('%', WHERE)
    }
}

/// All of them.
pub const DASHBOARDS: [Dashboard; 4] = [overview::BOARD, attack::BOARD, host::BOARD, bans::BOARD];

const YES: &str = "green";
const WARN: &str = "orange";
const BAD: &str = "red";
/// For what is neither good nor bad.
const PLAIN: &str = "blue";
const OFF: &str = "text";

const fn panel(title: &'static str, description: &'static str, unit: &'static str, view: View) -> Panel {
    let width = match view {
        View::Stat(_) => 4,
        View::Lines | View::Stacked | View::States(_) => 12,
    };
    Panel { title, description, unit, view, thresholds: &[], width, targets: &[] }
}

impl Panel {
    const fn from(self, thresholds: &'static [(f64, &'static str)]) -> Self {
        Self { thresholds, ..self }
    }

    const fn wide(self, width: u32) -> Self {
        Self { width, ..self }
    }

    const fn asks(self, targets: &'static [Target]) -> Self {
        Self { targets, ..self }
    }

    /// Rows of Grafana's grid.
    #[must_use]
    pub const fn height(&self) -> u32 {
        match self.view {
            View::Stat(_) => 4,
            View::Lines | View::Stacked | View::States(_) => 8,
        }
    }
}

const fn target(expr: &'static str, legend: &'static str) -> Target {
    Target { expr, legend }
}
