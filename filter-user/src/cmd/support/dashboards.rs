//! `floodwall support dashboards`

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::super::{
    failure::{Failure, Kind},
    output::Output,
};
use crate::observe::dashboards;

/// `floodwall support dashboards`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write into this folder, which is made if it is not there
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, out: Output) -> Result<ExitCode> {
    let files = dashboards::files().into_iter().map(|(path, text)| (args.out.join(path), text));
    let files: Vec<_> = files.collect();
    if !args.force {
        refuse_what_is_there(files.iter().map(|(path, _)| path.as_path()))?;
    }
    for (path, text) in &files {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    let report = Report { schema: 1, files: files.into_iter().map(|(path, _)| path).collect() };
    out.print(&report, |report| {
        report.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// All or nothing: somebody may have changed one of them.
fn refuse_what_is_there<'a>(mut paths: impl Iterator<Item = &'a Path>) -> Result<()> {
    let Some(path) = paths.find(|path| path.symlink_metadata().is_ok()) else { return Ok(()) };
    let message = format!("{} is there already", path.display());
    Err(Failure::new(Kind::Usage, message, "name another folder, or replace it with --force").into())
}
