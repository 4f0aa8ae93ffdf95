//! A report as text: for a terminal, or as Markdown.

use std::fmt::Write as _;

use super::{
    compare::{Comparison, Verdict},
    report::{LINKS, Met, Report, Row, Run},
    stats::Quartiles,
};

/// Columns of text, under their heads.
struct Table {
    heads: Vec<String>,
    /// Numbers, which stand at the right.
    right: Vec<bool>,
    lines: Vec<Vec<String>>,
}

/// For a terminal.
#[must_use]
pub fn text(report: &Report) -> String {
    let Report { machine, subject, harness, .. } = report;
    let mut text = format!(
        "{} on {}, Linux {}; {} rounds of {} packets, net ns per packet: median (quartiles)\n\n",
        subject.config, machine.cpu, machine.kernel, subject.rounds, subject.packets
    );
    text += &paths(report).aligned();
    let _ = write!(
        text,
        "\nempty program {} ns a call, of which net ns is free; through the wrapper {} ns; empty pass {}, empty TX {} net\n\
         Mpps and shares of line rate: what one core judges of such frames; driver and stack come on top\n",
        ns(&harness.empty),
        ns(&harness.wrapped),
        ns(&harness.pass),
        ns(&harness.tx),
    );
    if harness.is_disturbed() {
        text += "! others disturb this CPU, so these figures are too high: try again when it is quiet, or with more --rounds\n";
    }
    for row in report.paths.iter().filter(|row| !row.ok) {
        let _ = writeln!(text, "! {}: not what it is called, but {}", row.name, whole_fate(row));
    }
    if let Some(comparison) = &report.comparison {
        text += "\n";
        text += &compared(comparison);
    }
    text
}

/// As Markdown: the table, and what it was measured on.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let Report { machine, subject, harness, .. } = report;
    let mut text = paths(report).markdown();
    let _ = write!(
        text,
        "\n{}, Linux {}, Floodwall {}; configuration: {}; lists and bans of {} entries; medians (quartiles) of {} \
         rounds of {} packets. An empty program takes {} ns a call, which is not in these figures.\n",
        machine.cpu,
        machine.kernel,
        report.version,
        subject.config,
        subject.entries,
        subject.rounds,
        subject.packets,
        ns(&harness.empty),
    );
    if let Some(comparison) = &report.comparison {
        let _ = write!(text, "\n{}", changes(comparison).markdown());
    }
    text
}

fn paths(report: &Report) -> Table {
    let mut numbers: Vec<u32> =
        report.paths.iter().flat_map(|row| &row.runs).map(|run| run.sources).collect();
    // One source first, new ones last.
    numbers.sort_unstable_by_key(|sources| sources.wrapping_sub(1));
    numbers.dedup();
    let mut heads = vec!["path".to_owned(), "what".to_owned(), "met".to_owned()];
    heads.extend(numbers.iter().map(|sources| crowd(*sources)));
    heads.push("Mpps/core".to_owned());
    heads.extend(LINKS.iter().map(|gbit| format!("{gbit}G")));
    let right = (0..heads.len()).map(|column| column > 2).collect();
    let lines = report.paths.iter().map(|row| line(row, &numbers)).collect();
    Table { heads, right, lines }
}

fn crowd(sources: u32) -> String {
    match sources {
        0 => "new sources".to_owned(),
        1 => "one source".to_owned(),
        many => format!("{many} sources"),
    }
}

