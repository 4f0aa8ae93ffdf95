//! `floodwall attack ..`

use std::{path::Path, process::ExitCode};

use hyper::Method;

use super::{
    client,
    failure::{Failure, Kind},
    output::Output,
};
use crate::daemon::{
    detect::{Attacks, Line, One},
    incidents,
};

/// `floodwall attack ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List attacks that go on, and those that are over
    #[command(
        after_help = "Examples:\n  floodwall attack list\n  floodwall attack list --active && echo under attack"
    )]
    List(List),
    /// Show one of them, with the sources and prefixes that sent most
    #[command(
        after_help = "Examples:\n  floodwall attack show\n  floodwall attack show 7 --json\n  floodwall attack show 20261122T191500Z-7"
    )]
    Show(Show),
}

/// `floodwall attack list`
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only those that go on
    #[arg(long)]
    active: bool,
}

/// `floodwall attack show`
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Its number since the daemon started, or its incident's id [default: the latest]
    #[arg(value_name = "ID", value_parser = wanted)]
    id: Option<Wanted>,
}

/// Which one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    number: u64,
    /// As notifications call it.
    incident: Option<String>,
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let (time, number) = text.rsplit_once('-').map_or((None, text), |(time, number)| (Some(time), number));
    let incident = time.filter(|time| time.len() == 16 && time.ends_with('Z')).map(|_| text.to_owned());
    match number.parse() {
        Ok(number) if time.is_some() == incident.is_some() => Ok(Wanted { number, incident }),
        _ => Err("a number, or an id as 20261122T191500Z-7; floodwall attack list shows them".to_owned()),
    }
}

fn latest(socket: &Path) -> anyhow::Result<u64> {
    let attacks: Attacks = client::call(socket, Method::GET, "/v1/attacks")?;
    let hint = "floodwall incident list shows those of earlier daemons";
    let none = || Failure::new(Kind::Failed, "there was no attack since the daemon started", hint);
    Ok(attacks.attacks.iter().map(|attack| attack.id).max().ok_or_else(none)?)
}

/// Does it. Code 1 where there is none to tell of.
pub fn run(command: &Command, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list(args, socket, out),
        Command::Show(args) => show(args, socket, out),
    }
}

fn list(args: &List, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let mut attacks: Attacks = client::call(socket, Method::GET, "/v1/attacks")?;
    attacks.attacks.retain(|attack| !args.active || attack.ended.is_none());
    out.print(&attacks, |attacks| {
        if attacks.attacks.is_empty() {
            return "no attack".to_owned();
        }
        let lines: Vec<_> = attacks.attacks.iter().map(Line::text).collect();
        Line::HEAD.to_owned() + &lines.join("\n")
    })?;
    Ok(ExitCode::from(u8::from(attacks.attacks.is_empty())))
}

fn show(args: &Show, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let number = match &args.id {
        Some(Wanted { number, .. }) => *number,
        None => latest(socket)?,
    };
    let one: One = client::call(socket, Method::GET, &format!("/v1/attacks/{number}"))?;
    if let Some(Wanted { incident: Some(incident), .. }) = &args.id
        && !(0..=2)
            .any(|off| *incident == incidents::form::id((one.attack.began + 1).saturating_sub(off), number))
    {
        // To the second: times of attacks are computed from the data path's clock.
        let message = format!("no attack that this daemon has seen is {incident}");
        let hint = format!("floodwall incident show {incident}");
        return Err(Failure::new(Kind::Failed, message, hint).into());
    }
    out.print(&one, One::text)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_is_named_by_its_number_or_its_incident() {
        assert_eq!(wanted("7"), Ok(Wanted { number: 7, incident: None }));
        let id = "20261122T191500Z-7";
        assert_eq!(wanted(id), Ok(Wanted { number: 7, incident: Some(id.to_owned()) }));
        for bad in ["", "-", "-7", "x-7", "20261122T191500Z-", "20261122T191500Z", "7-7"] {
            assert!(wanted(bad).is_err(), "{bad}");
        }
    }
}
