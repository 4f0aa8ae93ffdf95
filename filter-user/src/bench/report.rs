//! What a run found: the JSON document.

use serde::{Deserialize, Serialize};

use super::{compare::Comparison, stats::Quartiles};

/// Version of the document's form.
pub const SCHEMA: u32 = 1;

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`]
    pub schema: u32,
    /// Floodwall's version.
    pub version: String,
    /// Where it ran.
    pub machine: Machine,
    /// What was measured.
    pub subject: Subject,
    /// What the harness itself takes.
    pub harness: Harness,
    /// Each way through the filter.
    pub paths: Vec<Row>,
    /// Against a saved run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

/// Where it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// Model of the CPU.
    pub cpu: String,
    /// Number of the CPU.
    pub core: usize,
}

/// What was measured, and how thoroughly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The configuration's file, or `built-in`.
    pub config: String,
    /// The interface that it was compiled for.
    pub interface: String,
    /// Prefixes on the full list, and bans.
    pub entries: u32,
    /// Runs of each path.
    pub rounds: u32,
    /// Packets in a run.
    pub packets: u32,
}

/// What the harness itself takes, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Harness {
    /// A call of an empty program that drops, as the kernel repeats it.
    pub empty: Quartiles,
    /// The same with its frame restored each time: what is subtracted from every path.
    pub wrapped: Quartiles,
    /// An empty program that passes, net.
    pub pass: Quartiles,
    /// An empty program that sends back, net.
    pub tx: Quartiles,
}

/// Part of the median by which the quartiles of a program that always does the same may differ.
const QUIET: f64 = 0.1;

impl Harness {
    /// Others use this CPU, or the memory and caches that it shares: the figures are too high, and worth little.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        let Quartiles { median, q1, q3 } = self.wrapped;
        q3 - q1 > median * QUIET
    }
}

/// One way through the filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is.
    pub title: String,
    /// Bytes of its frame, without the checksum.
    pub bytes: usize,
    /// Labels of the reasons that it may meet.
    pub expects: Vec<String>,
    /// It met them, whoever sent.
    pub ok: bool,
    /// By the number of sources.
    pub runs: Vec<Run>,
}

/// One way through the filter, with so many sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// 1: the same frame each time; 0: a new source in each packet.
    pub sources: u32,
    /// Nanoseconds for each packet above the empty program.
    pub net_ns: Quartiles,
    /// What it met, most frequent first.
    pub met: Vec<Met>,
    /// That was what it may meet.
    pub ok: bool,
    /// Millions of packets a second that a core judges; `null` if that can't be told from an empty program.
    pub mpps: Option<f64>,
    /// Part of a link's line rate of such frames that a core judges, by Gbit/s; at most 1.
    pub line_rate: Vec<LineRate>,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Met {
    /// Its label.
    pub reason: String,
    /// Part of the packets.
    pub share: f64,
}

/// A link and what of it a core can take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineRate {
    /// Gbit/s.
    pub gbit: u32,
    /// Part of its packets, at most 1.
    pub share: f64,
}

/// Links that are told about.
pub const LINKS: [u32; 3] = [10, 25, 100];

/// Part of the packets that must have met what was expected: a sample of each flow is looked at more closely, and a few
/// strays have a budget.
pub const ENOUGH: f64 = 0.95;

/// Nanoseconds that can't be told from none.
pub const RESOLUTION: f64 = 0.5;

/// Nanoseconds from one frame to the next at line rate: frame check sequence, preamble and gap take 24 bytes more.
#[must_use]
pub fn gap(bytes: usize, gbit: u32) -> f64 {
    (bytes.max(60) + 24) as f64 * 8.0 / f64::from(gbit)
}

impl Run {
    /// From samples of net nanoseconds and counted reasons.
    #[must_use]
    pub fn new(sources: u32, bytes: usize, samples: &[f64], met: Vec<Met>, expects: &[String]) -> Self {
        let net_ns = Quartiles::of(samples);
        let as_expected: f64 =
            met.iter().filter(|met| expects.contains(&met.reason)).map(|met| met.share).sum();
        let measurable = net_ns.median >= RESOLUTION;
        let share = |gbit| {
            let share = if measurable { (gap(bytes, gbit) / net_ns.median).min(1.0) } else { 1.0 };
            LineRate { gbit, share: rounded(share) }
        };
        Self {
            sources,
            net_ns,
            ok: as_expected >= ENOUGH,
            mpps: measurable.then(|| rounded(1000.0 / net_ns.median)),
            line_rate: LINKS.map(share).to_vec(),
            met,
        }
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The shares of counted reasons, most frequent first.
#[must_use]
pub fn shares(mut counted: Vec<(&'static str, u64)>) -> Vec<Met> {
    counted.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
    let all: u64 = counted.iter().map(|(_, packets)| packets).sum();
    let share = |packets: u64| (packets as f64 / all as f64 * 1e4).round() / 1e4;
    let met = |(reason, packets): (&str, u64)| Met { reason: reason.to_owned(), share: share(packets) };
    counted.into_iter().filter(|(_, packets)| *packets > 0).map(met).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_far_apart_as_the_wire_says() {
        assert!((gap(60, 10) - 67.2).abs() < 1e-9);
        assert!((gap(14, 10) - 67.2).abs() < 1e-9, "padded");
        assert!((gap(74, 100) - 7.84).abs() < 1e-9);
    }

    #[test]
    fn a_run_is_judged_by_what_it_met() {
        let expects = ["pass".to_owned()];
        let run = |met| Run::new(1, 60, &[20.0, 21.0, 22.0], shares(met), &expects);
        let well = run(vec![("stray", 16), ("pass", 984), ("bogon", 0)]);
        assert!(well.ok);
        assert_eq!(well.met[0], Met { reason: "pass".to_owned(), share: 0.984 });
        assert_eq!(well.met.len(), 2);
        assert_eq!((well.mpps, well.line_rate[0].share), (Some(47.619), 1.0));
        assert_eq!(well.line_rate[2], LineRate { gbit: 100, share: 0.32 });
        assert!(!run(vec![("stray", 60), ("pass", 940)]).ok);
        assert!(!run(vec![]).ok);
    }

    #[test]
    fn a_busy_machine_shows_in_what_never_changes() {
        let wrapped = |samples: &[f64]| Harness { wrapped: Quartiles::of(samples), ..Harness::default() };
        assert!(!wrapped(&[30.0, 31.0, 32.0]).is_disturbed());
        assert!(wrapped(&[30.0, 36.0, 42.0]).is_disturbed());
    }

    #[test]
    fn what_is_as_fast_as_nothing_has_no_rate() {
        let run = Run::new(0, 60, &[-0.3], Vec::new(), &[]);
        assert_eq!((run.mpps, run.line_rate[2].share), (None, 1.0));
    }
}