fn line(row: &Row, numbers: &[u32]) -> Vec<String> {
    let mut cells = vec![row.name.clone(), row.title.clone(), fate(row)];
    for number in numbers {
        let run = row.runs.iter().find(|run| run.sources == *number);
        cells.push(run.map_or_else(|| "-".to_owned(), |run| with_quartiles(&run.net_ns)));
    }
    let slowest = row.runs.iter().max_by(|a, b| a.net_ns.median.total_cmp(&b.net_ns.median));
    cells.push(slowest.and_then(|run| run.mpps).map_or_else(|| "-".to_owned(), |mpps| format!("{mpps:.1}")));
    for gbit in LINKS {
        let share = |run: &Run| run.line_rate.iter().find(|rate| rate.gbit == gbit).map(|rate| rate.share);
        cells.push(slowest.and_then(share).map_or_else(|| "-".to_owned(), percent));
    }
    cells
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn ns(quartiles: &Quartiles) -> String {
    format!("{:.1}", quartiles.median)
}

fn with_quartiles(quartiles: &Quartiles) -> String {
    let Quartiles { median, q1, q3 } = quartiles;
    format!("{median:.1} ({q1:.1}-{q3:.1})")
}

/// What it met, with a mark if that is not what it is called.
fn fate(row: &Row) -> String {
    let runs = row.runs.iter().filter_map(|run| run.met.first());
    let mut names: Vec<&str> = runs.map(|met| met.reason.as_str()).collect();
    names.dedup();
    let mark = if row.ok { "" } else { " !" };
    format!("{}{mark}", names.join(", "))
}

fn whole_fate(row: &Row) -> String {
    let one = |Met { reason, share }: &Met| format!("{reason} {}", percent(*share));
    let run = |run: &Run| {
        let met: Vec<_> = run.met.iter().take(4).map(one).collect();
        format!("{}: {}", crowd(run.sources), met.join(", "))
    };
    row.runs.iter().filter(|run| !run.ok).map(run).collect::<Vec<_>>().join("; ")
}

fn compared(comparison: &Comparison) -> String {
    let Comparison { version, tolerance, remarks, .. } = comparison;
    let mut text = format!("against a run of {version}, tolerance {tolerance} %\n");
    for remark in remarks {
        let _ = writeln!(text, "! {remark}");
    }
    text + &changes(comparison).aligned()
}

fn changes(comparison: &Comparison) -> Table {
    let heads = ["path", "sources", "before", "now", "change", ""].map(str::to_owned).to_vec();
    let line = |change: &super::compare::Change| {
        let verdict = match change.verdict {
            Verdict::Same => "",
            Verdict::Slower => "slower",
            Verdict::Faster => "faster",
        };
        vec![
            change.path.clone(),
            crowd(change.sources),
            with_quartiles(&change.before),
            with_quartiles(&change.after),
            format!("{:+.1} %", change.percent),
            verdict.to_owned(),
        ]
    };
    let lines = comparison.changes.iter().map(line).collect();
    Table { heads, right: vec![false, false, true, true, true, false], lines }
}

impl Table {
    fn aligned(&self) -> String {
        let all = || std::iter::once(&self.heads).chain(&self.lines);
        let width = |column: usize| all().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for line in all() {
            let cells = line.iter().zip(&self.right).enumerate().map(|(column, (cell, right))| {
                let width = width(column);
                if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        text
    }

    fn markdown(&self) -> String {
        let rule = self.right.iter().map(|right| if *right { "---:" } else { "---" });
        let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(self.heads.iter().map(String::as_str).collect());
        text += &line(rule.collect());
        for cells in &self.lines {
            text += &line(cells.iter().map(String::as_str).collect());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{Harness, Machine, SCHEMA, Subject, shares};

    fn report() -> Report {
        let row = |name: &str, runs: Vec<Run>| Row {
            name: name.to_owned(),
            title: format!("the {name}"),
            bytes: 60,
            expects: vec!["pass".to_owned()],
            ok: runs.iter().all(|run| run.ok),
            runs,
        };
        let run = |sources, samples: &[f64], reason| {
            Run::new(sources, 60, samples, shares(vec![(reason, 9), ("stray", 0)]), &["pass".to_owned()])
        };
        Report {
            schema: SCHEMA,
            version: "0.1.0".to_owned(),
            machine: Machine { kernel: "6.18".to_owned(), cpu: "a CPU".to_owned(), core: 1 },
            subject: Subject {
                config: "built-in".to_owned(),
                entries: 7,
                rounds: 3,
                packets: 9,
                ..Subject::default()
            },
            harness: Harness::default(),
            paths: vec![
                row("data", vec![run(1, &[10.0], "pass"), run(0, &[20.0], "pass")]),
                row("land", vec![run(1, &[0.0], "bogon")]),
            ],
            comparison: None,
        }
    }

    #[test]
    fn columns_stand_under_their_heads() {
        let text = text(&report());
        let lines: Vec<_> = text.lines().collect();
        let column = lines[2].find("new sources").expect("a head") + "new sources".len();
        assert_eq!(&lines[3][..column].trim_end().len(), &column, "{text}");
        assert!(
            lines[3].contains("10.0 (10.0-10.0)") && lines[3].ends_with("50.0  100 %  100 %   34 %"),
            "{text}"
        );
        assert!(lines[4].contains("bogon !") && lines[4].ends_with("-  100 %  100 %  100 %"), "{text}");
        assert!(text.contains("! land: not what it is called, but one source: bogon 100 %"), "{text}");
    }

    #[test]
    fn markdown_has_as_many_cells_in_each_line() {
        let mut report = report();
        report.comparison = Some(crate::bench::compare::compare(&report, &report, 10.0));
        let text = markdown(&report);
        let cells = |line: &str| line.matches('|').count();
        let table: Vec<_> = text.lines().take(4).collect();
        assert!(table.iter().all(|line| cells(line) == cells(table[0])), "{text}");
        assert!(table[1].starts_with("| --- | --- | --- | ---: |"), "{text}");
        assert!(text.contains("| data | new sources | 20.0 (20.0-20.0) |"), "{text}");
    }
}
