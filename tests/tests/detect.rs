//! The detector of a real daemon: floods are found, told, acted on, and everything is taken back.

use std::{
    fs,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    flood::{Flood, Order, Segment, Source, flood_of},
    pair::{CLIENT_V4, Family, SERVER_V4},
    stand::{Stand, wait_for},
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// The data path would arm itself much later than the detector finds anything.
fn config(detect: &str) -> Config {
    Config {
        rest: format!("[detect]\nhold = \"2s\"\n{detect}"),
        ..Config::default().service(
            "ports = [\"tcp/80\", \"udp/5000\"]\nsyn = { mode = \"auto\", on = 200000, off = 100000, hold = \"1s\" }",
        )
    }
}

fn attacks(stand: &Stand, arguments: &str) -> Result<Vec<Value>> {
    let output = stand.floodwall.cli(&format!("attack list --json --socket {{socket}} {arguments}"))?;
    let said: Value = serde_json::from_slice(&output.stdout).context("JSON")?;
    let attacks = said["attacks"].as_array().context("a list")?.clone();
    ensure!(output.status.code() == Some(i32::from(attacks.is_empty())), "{:?}", output.status);
    Ok(attacks)
}

fn active(stand: &Stand, vector: &str) -> Result<f64> {
    Ok(stand.floodwall.scrape()?.sum("floodwall_attack_active", &[&format!("vector=\"{vector}\"")]))
}

/// How long it takes until an attack is listed, and the attack.
fn found(stand: &Stand, orders: &[Order]) -> Result<(Duration, Value, Vec<Flood>)> {
    let began = Instant::now();
    let floods = Flood::start_all(&stand.pair.client, orders)?;
    wait_for("an attack", Duration::from_secs(5), || Ok(!attacks(stand, "--active")?.is_empty()))?;
    Ok((began.elapsed(), attacks(stand, "--active")?.remove(0), floods))
}

/// Honest visitors for a while are no attack; each of these floods is one, until it is over.
fn is_found(segment: Segment, port: u16, vector: &str, detect: &str) -> Result<()> {
    let stand = Stand::new(&config(&format!("mode = \"act\"\n{detect}")))?;
    stand.visit(SERVER_V4.into(), 1000, 5000)?;
    ensure!(attacks(&stand, "")?.is_empty(), "honest visitors");
    let order = Order { port, nice: 0, ..flood_of(segment, Family::V4, 50_000)? };
    let (after, attack, floods) = found(&stand, &[order])?;
    println!("{vector}: found after {after:?}");
    ensure!(after < Duration::from_secs(2), "{vector}: found after {after:?}");
    ensure!(attack["service"] == "web" && attack["vectors"][0]["vector"] == vector, "{attack}");
    thread::sleep(Duration::from_secs(1));
    let attack = attacks(&stand, "--active")?.remove(0);
    let (peak, sent) = (attack["peak_pps"].as_f64().context("peak")?, floods[0].sent()?.pps());
    ensure!(peak > sent * 0.3 && peak < sent * 4.0, "{sent}/s were sent: {attack}");
    ensure!(active(&stand, vector)? > 0.0, "no metric");
    let armed = stand.floodwall.scrape()?.sum("floodwall_syn_armed", &["service=\"web\""]);
    let acts = attack["acts"].as_array().context("acts")?.len();
    ensure!((armed > 0.0, acts > 0) == (vector == "syn", vector == "syn"), "armed {armed}: {attack}");
    let shown = stand.floodwall.succeed("attack show 1 --socket {socket}")?;
    ensure!(shown.contains("their prefixes") && shown.lines().all(|line| line.len() <= 80), "{shown}");
    drop(floods);
    wait_for("its end", Duration::from_secs(15), || Ok(attacks(&stand, "--active")?.is_empty()))?;
    let attack = attacks(&stand, "")?.remove(0);
    ensure!(attack["ended"].is_u64(), "{attack}");
    for act in attack["acts"].as_array().context("acts")? {
        ensure!(act["undone"].is_u64(), "{attack}");
    }
    wait_for("disarmed", Duration::from_secs(10), || {
        let scrape = stand.floodwall.scrape()?;
        Ok(scrape.sum("floodwall_syn_armed", &["service=\"web\""]) == 0.0)
    })?;
    let scrape = stand.floodwall.scrape()?;
    let found = scrape.sum("floodwall_attacks_total", &[&format!("vector=\"{vector}\"")]);
    ensure!((found - 1.0).abs() < 0.5, "{found} attacks");
    ensure!(scrape.sum("floodwall_events_total", &[]) > 0.0);
    let said = stand.floodwall.said();
    ensure!(said.matches("an attack began").count() == 1, "{said}");
    ensure!(said.matches("the attack is over").count() == 1, "{said}");
    Ok(())
}

#[test]
fn a_syn_flood_is_found_and_answered() -> Result<()> {
    is_found(Segment::Syn, 80, "syn", "")
}

#[test]
fn a_udp_flood_is_found() -> Result<()> {
    // A daemon that has just started knows nothing usual: twenty times the floor.
    is_found(Segment::Udp(4444, 64), 5000, "udp", "floor = 200")
}

/// Five seconds of visits.
fn visit_as(stand: &Stand, source: Ipv4Addr) -> Result<()> {
    stand.visit_from(source.into(), SERVER_V4.into(), 200, 1000).map(drop)
}

/// A source that completes hundreds of handshakes during an attack is banned, and free when it is over; the gateway never is, and
/// neither is anybody whose address was only forged.
#[test]
fn heavy_proven_sources_are_banned_for_the_attack() -> Result<()> {
    let heavy = Ipv4Addr::new(192, 31, 196, 9);
    let detect = "mode = \"act\"\nheavy = 20\n[events]\nsample = 1";
    let stand = Stand::new(&config(detect))?;
    let client = &stand.pair.client;
    client.namespace.ip(&format!("addr add {heavy}/24 dev {}", client.device))?;
    let (_, _, floods) = found(&stand, &[flood_of(Segment::Syn, Family::V4, 20_000)?])?;
    wait_for("armed", Duration::from_secs(5), || {
        Ok(stand.floodwall.scrape()?.sum("floodwall_syn_armed", &["service=\"web\""]) > 0.0)
    })?;
    visit_as(&stand, heavy)?;
    visit_as(&stand, CLIENT_V4)?;
    let banned = || stand.floodwall.cli("ban list --pins {pins}");
    let list = String::from_utf8(banned()?.stdout)?;
    ensure!(list.contains("192.31.196.9/32") && list.contains("auto/syn#1"), "{list}");
    ensure!(list.lines().count() == 1, "{list}");
    drop(floods);
    wait_for("its end", Duration::from_secs(15), || Ok(attacks(&stand, "--active")?.is_empty()))?;
    let list = String::from_utf8(banned()?.stdout)?;
    ensure!(!list.contains("192.31.196.9"), "{list}");
    Ok(())
}

/// What of a flood passes in a second.
fn passes(stand: &Stand) -> Result<f64> {
    let (began, before) = (Instant::now(), stand.floodwall.packets(Reason::Pass)?);
    thread::sleep(Duration::from_secs(1));
    let passed = stand.floodwall.packets(Reason::Pass)? - before;
    #[expect(clippy::cast_precision_loss, reason = "thousands of packets")]
    Ok(passed as f64 / began.elapsed().as_secs_f64())
}

/// Limits of sources are what helps against datagrams of few sources: they are narrower until the flood ends, or the daemon.
#[test]
fn limits_of_sources_get_narrower_for_the_attack() -> Result<()> {
    const LIMIT: f64 = 2000.0;
    let config = Config {
        rest: "[detect]\nmode = \"act\"\nhold = \"2s\"\nfloor = 200\ntighten = 4".to_owned(),
        ..Config::default().service("ports = [\"udp/5000\"]\nrate = { per_source = \"2000/s burst 2000\" }")
    };
    let mut stand = Stand::new(&config)?;
    let datagrams = flood_of(Segment::Udp(4444, 64), Family::V4, 20_000)?;
    let order = Order { port: 5000, nice: 0, source: Source::SomeV4(1), ..datagrams };
    let (_, _, floods) = found(&stand, std::slice::from_ref(&order))?;
    let tightened = |stand: &Stand| -> Result<bool> {
        Ok(stand.floodwall.scrape()?.sum("floodwall_limits_tightened", &["service=\"web\""]) > 0.0)
    };
    wait_for("narrower limits", Duration::from_secs(5), || tightened(&stand))?;
    // What was in the bucket is gone.
    thread::sleep(Duration::from_secs(1));
    let narrow = passes(&stand)?;
    println!("{narrow} of {LIMIT}/s pass");
    ensure!(narrow > LIMIT / 4.0 * 0.8 && narrow < LIMIT / 4.0 * 1.2, "{narrow}/s pass");
    let attack = attacks(&stand, "--active")?.remove(0);
    ensure!(attack["acts"][0]["what"] == "made limits of sources 4 times narrower: udp", "{attack}");
    let shown = stand.floodwall.succeed("attack show 1 --socket {socket}")?;
    ensure!(shown.contains("limits of sources 4 times narrower"), "{shown}");
    drop(floods);
    wait_for("its end", Duration::from_secs(15), || Ok(attacks(&stand, "--active")?.is_empty()))?;
    let attack = attacks(&stand, "")?.remove(0);
    ensure!(attack["acts"][0]["undone"].is_u64() && !tightened(&stand)?, "{attack}");
    // A daemon that dies takes nothing back: the lease ends.
    let (_, _, floods) = found(&stand, &[order])?;
    wait_for("narrower limits", Duration::from_secs(5), || tightened(&stand))?;
    stand.floodwall.end(Signal::SIGKILL)?;
    thread::sleep(Duration::from_secs(6));
    let wide = passes(&stand)?;
    ensure!(wide > LIMIT * 0.8 && wide < LIMIT * 1.2, "{wide}/s pass");
    drop(floods);
    Ok(())
}

#[test]
fn off_samples_nothing() -> Result<()> {
    let stand = Stand::new(&config("mode = \"off\""))?;
    let flood = Flood::start(&stand.pair.client, &flood_of(Segment::Syn, Family::V4, 50_000)?)?;
    thread::sleep(Duration::from_secs(3));
    drop(flood);
    ensure!(attacks(&stand, "")?.is_empty());
    ensure!(stand.floodwall.scrape()?.sum("floodwall_events_total", &[]).total_cmp(&0.0).is_eq());
    Ok(())
}

fn incidents(stand: &Stand) -> Result<Vec<Value>> {
    let output = stand.floodwall.cli("incident list --json --socket {socket}")?;
    let said: Value = serde_json::from_slice(&output.stdout).context("JSON")?;
    Ok(said["incidents"].as_array().context("a list")?.clone())
}

fn json(stand: &Stand, line: &str) -> Result<Value> {
    Ok(serde_json::from_str(&stand.floodwall.succeed(&format!("{line} --json --socket {{socket}}"))?)?)
}

/// What is kept of an attack: its course, who took part as far as that is proven, what it cost the others.
#[test]
fn an_attack_leaves_an_incident() -> Result<()> {
    let stand = Stand::new(&config("mode = \"act\"\nheavy = 20\n[events]\nsample = 1"))?;
    let heavy = Ipv4Addr::new(192, 31, 196, 9);
    let client = &stand.pair.client;
    client.namespace.ip(&format!("addr add {heavy}/24 dev {}", client.device))?;
    stand.visit(SERVER_V4.into(), 200, 1500)?;
    ensure!(incidents(&stand)?.is_empty(), "honest visitors");
    let (_, _, floods) = found(&stand, &[flood_of(Segment::Syn, Family::V4, 20_000)?])?;
    visit_as(&stand, heavy)?;
    wait_for("it is written", Duration::from_secs(5), || {
        Ok(incidents(&stand)?.iter().any(|incident| incident["state"] == "active"))
    })?;
    let sent = floods[0].sent()?.pps();
    drop(floods);
    wait_for("its end", Duration::from_secs(15), || {
        Ok(incidents(&stand)?.iter().any(|incident| incident["state"] == "over"))
    })?;
    let incident = json(&stand, "incident show")?;
    println!("{incident:#}");
    let number =
        |pointer: &str| incident.pointer(pointer).and_then(Value::as_f64).context(pointer.to_owned());
    let peak = number("/attack/peak_pps")?;
    ensure!(peak > sent * 0.3 && peak < sent * 4.0, "{sent}/s were sent");
    ensure!(incident["attack"]["vectors"][0]["vector"] == "syn" && incident["attack"]["service"] == "web");
    ensure!(incident["mode"] == "enforce" && number("/revision")? > 0.0);
    let course = incident["timeline"].as_array().context("a course")?;
    let highest = course.iter().filter_map(|point| point["pps"].as_f64()).fold(0.0, f64::max);
    ensure!(highest > sent * 0.3 && highest <= peak, "{highest} in the course, {peak} at most");
    ensure!(number("/fates/answered")? > sent, "cookies");
    let (before, during) =
        (number("/collateral/handshakes_before")?, number("/collateral/handshakes_during")?);
    ensure!((50.0..=250.0).contains(&before) && during > 10.0, "{before} before, {during} meanwhile");
    ensure!(number("/collateral/proven_packets")? > 0.0);
    for act in incident["attack"]["acts"].as_array().context("acts")? {
        ensure!(act["undone"].is_u64(), "{act}");
    }
    let samples = incident["samples"].as_array().context("samples")?;
    ensure!(!samples.is_empty(), "no packet of it");
    let text = incident.to_string();
    ensure!(text.contains("banned 192.31.196.0/24") && !text.contains("192.31.196.9"), "whole addresses");
    let shown = stand.floodwall.succeed("incident show --socket {socket}")?;
    ensure!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let report = stand.floodwall.succeed("incident export --socket {socket}")?;
    println!("{report}");
    ensure!(report.starts_with("# Incident") && report.contains("## Course"), "{report}");
    let order = "incident export --format xarf --org Example --contact abuse@example.net";
    let reports = json(&stand, order)?;
    let reports = reports["reports"].as_array().context("reports")?;
    ensure!(reports.len() == 1 && reports[0]["source_identifier"] == "192.31.196.0/24", "{reports:?}");
    wait_for("half a minute", Duration::from_secs(40), || {
        Ok(json(&stand, "incident show")?["collateral"]["handshakes_after"].is_f64())
    })?;
    let kept = stand.floodwall.scrape()?.sum("floodwall_incidents_total", &["result=\"kept\""]);
    ensure!((kept - 1.0).abs() < 0.5, "{kept} kept");
    Ok(())
}

/// A daemon that is killed in an attack has left what it knew; the next one goes on with an incident of its own. A damaged file is
/// told of and costs no other.
#[test]
fn incidents_outlive_a_kill() -> Result<()> {
    let mut stand = Stand::new(&config("mode = \"act\""))?;
    let (_, _, floods) = found(&stand, &[flood_of(Segment::Syn, Family::V4, 20_000)?])?;
    wait_for("it is written", Duration::from_secs(5), || Ok(!incidents(&stand)?.is_empty()))?;
    let before = incidents(&stand)?.remove(0);
    stand.floodwall.end(Signal::SIGKILL)?;
    stand.floodwall.run()?;
    let after = incidents(&stand)?.pop().context("the incident is gone")?;
    ensure!(after["id"] == before["id"] && after["state"] == "interrupted", "{before} then {after}");
    ensure!(after["ended"].is_u64(), "{after}");
    wait_for("another", Duration::from_secs(10), || Ok(incidents(&stand)?.len() == 2))?;
    ensure!(incidents(&stand)?[0]["state"] == "active" && incidents(&stand)?[0]["id"] != before["id"]);
    drop(floods);
    let id = before["id"].as_str().context("id")?;
    let path = stand.floodwall.state().join("incidents").join(format!("incident-{id}"));
    let mut bytes = fs::read(&path)?;
    *bytes.last_mut().context("bytes")? ^= 1;
    fs::write(&path, bytes)?;
    let output = stand.floodwall.cli(&format!("incident show {id} --socket {{socket}}"))?;
    ensure!(output.status.code() == Some(1) && !path.exists(), "{output:?}");
    ensure!(incidents(&stand)?.len() == 1, "the other one stays");
    ensure!(stand.floodwall.said().contains("put aside"), "{}", stand.floodwall.said());
    stand.visit_well(50)
}
