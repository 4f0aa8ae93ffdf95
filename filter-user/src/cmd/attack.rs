//! `floodwall attack ..`

use std::{path::Path, process::ExitCode};

use hyper::Method;

use super::{client, output::Output};
use crate::daemon::detect::{Attacks, Line, One};

/// `floodwall attack ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List attacks that go on, and those that are over
    #[command(
        after_long_help = "Examples:\n  floodwall attack list\n  floodwall attack list --active && echo under attack"
    )]
    List(List),
    /// Show one of them, with the sources and prefixes that sent most
    #[command(after_long_help = "Examples:\n  floodwall attack show 7\n  floodwall attack show 7 --json")]
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
    /// Its number
    #[arg(value_name = "ID")]
    id: u64,
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
    let one: One = client::call(socket, Method::GET, &format!("/v1/attacks/{}", args.id))?;
    out.print(&one, One::text)?;
    Ok(ExitCode::SUCCESS)
}
