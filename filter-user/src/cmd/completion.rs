//! `floodwall completion`

use std::process::ExitCode;

use clap_complete::{Shell, generate};
use serde::Serialize;

use super::{definition, output::Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  floodwall completion bash > /etc/bash_completion.d/floodwall
  floodwall completion zsh > \"${fpath[1]}/_floodwall\"
  floodwall completion fish > ~/.config/fish/completions/floodwall.fish";

/// `floodwall completion`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For this shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    shell: String,
    script: String,
}

/// Prints the script.
pub fn run(args: &Args, out: Output) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    generate(args.shell, &mut definition(), "floodwall", &mut script);
    let report = Report { schema: 1, shell: args.shell.to_string(), script: String::from_utf8(script)? };
    out.print(&report, |report| report.script.clone())?;
    Ok(ExitCode::SUCCESS)
}
