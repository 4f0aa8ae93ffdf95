//! Interfaces come, go, change their names and addresses: the filter follows within half a second.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    daemon::Floodwall,
    lab::Lab,
    pair::{Pair, SERVER_V4, Wire},
    sandbox::Sandbox,
    stand::{Stand, wait_for},
};
use nix::sys::signal::Signal;

/// Waits until the filter runs on exactly these devices; returns how long that took.
fn runs_on(stand: &Stand, devices: &[&str]) -> Result<Duration> {
    let began = Instant::now();
    wait_for(&format!("it runs on {devices:?}: {}", stand.floodwall.said()), Duration::from_secs(5), || {
        let dataplane = stand.floodwall.pinned()?;
        let found = stand.pair.server.namespace.run(|| dataplane.interfaces())?;
        let mut names: Vec<_> = found
            .iter()
            .filter(|i| i.mode.is_some() && i.tc_program.is_some())
            .map(|i| &i.name[..])
            .collect();
        names.sort_unstable();
        Ok(names == devices)
    })?;
    Ok(began.elapsed())
}

/// What is promised. Loading programs takes as long as the verifier does, and other tests may have the CPU.
fn soon(what: &str, took: Duration) -> Result<()> {
    eprintln!("{what} after {took:?}");
    ensure!(took < Duration::from_secs(2), "{what} after {took:?}");
    Ok(())
}

fn says(stand: &Stand, words: &str) -> Result<Duration> {
    let began = Instant::now();
    wait_for(words, Duration::from_secs(5), || Ok(stand.floodwall.said().contains(words)))?;
    Ok(began.elapsed())
}

#[test]
fn removed_and_added_again() -> Result<()> {
    let mut stand = Stand::new(&Config::default())?;
    stand.visit_well(10)?;
    let cookies = stand.floodwall.packets(Reason::CookieSent)?;
    stand.pair.rewire(Wire::Veth)?;
    let device = stand.pair.server.device.clone();
    soon("attached again", runs_on(&stand, &[&device])?)?;
    stand.visit_well(20)?;
    ensure!(stand.floodwall.packets(Reason::CookieSent)? >= cookies + 40, "the same block of counters");
    Ok(())
}

#[test]
fn down_and_up() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    let end = &stand.pair.server;
    end.namespace.ip(&format!("link set {} down", end.device))?;
    end.namespace.ip(&format!("link set {} up", end.device))?;
    end.namespace.ip(&format!("address replace {SERVER_V4}/24 dev {}", end.device))?;
    soon("it runs", runs_on(&stand, &[&end.device])?)?;
    let tried = stand.visit(SERVER_V4.into(), 100, 50)?;
    ensure!(tried.failed() == 0, "{}", tried.summary());
    Ok(())
}

/// An address is a datum, a private network is in the program: both count at once.
#[test]
fn addresses_and_networks() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    let end = &stand.pair.server;
    let second: IpAddr = "192.31.196.77".parse()?;
    end.address(second, 24)?;
    let began = Instant::now();
    // The log can't tell: an IPv6 address whose duplicate detection ends is a change of addresses, too.
    wait_for("a SYN to the new address is answered", Duration::from_secs(5), || {
        let before = stand.floodwall.packets(Reason::CookieSent)?;
        let tried = stand.visit(second, 100, 1)?;
        ensure!(tried.failed() == 0, "{}", tried.summary());
        Ok(stand.floodwall.packets(Reason::CookieSent)? > before)
    })?;
    soon("a new address", began.elapsed())?;
    let before = stand.floodwall.packets(Reason::CookieSent)?;
    let tried = stand.visit(second, 100, 20)?;
    ensure!(tried.failed() == 0, "{}", tried.summary());
    let answered = stand.floodwall.packets(Reason::CookieSent)? - before;
    ensure!(answered >= 20, "{answered} of 20 SYNs to the new address were answered");
    end.address("10.66.0.1".parse()?, 24)?;
    stand.pair.client.address("10.66.0.2".parse()?, 24)?;
    soon("a new network", says(&stand, "loading new programs")?)?;
    // A private source is a bogon unless its network is connected; the client's is of the network that it asks.
    let tried = stand.visit("10.66.0.1".parse()?, 100, 5)?;
    ensure!(tried.failed() == 0, "{}", tried.summary());
    Ok(())
}

