//! Services, and how their connections come about.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use toml::Spanned;

use crate::config::{
    profile::{self, Preset},
    rule::{section, switch, table},
    value::{
        ByteRate, PortRange, Protocol, Rate, byte_rate, choice, duration, name, number, path, port_range,
        prefix, rate,
    },
};

/// What answers a service's SYNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynMode {
    /// The stack.
    Off,
    /// The stack, up to a rate.
    Limit,
    /// RST challenges.
    Challenge,
    /// SYN cookies.
    Cookie,
    /// The stack up to a rate; above it the best there is.
    Auto,
}

/// What becomes of a SYN with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynData {
    /// Like any other SYN.
    Pass,
    /// Dropped.
    Drop,
}

section! {
    /// `[[service]]`
    Service {
        /// Its name in metrics and messages; unique.
        name: Spanned<String> = name();
        /// A preset for everything that is not written here; see [profiles](#profiles).
        profile: Option<Spanned<Preset>> = choice(profile::PRESETS).optional("none");
        /// Destination prefixes; none: any. Of two services with the same port the first in the file whose `dst` holds the
        /// destination gets the packet, so narrow ones go first.
        dst: Vec<Spanned<IpNet>> = prefix().or_more();
        /// Destination ports. A port belongs to one service, unless `dst` tells them apart.
        ports: Vec<Spanned<PortRange>> = port_range().list();
        /// Prefixes behind this host (a gateway) whose SYNs to these ports are challenged whenever `syn.mode` answers; at most
        /// 8 in all.
        protect: Vec<Spanned<IpNet>> = prefix().list();
        /// GTSM (RFC 5082): how many hops away its peers may be, 1 for neighbours only (BGP on one link). 0: anywhere.
        ttl_security: Spanned<u32> = number(0..=254).or("0");
        /// SYN-flood defence.
        syn: Syn = table::<Syn>();
        /// Limits. A source is an IPv4 address or an IPv6 /64.
        rate: Rates = table::<Rates>();
        /// `true`: count what would happen to its packets, pass them all, and answer none.
        observe: bool = switch();
    }
}

section! {
    /// `syn` of a `[[service]]`
    Syn {
        /// `cookie` answers every SYN statelessly and creates the connection when the client's ACK proves its
        /// address (Linux 6.9, `net.ipv4.tcp_syncookies` at least 1); where that can't be, it does as `challenge`.
        /// `challenge` answers with a SYN-ACK that the client resets, remembers who did, and passes their
        /// SYNs: any kernel, also for `protect`. `limit` passes `on` SYNs a second. `auto` passes them all up to `on`
        /// and does as `cookie` above it. `off` leaves SYNs to the stack.
        mode: Spanned<SynMode> = choice(&[
            ("off", SynMode::Off),
            ("limit", SynMode::Limit),
            ("challenge", SynMode::Challenge),
            ("cookie", SynMode::Cookie),
            ("auto", SynMode::Auto),
        ])
        .or("off");
        /// SYNs per second of the whole service that the stack gets: `limit` drops the rest, `auto` arms at the
        /// first one above. A tenth of it may come at once.
        on: Spanned<u32> = number(1..=10_000_000).or("20000");
        /// `auto` stays armed while more SYNs than this arrive within a second.
        off: Spanned<u32> = number(1..=10_000_000).or("5000");
        /// How long `auto` stays armed after that.
        hold: Spanned<Duration> = duration(1..=3600).or("60s");
        /// SYNs with data (TCP Fast Open): `drop` if the service takes none.
        data: Spanned<SynData> = choice(&[("pass", SynData::Pass), ("drop", SynData::Drop)]).or("pass");
    }
}

section! {
    /// `rate` of a `[[service]]`
    Rates {
        /// Packets; with SYNs, unless they have a limit of their own or are answered with a cookie or a challenge.
        per_source: Spanned<Option<Rate>> = rate().or("off");
        /// SYNs. With `syn = cookie` a SYN costs next to nothing, and whoever forges a client's address uses up its
        /// share: leave it off unless that is what you want.
        per_source_syn: Spanned<Option<Rate>> = rate().or("off");
        /// Bytes of IP packets.
        per_source_bytes: Spanned<Option<ByteRate>> = byte_rate().or("off");
        /// New UDP flows: tuples that have sent nothing for two minutes, or only one packet more than two seconds ago.
        per_source_flows: Spanned<Option<Rate>> = rate().or("off");
        /// Packets of each IPv4 /24 or IPv6 /48: for networks whose hosts flood together (carpets, botnets of one
        /// provider).
        per_prefix: Spanned<Option<Rate>> = rate().or("off");
        /// Packets of all sources together, except for those that have answered a challenge, and for SYNs if `syn.mode`
        /// does something about them. A flood of forged sources uses it up, and other clients with it: prefer `flows`.
        total: Spanned<Option<Rate>> = rate().or("off");
        /// As `total`, bytes.
        total_bytes: Spanned<Option<ByteRate>> = byte_rate().or("off");
        /// New UDP flows of all sources together. Flows that go on are not counted: forged sources, which are new with each
        /// packet, are kept out and known clients lose nothing.
        flows: Spanned<Option<Rate>> = rate().or("off");
    }
}

