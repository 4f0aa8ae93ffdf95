//! Allow and block lists, bans.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    filter::Filter,
    packet::{
        CUSTOMER, ip,
        tcp::{Segment, flag},
    },
};

use super::{Fixture, check, config};

const LISTS: &str = "[lists]\n\
    allow = [\"44.1.2.8\", \"44.2.0.0/24\", \"2a00:1::7\", \"2a00:2::/32\"]\n\
    block = [\"44.1.2.0/24\", \"44.1.4.0/23\", \"44.2.0.0/16\", \"44.3.0.129/32\", \"44.4.0.0/14\", \
             \"2a00:1::/32\", \"2a00:2:3::/48\", \"2a00:4::8000:0:0:0/65\", \"2a00:5::9\", \"198.51.100.0/24\", \
             \"2001:db8:7::/48\"]\n";

fn from(source: &str) -> Vec<u8> {
    let destination = if source.contains(':') { "2620:4f:8000::2" } else { "192.31.196.2" };
    ip(source, destination).syn(9999).bytes()
}

fn sources(cases: &[(&'static str, Reason)]) -> Vec<Fixture> {
    cases.iter().map(|(source, reason)| (*source, from(source), *reason)).collect()
}

fn listing() -> Config {
    config("internet").also(LISTS)
}

#[test]
fn lists_end_where_their_prefixes_end() -> Result<()> {
    let filter = Filter::new(&listing())?;
    let (allow, block, pass) = (Reason::AllowListed, Reason::BlockList, Reason::Pass);
    check(
        &filter,
        sources(&[
            ("44.1.1.255", pass),
            ("44.1.2.0", block),
            ("44.1.2.7", block),
            ("44.1.2.8", allow),
            ("44.1.2.9", block),
            ("44.1.2.255", block),
            ("44.1.3.0", pass),
            ("44.1.3.255", pass),
            ("44.1.4.0", block),
            ("44.1.5.255", block),
            ("44.1.6.0", pass),
            ("44.2.0.0", allow),
            ("44.2.0.255", allow),
            ("44.2.1.0", block),
            ("44.2.255.255", block),
            ("44.3.0.128", pass),
            ("44.3.0.129", block),
            ("44.3.0.130", pass),
            ("44.3.255.255", pass),
            ("44.4.0.0", block),
            ("44.7.255.255", block),
            ("44.8.0.0", pass),
            ("2a00:0:ffff:ffff:ffff:ffff:ffff:ffff", pass),
            ("2a00:1::", block),
            ("2a00:1::7", allow),
            ("2a00:1::8", block),
            ("2a00:1:ffff:ffff:ffff:ffff:ffff:ffff", block),
            ("2a00:2::1", allow),
            ("2a00:2:3::1", allow),
            ("2a00:3::1", pass),
            ("2a00:4::7fff:ffff:ffff:ffff", pass),
            ("2a00:4::8000:0:0:0", block),
            ("2a00:4::ffff:ffff:ffff:ffff", block),
            ("2a00:4:0:1::", pass),
            ("2a00:5::8", pass),
            ("2a00:5::9", block),
            ("2a00:5::a", pass),
        ]),
    )
}

#[test]
fn lists_have_their_place_in_the_order() -> Result<()> {
    let filter = Filter::new(&listing())?;
    let to = |source| ip(source, "192.31.196.2");
    let flags = Segment::default().flags(0);
    check(
        &filter,
        vec![
            ("management over block", to("198.51.100.7").syn(80).bytes(), Reason::Management),
            ("management over block, IPv6", from("2001:db8:7::1"), Reason::Management),
            ("a blocked bogon", to("198.51.100.8").syn(80).bytes(), Reason::Bogon),
            ("allowed, illegal flags", to("44.1.2.8").tcp(&flags).bytes(), Reason::AllowListed),
            ("blocked, illegal flags", to("44.1.2.9").tcp(&flags).bytes(), Reason::TcpFlags),
            ("allowed, a SYN to cookies", to("44.1.2.8").syn(80).bytes(), Reason::AllowListed),
            ("blocked, a SYN to cookies", to("44.1.2.9").syn(80).bytes(), Reason::BlockList),
            ("blocked, tagged", to("44.1.2.9").vlan(CUSTOMER, 7).syn(80).bytes(), Reason::BlockList),
            (
                "blocked, a fragment",
                to("44.1.2.9").fragment(8, true).raw(6, &[0; 8]).bytes(),
                Reason::BlockList,
            ),
            ("allowed, cut off", to("44.1.2.8").syn(80).bytes()[..40].to_vec(), Reason::Ipv4Truncated),
            (
                "blocked, an ACK",
                to("44.1.2.9").tcp(&Segment::default().flags(flag::ACK)).bytes(),
                Reason::BlockList,
            ),
        ],
    )?;
    for _ in 0..5 {
        filter.expect("no limit", &to("44.1.2.8").syn(90).bytes(), Reason::AllowListed)?;
    }
    Ok(())
}

#[test]
fn observed_lists_drop_nothing() -> Result<()> {
    let filter = Filter::new(&Config { mode: "observe", ..listing() })?;
    filter.expect_observed("blocked", &from("44.1.2.9"), Reason::BlockList)?;
    filter.floodwall.succeed("ban add 44.9.9.9 --socket {socket}")?;
    filter.expect_observed("banned", &from("44.9.9.9"), Reason::Banned)?;
    filter.expect_observed("allowed", &from("44.1.2.8"), Reason::AllowListed).map(drop)
}

#[test]
fn bans_hold_until_they_end() -> Result<()> {
    let filter = Filter::new(&listing())?;
    let floodwall = &filter.floodwall;
    filter.expect("nobody is banned", &from("44.9.9.9"), Reason::Pass)?;
    ensure!(floodwall.succeed("ban list --pins {pins}")?.contains("nobody"), "an empty list");
    floodwall.succeed("ban add 44.9.9.9 2a00:9:0:1::/64 --ttl forever --reason scan --socket {socket}")?;
    floodwall
        .succeed("ban add 44.10.0.0/20 2a00:9:1::/48 2a00:9::7 44.1.2.8/31 --ttl 1h --socket {socket}")?;
    floodwall.succeed("ban add 44.10.1.0/24 44.10.2.2 --ttl 2s --socket {socket}")?;
    let (banned, pass) = (Reason::Banned, Reason::Pass);
    check(
        &filter,
        sources(&[
            ("44.9.9.9", banned),
            ("44.9.9.8", pass),
            ("2a00:9:0:1:ffff::1", banned),
            ("2a00:9:0:2::1", pass),
            ("44.10.0.0", banned),
            ("44.10.1.9", banned),
            ("44.10.2.2", banned),
            ("44.10.15.255", banned),
            ("44.10.16.0", pass),
            ("2a00:9:1:ffff::1", banned),
            ("2a00:9:2::1", pass),
            ("2a00:9::7", banned),
            ("2a00:9::8", pass),
            ("44.1.2.8", Reason::AllowListed),
            ("44.1.2.9", Reason::BlockList),
        ]),
    )?;
    let shown = floodwall.succeed("ban list --pins {pins}")?;
    ensure!(shown.lines().count() == 8 && shown.contains("scan") && shown.contains("no end"), "{shown}");
    thread::sleep(Duration::from_millis(2100));
    check(&filter, sources(&[("44.10.1.9", banned), ("44.10.2.2", banned), ("44.10.3.3", banned)]))?;
    let test = floodwall.succeed("ban test 44.10.1.9 --pins {pins}")?;
    ensure!(test.contains("44.10.0.0/20") && !test.contains("44.10.1.0/24"), "{test}");
    floodwall.succeed("ban del 44.10.0.0/20 44.9.9.9 --socket {socket}")?;
    check(&filter, sources(&[("44.10.1.9", pass), ("44.10.2.2", pass), ("44.9.9.9", pass)]))?;
    ensure!(floodwall.cli("ban test 44.9.9.9 --pins {pins}")?.status.code() == Some(1), "not banned");
    ensure!(floodwall.cli("ban del 44.9.9.9 --socket {socket}")?.status.code() == Some(1), "no such ban");
    Ok(())
}

#[test]
fn what_would_do_harm_is_not_banned() -> Result<()> {
    let filter = Filter::new(&listing())?;
    let code = |line: &str| -> Result<(Option<i32>, String)> {
        let output = filter.floodwall.cli(&format!("{line} --socket {{socket}}"))?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    for entry in [
        "198.51.100.7",
        "198.51.0.0/16",
        "192.31.196.2",
        "2620:4f:8000::/64",
        "0.0.0.0/0",
        "::/0",
        "44.0.0.0/7",
    ] {
        let (code, said) = code(&format!("ban add {entry}"))?;
        ensure!(code == Some(6) && said.contains("help:"), "{entry}: {code:?} {said}");
    }
    ensure!(code("ban add 44.9.9.9 0.0.0.0/0")?.0 == Some(8), "one of two");
    ensure!(code("ban add nonsense")?.0 == Some(2), "no address");
    ensure!(code("ban add")?.0 == Some(2), "nobody");
    filter.expect("the other one", &from("44.9.9.9"), Reason::Banned)?;
    filter.expect("management", &ip("198.51.100.7", "192.31.196.2").syn(80).bytes(), Reason::Management)?;
    Ok(())
}

/// The daemon is gone: bans still hold and still end; the next one takes them over, into a larger table, too.
#[test]
fn bans_outlive_the_daemon() -> Result<()> {
    let mut filter = Filter::new(&listing())?;
    filter.floodwall.succeed("ban add 44.9.9.9 44.10.0.0/20 --ttl 1h --socket {socket}")?;
    filter.floodwall.succeed("ban add 44.9.9.8 --ttl 2s --socket {socket}")?;
    filter.floodwall.end(nix::sys::signal::Signal::SIGKILL)?;
    check(&filter, sources(&[("44.9.9.9", Reason::Banned), ("44.9.9.8", Reason::Banned)]))?;
    thread::sleep(Duration::from_millis(2100));
    check(&filter, sources(&[("44.9.9.9", Reason::Banned), ("44.9.9.8", Reason::Pass)]))?;
    let larger = listing().also(&format!("{LISTS}[limits]\nbans = 2048\nbanned_prefixes = 32\n"));
    filter.floodwall.configure(&larger)?;
    filter.floodwall.run()?;
    let shown = filter.floodwall.succeed("ban list --pins {pins}")?;
    ensure!(shown.lines().count() == 2, "{shown}");
    filter.again()?;
    check(&filter, sources(&[("44.9.9.9", Reason::Banned), ("44.10.3.3", Reason::Banned)]))?;
    let metrics = filter.floodwall.scrape()?;
    let entries = |kind: &str| metrics.sum("floodwall_ban_entries", &[&format!("kind=\"{kind}\"")]);
    ensure!((entries("source"), entries("prefix")) == (1.0, 1.0), "counted anew");
    Ok(())
}