/// The filter stays on the device whatever it is called.
#[test]
fn renamed() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    let (namespace, old) = (&stand.pair.server.namespace, stand.pair.server.device.clone());
    let new = format!("{old}r");
    namespace.ip(&format!("link set {old} down"))?;
    namespace.ip(&format!("link set {old} name {new}"))?;
    namespace.ip(&format!("link set {new} up"))?;
    soon("told", says(&stand, &format!("{old} is called {new} now"))?)?;
    let shown = namespace.ip(&format!("link show {new}"))?;
    ensure!(shown.contains("prog/xdp"), "{shown}");
    let text = stand.floodwall.toml(&Config::default());
    stand.floodwall.write(&text.replace(&format!("\"{old}\""), &format!("\"{new}\"")))?;
    stand.floodwall.signal(Signal::SIGHUP)?;
    soon("followed to its name", runs_on(&stand, &[&new])?)
}

/// Two interfaces, of which one comes later, goes, and comes again.
#[test]
fn one_of_two_comes_later() -> Result<()> {
    let second = "later0";
    let config = Config::default().also(&format!("[[interface]]\nname = \"{second}\"\n"));
    let stand = Stand::new(&config)?;
    let (namespace, first) = (&stand.pair.server.namespace, stand.pair.server.device.clone());
    let said = stand.floodwall.said();
    ensure!(said.contains("no interface \"later0\""), "{said}");
    let status = stand.floodwall.succeed("status --pins {pins} --socket {socket}")?;
    ensure!(status.contains("later0    not there"), "{status}");
    let mut both = [&first[..], second];
    both.sort_unstable();
    for _ in 0..2 {
        namespace.ip(&format!("link add {second} type veth peer name {second}p"))?;
        namespace.ip(&format!("link set {second} up"))?;
        soon("attached to both", runs_on(&stand, &both)?)?;
        namespace.ip(&format!("link del {second}"))?;
        soon("attached to one", runs_on(&stand, &[&first])?)?;
    }
    stand.visit_well(20)
}

/// A renamed device keeps its filter even when another interface makes the daemon load new programs.
#[test]
fn renamed_beside_another() -> Result<()> {
    let config = Config::default().also("[[interface]]\nname = \"later0\"\n");
    let stand = Stand::new(&config)?;
    let (namespace, old) = (&stand.pair.server.namespace, stand.pair.server.device.clone());
    namespace.ip("link add later0 type veth peer name later0p")?;
    let mut both = [&old[..], "later0"];
    both.sort_unstable();
    runs_on(&stand, &both)?;
    namespace.ip(&format!("link set {old} down"))?;
    namespace.ip(&format!("link set {old} name other0"))?;
    says(&stand, "is called other0 now")?;
    namespace.ip("link del later0")?;
    namespace.ip("link add later0 type veth peer name later0p")?;
    wait_for("the other one is attached again", Duration::from_secs(5), || {
        Ok(namespace.ip("link show later0")?.contains("prog/xdp"))
    })?;
    let shown = namespace.ip("link show other0")?;
    ensure!(shown.contains("prog/xdp"), "the renamed one lost its filter: {shown}");
    namespace.ip(&format!("link set other0 name {old}"))?;
    runs_on(&stand, &both).map(drop)
}

/// Whose it is; and that it gives way only when somebody says so.
#[test]
fn a_foreign_program_is_named_and_replaced_on_demand() -> Result<()> {
    if Sandbox::from_env()?.is_some() {
        eprintln!("not in systemd's sandbox: programs of others are found by ids, which takes CAP_SYS_ADMIN");
        return Ok(());
    }
    let pair = Pair::new(Wire::Veth)?;
    let mut foreign = Lab::load()?;
    foreign.attach_xdp(&pair.server.namespace, "pass", &pair.server.device)?;
    let mut floodwall = Floodwall::stopped(&pair.server, &Config::default())?;
    let output = floodwall.cli("run --config {config}")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(6), "{:?}: {said}", output.status);
    let own = format!("(pid {})", std::process::id());
    for words in ["XDP program pass (id ", "native mode", &own, "--replace"] {
        ensure!(said.contains(words), "{words}: {said}");
    }
    floodwall.run_with(&["--replace"])?;
    let attached = floodwall.pinned()?;
    let attached = pair.server.namespace.run(|| attached.interfaces())?;
    ensure!(attached.first().context("attached")?.mode.is_some(), "in its place");
    ensure!(floodwall.said().contains("replaced the XDP program pass"), "{}", floodwall.said());
    Ok(())
}
