//! `floodwall doctor`: which modes work here, why the others don't, what to do; and what is left open.

mod feeds;
mod interfaces;
mod kernel;
mod notify;
mod risk;
mod system;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde::Serialize;

use super::{CONFIG, PinsArg, output::Output};
use crate::config::{self, Host, Settings};

pub(super) const EXAMPLES: &str = "\
Examples:
  floodwall doctor
  floodwall doctor --risk --config ./floodwall.toml";

/// `floodwall doctor`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Look at the interfaces and tables of this configuration [default: the usual one, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tell what the configuration leaves open on this host, worst first, and what closes it
    #[arg(long)]
    risk: bool,
    #[command(flatten)]
    pins: PinsArg,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
struct Check {
    name: String,
    state: State,
    /// What was found.
    why: String,
    /// What to do about it.
    todo: Option<String>,
}

impl Check {
    fn ok(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Ok, why: why.into(), todo: None }
    }

    fn warn(name: impl Into<String>, why: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { state: State::Warn, todo: Some(todo.into()), ..Self::ok(name, why) }
    }

    fn fail(name: impl Into<String>, why: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { state: State::Fail, todo: Some(todo.into()), ..Self::ok(name, why) }
    }
}

/// Whether a way of working is available here.
#[derive(Clone, Debug, Serialize)]
struct Mode {
    name: &'static str,
    works: bool,
    why: String,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    checks: Vec<Check>,
    modes: Vec<Mode>,
}

/// Looks, prints; code 1 when something would keep the filter from running.
pub fn run(args: &Args, out: Output) -> anyhow::Result<ExitCode> {
    if args.risk {
        return risk::run(args.config.clone(), out);
    }
    let report = look(&args.pins.pins, settings(args)?.as_ref())?;
    out.print(&report, |report| text(report, out))?;
    let failed = report.checks.iter().any(|check| check.state == State::Fail);
    Ok(ExitCode::from(u8::from(failed)))
}

/// What there is to say about this host, for `floodwall support dump`.
pub(super) fn findings(pins: &Path, settings: Option<&Settings>) -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::to_value(look(pins, settings)?)?)
}

fn look(pins: &Path, settings: Option<&Settings>) -> anyhow::Result<Report> {
    let host = Host::read()?;
    let mut checks = kernel::checks();
    checks.extend(system::checks(pins, settings));
    checks.extend(system::sysctls(&host.sysctls));
    checks.extend(system::conntrack());
    checks.extend(settings.and_then(feeds::check));
    checks.extend(settings.and_then(notify::check));
    let interfaces = interfaces::chosen(&host, settings);
    checks.extend(interfaces.iter().flat_map(|name| interfaces::checks(&host, name)));
    let modes = modes(&host, &interfaces);
    Ok(Report { schema: 1, checks, modes })
}

/// A named file must be valid; the usual one is used if it is there.
fn settings(args: &Args) -> anyhow::Result<Option<Settings>> {
    let usual = PathBuf::from(CONFIG);
    let path = args.config.clone().or_else(|| usual.exists().then_some(usual));
    Ok(path.map(|path| config::load(&path)).transpose()?.map(|loaded| loaded.settings))
}

fn modes(host: &Host, interfaces: &[String]) -> Vec<Mode> {
    let native: Vec<_> = interfaces.iter().map(|name| interfaces::native(name)).collect();
    let native_works = !native.is_empty() && native.iter().all(|(likely, _)| *likely);
    let mut native_why = native.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("; ");
    if native_why.is_empty() {
        "no interface but loopback".clone_into(&mut native_why);
    }
    let (cookies, cookies_why) = match (host.kfunc, host.sysctls.syncookies) {
        (false, _) => (false, "this kernel lacks bpf_sk_assign_tcp_reqsk: Linux 6.9 or later has it"),
        (true, 0) => (false, "net.ipv4.tcp_syncookies is 0: sysctl -w net.ipv4.tcp_syncookies=1"),
        (true, _) => (true, "the kernel takes cookies over; listeners that speak MPTCP step down by port"),
    };
    let tcx = kernel::has_tcx();
    vec![
        Mode { name: "xdp native", works: native_works, why: native_why },
        Mode { name: "xdp generic", works: true, why: "every interface; slower".to_owned() },
        Mode {
            name: "tc tcx",
            works: tcx,
            why: if tcx { "Linux 6.6 or later" } else { "needs Linux 6.6" }.to_owned(),
        },
        Mode {
            name: "tc clsact",
            works: true,
            why: "every kernel; needs sch_ingress and cls_bpf".to_owned(),
        },
        Mode { name: "syn = cookie", works: cookies, why: cookies_why.to_owned() },
        Mode {
            name: "syn = challenge",
            works: true,
            why: "every kernel; takes the place of cookies where there are none".to_owned(),
        },
    ]
}

fn text(report: &Report, out: Output) -> String {
    let mut text = String::new();
    for Check { name, state, why, todo } in &report.checks {
        let word = match state {
            State::Ok => out.paint(32, "ok  "),
            State::Warn => out.paint(33, "warn"),
            State::Fail => out.paint(31, "FAIL"),
        };
        let _ = writeln!(text, "{word}  {name:<24} {why}");
        if let Some(todo) = todo {
            let _ = writeln!(text, "      {:<24} -> {todo}", "");
        }
    }
    let _ = writeln!(text, "\n{}", out.paint(1, "What works here"));
    for Mode { name, works, why } in &report.modes {
        let word = if *works { out.paint(32, "yes ") } else { out.paint(31, "no  ") };
        let _ = writeln!(text, "{word}  {name:<24} {why}");
    }
    text
}
