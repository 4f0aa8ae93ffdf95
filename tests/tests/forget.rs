//! Somebody is forgotten: by the daemon's memory, by its files, by the kernel's table of proofs; and nobody else is.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{
    config::Config,
    flood::{Flood, Order, Segment, flood_of},
    pair::{CLIENT_V4, Family, SERVER_V4, SERVER_V6},
    stand::{Stand, wait_for},
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Who takes part in an attack, and asks to be forgotten.
const HE: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 9);
const COMMENT: &str = "letter-of-May";

fn json(stand: &Stand, line: &str) -> Result<Value> {
    Ok(serde_json::from_str(&stand.floodwall.succeed(&format!("{line} --json --socket {{socket}}"))?)?)
}

fn config(privacy: &str) -> Config {
    Config {
        rest: format!(
            "[detect]\nhold = \"2s\"\nmode = \"act\"\nheavy = 20\n[events]\nsample = 1\n[privacy]\n{privacy}\n"
        ),
        ..Config::default().service(
            "ports = [\"tcp/80\"]\nsyn = { mode = \"auto\", on = 200000, off = 100000, hold = \"1s\" }",
        )
    }
}

/// Everything below `daemon.state`, as text.
fn on_disk(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            text += &on_disk(&path)?;
        } else {
            text += &String::from_utf8_lossy(&fs::read(path)?);
        }
    }
    Ok(text)
}

/// An attack in which he and the client complete handshakes, so that he is banned for it; then it is over.
fn attack(stand: &Stand) -> Result<()> {
    let client = &stand.pair.client;
    client.namespace.ip(&format!("addr add {HE}/24 dev {}", client.device))?;
    let order = flood_of(Segment::Syn, Family::V4, 20_000)?;
    let floods = Flood::start_all(client, &[order])?;
    wait_for("cookies", Duration::from_secs(10), || {
        Ok(stand.floodwall.scrape()?.sum("floodwall_syn_armed", &["service=\"web\""]) > 0.0)
    })?;
    for source in [HE, CLIENT_V4] {
        stand.visit_from(source.into(), SERVER_V4.into(), 200, 1000)?;
    }
    drop(floods);
    wait_for("its end", Duration::from_secs(20), || {
        let incidents = json(stand, "incident list")?;
        Ok(incidents["incidents"][0]["state"] == "over")
    })
}

/// An operator bans him twice, the second time for longer, and says why. He notices.
fn ban(stand: &Stand) -> Result<()> {
    let order = format!("ban add {HE} --comment {COMMENT} --socket {{socket}}");
    stand.floodwall.succeed(&order)?;
    let said = stand.floodwall.succeed(&order)?;
    ensure!(said.contains("1 for longer"), "{said}");
    stand.visit_from(HE.into(), SERVER_V4.into(), 50, 10)?;
    wait_for("a drop", Duration::from_secs(5), || last_drop(stand, HE).map(|code| code == Some(0)))?;
    // Nothing of his comes from here on, not even what was under way.
    let client = &stand.pair.client;
    client.namespace.ip(&format!("addr del {HE}/24 dev {}", client.device))?;
    thread::sleep(Duration::from_secs(1));
    Ok(())
}

fn last_drop(stand: &Stand, of: Ipv4Addr) -> Result<Option<i32>> {
    let output = stand.floodwall.cli(&format!("explain --last {of} --pins {{pins}} --socket {{socket}}"))?;
    Ok(output.status.code())
}

fn removed(answer: &Value, what: &str) -> Result<u64> {
    answer["removed"][what].as_u64().with_context(|| format!("no {what} in {answer}"))
}

/// What is told to stay.
fn stays(answer: &Value) -> Result<Vec<String>> {
    let stays = answer["stays"].as_array().with_context(|| format!("{answer}"))?;
    Ok(stays.iter().map(|stays| stays["what"].as_str().unwrap_or_default().to_owned()).collect())
}

