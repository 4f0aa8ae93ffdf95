//! Every expression asks for what there is; every panel says what it shows.

use std::collections::BTreeSet;

use regex_lite::Regex;

use super::{json::ANNOTATIONS, *};
use crate::observe::{
    alerts::ALERTS,
    metrics::{METRICS, Unit},
};

/// What Prometheus, and the process collector, add. In seconds and such by their names.
const OTHERS: [&str; 6] = [
    "up",
    "scrape_samples_scraped",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
];

/// Labels of every series of a scrape.
const SCRAPED: [&str; 2] = ["job", "instance"];

struct Use {
    metric: String,
    labels: Vec<String>,
}

/// Metrics in an expression, with the labels that they are selected by.
fn uses(expr: &str) -> Vec<Use> {
    let metric = Regex::new(r"\b((?:floodwall|process|scrape)_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r#"([a-z_]+)\s*(?:=~|!~|!=|=)\s*"[^"]*""#).unwrap();
    let of = |found: regex_lite::Captures<'_>| Use {
        metric: found[1].to_owned(),
        labels: label
            .captures_iter(found.get(2).map_or("", |labels| labels.as_str()))
            .map(|label| label[1].to_owned())
            .collect(),
    };
    metric.captures_iter(expr).map(of).collect()
}

fn labels_of(metric: &str) -> Option<BTreeSet<&'static str>> {
    let declared = METRICS.iter().find(|known| known.name == metric);
    let own: Vec<_> = match declared {
        Some(declared) => declared.labels.iter().map(|label| label.name).collect(),
        None if OTHERS.contains(&metric) => Vec::new(),
        None => return None,
    };
    Some(own.into_iter().chain(SCRAPED).collect())
}

/// The metrics are declared, selected and grouped by labels that they have, and the text names no others.
fn check(place: &str, expr: &str, text: &str) {
    let uses = uses(expr);
    assert!(!uses.is_empty(), "{place}: {expr}");
    let mut all = BTreeSet::new();
    for used in &uses {
        let labels = labels_of(&used.metric).unwrap_or_else(|| panic!("{place}: no metric {}", used.metric));
        for label in &used.labels {
            assert!(labels.contains(label.as_str()), "{place}: {} has no {label}", used.metric);
        }
        all.extend(labels);
    }
    let group = Regex::new(r"\b(?:by|on|ignoring|without) \(([^)]*)\)").unwrap();
    let mut grouped = BTreeSet::new();
    for found in group.captures_iter(expr) {
        grouped
            .extend(found[1].split(',').map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned));
    }
    for label in &grouped {
        assert!(all.contains(label.as_str()), "{place}: nothing of {expr} has {label}");
    }
    let named = Regex::new(r"\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}").unwrap();
    for found in named.captures_iter(text) {
        let label = &found[1];
        assert!(all.contains(label), "{place}: {label} of {text} is no label");
        let is_kept = grouped.is_empty() || grouped.contains(label);
        assert!(is_kept, "{place}: {label} of {text} is not grouped by");
    }
}

fn panels() -> impl Iterator<Item = (String, &'static Panel)> {
    DASHBOARDS.iter().flat_map(|board| {
        let panels = board.rows.iter().flat_map(|(_, panels)| *panels);
        panels.map(|panel| (format!("{}: {}", board.uid, panel.title), panel))
    })
}

#[test]
fn expressions_ask_for_what_there_is() {
    for (place, panel) in panels() {
        for target in panel.targets {
            check(&place, &target.query(), target.legend);
            assert!(target.expr.contains("{%"), "{place} asks for all hosts");
        }
    }
    for (name, _, expr, title) in ANNOTATIONS {
        check(name, &Target { expr, legend: "" }.query(), title);
    }
    for alert in ALERTS {
        check(alert.name, alert.expr, &format!("{} {}", alert.summary, alert.description));
    }
}