section! {
    /// `[host]`: limits for what is for no service, and for everything
    HostLimits {
        /// Packets to the whole host, services included, except for sources that have answered a challenge, and for SYNs to
        /// services that do something about them. For hosts whose CPU can't take more.
        total: Spanned<Option<Rate>> = rate().or("off");
        /// As `total`, bytes.
        total_bytes: Spanned<Option<ByteRate>> = byte_rate().or("off");
        /// Limits for packets to no service: other ports and protocols.
        rate: Rates = table::<Rates>();
    }
}

section! {
    /// `[cookie]`
    Cookie {
        /// Each epoch has a key of its own, derived from the master secret. This one and the one before are
        /// accepted. A key that nobody renews is refused by the data path itself after 5 periods.
        period: Spanned<Duration> = duration(1..=3600).or("64s");
        /// How long unknown ACKs still pass after the daemon has armed cookies (its start, a reload). The stack's own handshakes and SYN cookies are known
        /// without it; another host's, whose address has moved here, are not.
        grace: Spanned<Duration> = duration(0..=600).or("0s");
        /// Master secret: 32 to 4096 bytes, owned by root, mode 0600. Hosts that share it accept each other's cookies.
        key_file: Option<Spanned<PathBuf>> = path().optional("a random secret at each start");
        /// ACKs for no connection that reach the stack, which resets them: peers of connections that this host has
        /// forgotten (a reboot, a moved address) learn of it. `off`: none.
        unknown_ack: Spanned<Option<Rate>> = rate().or("200/s burst 400");
        /// Limits for our answers, so that nobody can use them against a third party.
        syn_ack: SynAck = table::<SynAck>();
    }
}

section! {
    /// `[challenge]`
    Challenge {
        /// How long a source (an IPv4 address, an IPv6 /64) counts as proven after it has answered.
        proven: Spanned<Duration> = duration(10..=86400).or("10m");
        /// SYNs of a proven source that reach each service: it is real, and may be an attacker's. Whoever forges its address
        /// can use its share up, so keep it well above what one address (a proxy, a NAT) needs. All proven sources
        /// together get `syn.on` of the service.
        per_source_syn: Spanned<Option<Rate>> = rate().or("1000/s burst 2000");
        /// Segments of unproven sources, all together, that are forwarded to a service's `protect` while its SYNs are
        /// challenged: older connections are among them, so keep it above their usual traffic.
        unproven: Spanned<Option<Rate>> = rate().or("200000/s burst 200000");
    }
}

section! {
    /// `syn_ack` of `[cookie]`
    SynAck {
        /// SYN-ACKs to one source prefix (IPv4 /24, IPv6 /48). A flood that forges that very prefix can use them up, so
        /// keep it well above the new connections that one prefix (a CDN, a NAT) makes.
        per_prefix: Spanned<Option<Rate>> = rate().or("20000/s burst 40000");
        /// SYN-ACKs in total.
        total: Spanned<Option<Rate>> = rate().or("10000000/s");
    }
}

impl Service {
    /// Whether it asks for SYN cookies.
    #[must_use]
    pub fn wants_cookies(&self) -> bool {
        matches!(self.syn.mode.as_ref(), SynMode::Cookie | SynMode::Auto) && self.has(Protocol::Tcp)
    }

    /// Whether it does anything about SYNs.
    #[must_use]
    pub fn defends_syns(&self) -> bool {
        *self.syn.mode.as_ref() != SynMode::Off
    }

    /// Whether it has a port of that protocol.
    #[must_use]
    pub fn has(&self, protocol: Protocol) -> bool {
        self.ports.iter().any(|ports| ports.as_ref().protocol == protocol)
    }
}
