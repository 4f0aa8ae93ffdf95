//! Killed at any moment, in any step of an upgrade: not one packet gets past the filter, and nothing is lost.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::TcAttachType;
use filter_common::{abi::VERSION, reason::Reason};
use filter_tests::{
    config::Config,
    flood::{Flood, Order, Source},
    lab::{Lab, Tally},
    noise::Noise,
    pair::{SERVER_V4, Wire},
    sched::Cores,
    server::Kind,
    stand::{Stand, wait_for},
    trace::Traced,
};
use nix::sys::signal::Signal;

/// Kills of a daemon at work.
const KILLS: u64 = 100;
/// Upgrades that are killed, each at another step.
const UPGRADES: u64 = 20;

/// A server under a flood, and a witness behind the filter.
struct Scene {
    stand: Stand,
    witness: Lab,
    flood: Flood,
    /// SYNs answered when last asked.
    answered: u64,
}

impl Scene {
    fn new() -> Result<Self> {
        let stand = Stand::with(&Config::default(), Wire::Cable, Kind::Tcp)?;
        stand.pair.pin(Cores::pick()?)?;
        let mut witness = Lab::load()?;
        let end = stand.pair.server.clone();
        witness.attach_tc(&end.namespace, "witness", &end.device, TcAttachType::Ingress)?;
        stand.floodwall.succeed("ban add 9.9.9.9 --ttl forever --reason kept --socket {socket}")?;
        let order = Order {
            pps: 20_000,
            nice: 10,
            at_most: Duration::from_mins(15),
            frames: u64::MAX,
            ..Order::syns(Source::AnyV4, Cores::pick()?.attacker)
        };
        let flood = Flood::start(&stand.pair.client, &order)?;
        let scene = Self { stand, witness, flood, answered: 0 };
        wait_for("the flood is answered", Duration::from_secs(5), || {
            Ok(scene.stand.floodwall.packets(Reason::CookieSent)? > 1000)
        })?;
        Ok(scene)
    }

    /// Nothing has passed, and the filter is at work.
    fn holds(&mut self, when: &str) -> Result<()> {
        let seen = self.witness.tally(Tally::SeenSyn)? + self.witness.tally(Tally::SeenOther)?;
        ensure!(seen == 0, "{when}: {seen} packets of the flood reached the stack");
        let end = &self.stand.pair.server;
        let shown = end.namespace.ip(&format!("link show {}", end.device))?;
        ensure!(shown.contains("prog/xdp"), "{when}: {shown}");
        Ok(())
    }

    /// A daemon finds everything as it was left: bans, counters, keys; and no remains of those that were killed.
    fn is_whole(&mut self, when: &str) -> Result<()> {
        self.holds(when)?;
        let floodwall = &self.stand.floodwall;
        floodwall.succeed("ban test 9.9.9.9 --pins {pins}").context("the ban is kept")?;
        let answered = floodwall.packets(Reason::CookieSent)?;
        ensure!(answered >= self.answered, "{when}: counters went back, {} to {answered}", self.answered);
        self.answered = answered;
        let layouts = layouts(&floodwall.pins())?;
        ensure!(layouts.len() == 1, "{when}: {layouts:?}");
        ensure!(!layouts[0].join("staging").exists(), "{when}: something is staged");
        let links = fs::read_dir(floodwall.pins().join("links"))?.count();
        ensure!(links == 3, "{when}: {links} links are pinned");
        let tried = self.stand.visit(SERVER_V4.into(), 200, 10)?;
        ensure!(tried.failed() == 0, "{when}: {}", tried.summary());
        Ok(())
    }
}

fn layouts(pins: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(pins)?.collect::<std::io::Result<Vec<_>>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.file_name().is_some_and(|name| name != "links")).collect())
}

/// In turn: while it starts, while it reloads, while it runs.
#[test]
fn a_hundred_kills_under_a_flood() -> Result<()> {
    let mut scene = Scene::new()?;
    let other = Config::default().also("[udp]\nreply_window = \"20s\"\n");
    let usual = Config::default();
    let mut moments = Noise::new(100);
    let mut running = true;
    let began = Instant::now();
    for kill in 0..KILLS {
        let floodwall = &mut scene.stand.floodwall;
        let mut pause = |most: u64| thread::sleep(Duration::from_millis(moments.below(most)));
        match kill % 3 {
            0 => {
                if running {
                    floodwall.end(Signal::SIGKILL)?;
                }
                // The file may be the other one: then programs are loaded and swapped.
                floodwall.configure(if kill % 2 == 0 { &other } else { &usual })?;
                floodwall.run_away()?;
                pause(1000);
            }
            1 => {
                floodwall.run()?;
                floodwall.configure(if kill % 2 == 0 { &other } else { &usual })?;
                floodwall.signal(Signal::SIGHUP)?;
                pause(1000);
            }
            _ => {
                floodwall.run()?;
                pause(100);
            }
        }
        floodwall.end(Signal::SIGKILL)?;
        running = false;
        scene.holds(&format!("kill {kill}"))?;
    }
    scene.stand.floodwall.run()?;
    scene.is_whole("after all kills")?;
    let sent = scene.flood.stop()?.frames;
    eprintln!("{KILLS} kills in {:?}, {sent} packets, none past the filter", began.elapsed());
    Ok(())
}