/// What the daemon still says of him, and of the client.
fn told(stand: &Stand) -> Result<[String; 2]> {
    let attack = json(stand, "attack show 1").map_or_else(|_| String::new(), |attack| attack.to_string());
    Ok([attack, json(stand, "incident show")?.to_string()])
}

#[test]
fn whoever_is_kept_in_full_is_forgotten_everywhere() -> Result<()> {
    let mut stand = Stand::new(&config("addresses = \"full\""))?;
    attack(&stand)?;
    ban(&stand)?;
    stand.floodwall.succeed(&format!("allow add 192.31.196.8 --comment {COMMENT} --socket {{socket}}"))?;
    let (he, act) = (format!("\"{HE}"), format!("banned {HE}/32"));
    wait_for("it is kept", Duration::from_secs(15), || {
        let disk = on_disk(&stand.floodwall.state())?;
        Ok(disk.contains(&he) && disk.contains(&act) && disk.matches(COMMENT).count() == 2)
    })?;
    for text in told(&stand)? {
        ensure!(text.contains(&he) && text.contains(&act), "he is not in {text}");
    }

    // What there is of him is told first, and nothing is done.
    let (before, disk) = (told(&stand)?, on_disk(&stand.floodwall.state())?);
    let dry = json(&stand, &format!("forget -n {HE}"))?;
    println!("{dry:#}");
    for what in ["samples", "attack_entries", "incident_entries", "incidents", "comments", "offenders"] {
        ensure!(removed(&dry, what)? > 0, "no {what} in {dry}");
    }
    ensure!(told(&stand)? == before && last_drop(&stand, HE)? == Some(0), "only told");
    ensure!(on_disk(&stand.floodwall.state())? == disk, "nothing is written");

    let answer = json(&stand, &format!("forget {HE}"))?;
    ensure!(answer["removed"] == dry["removed"] && answer["dry_run"] == false, "{answer}\n{dry}");
    ensure!(answer["source"] == format!("{HE}/32"), "{answer}");
    ensure!(stays(&answer)?.contains(&format!("the ban of {HE}/32")), "{answer}");
    is_gone(&stand)?;
    let [attack, incident] = told(&stand)?;
    ensure!(attack.contains("banned (forgotten) for"), "{attack}");
    ensure!(!attack.contains(&he) && !incident.contains(&he), "{attack}\n{incident}");
    for text in [&attack, &incident] {
        ensure!(text.contains(&format!("\"{CLIENT_V4}")), "the others stay: {text}");
    }
    ensure!(last_drop(&stand, HE)? == Some(1), "no packet of his is remembered");
    let again = stand.floodwall.succeed(&format!("forget {HE} --socket {{socket}}"))?;
    ensure!(again.starts_with(&format!("nothing is remembered of {HE}/32\n")), "{again}");
    ensure!(again.contains(&format!("floodwall ban del {HE}/32 ends it")), "{again}");
    // A neighbour of his has a comment, and keeps it unless he is meant as well.
    ensure!(on_disk(&stand.floodwall.state())?.matches(COMMENT).count() == 1);
    let answer = json(&stand, "forget 192.31.196.8/30")?;
    ensure!(removed(&answer, "comments")? == 1 && removed(&answer, "samples")? == 0, "{answer}");
    let stays = stays(&answer)?;
    ensure!(stays.iter().filter(|what| !what.contains("entries of incidents")).count() == 2, "{answer}");
    ensure!(!on_disk(&stand.floodwall.state())?.contains(COMMENT));

    // Neither the next daemon knows anything.
    stand.floodwall.end(Signal::SIGTERM)?;
    stand.floodwall.run()?;
    is_gone(&stand)?;
    ensure!(!json(&stand, "incident show")?.to_string().contains(&he));
    let list = json(&stand, "ban list --pins {pins}")?;
    ensure!(list["bans"][0]["prefix"] == format!("{HE}/32"), "the ban is in force: {list}");
    ensure!(list["bans"][0]["comment"].is_null(), "{list}");
    stand.floodwall.succeed("allow test 192.31.196.8 --socket {socket}")?;
    let said = stand.floodwall.succeed(&format!("ban add {HE} --socket {{socket}}"))?;
    ensure!(said.contains("1 banned") && !said.contains("for longer"), "as if for the first time: {said}");
    let log = stand.floodwall.said();
    let line =
        log.lines().find(|line| line.contains("somebody is forgotten on request")).context("a word")?;
    ensure!(line.contains("192.31.196.0/24") && !line.contains(&HE.to_string()), "{line}");
    Ok(())
}

