//! The document, and that it is right.

use std::{collections::BTreeMap, fmt::Write as _};

use filter_common::reason::{Action, Reason};

use super::{THREATS, Threat};
use crate::{
    config::{Settings, rule::Section as _},
    observe::metrics::{METRICS, verdict},
};

const INTRO: &str = "\
# Attacks and what stands against them

Generated from the reasons and the configuration's schema (`FLOODWALL_BLESS=1 cargo test -p filter-user threats`). Stages are files in
filter-common/src. Every reason is a series of `floodwall_packets_total{interface, verdict, reason}` and `floodwall_bytes_total`, those of
what leaves the host of `floodwall_egress_packets_total`; in observe mode verdicts are `would_drop` and `would_reply`. docs/metrics.md
explains each reason, docs/config.md each setting; SECURITY.md says what is out of scope.

| attack | stage | reasons (label `reason`) | verdict | settings | what remains possible |
|---|---|---|---|---|---|
";

#[test]
fn threats_md_is_current() {
    let mut text = INTRO.to_owned();
    for Threat { attack, stage, reasons, settings, remains } in THREATS {
        let code =
            |words: Vec<&str>| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let labels = code(reasons.iter().map(|reason| reason.label()).collect());
        let verdicts: std::collections::BTreeSet<_> =
            reasons.iter().map(|reason| verdict(reason.action(), false)).collect();
        let verdicts = code(verdicts.into_iter().collect());
        let settings = if settings.is_empty() { "always on".to_owned() } else { code(settings.to_vec()) };
        let stage = code(stage.split(", ").collect());
        let _ = writeln!(text, "| {attack} | {stage} | {labels} | {verdicts} | {settings} | {remains} |");
    }
    crate::testing::is_current("threats.md", &text);
}

#[test]
fn every_reason_that_stops_a_packet_has_its_attack() {
    let mut seen = BTreeMap::<&str, usize>::new();
    THREATS
        .iter()
        .flat_map(|threat| threat.reasons)
        .for_each(|reason| *seen.entry(reason.label()).or_default() += 1);
    for reason in Reason::ALL.iter().filter(|reason| reason.action() != Action::Pass) {
        assert_eq!(seen.get(reason.label()), Some(&1), "{reason:?}");
    }
}

#[test]
fn every_setting_is_one() {
    let knobs = Settings::knobs();
    for setting in THREATS.iter().flat_map(|threat| threat.settings) {
        let mut level = knobs.as_slice();
        for word in setting.split('.') {
            let knob = level.iter().find(|knob| knob.name == word);
            level = knob.unwrap_or_else(|| panic!("{setting}: no {word}")).children().unwrap_or_default();
        }
    }
    assert!(METRICS.iter().any(|metric| metric.name == "floodwall_egress_packets_total"));
}

#[test]
fn every_stage_is_a_file() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../filter-common/src");
    for stage in THREATS.iter().flat_map(|threat| threat.stage.split(", ")) {
        assert!(sources.join(format!("{stage}.rs")).is_file(), "{stage}");
    }
}
