//! `floodwall support ..`

mod dashboards;
mod scrub;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command as Process, ExitCode},
    time::Duration,
};

use anyhow::{Context as _, Result};
use hyper::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    ConfigArg, PinsArg, client, doctor,
    failure::{Failure, Kind},
    output::Output,
};
use crate::{
    config::{self, Host, Loaded, source},
    daemon::deadline::wall,
    observe::{Sample, status::Status},
    sys,
};

/// `floodwall support ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write down what somebody needs to help you: configuration, state, counters, host; no secrets, addresses cut
    #[command(after_help = "Examples:\n  floodwall support dump --out floodwall-support.json")]
    Dump(DumpArgs),
    /// Write Grafana dashboards, Prometheus alert rules and what provisions them
    #[command(after_help = "Examples:\n  floodwall support dashboards --out /tmp/floodwall\n  \
                                 floodwall support dashboards --out /srv/monitoring --force     after an upgrade")]
    Dashboards(dashboards::Args),
}

/// `floodwall support dump`
#[derive(Debug, clap::Args)]
pub struct DumpArgs {
    /// Write this file, which must not be there yet
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Keep addresses whole, instead of their /24 or /48
    #[arg(long)]
    full_addresses: bool,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    pins: PinsArg,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    file: PathBuf,
    bytes: usize,
    /// Parts that could not be had, and why.
    missing: Vec<String>,
}

/// Lines of the journal.
const LINES: &str = "500";
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of metrics.
const METRICS: u64 = 4 << 20;

/// Does it.
pub fn run(command: &Command, socket: &Path, out: Output) -> Result<ExitCode> {
    match command {
        Command::Dump(args) => dump(args, socket, out),
        Command::Dashboards(args) => dashboards::run(args, out),
    }
}

fn dump(args: &DumpArgs, socket: &Path, out: Output) -> Result<ExitCode> {
    let (mut bundle, missing) = bundle(args, socket);
    if !args.full_addresses {
        scrub::addresses(&mut bundle);
    }
    let text = serde_json::to_string_pretty(&bundle)? + "\n";
    write(&args.out, &text)?;
    let report = Report { schema: 1, file: args.out.clone(), bytes: text.len(), missing };
    out.print(&report, |report| {
        let file = report.file.display();
        let first = format!("{} bytes in {file}: read it before you send it", report.bytes);
        let missing = report.missing.iter().map(|part| format!("without {part}"));
        [first].into_iter().chain(missing).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// For its owner's eyes, until he shows it to somebody.
fn write(path: &Path, text: &str) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow::Error::new(Failure::new(
            Kind::Usage,
            format!("{} is there already", path.display()),
            "name a file that is not there yet",
        )),
        _ => anyhow::Error::new(error).context(format!("write {}", path.display())),
    })?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}

/// Every part by itself: whoever needs help has something that does not work.
fn bundle(args: &DumpArgs, socket: &Path) -> (Value, Vec<String>) {
    let (mut all, mut missing) = (Map::new(), Vec::new());
    let loaded = config::load(&args.config.config).map_err(anyhow::Error::from);
    let settings = loaded.as_ref().ok().map(|loaded| &loaded.settings);
    let pins = settings.map_or(&args.pins.pins, |settings| settings.daemon.pins.as_ref());
    let mut add = |name: &str, part: Result<Value>| match part {
        Ok(value) => drop(all.insert(name.to_owned(), value)),
        Err(error) => missing.push(format!("{name}: {error:#}")),
    };
    add("made", Ok(made()));
    add("configuration", configuration(&args.config.config));
    add("daemon", client::call(socket, Method::GET, "/v1/status"));
    add("status", status(pins));
    add("doctor", doctor::findings(pins, settings));
    add("kernel", kernel());
    add("interfaces", interfaces());
    add("programs", programs(pins));
    add("metrics", metrics(loaded.as_ref().ok()));
    add("log", log());
    all.insert("schema".to_owned(), json!(1));
    all.insert("missing".to_owned(), json!(missing));
    (Value::Object(all), missing)
}

fn made() -> Value {
    json!({ "unix_seconds": wall(), "version": env!("CARGO_PKG_VERSION") })
}

/// The files' texts: they name the key file, which is not read.
fn configuration(path: &Path) -> Result<Value> {
    let (found, _) = source::read_all(path)?;
    let file = |found: &source::Found| {
        let source::Source { path, text } = &found.source;
        json!({ "path": path, "lines": scrub::secrets(text) })
    };
    Ok(found.iter().map(file).collect())
}

fn status(pins: &Path) -> Result<Value> {
    let sample = Sample::read(&super::status::open(pins)?)?;
    Ok(serde_json::to_value(Status::new(&sample, None))?)
}

fn kernel() -> Result<Value> {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    Ok(json!({
        "version": read("/proc/version").context("/proc/version")?,
        "os": read("/etc/os-release"),
        "bpf_jit_enable": read("/proc/sys/net/core/bpf_jit_enable"),
        "bpf_stats_enabled": read("/proc/sys/kernel/bpf_stats_enabled"),
        "cpus": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "memory": read("/proc/meminfo").map(|text| text.lines().take(3).map(str::to_owned).collect::<Vec<_>>()),
    }))
}

fn interfaces() -> Result<Value> {
    let host = Host::read()?;
    let all = host.links.iter().map(|(name, link)| {
        json!({
            "name": name,
            "index": link.index,
            "mtu": link.mtu,
            "driver": sys::driver(name).ok(),
            "below": link.below,
            "addresses": link.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    Ok(Value::Array(all.collect()))
}

fn programs(pins: &Path) -> Result<Value> {
    let all = super::status::open(pins)?.programs()?.into_iter().map(|program| {
        json!({
            "interface": program.interface,
            "hook": program.hook,
            "id": program.id,
            "verified_instructions": program.verified_instructions,
            "runs": program.runs,
        })
    });
    Ok(Value::Array(all.collect()))
}

fn metrics(loaded: Option<&Loaded>) -> Result<Value> {
    let settings = &loaded.context("no valid configuration")?.settings.metrics;
    let address: SocketAddr = settings.listen.as_ref().context("metrics.listen is \"off\"")?;
    let is_closed = settings.users_file.is_some() || settings.tls_cert.is_some();
    anyhow::ensure!(!is_closed, "they are served over TLS, or to users, only");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: floodwall\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(METRICS).read_to_string(&mut answer)?;
    let (_, page) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    Ok(json!(page.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>()))
}

fn log() -> Result<Value> {
    let arguments = ["--unit=floodwall", "--no-pager", "--output=short-iso", "--lines", LINES];
    let output = Process::new("journalctl").args(arguments).output().context("journalctl")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(json!(text.lines().collect::<Vec<_>>()))
}
