//! The packets of those who have to get through, run through the programs that a configuration would load.

use std::net::{IpAddr, SocketAddr};

use filter_common::reason::{Action, Reason};

use super::peers::{Connection, Found};
use crate::{
    bench::frames::{Ends, OPTIONS, SYN_OPTIONS, flag},
    config::{Settings, schema::Reflection},
    dataplane::{
        Plan,
        rehearsal::{Rehearsal, Start},
    },
};

const DNS: u16 = 53;

/// How bad it is that a packet would be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The operator should know.
    Told,
    /// It is refused.
    Refused,
}

/// One packet, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Whose packet, and which.
    pub what: String,
    /// Where it comes from.
    pub source: IpAddr,
    /// This host's address that it is for.
    destination: IpAddr,
    weight: Weight,
    frame: Vec<u8>,
}

/// What the guard rails say about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub weight: Weight,
    /// What would happen to which packet, and why.
    pub message: String,
    /// What to change.
    pub hint: String,
}

impl Finding {
    fn new(weight: Weight, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { weight, message: message.into(), hint: hint.into() }
    }
}

/// Every packet that has to pass, for this host's addresses `local`.
#[must_use]
pub fn cases(found: &Found, local: &[IpAddr]) -> Vec<Case> {
    let mut cases = Vec::new();
    if let Some(caller) = found.caller {
        let weight = if found.caller_is_here { Weight::Refused } else { Weight::Told };
        cases.extend(connection("your SSH connection", &caller, weight, found.caller_is_here));
    }
    for other in &found.management {
        cases.extend(connection("the management connection", other, Weight::Told, true));
    }
    for peer in &found.bgp {
        cases.extend(connection("the BGP session", peer, Weight::Refused, true));
    }
    for gateway in &found.gateways {
        cases.extend(to_any(local, *gateway).map(|own| Case {
            what: format!("a ping of the gateway {gateway}"),
            source: *gateway,
            destination: own,
            weight: Weight::Refused,
            frame: Ends::new(*gateway, own, 0).echo().bytes,
        }));
    }
    for resolver in &found.resolvers {
        cases.extend(to_any(local, *resolver).map(|own| Case {
            what: format!("an answer of the resolver {resolver}"),
            source: *resolver,
            destination: own,
            weight: Weight::Refused,
            frame: Ends { ports: [DNS, 54_321], ..Ends::new(*resolver, own, 0) }.udp(&[0; 64]).bytes,
        }));
    }
    cases
}

/// One of this host's addresses that `source` could write to.
fn to_any(local: &[IpAddr], source: IpAddr) -> Option<IpAddr> {
    let is_link_local = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let same = |own: &&IpAddr| own.is_ipv4() == source.is_ipv4();
    let fitting = |own: &&IpAddr| same(own) && is_link_local(own) == is_link_local(&source);
    local.iter().find(fitting).or_else(|| local.iter().find(same)).copied()
}

/// A new connection from there, if this end listens, and data of this one.
fn connection(whose: &str, connection: &Connection, weight: Weight, data: bool) -> Vec<Case> {
    let Connection { peer, local } = *connection;
    let ends = |port: u16| Ends { ports: [port, local.port()], ..Ends::new(peer.ip(), local.ip(), 0) };
    let case = |what: String, frame: Vec<u8>| {
        let what = format!("{what} of {whose} {}", shown(peer, local));
        Case { what, source: peer.ip(), destination: local.ip(), weight, frame }
    };
    let mut cases = Vec::new();
    // Another port than the connection's: as when somebody logs in anew.
    if local.port() < peer.port() {
        let other = if peer.port() == u16::MAX { peer.port() - 1 } else { peer.port() + 1 };
        cases.push(case("a new SYN".to_owned(), ends(other).tcp(flag::SYN, &SYN_OPTIONS, &[]).bytes));
    }
    if data {
        let frame = ends(peer.port()).tcp(flag::ACK | flag::PSH, &OPTIONS, b"data");
        cases.push(case("data".to_owned(), frame.bytes));
    }
    cases
}

fn shown(peer: SocketAddr, local: SocketAddr) -> String {
    format!("{peer} -> {local}")
}

