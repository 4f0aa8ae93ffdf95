//! The daemon may die, restart, be told nonsense: filtering goes on.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::TcAttachType;
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    flood::{Flood, Order, Source},
    lab::{Lab, Tally},
    pair::{SERVER_V4, Wire},
    sched::Cores,
    server::Kind,
    stand::{PACKETS, Stand, wait_for},
};
use nix::sys::signal::Signal;

/// Under flood: not one of its SYNs reaches the stack, and the next daemon takes over within a second.
#[test]
fn killed_and_adopted() -> Result<()> {
    let mut stand = Stand::with(&Config::default(), Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    let mut witness = Lab::load()?;
    let end = stand.pair.server.clone();
    witness.attach_tc(&end.namespace, "witness", &end.device, TcAttachType::Ingress)?;
    let order = Order { pps: 100_000, nice: 10, ..Order::syns(Source::AnyV4, Cores::pick()?.attacker) };
    let flood = Flood::start(&stand.pair.client, &order)?;
    let answered = || stand.floodwall.packets(Reason::CookieSent);
    wait_for("the flood is answered", Duration::from_secs(5), || Ok(answered()? > 10_000))?;
    stand.floodwall.end(Signal::SIGKILL)?;
    let at_death = stand.floodwall.packets(Reason::CookieSent)?;
    let tried = stand.visit(SERVER_V4.into(), 100, 100)?;
    ensure!(tried.failed() == 0, "without a daemon: {}", tried.summary());
    let before = stand.floodwall.packets(Reason::CookieSent)?;
    ensure!(before > at_death, "the filter goes on");
    let loaded = programs(&stand)?;
    let took = stand.floodwall.run()?;
    eprintln!("adopted after {took:?}");
    ensure!(took < Duration::from_secs(1), "adopted after {took:?}");
    ensure!(programs(&stand)? == loaded, "adopted, not loaded again");
    ensure!(stand.floodwall.packets(Reason::CookieSent)? >= before, "counters live on");
    let tried = stand.visit(SERVER_V4.into(), 100, 100)?;
    ensure!(tried.failed() == 0, "with the next daemon: {}", tried.summary());
    flood.stop()?;
    let seen = witness.tally(Tally::SeenSyn)? + witness.tally(Tally::SeenOther)?;
    ensure!(seen == 0, "{seen} packets of the flood reached the stack");
    Ok(())
}

/// Ids of the XDP and the tc program that run.
fn programs(stand: &Stand) -> Result<(u32, u32)> {
    let dataplane = stand.floodwall.pinned()?;
    let interfaces = stand.pair.server.namespace.run(|| dataplane.interfaces())?;
    let first = interfaces.first().context("no interface")?;
    Ok((first.xdp_program.context("no XDP program")?, first.tc_program.context("no tc program")?))
}

/// A daemon adopts only what its own file asks for.
#[test]
fn another_file_loads_new_programs() -> Result<()> {
    let mut stand = Stand::new(&Config::default())?;
    let first = programs(&stand)?;
    stand.floodwall.end(Signal::SIGKILL)?;
    stand.floodwall.configure(&Config { mode: "observe", ..Config::default() })?;
    stand.floodwall.run()?;
    let second = programs(&stand)?;
    ensure!(second.0 != first.0 && second.1 != first.1, "{first:?}, then {second:?}");
    stand.floodwall.end(Signal::SIGKILL)?;
    stand.floodwall.run()?;
    ensure!(programs(&stand)? == second, "the same file adopts");
    stand.visit_well(20)
}

/// SIGTERM ends the daemon and keeps the filter; `detach` removes it.
#[test]
fn stopped_and_detached() -> Result<()> {
    let mut stand = Stand::new(&Config::default())?;
    stand.floodwall.end(Signal::SIGTERM)?;
    let before = stand.floodwall.packets(Reason::CookieSent)?;
    stand.visit_well(20)?;
    ensure!(stand.floodwall.packets(Reason::CookieSent)? >= before + 40, "it still filters");
    stand.floodwall.succeed("detach --pins {pins}")?;
    let shown = stand.pair.server.namespace.ip(&format!("link show {}", stand.pair.server.device))?;
    ensure!(!shown.contains("prog/xdp"), "{shown}");
    ensure!(!stand.floodwall.pins().exists(), "no pins are left");
    ensure!(stand.floodwall.cli("detach --pins {pins}")?.status.code() == Some(1), "nothing left to detach");
    Ok(())
}

/// Nobody renews the keys: the data path stops issuing by itself, and SYNs go to the stack.
#[test]
fn keys_age_out() -> Result<()> {
    let mut stand = Stand::new(&Config::default().cookie("period = \"1s\""))?;
    stand.visit_well(10)?;
    stand.floodwall.end(Signal::SIGKILL)?;
    let deadline = Instant::now() + Duration::from_secs(15);
    while stand.floodwall.packets(Reason::CookieUnavailable)? == 0 {
        ensure!(Instant::now() < deadline, "it runs on an eternal key");
        thread::sleep(Duration::from_millis(500));
        stand.visit_well(1)?;
    }
    let sent = stand.floodwall.packets(Reason::CookieSent)?;
    stand.visit_well(20)?;
    ensure!(stand.floodwall.packets(Reason::CookieSent)? == sent, "no more cookies");
    stand.floodwall.run()?;
    stand.visit_well(20)?;
    ensure!(stand.floodwall.packets(Reason::CookieSent)? >= sent + 40, "a new daemon arms them again");
    Ok(())
}

#[test]
fn a_bad_file_changes_nothing() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    let program = || programs(&stand);
    let before = program()?;
    stand.floodwall.write("schema = 1\n[daemon]\nmoed = \"enforce\"\n")?;
    let output = stand.floodwall.cli("run --config {config}")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(5), "{:?}: {said}", output.status);
    ensure!(
        said.contains(":3:1") && said.contains('^') && said.contains("mode"),
        "line, column, caret, hint: {said}"
    );
    stand.floodwall.signal(Signal::SIGHUP)?;
    let failed = || Ok(stand.floodwall.scrape()?.sum("floodwall_config_last_reload_successful", &[]) < 0.5);
    wait_for("the failed reload is counted", Duration::from_secs(5), failed)?;
    ensure!(program()? == before, "the running filter is untouched");
    stand.visit_well(20)
}

