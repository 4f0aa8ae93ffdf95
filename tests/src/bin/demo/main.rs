//! The demonstration: a web server, its visitors and a SYN flood; calm, then without Floodwall, then with it.
//!
//! Everything happens in two network namespaces of this process, which end with it. Needs root.

mod phase;
mod report;
mod web;

use std::process::ExitCode;

use anyhow::{Result, bail};
use filter_tests::netns::require_root;

use phase::Scene;
use report::Report;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let json = json_wanted()?;
    require_root()?;
    let report = Report {
        calm: phase::play(Scene::Calm)?,
        unprotected: phase::play(Scene::Unprotected)?,
        protected: phase::play(Scene::Protected)?,
    };
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.table());
    }
    if report.protected.succeeded < report.protected.tried {
        eprintln!("demo: {} connections were lost behind Floodwall", report.protected.lost());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn json_wanted() -> Result<bool> {
    let mut json = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" | "-j" => json = true,
            other => bail!("unknown argument {other}; there is only --json"),
        }
    }
    Ok(json)
}
