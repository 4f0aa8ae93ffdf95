//! Against a saved run.

use serde::{Deserialize, Serialize};

use super::{
    report::{Report, Run},
    stats::Quartiles,
};

/// Nanoseconds within which two runs are the same, whatever they are in per cent: neither the harness nor one and the same
/// machine an hour later is better than that.
const SAME: f64 = 2.0;

/// This run against a saved one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Version that made the saved run.
    pub version: String,
    /// Per cent within which a path is as fast as it was.
    pub tolerance: f64,
    /// Some path is slower.
    pub slower: bool,
    /// What makes the two hard to compare.
    pub remarks: Vec<String>,
    /// Every path that both have measured, and that met what it should in both.
    pub changes: Vec<Change>,
}

/// One path with one number of sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The path.
    pub path: String,
    /// Number of sources.
    pub sources: u32,
    /// Nanoseconds before.
    pub before: Quartiles,
    /// Nanoseconds now.
    pub after: Quartiles,
    /// Difference of the medians.
    pub percent: f64,
    /// What that means.
    pub verdict: Verdict,
}

/// Whether a path has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No.
    Same,
    /// It takes longer.
    Slower,
    /// It takes less.
    Faster,
}

impl Verdict {
    /// Beyond the tolerance, beyond both runs' quartiles, and beyond what can be told apart at all.
    fn of(before: &Quartiles, after: &Quartiles, tolerance: f64) -> Self {
        let factor = 1.0 + tolerance / 100.0;
        let beyond = |low: &Quartiles, high: &Quartiles| {
            high.median > low.median.max(0.0) * factor && high.q1 > low.q3 && high.median - low.median > SAME
        };
        if beyond(before, after) {
            Self::Slower
        } else if beyond(after, before) {
            Self::Faster
        } else {
            Self::Same
        }
    }
}

/// Compares what both have measured.
#[must_use]
pub fn compare(saved: &Report, report: &Report, tolerance: f64) -> Comparison {
    let changes: Vec<_> = report
        .paths
        .iter()
        .filter_map(|row| Some((row, saved.paths.iter().find(|old| old.name == row.name)?)))
        .flat_map(|(row, old)| {
            let pair = |run: &Run| {
                let old = old.runs.iter().find(|old| old.sources == run.sources)?;
                (old.ok && run.ok).then(|| change(&row.name, old, run, tolerance))
            };
            row.runs.iter().filter_map(pair).collect::<Vec<_>>()
        })
        .collect();
    Comparison {
        version: saved.version.clone(),
        tolerance,
        slower: changes.iter().any(|change| change.verdict == Verdict::Slower),
        remarks: remarks(saved, report),
        changes,
    }
}

fn change(path: &str, old: &Run, new: &Run, tolerance: f64) -> Change {
    let (before, after) = (old.net_ns, new.net_ns);
    let percent = if before.median > 0.0 { (after.median / before.median - 1.0) * 100.0 } else { 0.0 };
    Change {
        path: path.to_owned(),
        sources: new.sources,
        before,
        after,
        percent: (percent * 10.0).round() / 10.0,
        verdict: Verdict::of(&before, &after, tolerance),
    }
}

fn remarks(saved: &Report, report: &Report) -> Vec<String> {
    let (old, new) = (&saved.machine, &report.machine);
    let subject = |report: &Report| (report.subject.config.clone(), report.subject.entries);
    [
        (old.cpu != new.cpu, format!("another CPU: {}", old.cpu)),
        (old.kernel != new.kernel, format!("another kernel: {}", old.kernel)),
        (
            subject(saved) != subject(report),
            format!("another configuration: {}, {} entries", saved.subject.config, saved.subject.entries),
        ),
    ]
    .into_iter()
    .filter_map(|(differs, text)| differs.then_some(text))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{Harness, Machine, Row, SCHEMA, Subject};

    fn quartiles(q1: f64, median: f64, q3: f64) -> Quartiles {
        Quartiles { median, q1, q3 }
    }

    fn run(sources: u32, samples: &[f64], ok: bool) -> Run {
        Run { ok, ..Run::new(sources, 74, samples, Vec::new(), &[]) }
    }

    fn report(paths: &[(&str, Vec<Run>)]) -> Report {
        let row = |(name, runs): &(&str, Vec<Run>)| Row {
            name: (*name).to_owned(),
            title: String::new(),
            bytes: 74,
            expects: Vec::new(),
            ok: true,
            runs: runs.clone(),
        };
        Report {
            schema: SCHEMA,
            version: "0.1.0".to_owned(),
            machine: Machine::default(),
            subject: Subject::default(),
            harness: Harness::default(),
            paths: paths.iter().map(row).collect(),
            comparison: None,
        }
    }

    #[test]
    fn slower_is_beyond_all_doubt() {
        let verdict = |before, after| Verdict::of(&before, &after, 10.0);
        let base = quartiles(19.0, 20.0, 21.0);
        assert_eq!(verdict(base, quartiles(24.0, 25.0, 26.0)), Verdict::Slower);
        assert_eq!(verdict(base, quartiles(20.5, 25.0, 26.0)), Verdict::Same, "the quartiles overlap");
        assert_eq!(verdict(base, quartiles(21.2, 21.5, 22.0)), Verdict::Same, "within ten per cent");
        assert_eq!(verdict(base, quartiles(14.0, 15.0, 16.0)), Verdict::Faster);
        let fast = quartiles(1.9, 2.0, 2.1);
        assert_eq!(verdict(fast, quartiles(2.4, 2.5, 2.6)), Verdict::Same, "half a nanosecond is nothing");
        let none = quartiles(-0.2, -0.1, 0.0);
        assert_eq!(verdict(none, quartiles(2.9, 3.0, 3.1)), Verdict::Slower);
    }

    #[test]
    fn only_what_both_have_measured_is_compared() {
        let saved = report(&[
            ("a", vec![run(1, &[20.0], true), run(0, &[30.0], true)]),
            ("b", vec![run(1, &[20.0], false)]),
            ("gone", vec![run(1, &[20.0], true)]),
        ]);
        let mut now = report(&[
            ("a", vec![run(1, &[20.1], true), run(0, &[60.0], true)]),
            ("b", vec![run(1, &[90.0], true)]),
            ("new", vec![run(1, &[90.0], true)]),
        ]);
        now.machine.cpu = "another".to_owned();
        let comparison = compare(&saved, &now, 10.0);
        let verdicts: Vec<_> =
            comparison.changes.iter().map(|c| (c.path.as_str(), c.sources, c.verdict)).collect();
        assert_eq!(verdicts, [("a", 1, Verdict::Same), ("a", 0, Verdict::Slower)]);
        assert!(comparison.slower && comparison.remarks.len() == 1);
        assert!((comparison.changes[1].percent - 100.0).abs() < 1e-9);
        assert!(!compare(&now, &saved, 10.0).slower);
    }

    #[test]
    fn json_comes_back_as_it_was() {
        let mut report = report(&[("a", vec![run(1, &[20.0, 21.0], true), run(0, &[0.1], true)])]);
        report.comparison = Some(compare(&report, &report, 5.0));
        let text = serde_json::to_string(&report).expect("JSON");
        assert_eq!(serde_json::from_str::<Report>(&text).expect("the same form"), report);
        assert!(text.starts_with("{\"schema\":1,") && text.contains("\"mpps\":null"), "{text}");
    }
}
