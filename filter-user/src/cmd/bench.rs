//! `floodwall bench`

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;

use super::{
    failure::{Failure, Kind},
    output::Output,
};
use crate::{
    bench::{
        self, Case, Options, compare,
        paths::PATHS,
        plot,
        report::{Report, SCHEMA},
        table,
    },
    dataplane::measure::SOURCES,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  floodwall bench
  floodwall bench --config /etc/floodwall/floodwall.toml --save before.json
  floodwall bench --config /etc/floodwall/floodwall.toml --baseline before.json";

/// `floodwall bench`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Measure this configuration instead of a usual web server's
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The interface of the configuration; its first unless told otherwise
    #[arg(short, long, value_name = "NAME", requires = "config")]
    interface: Option<String>,
    /// Only these paths
    #[arg(long, value_name = "PATHS", value_delimiter = ',', hide_possible_values = true, value_parser = names(), help = all_names())]
    paths: Vec<String>,
    /// Numbers of sources: 1 is the same frame each time, 0 a new source in each packet
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1,0", value_parser = crowd)]
    sources: Vec<u32>,
    /// Runs of each path
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Prefixes on the full block list, and bans
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1024..=1_048_576))]
    entries: u32,
    /// The CPU to run on; the last one unless told otherwise
    #[arg(long)]
    cpu: Option<usize>,
    /// Save the result, for --baseline
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with a saved result; exit code 1 if a path has become slower
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Per cent that a path may be slower, beyond both results' quartiles
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = tolerance)]
    tolerance: f64,
    /// Print the table as Markdown
    #[arg(long)]
    markdown: bool,
    /// Draw the result, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(PATHS.iter().map(|path| path.name))
}

fn all_names() -> String {
    let names: Vec<_> = PATHS.iter().map(|path| path.name).collect();
    format!("Only these paths, of {}", names.join(", "))
}

fn crowd(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Ok(0),
        Ok(count @ 1..=SOURCES) if u32::is_power_of_two(count) => Ok(count),
        _ => Err(format!("0, or a power of two up to {SOURCES}")),
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|percent| (0.0..=1000.0).contains(percent)).ok_or("0 to 1000".to_owned())
}

/// Measures, and tells.
pub fn run(args: &Args, out: Output) -> Result<ExitCode> {
    // What can be wrong without measuring is told first.
    let baseline = args.baseline.as_deref().map(saved).transpose()?;
    let case = match &args.config {
        Some(path) => Case::of_file(path, args.interface.as_deref())?,
        None => Case::built_in()?,
    };
    if bench::statistics_are_on() {
        out.note("kernel.bpf_stats_enabled makes every program slower: sysctl kernel.bpf_stats_enabled=0");
    }
    let mut sources = args.sources.clone();
    sources.sort_unstable_by_key(|sources| sources.wrapping_sub(1));
    sources.dedup();
    let options = Options {
        paths: args.paths.clone(),
        sources,
        rounds: args.rounds,
        entries: args.entries,
        cpu: args.cpu,
    };
    let mut report = bench::run(&case, &options, &|text| out.note(text))?;
    report.comparison = baseline.map(|saved| compare::compare(&saved, &report, args.tolerance));
    if let Some(path) = &args.save {
        let saved = Report { comparison: None, ..report.clone() };
        write(path, &(serde_json::to_string_pretty(&saved)? + "\n"))?;
    }
    if let Some(path) = &args.plot {
        write(path, &plot::svg(&report))?;
    }
    out.print(&report, |report| if args.markdown { table::markdown(report) } else { table::text(report) })?;
    let slower = report.comparison.is_some_and(|comparison| comparison.slower);
    Ok(ExitCode::from(if slower { Kind::Failed.code() } else { 0 }))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// A result that was saved by a version with the same form of it.
fn saved(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let hint = "floodwall bench --save FILE makes one";
    let unfit = |why: String| Failure::new(Kind::Usage, format!("{}: {why}", path.display()), hint);
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| unfit(format!("no saved result: {error}")))?;
    if value["schema"] != SCHEMA {
        return Err(unfit(format!("form {} instead of {SCHEMA}", value["schema"])).into());
    }
    Ok(serde_json::from_value(value).map_err(|error| unfit(format!("no saved result: {error}")))?)
}
