//! The configuration of a running daemon: its files, what is shown of it, what would change, and damage.

use std::{
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    pair::{CLIENT_V4, SERVER_V4},
    stand::{Stand, wait_for},
};
use nix::sys::signal::Signal;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(10);

fn json(stand: &Stand, line: &str) -> Result<Value> {
    Ok(serde_json::from_str(&stand.floodwall.succeed(line)?)?)
}

fn plan(stand: &Stand) -> Result<Value> {
    json(stand, "config plan --json --config {config} --socket {socket}")
}

fn running(stand: &Stand) -> Result<Value> {
    json(stand, "config show --running --origin --json --socket {socket}")
}

/// Id of the XDP program that runs.
fn program(stand: &Stand) -> Result<u32> {
    let dataplane = stand.floodwall.pinned()?;
    let interfaces = stand.pair.server.namespace.run(|| dataplane.interfaces())?;
    interfaces.first().and_then(|interface| interface.xdp_program).context("no XDP program")
}

/// What `plan` says is what a reload does; files of `conf.d` are told by name.
#[test]
fn a_plan_comes_true() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    ensure!(
        stand.floodwall.succeed("config plan --config {config} --socket {socket}")?.trim()
            == "nothing would change"
    );
    let before = program(&stand)?;
    let held = stand.pair.client.namespace.run(|| TcpStream::connect((SERVER_V4, 80)))?;
    let block = format!("[lists]\nblock = [\"{CLIENT_V4}\"]\n");
    let rule = "[[rule]]\nname = \"gre\"\nproto = \"gre\"\naction = \"drop\"\n";
    stand.floodwall.write_beside("10-block.toml", &block)?;
    stand.floodwall.write_beside("20-rule.toml", rule)?;
    let planned = plan(&stand)?;
    ensure!(
        planned["running"] == true && planned["files"].as_array().is_some_and(|files| files.len() == 3),
        "{planned}"
    );
    ensure!(planned["changes"]["added"][0]["name"] == "gre", "{planned}");
    ensure!(planned["lists"]["block"]["added"]["prefixes"] == 1, "{planned}");
    let port = held.local_addr()?.port();
    ensure!(planned["peers"]["first"][0]["peer"] == format!("{CLIENT_V4}:{port}"), "{planned}");
    ensure!(planned["peers"]["first"][0]["after"] == "blocked", "{planned}");
    let why = planned["effect"]["programs"].to_string();
    ensure!(why.contains("rules") && why.contains("lists"), "{planned}");
    let text = stand.floodwall.succeed("config plan --config {config} --socket {socket}")?;
    ensure!(text.contains("+ rule gre") && text.contains("would be blocked"), "{text}");
    ensure!(text.lines().all(|line| line.len() <= 80), "{text}");
    ensure!(
        program(&stand)? == before
            && running(&stand)?["config"]["rule"].as_array().is_some_and(Vec::is_empty)
    );

    stand.floodwall.signal(Signal::SIGHUP)?;
    wait_for("the reload", SOON, || Ok(running(&stand)?["config"]["rule"][0]["name"] == "gre"))?;
    let origin = running(&stand)?["origins"]["rule[0].name"].clone();
    ensure!(origin.as_str().is_some_and(|origin| origin.ends_with("/conf.d/20-rule.toml:2")), "{origin}");
    ensure!(program(&stand)? != before, "new programs, as planned");
    ensure!(plan(&stand)?["changes"]["added"].as_array().is_some_and(Vec::is_empty));
    ensure!(stand.visit(SERVER_V4.into(), 50, 5)?.succeeded == 0, "the client is blocked, as planned");
    Ok(())
}

/// What a daemon gets by SIGHUP may be anything.
#[test]
fn a_hundred_damaged_files_change_nothing() -> Result<()> {
    let config = Config::default().also("[[rule]]\nname = \"gre\"\nproto = \"gre\"\naction = \"drop\"\n");
    let stand = Stand::new(&config)?;
    let good = stand.floodwall.written()?;
    let (before, answered) = (program(&stand)?, stand.floodwall.packets(Reason::CookieSent)?);
    let over = AtomicBool::new(false);
    let tried = thread::scope(|scope| -> Result<_> {
        let visits = scope.spawn(|| -> Result<(u64, u64)> {
            let (mut tried, mut failed) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let visit = stand.visit(SERVER_V4.into(), 100, 50)?;
                (tried, failed) = (tried + visit.tried, failed + visit.failed());
            }
            Ok((tried, failed))
        });
        let damaged = (0..100).try_for_each(|number| refused(&stand, &good, number));
        over.store(true, Ordering::Relaxed);
        damaged?;
        visits.join().expect("the client does not panic")
    })?;
    ensure!(tried.0 > 50 && tried.1 == 0, "{} of {} visits failed", tried.1, tried.0);
    ensure!(program(&stand)? == before, "the programs are those of the start");
    ensure!(stand.floodwall.packets(Reason::CookieSent)? >= answered + tried.0, "each visit was answered");
    ensure!(running(&stand)?["config"]["rule"][0]["name"] == "gre");
    stand.floodwall.write_bytes(&good)?;
    stand.floodwall.signal(Signal::SIGHUP)?;
    wait_for("the good file again", SOON, || {
        Ok(stand.floodwall.scrape()?.sum("floodwall_config_last_reload_successful", &[]) > 0.5)
    })
}

/// Writes the file with some damage; the daemon says where it is.
fn refused(stand: &Stand, good: &[u8], number: usize) -> Result<()> {
    let at = number * good.len() / 100;
    let (head, tail) = good.split_at(at);
    let bytes = match number % 5 {
        0 => [head, b"\n[[[\n", tail].concat(),
        1 => [head, b"\xff\xfe", tail].concat(),
        2 => [head, b"\0\n", b"=\0", tail].concat(),
        3 => [good, b"\n[deamon]\nmode = \"", "9".repeat(10_000).as_bytes(), b"\"\n"].concat(),
        _ => [b"x = ".as_slice(), "[".repeat(number * 100).as_bytes(), b"\n", good].concat(),
    };
    stand.floodwall.write_bytes(&bytes)?;
    let said = || stand.floodwall.said().matches("not reloaded").count();
    let before = said();
    stand.floodwall.signal(Signal::SIGHUP)?;
    wait_for("the file is refused", SOON, || Ok(said() > before))?;
    let log = stand.floodwall.said();
    let last = log.rsplit("not reloaded").next().unwrap_or_default();
    ensure!(last.contains("floodwall.toml:"), "file {number}: no place: {last}");
    Ok(())
}
