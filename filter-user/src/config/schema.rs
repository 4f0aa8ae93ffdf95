//! The file's tables and knobs: name, help, bounds and default of each, declared here and nowhere else.

mod attack;
mod interface;
mod packet;
mod process;
mod rule;
mod service;
mod sources;

use filter_common::abi::MAX_INTERFACES;
use toml::Spanned;

pub use self::{
    attack::{Addresses, Detect, Detection, Events, Notify, Privacy, VIAS, Via},
    interface::{HandOver, Interface, ReversePath},
    packet::{
        Broadcast, Echo, Egress, FragmentPolicy, Fragments, Icmp, Ip, OwnSources, PassOrDrop, Protocols,
        Reflection, Spoofing, Stray, Strays, Udp,
    },
    process::{Commit, Daemon, Limits, Management, Metrics, Mode},
    rule::{Action, FragmentKind, Per, Rule},
    service::{Challenge, Cookie, HostLimits, Rates, Service, Syn, SynAck, SynData, SynMode},
    sources::{Ban, Feed, Lists},
};
use super::{
    profile,
    rule::{section, table, tables},
    value::number,
};

/// Where links and maps are pinned unless told otherwise.
pub const PINS: &str = "/sys/fs/bpf/floodwall";
/// Where the lock file and the control socket live unless told otherwise.
pub const RUNTIME: &str = "/run/floodwall";
/// Where what outlives the daemon is kept unless told otherwise.
pub const STATE: &str = "/var/lib/floodwall";
/// Interfaces that can be counted apart.
pub const INTERFACES: usize = MAX_INTERFACES as usize;

section! {
    /// The whole file.
    Settings {
        /// Version of the file's form.
        schema: Spanned<u32> = number(1..=1);
        /// The process.
        daemon: Daemon = table::<Daemon>();
        /// Sources that nothing may lock out.
        management: Management = table::<Management>();
        /// Applying a configuration from afar.
        commit: Commit = table::<Commit>();
        /// Sources that always pass, and such that never do.
        lists: Lists = table::<Lists>();
        /// Block lists that somebody else keeps; at most 32.
        feed: Vec<Feed> = tables::<Feed>();
        /// An interface to protect; at least one, at most 16.
        interface: Vec<Interface> = tables::<Interface>();
        /// What this host serves, and how it is protected; at most 63.
        service: Vec<Service> = profile::services();
        /// What the operator decides about packets by their headers, before any service does; in this order, at most 64. See
        /// [how rules work](#how-rules-work).
        rule: Vec<Rule> = tables::<Rule>();
        /// Limits beside those of services.
        host: HostLimits = table::<HostLimits>();
        /// SYN cookies.
        cookie: Cookie = table::<Cookie>();
        /// Challenges.
        challenge: Challenge = table::<Challenge>();
        /// Segments of no connection.
        stray: Stray = table::<Stray>();
        /// UDP.
        udp: Udp = table::<Udp>();
        /// Forged sources.
        spoofing: Spoofing = table::<Spoofing>();
        /// IP headers.
        ip: Ip = table::<Ip>();
        /// Fragments.
        fragments: FragmentPolicy = table::<FragmentPolicy>();
        /// ICMP and ICMPv6.
        icmp: Icmp = table::<Icmp>();
        /// Protocols other than TCP, UDP and ICMP.
        protocols: Protocols = table::<Protocols>();
        /// Bans.
        ban: Ban = table::<Ban>();
        /// Table sizes.
        limits: Limits = table::<Limits>();
        /// Sampled packets: what the detector looks at.
        events: Events = table::<Events>();
        /// The detector of attacks.
        detect: Detect = table::<Detect>();
        /// Who is told of attacks; at most 16.
        notify: Vec<Notify> = tables::<Notify>();
        /// What is kept of attacks, and for how long.
        privacy: Privacy = table::<Privacy>();
        /// Prometheus metrics.
        metrics: Metrics = table::<Metrics>();
    }
}
