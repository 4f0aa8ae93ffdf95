//! However an operator tries to lock himself out from afar: the session that he does it in lives.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, TcpListener},
    process::Output,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{
    config::Config,
    pair::{CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6},
    session::Session,
    stand::{Stand, wait_for},
};
use filter_user::dataplane;
use nix::sys::signal::Signal;

/// Far away behind the client, as an office behind a VPN is.
const OFFICE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// An apply takes a second or two, and what was lost meanwhile is sent again.
const SOON: Duration = Duration::from_secs(15);

/// Nobody gets through.
fn nothing() -> Config {
    Config::default()
        .also("[[rule]]\nname = \"nothing\"\nsrc = [\"0.0.0.0/0\", \"::/0\"]\naction = \"drop\"\n")
}

struct Scene {
    session: Session,
    stand: Stand,
}

impl Scene {
    fn new(config: &Config) -> Result<Self> {
        Self::from(config, CLIENT_V4.into(), SERVER_V4.into())
    }

    fn from(config: &Config, source: IpAddr, server: IpAddr) -> Result<Self> {
        let stand = Stand::new(config)?;
        let session = Session::open(&stand.pair, source, server)?;
        let scene = Self { session, stand };
        scene.lives()?;
        Ok(scene)
    }

    fn lives(&self) -> Result<()> {
        self.session.must_live(Duration::from_secs(3))
    }

    /// A verb, typed into the session.
    fn types(&self, line: &str) -> Result<Output> {
        let line = format!("{line} --socket {{socket}}");
        self.stand.floodwall.cli_from(&line, Some(&self.session.variable()))
    }

    /// The same with the code that it must end with; returns what it said.
    fn expect(&self, code: i32, line: &str) -> Result<String> {
        let output = self.types(line)?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(output.status.code() == Some(code), "{line}: {} instead of {code}: {said}", output.status);
        Ok(said)
    }

    /// Refused, with these words, and nothing has changed.
    fn refused(&self, line: &str, words: &[&str]) -> Result<()> {
        let before = self.standing()?;
        let said = self.expect(6, line)?;
        for word in words {
            ensure!(said.contains(word), "{line}: {word:?} is not in: {said}");
        }
        ensure!(self.standing()?["revision"] == before["revision"], "nothing has changed");
        self.lives()
    }

    fn standing(&self) -> Result<serde_json::Value> {
        let said = self.expect(0, "status --pins {pins} --json")?;
        let value: serde_json::Value = serde_json::from_str(&said)?;
        Ok(value["daemon"]["commit"].clone())
    }

    /// Waits until the revision that waited was taken back; the session lives again.
    fn taken_back(&self) -> Result<()> {
        wait_for("the apply is taken back", Duration::from_secs(30), || {
            Ok(self.standing()?["reverted"]["revision"].as_u64() == Some(2))
        })
        .with_context(|| self.stand.floodwall.said())?;
        self.session.must_live(SOON)?;
        ensure!(self.standing()?["confirm_seconds"].is_null(), "nothing waits any more");
        let said = self.expect(7, "confirm")?;
        ensure!(said.contains("too late"), "{said}");
        Ok(())
    }
}

#[test]
fn the_own_source_cannot_be_banned() -> Result<()> {
    for (source, server) in [(CLIENT_V4.into(), SERVER_V4.into()), (CLIENT_V6.into(), SERVER_V6.into())] {
        let scene = Scene::from(&Config::default(), source, server)?;
        scene.refused(&format!("ban add {source}"), &["SSH"])?;
        let around = if source.is_ipv4() { "192.31.196.0/24" } else { "2620:4f:8000::/48" };
        scene.refused(&format!("ban add {around} --ttl forever"), &["holds"])?;
    }
    let scene = Scene::new(&Config::default())?;
    // Without a session to go by it is the gateway and the resolver all the same.
    let output = scene.stand.floodwall.cli(&format!("ban add {CLIENT_V4} --socket {{socket}}"))?;
    ensure!(output.status.code() == Some(6), "{output:?}");
    scene.lives()
}

