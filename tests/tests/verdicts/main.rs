//! Verdicts of the loaded program, as the daemon configured it: action, bytes and every counter.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{config::Config, filter::Filter, packet::Packet};

mod bogons;
mod cookies;
mod fragments;
mod headers;
mod icmp;
mod ladder;
mod link;
mod lists;
mod parse;
mod policy;
mod rules;
mod services;
mod spoofed;
mod strays;
mod whole;

/// A case: what it is, the frame, its fate.
pub(crate) type Fixture = (&'static str, Vec<u8>, Reason);

/// The same with a name that was made.
pub(crate) type Made = (String, Vec<u8>, Reason);
/// Leaves UDP to what the test is about.
pub(crate) const NO_UDP: &str = "[udp]\nclosed = \"off\"\nreflection = \"off\"\n";

/// Runs every case.
pub(crate) fn check<S: AsRef<str>>(filter: &Filter, fixtures: Vec<(S, Vec<u8>, Reason)>) -> Result<()> {
    for (what, frame, expected) in fixtures {
        filter.expect(what.as_ref(), &frame, expected)?;
    }
    Ok(())
}

/// A packet of no service from a source that nothing speaks against.
pub(crate) fn plain() -> Packet {
    filter_tests::packet::ip("8.8.8.8", "192.31.196.2")
}

/// The same, IPv6.
pub(crate) fn plain6() -> Packet {
    filter_tests::packet::ip("2a00:1450::8", "2620:4f:8000::2")
}

const CLOSED_PORTS: &str = "[udp]\nclosed = \"off\"\n";

/// [`config`] for the Internet, with more tables.
pub(crate) fn config_and(more: &str) -> Config {
    config("internet").also(&format!("{CLOSED_PORTS}{more}"))
}

/// Cookies on 80 and 81, whatever the profile; unknown ACKs are refused from the start, closed UDP ports are not looked at.
pub(crate) fn config(profile: &str) -> Config {
    let mut config = Config::default()
        .interface(&format!("profile = \"{profile}\""))
        .service("ports = [\"tcp/80\", \"tcp/81\"]\nsyn = { mode = \"cookie\" }")
        .cookie("grace = \"0s\"\nunknown_ack = \"off\"")
        .also(CLOSED_PORTS);
    config.services.push((
        "limited".into(),
        "ports = [\"tcp/90\", \"udp/90\"]\nrate = { per_source = \"1/s burst 2\", per_source_syn = \"1/s burst 1\" }".into(),
    ));
    config.management = vec!["198.51.100.7/32".into(), "2001:db8:7::/48".into()];
    config
}
