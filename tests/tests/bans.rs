//! Bans as operators make them: how long they last, what is refused, what a boot leaves of them.

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{config::Config, filter::Filter, packet::ip, pair::SERVER_V4};
use nix::sys::signal::Signal;
use serde_json::Value;

const KNOBS: &str =
    "[ban]\nttl = \"10m\"\nttl_max = \"30m\"\nnever = [\"7.7.7.0/24\"]\n[lists]\nallow = [\"6.6.6.0/24\"]\n";

fn frame(source: &str) -> Vec<u8> {
    ip(source, &SERVER_V4.to_string()).syn(9999).bytes()
}

fn filter() -> Result<Filter> {
    Filter::new(&Config::default().also(KNOBS))
}

/// The bans in force, by prefix: seconds left, the whole.
fn bans(filter: &Filter) -> Result<Vec<(String, Option<u64>, Value)>> {
    let text = filter.floodwall.succeed("ban list --json --pins {pins} --socket {socket}")?;
    let report: Value = serde_json::from_str(&text)?;
    let bans = report["bans"].as_array().context("bans")?.clone();
    let shown = |ban: Value| {
        let prefix = ban["prefix"].as_str().unwrap_or_default().to_owned();
        (prefix, ban["seconds_left"].as_u64(), ban)
    };
    Ok(bans.into_iter().map(shown).collect())
}

fn seconds_left(filter: &Filter, prefix: &str) -> Result<u64> {
    let found = bans(filter)?.into_iter().find(|(found, ..)| found == prefix);
    found.and_then(|(_, left, _)| left).with_context(|| format!("{prefix} is not banned for a time"))
}

#[test]
fn who_comes_back_is_banned_for_longer() -> Result<()> {
    let filter = filter()?;
    for wanted in [600, 1200, 1800, 1800] {
        filter.floodwall.succeed("ban add 9.9.9.9 --reason scanner --socket {socket}")?;
        let left = seconds_left(&filter, "9.9.9.9/32")?;
        ensure!((wanted - 5..=wanted).contains(&left), "{left} s instead of {wanted}");
    }
    filter.expect("banned", &frame("9.9.9.9"), Reason::Banned)?;
    let said = filter.floodwall.succeed("ban add 9.9.9.9 9.9.9.8 --socket {socket}")?;
    ensure!(said.contains("2 banned, 1 of them anew, 1 for longer"), "{said}");
    // A time that is given is that time, and who is let off was banned by mistake.
    filter.floodwall.succeed("ban add 9.9.9.9 --ttl 1m --socket {socket}")?;
    ensure!(seconds_left(&filter, "9.9.9.9/32")? <= 60, "as said");
    filter.floodwall.succeed("ban del 9.9.9.9 --socket {socket}")?;
    filter.expect("not banned", &frame("9.9.9.9"), Reason::Pass)?;
    filter.floodwall.succeed("ban add 9.9.9.9 --socket {socket}")?;
    ensure!(seconds_left(&filter, "9.9.9.9/32")? <= 600, "from the beginning");
    Ok(())
}

#[test]
fn what_is_never_banned() -> Result<()> {
    let filter = filter()?;
    for (whom, words) in [
        ("7.7.7.7", "never banned"),
        ("7.7.0.0/16", "never banned"),
        ("6.6.6.6", "on the allow list"),
        ("192.31.196.2", "address of this host"),
        ("7.0.0.0/7", "large part"),
    ] {
        let refused = filter.floodwall.cli(&format!("ban add {whom} --socket {{socket}}"))?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(refused.status.code() == Some(6) && said.contains(words), "{whom}: {said}");
        let file = filter.floodwall.state().with_file_name("import");
        fs::write(&file, whom)?;
        let import = format!("ban import {} --ttl 1h --socket {{socket}}", file.display());
        let refused = filter.floodwall.cli(&import)?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(refused.status.code() == Some(6) && said.contains(words), "import {whom}: {said}");
    }
    ensure!(bans(&filter)?.is_empty(), "nobody is banned");
    // Around an allowed network one may ban.
    filter.floodwall.succeed("ban add 6.6.0.0/16 --socket {socket}")?;
    filter.expect("allowed", &frame("6.6.6.6"), Reason::AllowListed)?;
    filter.expect("banned", &frame("6.6.7.6"), Reason::Banned)?;
    Ok(())
}

