//! Sources that are let through for a while.

use std::{fs, thread, time::Duration};

use anyhow::{Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    pair::{CLIENT_V4, SERVER_V4},
    stand::{Stand, wait_for},
};
use nix::sys::signal::Signal;

/// The client's whole network is blocked.
fn blocked() -> Result<Stand> {
    Stand::new(&Config::default().also("[lists]\nblock = [\"192.31.196.0/25\"]\n"))
}

fn gets_through(stand: &Stand) -> Result<bool> {
    let questions = stand.visit(SERVER_V4.into(), 100, 1)?;
    Ok(questions.failed() == 0)
}

fn passed(stand: &Stand) -> Result<u64> {
    stand.floodwall.packets(Reason::AllowListed)
}

#[test]
fn whoever_is_let_through_passes_for_that_long() -> Result<()> {
    let stand = blocked()?;
    let tested = stand.floodwall.cli(&format!("allow test {CLIENT_V4} --socket {{socket}}"))?;
    ensure!(tested.status.code() == Some(1), "nobody is let through");
    let dry = stand.floodwall.succeed(&format!("allow add {CLIENT_V4} --dry-run --socket {{socket}}"))?;
    ensure!(dry.contains("1 would be let through") && passed(&stand)? == 0, "{dry}");
    stand.floodwall.succeed(&format!("allow add {CLIENT_V4} --ttl 4s --reason trial --socket {{socket}}"))?;
    ensure!(gets_through(&stand)?, "a blocked source that is let through passes");
    ensure!(passed(&stand)? > 0, "by the allow list");
    let tested = stand.floodwall.succeed(&format!("allow test {CLIENT_V4} --socket {{socket}}"))?;
    ensure!(tested.contains("floodwall allow"), "{tested}");
    let banned = stand.floodwall.cli(&format!("ban add {CLIENT_V4} --socket {{socket}}"))?;
    ensure!(banned.status.code() == Some(6), "who is let through is not banned");
    wait_for("its time is over", Duration::from_secs(10), || {
        Ok(stand.floodwall.said().contains("an entry of floodwall allow has ended"))
    })?;
    let before = passed(&stand)?;
    ensure!(!gets_through(&stand)?, "blocked again");
    ensure!(passed(&stand)? == before, "by the block list");
    let revisions = stand.floodwall.succeed("history --json --socket {socket}")?;
    ensure!(revisions.matches("\"number\"").count() == 1, "no revision of the configuration: {revisions}");
    Ok(())
}

#[test]
fn they_outlive_the_daemon_and_a_boot() -> Result<()> {
    let mut stand = blocked()?;
    stand.floodwall.succeed(&format!("allow add {CLIENT_V4} --ttl 1h --socket {{socket}}"))?;
    stand.floodwall.end(Signal::SIGKILL)?;
    stand.floodwall.run()?;
    ensure!(gets_through(&stand)?, "after a restart");
    stand.floodwall.end(Signal::SIGKILL)?;
    stand.floodwall.succeed("detach --pins {pins}")?;
    stand.floodwall.boot_anew()?;
    stand.floodwall.run()?;
    ensure!(gets_through(&stand)?, "after a boot");
    stand.floodwall.signal(Signal::SIGHUP)?;
    thread::sleep(Duration::from_secs(1));
    ensure!(gets_through(&stand)?, "after a reload");
    let file = stand.floodwall.state().with_file_name("allowed.jsonl");
    fs::write(&file, stand.floodwall.succeed("allow export --socket {socket}")?)?;
    stand.floodwall.succeed(&format!("allow del {CLIENT_V4} --socket {{socket}}"))?;
    ensure!(!gets_through(&stand)?, "taken off");
    stand.floodwall.succeed(&format!("allow import {} --socket {{socket}}", file.display()))?;
    ensure!(gets_through(&stand)?, "imported");
    let wide = stand.floodwall.cli("allow add 0.0.0.0/0 --socket {socket}")?;
    ensure!(wide.status.code() == Some(6), "{wide:?}");
    Ok(())
}
