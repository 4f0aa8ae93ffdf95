//! `floodwall top`

mod model;
mod screen;
mod table;

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hyper::Method;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};

use self::{
    model::{Model, Reading},
    screen::{Do, Screen},
};
use super::{client, output::Output};
use crate::{
    daemon::{detect::Attacks, events::Page},
    observe::status::Status,
};

pub(super) const EXAMPLES: &str = "\
Rates of reasons are exact. Those of sources and services are estimated from samples (events.sample) of the last ten readings; a source
with + is proven, it has a connection or has answered a challenge: others may be forged. h shows the keys.

Examples:
  floodwall top
  floodwall top --once
  floodwall top --json --interval 5s | jq '.sources[:3]'";

/// `floodwall top`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Time between two readings, as 500ms, 2s; 200ms at least
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Print two readings' difference, and end; so it is without a terminal, and with --json
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = crate::config::value::parse_duration(text).filter(|time| *time >= Duration::from_millis(200));
    time.filter(|time| *time <= Duration::from_mins(1)).ok_or_else(|| "200ms to 60s".to_owned())
}

/// Where readings come from.
struct Source {
    socket: PathBuf,
    start: Instant,
    after: Option<u64>,
    lost: Option<u64>,
}

impl Source {
    fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), start: Instant::now(), after: None, lost: None }
    }

    fn read(&mut self) -> Result<Reading> {
        let status: Status = client::call(&self.socket, Method::GET, "/v1/status")?;
        let attacks: Attacks = client::call(&self.socket, Method::GET, "/v1/attacks")?;
        let path = self.after.map_or("/v1/events".to_owned(), |after| format!("/v1/events?after={after}"));
        // Where nothing is sampled the rest is shown all the same.
        let page: Page = client::call(&self.socket, Method::GET, &path).unwrap_or_default();
        let lost = self.lost.map_or(0, |before| page.lost.saturating_sub(before)) + page.missed;
        (self.after, self.lost) = (Some(page.next), Some(page.lost));
        let cpu = fs::read_to_string("/proc/stat").unwrap_or_default();
        let at = self.start.elapsed().as_secs_f64();
        Ok(Reading { at, status, attacks: attacks.attacks, events: page.events, lost, cpu })
    }
}

/// Shows it until somebody has seen enough.
pub fn run(args: &Args, socket: &Path, out: Output) -> Result<ExitCode> {
    let (mut source, mut model) = (Source::new(socket), Model::default());
    model.take(source.read()?);
    if args.once || out.json || !io::stdout().is_terminal() {
        thread::sleep(args.interval);
        let view = model.take(source.read()?);
        out.print(&view, table::text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut terminal = ratatui::try_init().context("the terminal")?;
    let result = watch(&mut terminal, args, &mut source, &mut model, out.color);
    ratatui::restore();
    result.map(|()| ExitCode::SUCCESS)
}

fn watch(
    terminal: &mut DefaultTerminal,
    args: &Args,
    source: &mut Source,
    model: &mut Model,
    color: bool,
) -> Result<()> {
    let mut screen = Screen::new(color);
    let mut due = Instant::now() + args.interval;
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        if event::poll(due.saturating_duration_since(Instant::now()))? {
            let Event::Key(key) = event::read()? else { continue };
            if key.kind != KeyEventKind::Press {
                continue;
            }
            match screen.key(key) {
                Do::Nothing => {}
                Do::End => return Ok(()),
                Do::Say(words) => screen.say(&said(&source.socket, &words)),
            }
            continue;
        }
        due = Instant::now() + args.interval;
        match source.read() {
            Ok(reading) => {
                let view = model.take(reading);
                screen.show(view, &model.past);
            }
            Err(error) => screen.lose(&error.to_string()),
        }
    }
}

/// What this program's other verbs say.
fn said(socket: &Path, words: &[String]) -> String {
    let run = || -> Result<String> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words).arg("--color").arg("never").arg("--socket").arg(socket).stdin(Stdio::null());
        let output = command.output()?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    run().unwrap_or_else(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_sane() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0s", "100ms", "2m", "x"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
