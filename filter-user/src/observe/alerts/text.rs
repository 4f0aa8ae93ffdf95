//! As files: rules, tests of the rules, a manual. A string of JSON is one of YAML, too.

use std::fmt::Write as _;

use super::{ALERTS, Alert};

const MADE: &str =
    "# Generated (FLOODWALL_BLESS=1 cargo test -p filter-user); docs/alerts.md says what to do about each.\n";

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// For Prometheus' `rule_files`.
#[must_use]
pub fn rules() -> String {
    let mut text = format!("{MADE}groups:\n  - name: floodwall\n    rules:\n");
    for alert in ALERTS {
        let _ = write!(
            text,
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels:\n          severity: {}\n        \
             annotations:\n          summary: {}\n          description: {}\n          runbook_url: {}\n",
            alert.name,
            quoted(alert.expr),
            alert.lasts,
            alert.severity.label(),
            quoted(alert.summary),
            quoted(alert.description),
            quoted(&runbook(alert)),
        );
    }
    text
}

/// Relative to the root of the source tree or of its web pages.
fn runbook(alert: &Alert) -> String {
    format!("{}/blob/main/docs/alerts.md#{}", env!("CARGO_PKG_REPOSITORY"), alert.anchor())
}

/// For `promtool test rules`, in the folder of the rules: each alert fires, and does not. That the labels and texts of what fires are
/// right is another test's: here the fewest words say what counts.
#[must_use]
pub fn tests() -> String {
    let mut text = format!("{MADE}rule_files:\n  - floodwall.rules.yml\nevaluation_interval: 1m\ntests:\n");
    for alert in ALERTS {
        for (name, series, count) in [("fires", alert.fires, 1), ("is quiet", alert.quiet, 0)] {
            let _ = write!(text, "  - name: {} {name}\n    interval: 1m\n    input_series:\n", alert.name);
            for (series, values) in series {
                let _ =
                    write!(text, "      - series: {}\n        values: {}\n", quoted(series), quoted(values));
            }
            // Of the last minute that there are values for; ALERTS has a series for each alert that fires.
            let fired =
                format!("count(ALERTS{{alertname=\"{}\",alertstate=\"firing\"}}) or vector(0)", alert.name);
            let _ = write!(
                text,
                "    promql_expr_test:\n      - expr: {}\n        eval_time: {}m\n        exp_samples:\n          - value: {count}\n            labels: \"{{}}\"\n",
                quoted(&fired),
                minutes(series),
            );
        }
    }
    text
}

/// Until when all series have values.
fn minutes(series: &[(&str, &str)]) -> usize {
    let values = |text: &str| -> usize { text.split(' ').map(repeats).sum() };
    series.iter().map(|(_, text)| values(text)).min().unwrap_or(1) - 1
}

/// `3` is one value, `3x4` and `3+1x4` are five.
fn repeats(part: &str) -> usize {
    part.rsplit_once('x').map_or(1, |(_, more)| more.parse::<usize>().map_or(1, |more| more + 1))
}

/// docs/alerts.md
#[must_use]
pub fn manual() -> String {
    let mut text = String::from(
        "# Alerts\n\n`prometheus/floodwall.rules.yml` holds these rules (`floodwall support dashboards --out DIR` writes it \
         beside the Grafana dashboards); \nthey expect the scrape job to be called `floodwall`. `runbook_url` of each leads to \
         its section here. `critical` wants somebody at once\n(a page), `warning` within the day (a ticket), `info` when there is time. This page is generated \
         (`FLOODWALL_BLESS=1 cargo test -p filter-user`).\n\nNo recording rules come with them: the largest query of the \
         dashboards reads some 190 series of an interface.\n\n| alert | severity | what it means |\n|---|---|---|\n",
    )
    .replace(" \n", "\n");
    for alert in ALERTS {
        let (name, anchor, severity) = (alert.name, alert.anchor(), alert.severity.label());
        let _ = writeln!(text, "| [{name}](#{anchor}) | {severity} | {} |", alert.description);
    }
    for alert in ALERTS {
        let _ = write!(
            text,
            "\n## {}\n\n{} Severity {}, after {}:\n\n```promql\n{}\n```\n\n{}\n",
            alert.name,
            alert.description,
            alert.severity.label(),
            alert.lasts,
            alert.expr,
            alert.runbook,
        );
    }
    text
}
