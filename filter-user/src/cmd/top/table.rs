//! A view as rows of text: what `--once` prints, and what the panes of the screen hold.

use std::fmt::Write as _;

use super::model::{Rate, Sender, View};
use crate::{daemon::detect::short, observe::metrics::is_drop};

/// What a pane shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    /// Reasons.
    Reasons,
    /// Addresses that send most.
    Sources,
    /// Their networks.
    Prefixes,
    /// Services.
    Services,
    /// Attacks that go on.
    Attacks,
    /// Fill levels.
    Tables,
    /// Processors.
    Cpus,
}

/// By what rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// Packets, most first.
    #[default]
    Packets,
    /// Bits, most first.
    Bits,
    /// Names.
    Names,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// What it is about.
    pub name: String,
    /// Columns of numbers.
    pub numbers: [String; 2],
    /// What else there is to say.
    pub remark: String,
    /// To sort by.
    rate: Rate,
    /// It is about something that is dropped, or attacks.
    pub bad: bool,
}

impl Pane {
    /// In the order of their keys.
    pub(super) const ALL: [Self; 7] = [
        Self::Reasons,
        Self::Sources,
        Self::Prefixes,
        Self::Services,
        Self::Attacks,
        Self::Tables,
        Self::Cpus,
    ];

    /// Its title, and those of its columns.
    #[must_use]
    pub(super) const fn head(self) -> [&'static str; 4] {
        match self {
            Self::Reasons => ["Reasons", "pps", "bit/s", "verdict"],
            Self::Sources => ["Sources", "pps", "bit/s", "dropped"],
            Self::Prefixes => ["Prefixes", "pps", "bit/s", "dropped"],
            Self::Services => ["Services", "pps", "bit/s", "armed"],
            Self::Attacks => ["Attacks", "peak", "bit/s", "vectors"],
            Self::Tables => ["Tables", "used", "of", ""],
            Self::Cpus => ["CPUs", "softirq", "busy", ""],
        }
    }

    /// Its rows: those with `filter` in them, in that order.
    #[must_use]
    pub(super) fn rows(self, view: &View, order: Order, filter: &str) -> Vec<Row> {
        let mut rows = self.all(view);
        rows.retain(|row| row.name.contains(filter) || row.remark.contains(filter));
        rows.sort_by(|a, b| match order {
            Order::Packets => b.rate.pps.total_cmp(&a.rate.pps),
            Order::Bits => b.rate.bps.total_cmp(&a.rate.bps),
            Order::Names => a.name.cmp(&b.name),
        });
        rows
    }

    fn all(self, view: &View) -> Vec<Row> {
        match self {
            Self::Reasons => view
                .reasons
                .iter()
                .map(|f| Row::new(&f.reason, f.rate, f.verdict.clone(), is_drop(&f.verdict)))
                .collect(),
            Self::Sources => view.sources.iter().map(sender).collect(),
            Self::Prefixes => view.prefixes.iter().map(sender).collect(),
            Self::Services => {
                let row = |service: &super::model::Service| {
                    let mut remark = service.armed.join("+");
                    if !service.attacks.is_empty() {
                        let _ = write!(remark, " !{}", service.attacks.join(","));
                    }
                    Row::new(&service.name, service.load.rate, remark, !service.attacks.is_empty())
                };
                view.services.iter().map(row).collect()
            }
            Self::Attacks => {
                let row = |attack: &crate::daemon::detect::Line| {
                    let vectors: Vec<_> =
                        attack.vectors.iter().map(|vector| vector.vector.as_str()).collect();
                    let numbers = [short(attack.peak_pps), short(attack.peak_bps)];
                    let name = format!("#{} {}", attack.id, attack.service);
                    Row { name, numbers, remark: vectors.join(","), rate: Rate::default(), bad: true }
                };
                view.attacks.iter().map(row).collect()
            }
            Self::Tables => {
                let row = |table: &crate::observe::status::Table| {
                    let numbers = [short(table.entries), short(table.max)];
                    let full = table.max > 0 && table.entries >= table.max / 10 * 9;
                    let remark = if full { "nearly full" } else { "" }.to_owned();
                    Row { name: table.name.clone(), numbers, remark, rate: Rate::default(), bad: full }
                };
                view.tables.iter().map(row).collect()
            }
            Self::Cpus => {
                let percent = |part: f64| format!("{:.0} %", part * 100.0);
                let row = |cpu: &super::model::Cpu| {
                    let numbers = [percent(cpu.softirq), percent(cpu.busy)];
                    let rate = Rate::default();
                    Row {
                        name: format!("cpu{}", cpu.number),
                        numbers,
                        remark: String::new(),
                        rate,
                        bad: cpu.softirq > 0.8,
                    }
                };
                view.cpus.iter().map(row).collect()
            }
        }
    }
}

