//! `floodwall capture`

use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use filter_common::event::SNAP;
use serde::Serialize;

use super::{
    events::{EndArgs, FilterArgs, follow},
    failure::{Failure, Kind},
    output::Output,
};
use crate::explain::capture::write::{Form, Writer};

pub(super) const EXAMPLES: &str = "\
One packet in events.sample of each reason is written, its first 128 bytes at most; verdict, reason and what it stands for are its
comment, which Wireshark and tshark show and filter by (frame.comment). An answer in a packet's place is the answer's frame.
Until --count, --for or ^C.

Examples:
  floodwall capture drops.pcapng --verdict drop --for 1m
  floodwall capture --private --count 1000 for-the-provider.pcapng
  floodwall capture - --source 198.51.100.0/24 | tshark -r - -T fields -e ip.src -e frame.comment
  floodwall replay drops.pcapng --against candidate.toml";

/// `floodwall capture`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write them as pcapng, a new file that only you can read; - is stdout
    file: PathBuf,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    end: EndArgs,
    /// Bytes of each packet
    #[arg(long, value_name = "BYTES", default_value_t = SNAP as u64,
          value_parser = clap::value_parser!(u64).range(14..=SNAP as u64))]
    snap: u64,
    /// Leave out what tells about a person: senders' addresses are cut to their /24 or /48, data and Ethernet addresses are zeros
    #[arg(long)]
    private: bool,
}

fn created(file: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::AlreadyExists => "nothing is overwritten: name another file, or remove it",
        _ => "name a file in a folder of yours, or - for stdout",
    };
    Failure::new(Kind::Failed, format!("create {}: {error}", file.display()), hint)
}

/// What was written.
#[derive(Serialize)]
struct Written {
    schema: u32,
    file: PathBuf,
    packets: u64,
    /// Samples that are missing.
    missed: u64,
    lost: u64,
}

/// Writes them as they come.
pub fn run(args: &Args, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let shown = args.file.display();
    let to_stdout = args.file == Path::new("-");
    let file: Box<dyn Write> = if to_stdout {
        Box::new(io::stdout())
    } else {
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.file);
        Box::new(new.map_err(|error| created(&args.file, &error))?)
    };
    let form = Form { snap: usize::try_from(args.snap)?, private: args.private };
    let mut writer = Writer::new(BufWriter::new(file), form)?;
    let mut packets = 0;
    let followed = follow(socket, &args.filter, args.end, true, |lines| {
        for line in lines {
            writer.write(line)?;
            packets += 1;
        }
        // Whole blocks: the file can be read while it grows, and after a kill.
        match writer.get_mut().flush() {
            Err(error) if to_stdout && error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            result => result.map(|()| true).with_context(|| format!("write {shown}")),
        }
    });
    if followed.is_err() && packets == 0 && !to_stdout {
        // Nothing came of it: the next try is not to find it there.
        let _ = fs::remove_file(&args.file);
    }
    let losses = followed?;
    let written =
        Written { schema: 1, file: args.file.clone(), packets, missed: losses.missed, lost: losses.lost };
    if to_stdout {
        out.note(&format!("{packets} packets"));
    } else {
        out.print(&written, |written| format!("{} packets in {shown}", written.packets))?;
    }
    if let Some(text) = losses.text() {
        out.note(&text);
    }
    Ok(ExitCode::SUCCESS)
}
