//! The rules are what Prometheus takes, and each fires when it should, and only then.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Output},
};

use super::*;

#[test]
fn alerts_md_is_current() {
    crate::testing::is_current("alerts.md", &manual());
}

#[test]
fn each_says_what_it_is_and_what_to_do() {
    let names: BTreeSet<_> = ALERTS.iter().map(|alert| alert.name).collect();
    assert_eq!(names.len(), ALERTS.len());
    for alert in ALERTS {
        assert!(alert.name.starts_with("Floodwall") && alert.description.ends_with('.'), "{}", alert.name);
        assert!(alert.summary.contains("{{ $labels.instance }}"), "{} does not say where", alert.name);
        assert!(alert.runbook.len() > 20, "{}", alert.name);
        assert!(!alert.fires.is_empty() && !alert.quiet.is_empty(), "{}", alert.name);
    }
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// Where it is installed, the judge is Prometheus' own tool.
#[test]
fn promtool_takes_the_rules_and_each_fires_when_it_should() {
    let Some(promtool) = crate::testing::promtool() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in crate::observe::dashboards::files() {
        if let Some(name) = path.strip_prefix("prometheus/") {
            fs::write(folder.path().join(name), text).unwrap();
        }
    }
    let run = |arguments: &[&str]| {
        Command::new(&promtool).args(arguments).current_dir(folder.path()).output().unwrap()
    };
    let checked = run(&["check", "rules", "--lint=all", "--lint-fatal", "floodwall.rules.yml"]);
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(said(&checked).contains(&format!("{} rules found", ALERTS.len())), "{}", said(&checked));
    let tested = run(&["test", "rules", "floodwall.test.yml"]);
    assert!(tested.status.success(), "{}", said(&tested));
    // The tests can fail: what fires is not what is quiet.
    let other = tests().replace("value: 1\n", "value: 0\n");
    fs::write(folder.path().join("other.yml"), other).unwrap();
    let failed = run(&["test", "rules", "other.yml"]);
    assert_eq!(said(&failed).matches("got: {} 1E+00").count(), ALERTS.len(), "{}", said(&failed));
}