#[test]
fn a_configuration_for_nobody_is_refused() -> Result<()> {
    let scene = Scene::new(&Config::default())?;
    scene.stand.floodwall.configure(&nothing())?;
    scene.refused("apply", &["your SSH connection", "rule_drop", "management.allow"])?;
    scene.refused("apply --dry-run", &["your SSH connection"])?;
    scene.refused("apply --confirm 1m", &["rule_drop"])?;
    // In observe mode it drops nobody, and says what it would.
    scene.stand.floodwall.configure(&Config { mode: "observe", ..nothing() })?;
    let said = scene.expect(0, "apply")?;
    ensure!(said.contains("once this is enforced"), "{said}");
    scene.lives()?;
    // Who is on the list passes whatever the rules say.
    let allowed = ["192.31.196.0/24", "2620:4f:8000::/48"].map(str::to_owned).to_vec();
    scene.stand.floodwall.configure(&Config { management: allowed, ..nothing() })?;
    scene.expect(0, "apply")?;
    scene.lives()
}

#[test]
fn a_wrong_interface_is_refused() -> Result<()> {
    let scene = Scene::new(&Config::default())?;
    let text = fs::read_to_string(scene.stand.floodwall.config())?;
    let device = scene.stand.pair.server.device.clone();
    scene.stand.floodwall.write(&text.replace(&device, "lo"))?;
    scene.refused("apply", &["no default route", &device])?;
    scene.stand.floodwall.write(&text.replace(&device, "nonesuch0"))?;
    scene.expect(5, "apply")?;
    scene.lives()
}

#[test]
fn a_wrong_profile_is_refused() -> Result<()> {
    let stand = Stand::new(&Config::default().interface("profile = \"lan\""))?;
    let client = &stand.pair.client;
    client.namespace.ip(&format!("address add {OFFICE}/32 dev {}", client.device))?;
    let session = Session::open(&stand.pair, OFFICE.into(), SERVER_V4.into())?;
    let scene = Scene { session, stand };
    scene.lives()?;
    scene.stand.floodwall.configure(&Config::default())?;
    scene.refused("apply", &["bogon", "profile"])
}

/// Forced, and not confirmed: it goes back by itself, and neither SIGHUP nor a restart brings it again.
#[test]
fn what_nobody_confirms_is_taken_back() -> Result<()> {
    let mut scene = Scene::new(&Config::default())?;
    scene.stand.floodwall.configure(&nothing())?;
    let said = scene.expect(0, "apply --confirm 6s --force")?;
    ensure!(said.contains("floodwall confirm"), "{said}");
    ensure!(scene.standing()?["confirm_seconds"].as_u64().is_some(), "it waits");
    scene.refused_while_waiting()?;
    wait_for("the session is cut off", SOON, || Ok(!scene.session.lives()?))?;
    scene.taken_back()?;
    let history = scene.expect(0, "history")?;
    ensure!(history.contains("reverted to 1"), "{history}");
    let diff = scene.expect(1, "diff 1 2")?;
    ensure!(diff.contains("+action = \"drop\""), "{diff}");
    scene.expect(0, "diff 1 3")?;
    // The file holds it still.
    ensure!(scene.standing()?["differs_from_file"] == true, "it is said that the file is another");
    scene.stand.floodwall.signal(Signal::SIGHUP)?;
    wait_for("the reload", SOON, || Ok(scene.stand.floodwall.said().contains("stays in force")))?;
    scene.lives()?;
    scene.stand.floodwall.end(Signal::SIGTERM)?;
    scene.stand.floodwall.run()?;
    scene.lives()?;
    // A file that has changed is loaded as ever.
    scene.stand.floodwall.configure(&Config { mode: "observe", ..nothing() })?;
    scene.stand.floodwall.signal(Signal::SIGHUP)?;
    wait_for("the changed file", SOON, || Ok(scene.standing()?["how"] == "reload"))?;
    ensure!(scene.standing()?["differs_from_file"] == false, "the file is in force");
    scene.lives()
}

impl Scene {
    fn refused_while_waiting(&self) -> Result<()> {
        let said = self.expect(6, "apply")?;
        ensure!(said.contains("waits to be confirmed"), "{said}");
        Ok(())
    }
}

