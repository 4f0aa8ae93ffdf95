//! Somebody else's XDP program goes on with what passes.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::programs::Xdp;
use aya_obj::programs::XdpAttachType;
use filter_common::{abi::name, reason::Reason};
use filter_tests::{
    cleanup::Folder,
    config::Config,
    filter::Filter,
    lab::{Lab, Tally},
    packet::ip,
    stand::{Stand, wait_for},
};
use filter_user::dataplane::Next;
use nix::sys::signal::Signal;

/// A program of the laboratory's, pinned in a folder of its own.
struct Onward {
    folder: Folder,
    lab: Lab,
}

impl Onward {
    fn new() -> Result<Self> {
        Ok(Self { folder: Folder::pins()?, lab: Lab::load()? })
    }

    fn pinned(program: &str) -> Result<Self> {
        let mut onward = Self::new()?;
        onward.lab.pin_xdp(program, &onward.path())?;
        Ok(onward)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("next")
    }

    fn interface(&self) -> String {
        format!("next = \"{}\"", self.path().display())
    }

    /// Frames that it saw; none of them may bring metadata along.
    fn seen(&self) -> Result<u64> {
        ensure!(self.lab.tally(Tally::OnwardMeta)? == 0, "packets came with metadata");
        self.lab.tally(Tally::Onward)
    }
}

/// Two packets a minute from a source to UDP port 90.
fn limited() -> Config {
    Config::default()
        .service("ports = [\"udp/90\"]\nrate = { per_source = \"2/m burst 2\" }")
        .also("[udp]\nclosed = \"off\"\nreflection = \"off\"\n")
}

fn udp(source: &str) -> Vec<u8> {
    ip(source, "192.31.196.2").udp(9, 90, b"").bytes()
}

#[test]
fn what_passes_goes_on_and_nothing_else_does() -> Result<()> {
    for program in ["onward", "onward_frags"] {
        let onward = Onward::pinned(program)?;
        // Each frame is rehearsed first: that must not run it.
        let filter = Filter::new(&limited().interface(&onward.interface()))?;
        let before = onward.seen()?;
        filter.expect("the first", &udp("8.8.8.1"), Reason::Pass)?;
        filter.expect("the second", &udp("8.8.8.1"), Reason::Pass)?;
        ensure!(onward.seen()? == before + 2, "{program}: {} frames", onward.seen()? - before);
        filter.expect("too many", &udp("8.8.8.1"), Reason::SourceRate)?;
        filter.expect("forged", &udp("127.0.0.1"), Reason::Bogon)?;
        ensure!(onward.seen()? == before + 2, "{program}: {} frames", onward.seen()? - before);
        let explained = filter.floodwall.succeed(
            "explain --pins {pins} --src 8.8.8.2 --dst 192.31.196.2 --proto udp --dport 90 --len 60",
        )?;
        ensure!(explained.contains(&format!("({program:.15}) goes on with it")), "{explained}");
        ensure!(onward.seen()? == before + 2, "explain has run it");
    }
    Ok(())
}

#[test]
fn in_observe_mode_everything_goes_on() -> Result<()> {
    let onward = Onward::pinned("onward")?;
    let mut config = limited().interface(&onward.interface());
    config.mode = "observe";
    let filter = Filter::new(&config)?;
    let before = onward.seen()?;
    filter.expect_observed("forged", &udp("127.0.0.1"), Reason::Bogon)?;
    ensure!(onward.seen()? == before + 1, "{} frames", onward.seen()? - before);
    Ok(())
}

#[test]
fn connections_open_behind_cookies() -> Result<()> {
    let onward = Onward::pinned("onward")?;
    let stand = Stand::new(&Config::default().interface(&onward.interface()))?;
    let (answered, before) = (stand.floodwall.packets(Reason::CookieSent)?, onward.seen()?);
    stand.visit_well(20)?;
    ensure!(stand.floodwall.packets(Reason::CookieSent)? >= answered + 40, "SYNs were answered");
    // An ACK, a request and a FIN of each at least.
    let seen = onward.seen()? - before;
    ensure!(seen >= 120, "{seen} frames of 40 connections went on");
    let status = stand.floodwall.succeed("status --pins {pins} --socket {socket}")?;
    ensure!(status.contains("goes on to the XDP program") && status.contains("(onward)"), "{status}");
    Ok(())
}

