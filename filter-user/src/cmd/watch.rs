//! `floodwall watch`

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use super::{
    events::{EndArgs, FilterArgs, follow},
    output::Output,
};
use crate::{daemon::events::Line, observe::metrics::is_drop};

pub(super) const EXAMPLES: &str = "\
One packet in events.sample of each reason is shown, fewer under a flood; the number with x tells how many it stands for.
Until --count, --for or ^C; then it tells what was lost, if anything was.

Examples:
  floodwall watch --verdict drop --verdict would_drop
  floodwall watch --source 198.51.100.0/24 --for 30s
  floodwall watch --json --reason bogon | jq -r .packet.source";

/// `floodwall watch`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    end: EndArgs,
}

/// Prints them, a line each, as they come.
pub fn run(args: &Args, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let losses = follow(socket, &args.filter, args.end, false, |lines| {
        let mut text = String::new();
        for line in lines {
            text += &if out.json { serde_json::to_string(line)? } else { shown(line, out) };
            text.push('\n');
        }
        let mut stdout = io::stdout().lock();
        // A reader that went away (`| head`) is no error.
        Ok(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok())
    })?;
    if let Some(text) = losses.text() {
        out.note(&text);
    }
    Ok(ExitCode::SUCCESS)
}

/// With the time of day, UTC.
fn shown(line: &Line, out: Output) -> String {
    let color = if is_drop(&line.verdict) { 31 } else { 32 };
    let text = line.text();
    let (verdict, rest) = text.split_at(line.verdict.len());
    format!("{} {}{rest}", time_of_day(line.time), out.paint(color, verdict))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of centuries fit")]
fn time_of_day(time: f64) -> String {
    let millis = (time * 1000.0).round() as u64;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{millis:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_utc() {
        assert_eq!(time_of_day(0.0), "00:00:00.000");
        assert_eq!(time_of_day(86_399.999_6), "00:00:00.000");
        assert_eq!(time_of_day(86_399.25), "23:59:59.250");
    }
}