/// What is confirmed stays; a rollback goes back and is a revision, too.
#[test]
fn what_is_confirmed_stays() -> Result<()> {
    let mut scene = Scene::new(&Config::default())?;
    scene.expect(1, "confirm")?;
    scene.stand.floodwall.configure(&Config { mode: "observe", ..Config::default() })?;
    scene.expect(0, "apply --confirm 5s -m weekend")?;
    scene.expect(0, "confirm")?;
    thread::sleep(Duration::from_secs(6));
    let standing = scene.standing()?;
    ensure!(standing["revision"] == 2 && standing["confirmed"] == 2, "{standing}");
    scene.expect(0, "rollback")?;
    let standing = scene.standing()?;
    ensure!(standing["revision"] == 3 && standing["how"] == "rollback to 1", "{standing}");
    ensure!(standing["differs_from_file"] == true, "{standing}");
    scene.stand.floodwall.end(Signal::SIGKILL)?;
    scene.stand.floodwall.run()?;
    ensure!(scene.standing()?["revision"] == 3, "a restart stays with it");
    let said = scene.expect(0, "history")?;
    ensure!(said.contains("weekend"), "{said}");
    scene.expect(0, "apply")?;
    ensure!(scene.standing()?["differs_from_file"] == false, "apply takes the file");
    scene.expect(1, "rollback 99")?;
    scene.lives()
}

/// One verb instead of an editor: the file has the new mode if anything came of it, and otherwise is as it was.
#[test]
fn a_mode_is_set_in_the_file() -> Result<()> {
    let scene = Scene::new(&Config { mode: "observe", ..Config::default() })?;
    let floodwall = &scene.stand.floodwall;
    let before = floodwall.written()?;
    let said = scene.expect(0, "apply --mode enforce --dry-run")?;
    ensure!(said.contains("would be revision 2") && floodwall.written()? == before, "{said}");
    scene.expect(0, "apply --mode enforce --confirm 5s")?;
    let enforced = String::from_utf8(before.clone())?.replace("\"observe\"", "\"enforce\"").into_bytes();
    ensure!(floodwall.written()? == enforced, "one word has changed");
    scene.taken_back()?;
    // The file is passed over now; the verb applies it all the same.
    scene.expect(0, "apply --mode enforce --confirm 1m")?;
    scene.expect(0, "confirm")?;
    let standing = scene.standing()?;
    ensure!(
        standing["differs_from_file"] == false && standing["confirmed"] == standing["revision"],
        "{standing}"
    );
    // Refused: the file is as it was.
    let nobody = Config { mode: "observe", ..nothing() };
    scene.stand.floodwall.configure(&nobody)?;
    let before = floodwall.written()?;
    scene.refused("apply --mode enforce", &["your SSH connection"])?;
    ensure!(floodwall.written()? == before, "as it was");
    // And where the last one is taken back while one waits for it.
    scene.stand.floodwall.configure(&Config { mode: "observe", ..Config::default() })?;
    scene.expect(0, "apply")?;
    let before = floodwall.written()?;
    scene.expect(7, "apply --mode enforce --confirm 5s --wait")?;
    ensure!(floodwall.written()? == before, "as it was");
    scene.lives()
}

/// Killed while it waits: the next daemon goes on waiting, or takes it back if it comes too late.
#[test]
fn a_killed_daemon_takes_it_back() -> Result<()> {
    for late in [false, true] {
        let mut scene = Scene::new(&Config::default())?;
        scene.stand.floodwall.configure(&nothing())?;
        scene.expect(0, "apply --confirm 6s --force")?;
        scene.stand.floodwall.end(Signal::SIGKILL)?;
        if late {
            thread::sleep(Duration::from_secs(7));
        }
        scene.stand.floodwall.run()?;
        let waits = scene.standing()?["confirm_seconds"].as_u64().is_some();
        ensure!(waits != late, "late: {late}, waits: {waits}");
        scene.taken_back()?;
    }
    Ok(())
}