/// The maps of another version are those of another folder: what runs is moved there, and the daemon finds an upgrade to do. It is
/// killed at its n-th change of the kernel's objects or of the pins, for n all over the upgrade.
#[test]
fn upgrades_killed_at_each_step() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.stand.floodwall.end(Signal::SIGTERM)?;
    let steps = upgrade(&mut scene, u64::MAX)?.context("an upgrade that nobody kills is finished")?;
    scene.stand.floodwall.run()?;
    scene.is_whole("after a whole upgrade")?;
    // All over it, and each of the last ones: swaps come after everything is loaded.
    let all_over = (0..UPGRADES / 2).map(|n| 1 + n * steps / (UPGRADES / 2));
    let at_the_end = (0..UPGRADES / 2).map(|n| steps - steps / 3 + n * steps / (3 * UPGRADES / 2));
    let (mut old, mut new) = (0, 0);
    for step in all_over.chain(at_the_end) {
        scene.stand.floodwall.end(Signal::SIGTERM)?;
        let before = program(&scene)?;
        upgrade(&mut scene, step)?;
        let when = format!("upgrade killed at step {step} of {steps}");
        scene.holds(&when)?;
        if program(&scene)? == before {
            old += 1;
        } else {
            new += 1;
        }
        scene.stand.floodwall.run().with_context(|| when.clone())?;
        ensure!(program(&scene)? != before, "{when}: the next daemon finishes it");
        scene.is_whole(&when)?;
    }
    let sent = scene.flood.stop()?.frames;
    eprintln!(
        "{steps} steps; killed {UPGRADES} times: {old} all old, {new} all new; {sent} packets, none past the filter"
    );
    Ok(())
}

/// Id of the XDP program on the server's device, as `ip` tells it.
fn program(scene: &Scene) -> Result<u32> {
    let end = &scene.stand.pair.server;
    let shown = end.namespace.ip(&format!("-d link show {}", end.device))?;
    let id = shown.split("prog/xdp id ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    id.with_context(|| shown.clone())
}

/// A version with another ABI number can make nothing of the tables: it begins with its own, and all the same nothing gets past the
/// filter. Bans are there again, from the state folder. Also when it is killed on the way.
#[test]
fn another_abi_number_begins_anew() -> Result<()> {
    let mut scene = Scene::new()?;
    let mut steps = None;
    for eighths in [8, 2, 4, 6, 7] {
        scene.stand.floodwall.end(Signal::SIGTERM)?;
        let before = program(&scene)?;
        let old = rename(&scene, "v0")?;
        let step = steps.map_or(u64::MAX, |steps: u64| steps * eighths / 8);
        let (command, notify) = scene.stand.floodwall.start_command(Traced::begin)?;
        let done = Traced::spawn(command)?.run_to(step, &notify)?;
        steps = steps.or(done);
        let when = format!("killed at step {step} of {steps:?}");
        scene.holds(&when)?;
        scene.stand.floodwall.run().with_context(|| when.clone())?;
        ensure!(program(&scene)? != before && !old.exists(), "{when}: the old version is gone");
        // Counters are new ones, too.
        scene.answered = 0;
        scene.is_whole(&when)?;
    }
    let sent = scene.flood.stop()?.frames;
    eprintln!("{steps:?} steps; {sent} packets, none past the filter");
    Ok(())
}

/// Makes the pinned tables those of another version; returns where they are.
fn rename(scene: &Scene, abi: &str) -> Result<PathBuf> {
    let layouts = layouts(&scene.stand.floodwall.pins())?;
    ensure!(layouts.len() == 1, "{layouts:?}");
    let other = layouts[0].with_file_name(format!("{abi}-00000000"));
    fs::rename(&layouts[0], &other)?;
    Ok(other)
}

/// Starts a daemon that has to upgrade, and kills it at that step; the number of steps if it was ready before.
fn upgrade(scene: &mut Scene, step: u64) -> Result<Option<u64>> {
    rename(scene, &format!("v{VERSION}"))?;
    let (command, notify) = scene.stand.floodwall.start_command(Traced::begin)?;
    Traced::spawn(command)?.run_to(step, &notify)
}