/// A metric that nobody looks at is a metric too many.
#[test]
fn every_metric_is_on_a_dashboard() {
    let exprs = panels().flat_map(|(_, panel)| panel.targets.iter().map(|target| target.expr));
    let shown: BTreeSet<_> = exprs.flat_map(uses).map(|used| used.metric).collect();
    let unseen: Vec<_> =
        METRICS.iter().map(|metric| metric.name).filter(|name| !shown.contains(*name)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}

#[test]
fn panels_say_what_they_show() {
    let mut titles = BTreeSet::new();
    for (place, panel) in panels() {
        assert!(titles.insert(place.clone()), "{place} is there twice");
        assert!(
            panel.description.len() > 15 && panel.description.ends_with('.'),
            "{place}: {}",
            panel.description
        );
        assert!(!panel.unit.is_empty() && !panel.targets.is_empty() && panel.width <= 24, "{place}");
        assert!(panel.targets.iter().all(|target| !target.legend.is_empty()), "{place}");
        assert!(panel.thresholds.is_sorted_by(|a, b| a.0 < b.0), "{place}");
        assert!(
            panel.thresholds.iter().all(|(_, colour)| [YES, WARN, BAD, PLAIN, OFF].contains(colour)),
            "{place}"
        );
    }
    let uids: BTreeSet<_> = DASHBOARDS.iter().map(|board| board.uid).collect();
    assert_eq!(uids.len(), DASHBOARDS.len());
}

/// Of rates and plain values; what is divided is up to its author.
#[test]
fn units_follow_from_the_metrics() {
    for (place, panel) in panels() {
        for target in panel.targets.iter().filter(|target| !target.expr.contains(" / ")) {
            let is_rate = target.expr.contains("rate(");
            for used in uses(target.expr) {
                let Some(metric) = METRICS.iter().find(|metric| metric.name == used.metric) else { continue };
                let is_bits = target.expr.starts_with("8 * ");
                let counted = target.expr.contains("count") || target.expr.contains("increase(");
                let fits: &[&str] = match (metric.unit, is_rate) {
                    _ if counted => &["short"],
                    (Unit::Packets, true) => &["pps"],
                    (Unit::Bytes, true) if is_bits => &["bps"],
                    (Unit::Seconds, false) => &["s"],
                    (Unit::Moment, false) if target.expr.starts_with("time() - ") => &["s"],
                    (Unit::Flag, false) => &["none", "short"],
                    (Unit::Number, false) => &["short"],
                    _ => &[],
                };
                assert!(fits.contains(&panel.unit), "{place}: {} of {}", panel.unit, metric.name);
            }
        }
    }
}

#[test]
fn rates_have_the_interval_of_the_scrape() {
    for (place, panel) in panels() {
        for target in panel.targets {
            let plain = target.expr.matches("rate(").count();
            assert_eq!(plain, target.expr.matches("[$__rate_interval]").count(), "{place}");
        }
    }
}

#[test]
fn files_are_current() {
    for (path, text) in files() {
        crate::testing::is_current_at(&path, &text);
    }
}

#[test]
fn the_model_is_what_grafana_imports() {
    let mut seen = 0;
    for (path, text) in files().iter().filter(|(path, _)| path.starts_with("grafana/dashboards")) {
        let model: serde_json::Value = serde_json::from_str(text).unwrap();
        assert!((39..=41).contains(&model["schemaVersion"].as_u64().unwrap()), "{path}");
        let names: Vec<_> = model["templating"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["datasource", "job", "instance", "service"]);
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in model["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{path}");
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(x < 24 && cells.insert((x, y)), "{path}: panels overlap at {x} {y}");
                }
            }
            if panel["type"] != "row" {
                assert_eq!(panel["datasource"]["uid"], "${datasource}");
                assert!(
                    !panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().unwrap().is_empty()
                );
                seen += 1;
            }
        }
    }
    assert_eq!(seen, panels().count());
}

/// Who renames a metric hears of it.
#[test]
#[should_panic(expected = "no metric floodwall_renamed_total")]
fn a_renamed_metric_is_found() {
    check("a panel", "sum by (reason) (rate(floodwall_renamed_total{job=\"a\"}[5m]))", "{{reason}}");
}

#[test]
#[should_panic(expected = "floodwall_packets_total has no service")]
fn a_label_that_is_not_there_is_found() {
    check("a panel", "sum(floodwall_packets_total{service=\"web\"})", "dropped");
}

#[test]
#[should_panic(expected = "verdict of {{verdict}} is not grouped by")]
fn a_legend_without_its_label_is_found() {
    check("a panel", "sum by (reason) (floodwall_packets_total)", "{{verdict}}");
}