/// Another boot id, nothing pinned: what waited is not started with, however long it had been given.
#[test]
fn a_boot_takes_it_back() -> Result<()> {
    let mut scene = Scene::new(&Config::default())?;
    scene.stand.floodwall.configure(&nothing())?;
    scene.expect(0, "apply --confirm 1h --force")?;
    scene.stand.floodwall.end(Signal::SIGKILL)?;
    scene.stand.floodwall.succeed("detach --pins {pins}")?;
    scene.stand.floodwall.boot_anew()?;
    scene.stand.floodwall.run()?;
    scene.taken_back()?;
    ensure!(scene.stand.floodwall.said().contains("the host has booted"), "it is said why");
    Ok(())
}

/// A list's file is not part of the configuration's text: it waits as well, and what comes back are the lists of before.
#[test]
fn a_list_is_taken_back_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("block.txt");
    fs::write(&file, "9.9.9.9\n")?;
    let scene = Scene::new(&Config::default().also(&format!("[lists]\nblock_files = [{file:?}]\n")))?;
    fs::write(&file, "192.31.196.0/28\n")?;
    scene.refused("apply", &["your SSH connection", "block_list"])?;
    scene.expect(0, "apply --confirm 6s --force")?;
    ensure!(scene.standing()?["confirm_seconds"].as_u64().is_some(), "it waits");
    wait_for("the session is cut off", SOON, || Ok(!scene.session.lives()?))?;
    wait_for("it is taken back", Duration::from_secs(30), || Ok(!scene.standing()?["reverted"].is_null()))?;
    scene.session.must_live(SOON)
}

/// A probe that worked before fails: nobody has to wait for an hour.
#[test]
fn a_failed_probe_takes_it_back() -> Result<()> {
    let scene = Scene::new(&Config::default())?;
    let listener = scene.stand.pair.client.namespace.run(|| TcpListener::bind((CLIENT_V4, 0)))?;
    let port = listener.local_addr()?.port();
    let probes = format!("[commit]\nprobes = [\"tcp://{CLIENT_V4}:{port}\", \"tcp://{CLIENT_V4}:1\"]\n");
    let config = nothing();
    let config = Config { rest: config.rest.clone() + &probes, ..config };
    scene.stand.floodwall.configure(&config)?;
    let said = scene.expect(7, "apply --confirm 1h --force --wait")?;
    ensure!(said.contains(&format!("{CLIENT_V4}:{port} worked before")), "{said}");
    scene.taken_back()
}

/// Everything passes for a while, across a kill; then it filters again.
#[test]
fn a_bypass_ends_by_itself() -> Result<()> {
    let mut scene = Scene::new(&Config::default())?;
    let observes = |scene: &Scene| -> Result<bool> {
        Ok(scene.stand.floodwall.scrape()?.sum("floodwall_mode", &["mode=\"observe\""]) > 0.5)
    };
    scene.expect(0, "bypass --for 8s")?;
    ensure!(observes(&scene)?, "everything passes");
    ensure!(scene.stand.floodwall.scrape()?.sum("floodwall_bypass", &[]) > 0.5, "and there is a metric");
    ensure!(scene.expect(0, "status --pins {pins}")?.contains("BYPASS"), "status says so");
    scene.stand.floodwall.end(Signal::SIGKILL)?;
    scene.stand.floodwall.run()?;
    ensure!(observes(&scene)?, "the next daemon goes on");
    wait_for("it filters again", Duration::from_secs(20), || Ok(!observes(&scene)?))?;
    scene.expect(0, "bypass --for 1h")?;
    ensure!(observes(&scene)?, "again");
    // It ends: what is tried out is what comes behind it, and that everybody gets through now confirms nothing.
    scene.stand.floodwall.configure(&nothing())?;
    scene.refused("apply", &["your SSH connection", "rule_drop"])?;
    scene.stand.floodwall.configure(&Config::default().also("[limits]\nbans = 2048\n"))?;
    scene.expect(0, "apply --confirm 1m")?;
    ensure!(scene.expect(6, "confirm")?.contains("proves nothing"), "confirmed under a bypass");
    scene.expect(0, "bypass --off")?;
    ensure!(!observes(&scene)?, "off");
    scene.expect(0, "confirm")?;
    // So short that it is over before its programs run.
    scene.expect(0, "bypass --for 1s")?;
    wait_for("it filters again", Duration::from_secs(20), || {
        let said = scene.expect(0, "explain --src 198.51.100.7 --dport 80 --pins {pins}")?;
        Ok(!observes(&scene)? && said.starts_with("DROP"))
    })?;
    scene.expect(2, "bypass")?;
    scene.lives()
}

