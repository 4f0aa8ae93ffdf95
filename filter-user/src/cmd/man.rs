//! `floodwall man`

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap_mangen::{Man, generate_to};
use serde::Serialize;

use super::{definition, output::Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  floodwall man | man -l -
  floodwall man --out /usr/local/share/man/man1";

/// `floodwall man`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write floodwall.1 and a page for each verb into this folder
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    /// The page, unless it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
    /// The folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<PathBuf>,
}

/// Prints or writes.
pub fn run(args: &Args, out: Output) -> anyhow::Result<ExitCode> {
    let report = if let Some(folder) = &args.out {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        generate_to(definition(), folder).with_context(|| format!("write to {}", folder.display()))?;
        Report { schema: 1, page: None, written: Some(folder.clone()) }
    } else {
        let mut page = Vec::new();
        Man::new(definition()).render(&mut page)?;
        Report { schema: 1, page: Some(String::from_utf8(page)?), written: None }
    };
    out.print(&report, |report| match (&report.page, &report.written) {
        (Some(page), _) => page.clone(),
        (None, folder) => format!("written to {}", folder.as_deref().unwrap_or(".".as_ref()).display()),
    })?;
    Ok(ExitCode::SUCCESS)
}