#[test]
fn they_go_out_and_come_in_again() -> Result<()> {
    let filter = filter()?;
    let add = "ban add 9.9.9.9 2620:fe::/64 9.8.0.0/16 --ttl 1h --reason scanner --comment ticket-4711";
    filter.floodwall.succeed(&format!("{add} --socket {{socket}}"))?;
    filter.floodwall.succeed("ban add 9.9.9.8 --ttl forever --socket {socket}")?;
    let before = bans(&filter)?;
    ensure!(before.len() == 4 && before.iter().filter(|ban| ban.2["comment"] == "ticket-4711").count() == 3);
    let file = filter.floodwall.state().with_file_name("export");
    for (format, comments) in [("json", 3), ("ipset", 0)] {
        let text = filter
            .floodwall
            .succeed(&format!("ban export --format {format} --pins {{pins}} --socket {{socket}}"))?;
        fs::write(&file, &text)?;
        filter.floodwall.succeed("ban del 9.9.9.9 2620:fe::/64 9.8.0.0/16 9.9.9.8 --socket {socket}")?;
        ensure!(bans(&filter)?.is_empty(), "nobody is banned");
        let import = format!("ban import {} --socket {{socket}}", file.display());
        let dry = filter.floodwall.succeed(&format!("{import} --dry-run"))?;
        ensure!(dry.contains("4 would be banned") && bans(&filter)?.is_empty(), "{dry}");
        filter.floodwall.succeed(&import)?;
        let after = bans(&filter)?;
        for (before, after) in before.iter().zip(&after) {
            let close = match (before.1, after.1) {
                (Some(before), Some(after)) => after + 30 >= before && after <= before,
                (before, after) => before == after,
            };
            ensure!(before.0 == after.0 && close, "{before:?} {after:?}");
            ensure!(before.2["reason"] == after.2["reason"], "{before:?} {after:?}");
        }
        let kept = after.iter().filter(|ban| ban.2["comment"] == "ticket-4711").count();
        ensure!(after.len() == 4 && kept == comments, "{format}: {kept} comments");
    }
    let one = filter.floodwall.succeed("ban test 9.8.7.6 --json --pins {pins} --socket {socket}")?;
    ensure!(serde_json::from_str::<Value>(&one)?["bans"][0]["prefix"] == "9.8.0.0/16", "{one}");
    let within = filter.floodwall.succeed("ban list --within 9.9.9.0/24 --pins {pins} --socket {socket}")?;
    ensure!(within.lines().count() == 2, "{within}");
    Ok(())
}

/// The kernel forgets, `daemon.state` doesn't: what is left of each ban comes back, and who was banned before.
#[test]
fn a_boot_ends_none() -> Result<()> {
    let mut filter = filter()?;
    filter.floodwall.succeed("ban add 9.9.9.9 --reason scanner --comment why --socket {socket}")?;
    filter.floodwall.succeed("ban add 9.9.9.8 9.8.0.0/16 --ttl forever --socket {socket}")?;
    filter.floodwall.succeed("ban add 9.9.9.7 --ttl 2s --socket {socket}")?;
    filter.floodwall.end(Signal::SIGTERM)?;
    filter.floodwall.succeed("detach --pins {pins}")?;
    thread::sleep(Duration::from_secs(2));
    filter.floodwall.run()?;
    let after = bans(&filter)?;
    let prefixes: Vec<_> = after.iter().map(|ban| ban.0.as_str()).collect();
    ensure!(prefixes == ["9.8.0.0/16", "9.9.9.8/32", "9.9.9.9/32"], "{prefixes:?}");
    ensure!(after[0].1.is_none() && after[1].1.is_none(), "for ever");
    let (left, ban) = (after[2].1.context("an end")?, &after[2].2);
    ensure!((580..=598).contains(&left) && ban["reason"] == "scanner" && ban["comment"] == "why", "{ban}");
    filter.floodwall.succeed("ban add 9.9.9.9 --socket {socket}")?;
    ensure!(seconds_left(&filter, "9.9.9.9/32")? > 1100, "he was banned before");

    // Killed, it has lost nothing that is older than a few seconds; deleted ones don't come back.
    filter.floodwall.succeed("ban del 9.9.9.8 --socket {socket}")?;
    let file = filter.floodwall.state().join("bans");
    let (written, before) =
        (|| Ok::<_, anyhow::Error>(fs::metadata(&file)?.modified()?), fs::metadata(&file)?.modified()?);
    filter_tests::stand::wait_for("they are kept", Duration::from_secs(15), || Ok(written()? > before))?;
    filter.floodwall.end(Signal::SIGKILL)?;
    filter.floodwall.succeed("detach --pins {pins}")?;
    filter.floodwall.run()?;
    let prefixes: Vec<_> = bans(&filter)?.into_iter().map(|ban| ban.0).collect();
    ensure!(prefixes == ["9.8.0.0/16", "9.9.9.9/32"], "{prefixes:?}");

    // What the tables hold goes before what the file says.
    filter.floodwall.succeed("ban del 9.8.0.0/16 --socket {socket}")?;
    filter.floodwall.end(Signal::SIGKILL)?;
    filter.floodwall.run()?;
    ensure!(bans(&filter)?.len() == 1, "the deleted one stays so");
    // Damaged, it is put aside and told.
    filter.floodwall.end(Signal::SIGTERM)?;
    filter.floodwall.succeed("detach --pins {pins}")?;
    fs::write(&file, b"FLOODWST nonsense")?;
    filter.floodwall.run()?;
    let said = filter.floodwall.said();
    ensure!(said.contains("bans is damaged") && bans(&filter)?.is_empty(), "{said}");
    Ok(())
}