/// Runs all of them. What cannot be tried is told, too.
#[must_use]
pub fn findings(plan: &Plan, settings: &Settings, found: &Found) -> Vec<Finding> {
    let cases = cases(found, &plan.local);
    let mut findings: Vec<_> = uplinks(plan, found).into_iter().collect();
    for interface in &plan.interfaces {
        match Rehearsal::of_plan(plan, &interface.name, Start::Empty) {
            Ok(mut rehearsal) => {
                findings.extend(cases.iter().filter_map(|case| judge(case, &mut rehearsal, settings)));
            }
            Err(problem) => {
                let message = format!("{}: not tried out: {problem:#}", interface.name);
                findings.push(Finding::new(Weight::Told, message, ""));
            }
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    findings.dedup();
    findings
}

/// A configuration for none of the interfaces that lead anywhere is one for another host, or a slip.
fn uplinks(plan: &Plan, found: &Found) -> Option<Finding> {
    let planned = |name: &String| plan.interfaces.iter().any(|interface| interface.name == *name);
    if found.uplinks.is_empty() || found.uplinks.iter().any(planned) {
        return None;
    }
    let names = |list: &mut dyn Iterator<Item = &str>| list.collect::<Vec<_>>().join(", ");
    let ours = names(&mut plan.interfaces.iter().map(|interface| interface.name.as_str()));
    let theirs = names(&mut found.uplinks.iter().map(String::as_str));
    let message = format!("no default route leads through {ours}: {theirs} would go unprotected");
    Some(Finding::new(Weight::Refused, message, format!("name = \"{theirs}\" in [[interface]], or --force")))
}

fn judge(case: &Case, rehearsal: &mut Rehearsal, settings: &Settings) -> Option<Finding> {
    let outcome = match rehearsal.run(&case.frame) {
        Ok(outcome) => outcome,
        Err(problem) => {
            return Some(Finding::new(
                Weight::Told,
                format!("{}: not tried out: {problem:#}", case.what),
                "",
            ));
        }
    };
    let (reason, interface) = (outcome.reason, rehearsal.interface());
    let drops = reason.action() == Action::Drop && !depends(reason, settings);
    let fate = format!("{interface}: {} would be dropped", case.what);
    let why = format!("(reason {}: {})", reason.label(), reason.help());
    let hint = hint(reason, case.source);
    match (drops, outcome.observed) {
        (false, _) => None,
        (true, false) => Some(Finding::new(case.weight, format!("{fate} {why}"), hint)),
        (true, true) => Some(Finding::new(Weight::Told, format!("{fate} once this is enforced {why}"), hint)),
    }
}

/// Whether the packet's fate depends on what this one does not show: a query before it, its hops.
fn depends(reason: Reason, settings: &Settings) -> bool {
    match reason {
        Reason::UdpReflection => *settings.udp.reflection.as_ref() == Reflection::Match,
        Reason::TtlSecurity | Reason::EchoDenied | Reason::ReversePath => true,
        _ => false,
    }
}

fn hint(reason: Reason, source: IpAddr) -> String {
    let allow = format!("add \"{source}\" to management.allow");
    match reason {
        Reason::Bogon => {
            format!("interface.profile = \"lan\" or \"cloud\" where sources are private, or {allow}")
        }
        Reason::BlockList => format!("take {source} out of lists.block and its files, or {allow}"),
        Reason::Banned => format!("floodwall ban del {source}, or {allow}"),
        Reason::RuleDrop | Reason::RuleLimit => {
            format!("put a rule with action = \"pass\" before it, or {allow}")
        }
        Reason::UdpReflection => format!("udp.reflection = \"match\", or {allow}"),
        _ => allow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            caller: Connection::of_ssh("192.31.196.1 50000 192.31.196.2 22"),
            caller_is_here: true,
            bgp: [Connection::of_ssh("192.31.196.7 179 192.31.196.2 50000").unwrap()].into(),
            gateways: ["fe80::1".parse().unwrap(), "192.31.196.254".parse().unwrap()].into(),
            resolvers: ["2620:4f:8000::53".parse().unwrap()].into(),
            ..Found::default()
        }
    }

    #[test]
    fn every_peer_has_its_packets() {
        let local = ["192.31.196.2", "2620:4f:8000::2", "fe80::2"].map(|text| text.parse().unwrap());
        let cases = cases(&found(), &local);
        let told: Vec<_> = cases.iter().map(|case| case.what.as_str()).collect();
        assert_eq!(told.len(), 6, "{told:#?}");
        assert!(told[0].starts_with("a new SYN of your SSH connection 192.31.196.1:50000"), "{}", told[0]);
        // What this host has opened itself is not opened from outside.
        assert!(told[2].starts_with("data of the BGP session"), "{}", told[2]);
        let to: Vec<_> = cases.iter().map(|case| case.destination.to_string()).collect();
        assert_eq!(to[3..], ["192.31.196.2", "fe80::2", "2620:4f:8000::2"]);
        assert!(cases.iter().all(|case| case.frame.len() >= 60));
    }

    #[test]
    fn hints_name_the_knob() {
        let source = "10.1.2.3".parse().unwrap();
        assert!(hint(Reason::Bogon, source).contains("profile"));
        assert!(hint(Reason::SynLimit, source).contains("management.allow"));
    }
}