/// No file has him.
fn is_gone(stand: &Stand) -> Result<()> {
    let disk = on_disk(&stand.floodwall.state())?;
    let found: Vec<_> = disk.lines().filter(|line| line.contains(&HE.to_string())).collect();
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

/// Cut addresses tell nobody apart: they stay when one of their network asks, and go with the network.
#[test]
fn cut_addresses_go_with_their_network() -> Result<()> {
    let stand = Stand::new(&config(""))?;
    attack(&stand)?;
    let network =
        || -> Result<bool> { Ok(json(&stand, "incident show")?.to_string().contains("192.31.196.0")) };
    ensure!(network()? && !on_disk(&stand.floodwall.state())?.contains(&format!("\"{HE}")), "it is cut");
    let answer = json(&stand, &format!("forget {HE}"))?;
    ensure!(removed(&answer, "incident_entries")? == 0 && network()?, "{answer}");
    ensure!(removed(&answer, "attack_entries")? > 0, "in memory he is whole: {answer}");
    let wider = "entries of incidents that name 192.31.196.0/24: others are in it as well";
    ensure!(stays(&answer)?.iter().any(|what| what.ends_with(wider)), "{answer}");
    let answer = json(&stand, "forget 192.31.196.0/24")?;
    println!("{answer:#}");
    ensure!(!stays(&answer)?.iter().any(|what| what.ends_with(wider)), "{answer}");
    ensure!(removed(&answer, "incident_entries")? > 0 && !network()?, "{answer}");
    ensure!(!on_disk(&stand.floodwall.state())?.contains("192.31.196.0/24"));
    let attack = json(&stand, "attack show 1")?;
    ensure!(!attack.to_string().contains("192.31.196."), "{attack}");
    ensure!(
        attack["sources"].as_array().is_some_and(|sources| !sources.is_empty()),
        "the others stay: {attack}"
    );
    Ok(())
}

/// In the middle of an attack, where incidents have pseudonyms: he is gone from what there is so far, and the others are not. What he does
/// from then on is new.
#[test]
fn a_pseudonym_is_forgotten_while_the_attack_goes_on() -> Result<()> {
    let stand = Stand::new(&config("addresses = \"pseudonym\""))?;
    let client = &stand.pair.client;
    client.namespace.ip(&format!("addr add {HE}/24 dev {}", client.device))?;
    let order = flood_of(Segment::Syn, Family::V4, 20_000)?;
    let flood = Flood::start(client, &Order { at_most: Duration::from_mins(2), ..order })?;
    for source in [HE, CLIENT_V4] {
        stand.visit_from(source.into(), SERVER_V4.into(), 200, 1000)?;
    }
    client.namespace.ip(&format!("addr del {HE}/24 dev {}", client.device))?;
    let proven = || -> Result<Vec<String>> {
        let shown = json(&stand, "incident show")?;
        ensure!(shown["state"] == "active" && shown["addresses"] == "pseudonym", "{shown}");
        let list = shown["proven"].as_array().context("proven")?;
        Ok(list.iter().filter_map(|heavy| heavy["who"].as_str().map(str::to_owned)).collect())
    };
    wait_for("both are kept", Duration::from_secs(20), || {
        let text = on_disk(&stand.floodwall.state())?;
        Ok(proven()?.len() == 2 && proven()?.iter().all(|who| text.contains(who)))
    })?;
    let (before, disk) = (proven()?, on_disk(&stand.floodwall.state())?);
    let clear = [HE, CLIENT_V4].map(|who| disk.contains(&format!("\"{who}")));
    ensure!(clear == [false; 2], "no address is kept");
    let answer = json(&stand, &format!("forget {HE}"))?;
    ensure!(removed(&answer, "incidents")? == 1 && removed(&answer, "incident_entries")? > 1, "{answer}");
    let (after, disk) = (proven()?, on_disk(&stand.floodwall.state())?);
    let gone: Vec<_> = before.iter().filter(|who| !after.contains(who)).collect();
    ensure!(after.len() == 1 && gone.len() == 1, "{before:?}, {after:?}");
    ensure!(
        !disk.contains(gone[0]) && disk.contains(&after[0]),
        "{gone:?} and not {after:?} is off the disk"
    );
    // Nothing that is still in memory brings him back when it is written next.
    let written = || -> Result<u64> {
        json(&stand, "incident show")?["written"].as_u64().context("when it was written")
    };
    let before = written()?;
    wait_for("the next write", Duration::from_secs(25), || Ok(written()? > before))?;
    ensure!(proven()? == after && !on_disk(&stand.floodwall.state())?.contains(gone[0]), "{gone:?}");
    drop(flood);
    Ok(())
}

/// Whoever has answered a challenge is asked again.
#[test]
fn a_proof_is_taken_back() -> Result<()> {
    let stand =
        Stand::new(&Config::default().service("ports = [\"tcp/80\"]\nsyn = { mode = \"challenge\" }"))?;
    let challenged = |server: IpAddr| -> Result<u64> {
        let before = stand.floodwall.scrape()?;
        let tried = stand.visit(server, 20, 5)?;
        ensure!(tried.succeeded == 5, "{}", tried.summary());
        stand.risen(&before, "challenge_sent")
    };
    for (family, server) in [(Family::V4, IpAddr::from(SERVER_V4)), (Family::V6, SERVER_V6.into())] {
        let client = family.client();
        ensure!(challenged(server)? > 0 && challenged(server)? == 0, "{client} is asked once");
        let forget = |arguments: &str| removed(&json(&stand, &format!("forget {arguments}"))?, "proofs");
        ensure!(forget("-n 192.31.0.0/16")? + forget("-n 2620:4f:8000::/48")? == 1, "{client} alone");
        ensure!(forget("44.0.0.0/8")? == 0 && challenged(server)? == 0, "others are forgotten");
        ensure!(forget(&client.to_string())? == 1 && forget(&client.to_string())? == 0, "{client}");
        ensure!(challenged(server)? > 0, "{client} is asked again");
        ensure!(forget(&client.to_string())? == 1, "{client}");
    }
    Ok(())
}

#[test]
fn half_the_internet_is_not_somebody() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    for (whom, code, words) in [
        ("0.0.0.0/0", 6, "large part of the Internet"),
        ("44.0.0.0/7", 6, "/8 or longer"),
        ("2000::/3", 6, "/20 or longer"),
        ("somebody", 2, "no address and no prefix"),
    ] {
        let refused = stand.floodwall.cli(&format!("forget {whom} --socket {{socket}}"))?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(refused.status.code() == Some(code) && said.contains(words), "{whom}: {said}");
    }
    // As much as may be asked for at once is done soon.
    let began = std::time::Instant::now();
    for whom in ["44.0.0.0/8", "2620::/20"] {
        let said = stand.floodwall.succeed(&format!("forget {whom} --socket {{socket}}"))?;
        println!("{said}{:?}", began.elapsed());
        ensure!(
            said.starts_with("nothing is remembered of ")
                && said.contains("too many /64s") == whom.contains(':')
        );
    }
    ensure!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
    Ok(())
}