/// With everything else broken: no daemon, no configuration, no state, pins of which half are gone.
#[test]
fn panic_needs_nothing() -> Result<()> {
    let mut scene = Scene::new(&Config::default())?;
    scene.stand.floodwall.end(Signal::SIGKILL)?;
    scene.stand.floodwall.write("garbage")?;
    for entry in fs::read_dir(scene.stand.floodwall.state())? {
        let path = entry?.path();
        if path.is_file() {
            fs::write(path, "garbage")?;
        }
    }
    let links = scene.stand.floodwall.pins().join("links");
    // The link lives on while something holds it: this is not what detaches.
    let held = fs::read_dir(&links)?.next().context("a link")??.path();
    fs::rename(&held, links.join("renamed"))?;
    let panic = "panic --pins {pins} --runtime {runtime}";
    scene.stand.floodwall.succeed(panic)?;
    let shown =
        scene.stand.pair.server.namespace.ip(&format!("link show {}", scene.stand.pair.server.device))?;
    ensure!(!shown.contains("prog/xdp"), "{shown}");
    let attached =
        scene.stand.pair.server.namespace.run(|| dataplane::attached(&scene.stand.pair.server.device))?;
    ensure!(attached.is_none(), "{attached:?}");
    scene.stand.floodwall.succeed(panic)?;
    scene.lives()?;
    // It stays off until somebody says so.
    scene.stand.floodwall.configure(&Config::default())?;
    ensure!(scene.stand.floodwall.run().is_err(), "a restart does not attach it again");
    scene.stand.floodwall.succeed(&format!("{panic} --end"))?;
    scene.stand.floodwall.run()?;
    let quarantined = scene.stand.floodwall.scrape()?.sum("floodwall_state_quarantined_total", &[]);
    ensure!(quarantined > 0.5, "damaged state is told: {quarantined}");
    scene.lives()
}

/// Nothing can be kept: it filters, says so, and refuses only what needs a way back.
#[test]
fn without_a_state_folder_only_confirm_is_refused() -> Result<()> {
    let mut scene = Scene::new(&Config::default())?;
    scene.stand.floodwall.end(Signal::SIGTERM)?;
    fs::remove_dir_all(scene.stand.floodwall.state())?;
    fs::write(scene.stand.floodwall.state(), "no folder")?;
    scene.stand.floodwall.run()?;
    scene.lives()?;
    ensure!(scene.expect(0, "status --pins {pins}")?.contains("NOT KEPT"), "status says so");
    scene.stand.floodwall.configure(&Config { mode: "observe", ..Config::default() })?;
    scene.refused("apply --confirm", &["way back"])?;
    scene.expect(0, "apply")?;
    ensure!(scene.standing()?["revision"] == 2, "{}", scene.standing()?);
    scene.lives()
}

/// The first five minutes: a configuration for this host that drops nothing.
#[test]
fn init_writes_what_is_valid_here() -> Result<()> {
    let scene = Scene::new(&Config::default())?;
    let folder = filter_tests::cleanup::Folder::files()?;
    let path = folder.path().join("new/floodwall.toml");
    let init = format!("init --config {}", path.display());
    let shown = scene.expect(0, &format!("{init} --stdout"))?;
    ensure!(shown.contains(&scene.stand.pair.server.device) && !path.exists(), "{shown}");
    ensure!(shown.contains(&format!("allow = [\"{CLIENT_V4}\"]")) && shown.contains("tcp/22"), "{shown}");
    scene.expect(0, &init)?;
    ensure!(scene.expect(6, &init)?.contains("--force"), "it is not overwritten");
    scene.expect(0, &format!("{init} --force"))?;
    scene.expect(0, &format!("config check --config {}", path.display()))?;
    scene.lives()
}