/// A good file takes effect on SIGHUP, and no connection is lost meanwhile.
#[test]
fn a_good_file_is_swapped_in() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    let observe = Config { mode: "observe", ..Config::default() };
    stand.floodwall.configure(&observe)?;
    let tried = thread::scope(|scope| -> Result<_> {
        let visit = scope.spawn(|| stand.visit(SERVER_V4.into(), 200, 600));
        thread::sleep(Duration::from_millis(500));
        stand.floodwall.signal(Signal::SIGHUP)?;
        visit.join().expect("the client does not panic")
    })?;
    ensure!(tried.failed() == 0, "{}", tried.summary());
    let observed = stand.floodwall.scrape()?.sum(PACKETS, &["verdict=\"would_reply\""]);
    ensure!(observed > 50.0, "observe mode is on: {observed}");
    Ok(())
}

#[test]
fn metrics_are_well_formed() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    stand.visit_well(10)?;
    let page = stand.floodwall.get("/metrics")?;
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        ensure!(!line.contains("192.31.196") && !line.contains("2620:4f"), "no address is a label: {line}");
    }
    let promtool = std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into());
    let folder = filter_tests::cleanup::Folder::files()?;
    let file = folder.path().join("metrics");
    fs::write(&file, page)?;
    let mut check = Command::new(&promtool);
    check.args(["check", "metrics"]).stdin(fs::File::open(&file)?);
    let output =
        check.output().context("promtool comes with the prometheus package; PROMTOOL may name it")?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success() && said.is_empty(), "promtool: {}", String::from_utf8_lossy(&said));
    Ok(())
}
