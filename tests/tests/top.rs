//! `floodwall top` in a real terminal, under a flood.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{
    config::Config,
    daemon::binary,
    flood::{Flood, Segment, flood_of},
    pair::Family,
    stand::{Stand, wait_for},
};
use serde_json::Value;

/// A terminal without anybody in front of it; ends with everything in it.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn open(stand: &Stand, command: &str) -> Result<Self> {
        let terminal = Self { socket: stand.floodwall.state().with_file_name("tmux") };
        let done = terminal.tmux(&["new-session", "-d", "-x", "80", "-y", "24", command])?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(terminal)
    }

    fn tmux(&self, words: &[&str]) -> Result<Output> {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(&self.socket).args(["-f", "/dev/null"]).args(words);
        tmux.env_remove("TMUX")
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .context("tmux")
    }

    fn shows(&self) -> Result<String> {
        Ok(String::from_utf8(self.tmux(&["capture-pane", "-p"])?.stdout)?)
    }

    fn press(&self, keys: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys"], keys].concat()).map(drop)
    }

    /// Waits until all of that is on the screen.
    fn wait(&self, words: &[&str]) -> Result<String> {
        let all = || Ok(words.iter().all(|word| self.shows().is_ok_and(|text| text.contains(word))));
        wait_for(&words.join(", "), Duration::from_secs(15), all)
            .with_context(|| self.shows().unwrap_or_default())?;
        self.shows()
    }

    fn is_over(&self) -> Result<bool> {
        Ok(!self.tmux(&["has-session"])?.status.success())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_flood_is_seen_in_a_terminal() -> Result<()> {
    let stand = Stand::new(&Config::default().also("[detect]\nfloor = 500\nhold = \"2s\""))?;
    stand.floodwall.succeed("ban add 192.31.196.200 --socket {socket}")?;
    let flood = Flood::start(&stand.pair.client, &flood_of(Segment::Syn, Family::V4, 20_000)?)?;
    let said = stand.floodwall.succeed("top --json --interval 2s --socket {socket}")?;
    let view: Value = serde_json::from_str(&said)?;
    let reasons = view["reasons"].as_array().context("reasons")?;
    let answered = reasons.iter().find(|fate| fate["reason"] == "cookie_sent").context("answers")?;
    let (pps, sent) = (answered["pps"].as_f64().context("pps")?, flood.sent()?.pps());
    ensure!(pps > sent * 0.6 && pps < sent * 1.4, "{pps} of {sent}");
    ensure!(view["cpus"].as_array().is_some_and(|cpus| !cpus.is_empty()), "{view}");
    let once = stand.floodwall.succeed("top --once --socket {socket}")?;
    ensure!(once.contains("cookie_sent") && once.lines().all(|line| line.chars().count() <= 80), "{once}");

    let socket = stand.floodwall.socket();
    let terminal = Terminal::open(
        &stand,
        &format!("{} top --interval 500ms --socket {}", binary()?.display(), socket.display()),
    )?;
    let shown = terminal.wait(&["floodwall  enforce", "cookie_sent", "answered", "Sources", "ATTACKS: "])?;
    if std::env::var_os("FLOODWALL_DRAW").is_some() {
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/top.txt");
        fs::write(docs, shown.trim_end().to_owned() + "\n")?;
    }
    terminal.press(&["5"])?;
    terminal.wait(&["Attacks", "#1 web", "syn"])?;
    terminal.press(&["h"])?;
    terminal.wait(&["explain the last drop"])?;
    terminal.press(&["h"])?;
    terminal.press(&["p"])?;
    terminal.wait(&["PAUSED"])?;
    terminal.press(&["p"])?;
    // A ban asks first, and is made by somebody who means it.
    terminal.press(&["2"])?;
    terminal.wait(&["Sources"])?;
    terminal.press(&["b"])?;
    let asked = terminal.wait(&["Ban ", "y: yes"])?;
    let whom = asked.split("Ban ").nth(1).and_then(|rest| rest.split('?').next()).context("whom")?.to_owned();
    terminal.press(&["y"])?;
    terminal.wait(&["1 banned"])?;
    let bans = stand.floodwall.succeed("ban list --pins {pins} --socket {socket}")?;
    ensure!(bans.contains(&whom) && bans.lines().count() == 2, "{whom} in: {bans}");
    terminal.press(&["x"])?;
    terminal.press(&["q"])?;
    wait_for("its end", Duration::from_secs(5), || terminal.is_over())?;
    Ok(())
}

/// The daemon goes, and comes again.
#[test]
fn a_daemon_that_is_gone_is_told() -> Result<()> {
    let mut stand = Stand::new(&Config::default())?;
    let socket = stand.floodwall.socket();
    let command = format!("{} top --interval 300ms --socket {}", binary()?.display(), socket.display());
    let terminal = Terminal::open(&stand, &command)?;
    terminal.wait(&["floodwall  enforce"])?;
    stand.floodwall.end(nix::sys::signal::Signal::SIGTERM)?;
    terminal.wait(&["no daemon at"])?;
    stand.floodwall.run()?;
    terminal.wait(&["floodwall  enforce"])?;
    terminal.press(&["C-c"])?;
    wait_for("its end", Duration::from_secs(5), || terminal.is_over())
}