impl Row {
    fn new(name: &str, rate: Rate, remark: String, bad: bool) -> Self {
        Self { name: name.to_owned(), numbers: [rate_of(rate.pps), rate_of(rate.bps)], remark, rate, bad }
    }
}

fn sender<K: ToString>(sender: &Sender<K>) -> Row {
    let mark = if sender.proven { "+" } else { "" };
    let dropped =
        if sender.load.dropped_pps > 0.0 { rate_of(sender.load.dropped_pps) } else { String::new() };
    Row::new(
        &format!("{}{mark}", sender.who.to_string()),
        sender.load.rate,
        dropped,
        sender.load.dropped_pps > 0.0,
    )
}

/// A rate in few characters.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are finite and not negative"
)]
pub(super) fn rate_of(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 { format!("{rate:.1}") } else { short(rate as u64) }
}

/// All panes, one below the other.
#[must_use]
pub(super) fn text(view: &View) -> String {
    let mut text = format!("mode {}, revision {}, over {:.1} s\n", view.mode, view.revision, view.seconds);
    for (verdict, rate) in &view.verdicts {
        let _ = writeln!(text, "{verdict:<12} {:>8} pps {:>8} bit/s", rate_of(rate.pps), rate_of(rate.bps));
    }
    for pane in Pane::ALL {
        let rows = pane.rows(view, Order::default(), "");
        if rows.is_empty() {
            continue;
        }
        let [title, first, second, third] = pane.head();
        let _ = writeln!(text, "\n{title:<43} {first:>8} {second:>8}  {third}");
        for Row { name, numbers: [first, second], remark, .. } in rows.iter().take(15) {
            let line = format!("{name:<43} {first:>8} {second:>8}  {remark}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    if view.lost > 0 {
        let _ = writeln!(text, "\n{} samples were lost", view.lost);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::top::model::{
        Model,
        tests::{event, reading},
    };

    fn view() -> View {
        let mut model = Model::default();
        model.take(reading(1.0, 1000, Vec::new(), "cpu0 1 1 1 1 1 1 1 1"));
        let events = vec![event("44.0.0.1", "bogon", 64), event("9.9.9.9", "established", 200)];
        model.take(reading(2.0, 30_000, events, "cpu0 1 1 1 1 1 1 99 1"))
    }

    #[test]
    fn rows_are_sorted_and_filtered() {
        let view = view();
        let names = |order, filter: &str| -> Vec<String> {
            Pane::Sources.rows(&view, order, filter).into_iter().map(|row| row.name).collect()
        };
        assert_eq!(names(Order::Packets, ""), ["9.9.9.9+", "44.0.0.1"]);
        assert_eq!(names(Order::Names, ""), ["44.0.0.1", "9.9.9.9+"]);
        assert_eq!(names(Order::Bits, "44."), ["44.0.0.1"]);
        assert!(names(Order::Packets, "no such").is_empty());
        for pane in Pane::ALL {
            assert!(!pane.rows(&view, Order::default(), "").is_empty(), "{pane:?}");
        }
        let cpu = &Pane::Cpus.rows(&view, Order::default(), "")[0];
        assert_eq!((cpu.numbers[0].as_str(), cpu.bad), ("100 %", true));
    }

    #[test]
    fn it_is_told_in_80_columns() {
        let text = text(&view());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for word in ["bogon", "29k", "9.9.9.9+", "web", "!syn", "SOURCES", "cpu0", "#3 web"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