/// Waits until a program sees packets: some arrive all the time.
fn at_work(stand: &Stand, onward: &Onward) -> Result<()> {
    let before = onward.seen()?;
    wait_for(&format!("it sees packets: {}", stand.floodwall.said()), Duration::from_secs(10), || {
        stand.visit_well(1)?;
        Ok(onward.seen()? > before)
    })
}

#[test]
fn programs_come_change_and_go() -> Result<()> {
    let (mut first, mut second) = (Onward::new()?, Onward::new()?);
    let mut stand = Stand::new(&Config::default().interface(&first.interface()))?;
    let status = stand.floodwall.succeed("status --pins {pins} --socket {socket}")?;
    ensure!(status.contains("what passes goes to the stack"), "{status}");
    stand.visit_well(5)?;
    // It comes,
    let path = first.path();
    first.lab.pin_xdp("onward", &path)?;
    at_work(&stand, &first)?;
    // another takes its place: of the other kind, so that our program is, too,
    fs::remove_file(&path)?;
    second.lab.pin_xdp("onward_frags", &path)?;
    at_work(&stand, &second)?;
    let seen = first.seen()?;
    stand.visit_well(5)?;
    ensure!(first.seen()? == seen, "the first one still sees packets");
    let pinned = || -> Result<usize> {
        let layout = fs::read_dir(stand.floodwall.pins())?.filter_map(|entry| {
            let path = entry.ok()?.path();
            path.file_name()?.to_str()?.starts_with('v').then_some(path)
        });
        let names = layout.flat_map(|path| fs::read_dir(path).into_iter().flatten());
        Ok(names
            .filter(|entry| {
                entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(name::NEXT))
            })
            .count())
    };
    // (the programs run before the apply is over: the status waits for its end)
    stand.floodwall.succeed("status --pins {pins} --socket {socket}")?;
    ensure!(pinned()? == 1, "{} arrays are pinned", pinned()?);
    // the daemon dies and another adopts it,
    stand.floodwall.end(Signal::SIGKILL)?;
    at_work(&stand, &second)?;
    stand.floodwall.run()?;
    ensure!(stand.floodwall.said().contains("adopted as they are"), "{}", stand.floodwall.said());
    at_work(&stand, &second)?;
    // its pin goes,
    fs::remove_file(&path)?;
    std::thread::sleep(Duration::from_secs(3));
    at_work(&stand, &second)?;
    // and with a reload, it.
    stand.floodwall.signal(Signal::SIGHUP)?;
    wait_for("the stack gets the packets", Duration::from_secs(10), || {
        let before = second.seen()?;
        stand.visit_well(1)?;
        Ok(second.seen()? == before)
    })
}

#[test]
fn only_an_xdp_program_of_roots_will_do() -> Result<()> {
    let mut onward = Onward::pinned("onward")?;
    let path = onward.path();
    let found = Next::look(&path)?.context("it is there")?;
    ensure!(found.name == "onward" && !found.frags, "{found:?}");
    ensure!(Next::look(&path.with_file_name("nothing"))?.is_none(), "nothing is there");
    let tc = path.with_file_name("tc");
    onward.lab.pin_tc("witness", &tc)?;
    let filter = Filter::new(&limited())?;
    let own = path.with_file_name("own");
    let id = filter.pair.server.namespace.run(|| {
        let dataplane = filter.floodwall.pinned()?;
        dataplane.interfaces()?.pop().and_then(|interface| interface.xdp_program).context("no program")
    })?;
    let info = aya::programs::loaded_programs().filter_map(Result::ok).find(|info| info.id() == id);
    let info = info.context("the program is gone")?;
    Xdp::from_program_info(info, name::XDP.into(), XdpAttachType::Interface)?.pin(&own)?;
    let link = fs::read_dir(filter.floodwall.pins().join("links"))?.next().context("a link")??.path();
    for (path, words) in [
        (PathBuf::from("/etc/passwd"), "BPF file system"),
        (tc, "not an XDP program"),
        (own, "own program"),
        (link, "pin the program"),
        (onward.folder.path().to_owned(), "not a pinned program"),
    ] {
        filter.floodwall.configure(&limited().interface(&format!("next = \"{}\"", path.display())))?;
        let output = filter.floodwall.cli("config check --config {config}")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(5) && said.contains(words), "{path:?}: {said}");
        ensure!(said.contains("next = "), "{path:?}: {said}");
    }
    Ok(())
}
