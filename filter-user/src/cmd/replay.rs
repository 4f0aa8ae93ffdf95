//! `floodwall replay`

use std::{
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;

use super::{
    events::{EndArgs, FilterArgs, follow},
    explain::SubjectArgs,
    failure::Kind,
    output::Output,
    times::time,
};
use crate::{
    config::{self, Host, source},
    dataplane::rehearsal::Rehearsal,
    explain::{
        capture::{Capture, Captured, Damaged},
        replay::{self, Judged, Replay},
        sampled::received,
    },
};

const EXAMPLES: &str = "\
Every packet goes through the attached program, on copies of its tables: nothing is spent, nothing counted.
Ethernet, Linux cooked and raw IP captures, pcap or pcapng. Code 8: the file is damaged, what comes before is told;
with --against code 1: some packet would have another fate.

Examples:
  tcpdump -i eth0 -c 100000 -w attack.pcap
  floodwall replay attack.pcap
  floodwall replay attack.pcap --fresh --per-packet | grep '\"drop\"'
  floodwall replay attack.pcap --against candidate.toml
  floodwall replay --live 1m --against candidate.toml";

/// Packets that are taken from live traffic, at most.
const MOST: usize = 100_000;

/// `floodwall replay`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The capture, pcap or pcapng
    #[arg(required_unless_present = "live")]
    file: Option<PathBuf>,
    /// Instead of a file: the packets that the daemon samples for so long
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "file")]
    live: Option<Duration>,
    /// Tell only which packets another configuration would treat otherwise
    #[arg(long, value_name = "CONFIG", conflicts_with = "per_packet")]
    against: Option<PathBuf>,
    /// Print every packet's fate as a line of JSON, and the table to stderr
    #[arg(long)]
    per_packet: bool,
    #[command(flatten)]
    subject: SubjectArgs,
}

/// Packets, wherever they are from.
type Packets = Box<dyn Iterator<Item = std::result::Result<Captured, Damaged>>>;

/// Judges a file's packets, or those of now.
pub fn run(args: &Args, socket: &Path, out: Output) -> Result<ExitCode> {
    let mut live = args.subject.attached()?;
    let (file, capture): (_, Packets) = match (&args.file, args.live) {
        (Some(file), _) => (source::shown(file), Box::new(Capture::open(file)?)),
        (None, time) => {
            ("live".to_owned(), Box::new(sampled(time.unwrap_or_default(), live.interface(), socket, out)?))
        }
    };
    if let Some(path) = &args.against {
        let mut candidate = candidate(path, args, &live, out)?;
        let difference = replay::compare(&file, capture, &mut live, &mut candidate)?;
        out.print(&difference, replay::Difference::text)?;
        let whole = code(difference.read.damaged.as_deref(), difference.read.packets);
        return Ok(whole.unwrap_or_else(|| ExitCode::from(u8::from(difference.changed > 0))));
    }
    let replay = if args.per_packet {
        let replay = per_packet(&file, capture, &mut live)?;
        out.note(&replay.text());
        replay
    } else {
        let replay = replay::replay(&file, capture, &mut live, |_| Ok(()))?;
        out.print(&replay, Replay::text)?;
        replay
    };
    Ok(code(replay.read.damaged.as_deref(), replay.read.packets).unwrap_or(ExitCode::SUCCESS))
}

/// What another configuration would load for the same interface.
fn candidate(path: &Path, args: &Args, live: &Rehearsal, out: Output) -> Result<Rehearsal> {
    let loaded = config::load(path)?;
    let (mut plan, report) = config::fit(&loaded, &Host::read()?)?;
    if !report.diagnostics.is_empty() && !out.json {
        out.note(&report.render(out.color_errors));
    }
    // Its tables start as the live ones are.
    plan.pins.clone_from(&args.subject.pins.pins);
    Rehearsal::of_plan(&plan, live.interface(), args.subject.start())
}

/// What is sampled on that interface, collected first: judging takes its time.
fn sampled(
    time: Duration,
    interface: &str,
    socket: &Path,
    out: Output,
) -> Result<impl Iterator<Item = std::result::Result<Captured, Damaged>> + use<>> {
    let mut packets = Vec::new();
    let losses = follow(socket, &FilterArgs::default(), EndArgs::after(time), true, |lines| {
        for line in lines.iter().filter(|line| line.interface == interface) {
            packets.push(received(packets.len() as u64 + 1, line)?);
        }
        Ok(packets.len() < MOST)
    })?;
    out.note(&format!("{} packets, each of which stands for events.sample or more", packets.len()));
    if let Some(text) = losses.text() {
        out.note(&text);
    }
    Ok(packets.into_iter().map(Ok))
}

fn per_packet(file: &str, capture: Packets, program: &mut Rehearsal) -> Result<Replay> {
    let mut lines = BufWriter::new(io::stdout().lock());
    let mut gone = false;
    let replay = replay::replay(file, capture, program, |judged: &Judged| {
        let line = serde_json::to_string(judged)?;
        // A reader that went away (`| head`) is no error; the table is still told.
        gone = gone || writeln!(lines, "{line}").is_err();
        Ok(())
    })?;
    let _ = lines.flush();
    Ok(replay)
}

/// The exit code of a file that is damaged.
fn code(damaged: Option<&str>, packets: u64) -> Option<ExitCode> {
    let kind = if packets == 0 { Kind::Failed } else { Kind::Partial };
    damaged.map(|_| ExitCode::from(kind.code()))
}
