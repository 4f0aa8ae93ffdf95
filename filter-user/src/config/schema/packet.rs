//! Packets by what they are: segments of no connection, UDP, forged sources, IP, fragments, ICMP, the rest.

use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use crate::config::{
    rule::section,
    value::{PortRange, Rate, choice, duration, number, port_range, prefix, protocol, rate},
};

/// What becomes of UDP from a reflector's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reflection {
    /// Like any other UDP.
    Off,
    /// Replies to own datagrams pass.
    Match,
    /// Dropped, replies too.
    Drop,
}

/// What becomes of packets to a network's broadcast address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// Dropped where the interface faces the Internet.
    Auto,
    /// Dropped.
    Drop,
    /// Passed.
    Pass,
}

/// What becomes of packets with one of this host's addresses as source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnSources {
    /// Dropped.
    Drop,
    /// Passed.
    Pass,
}

/// What becomes of packets that leave with a source that can't be this host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// Nobody looks.
    Off,
    /// They are counted.
    Monitor,
    /// They are dropped.
    Drop,
}

/// Which segments are looked up in the socket table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strays {
    /// None but those of cookie services.
    Off,
    /// Those to services.
    Services,
    /// All.
    Host,
}

/// What becomes of packets of some kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassOrDrop {
    /// They go on.
    Pass,
    /// They end.
    Drop,
}

/// What becomes of fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragments {
    /// They go on.
    Pass,
    /// They go on up to a rate.
    Rate,
    /// They end.
    Drop,
}

/// What becomes of pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// They go on.
    Pass,
    /// They go on up to a rate.
    Limit,
    /// They end.
    Drop,
}

section! {
    /// `[stray]`: TCP segments (ACK, data, FIN, RST, SYN-ACK) that belong to no connection of this host
    Stray {
        /// Where they are looked for and dropped. Connections that this host forwards after a translation of addresses
        /// (DNAT, masquerading, published container ports, IPVS) have no socket here: `services` leaves all ports alone
        /// that are no service's, and a service of which no segment ever had a socket. Sockets that are bound to a device above
        /// the interface (a bond, a bridge, a VLAN, a VRF) are not seen: choose `off` for such hosts.
        scope: Spanned<Strays> = choice(&[
            ("services", Strays::Services),
            ("host", Strays::Host),
            ("off", Strays::Off),
        ])
        .or("services");
        /// Strays per second, estimated from every 64th segment, above which each segment is looked up and strays are
        /// dropped.
        on: Spanned<u32> = number(100..=10_000_000).or("2000");
        /// It stays so while more than this arrive within a second.
        off: Spanned<u32> = number(10..=10_000_000).or("500");
        /// How long it stays so after that.
        hold: Spanned<Duration> = duration(1..=3600).or("30s");
    }
}

section! {
    /// `[udp]`
    Udp {
        /// What comes from the port of a service that reflects and amplifies (DNS, NTP, memcached and 30 more, see the
        /// README): `match` passes replies to what this host, or one behind it, has sent a moment ago, and drops the rest;
        /// tc egress notes what is sent, so queries that leave through an interface without Floodwall are not known.
        /// `drop` drops replies, too. Between peers that both use a service's own port (NTP, SIP), what asks passes.
        reflection: Spanned<Reflection> = choice(&[
            ("match", Reflection::Match),
            ("drop", Reflection::Drop),
            ("off", Reflection::Off),
        ])
        .or("match");
        /// Source ports that are no reflectors here.
        reflection_except: Vec<Spanned<PortRange>> = port_range().list();
        /// How long a reply may take.
        reply_window: Spanned<Duration> = duration(1..=600).or("30s");
        /// Datagrams to ports of this host without a socket, all together: the stack answers each with an ICMP error.
        /// Published container ports have no socket here either, until they have answered. As many datagrams reach services from
        /// reflectors' ports above 1023, which a NAT may have given to a client.
        closed: Spanned<Option<Rate>> = rate().or("1000/s burst 1000");
    }
}

section! {
    /// `[spoofing]`
    Spoofing {
        /// Packets from outside with an address of this host, or of `own`, as their source.
        own_sources: Spanned<OwnSources> =
            choice(&[("drop", OwnSources::Drop), ("pass", OwnSources::Pass)]).or("drop");
        /// Networks behind this host: never a source outside, always one of what leaves. At most 16.
        own: Vec<Spanned<IpNet>> = prefix().list();
        /// Packets to the broadcast address of one of this host's networks (Smurf, RFC 2644). `auto` drops them where
        /// the interface's profile is `internet`.
        directed_broadcast: Spanned<Broadcast> = choice(&[
            ("auto", Broadcast::Auto),
            ("drop", Broadcast::Drop),
            ("pass", Broadcast::Pass),
        ])
        .or("auto");
        /// What leaves with a source that is neither this host's nor in `own` or a service's `protect` (BCP 38):
        /// `monitor` counts it, `drop` stops it. A router, or a host with containers whose addresses are not
        /// translated, needs its networks in `own` before it drops.
        egress: Spanned<Egress> = choice(&[
            ("off", Egress::Off),
            ("monitor", Egress::Monitor),
            ("drop", Egress::Drop),
        ])
        .or("monitor");
    }
}

section! {
    /// `[ip]`
    Ip {
        /// IPv4 options (record route, timestamps, router alert ...) in packets from further away than the link. Real traffic
        /// has none, and they take the slow path of every stack. Source routes (LSRR, SSRR) are dropped in any case (RFC 7126).
        options: Spanned<PassOrDrop> =
            choice(&[("pass", PassOrDrop::Pass), ("drop", PassOrDrop::Drop)]).or("drop");
        /// IPv6 routing headers with segments left: hosts that take part in segment routing or Mobile IPv6 need them. Type 0 is
        /// dropped in any case (RFC 5095).
        routing: Spanned<PassOrDrop> =
            choice(&[("pass", PassOrDrop::Pass), ("drop", PassOrDrop::Drop)]).or("drop");
        /// IPv6 extension headers that are not walked: Mobility (135), HIP (139), Shim6 (140), experiments (253, 254), no next
        /// header (59). Those in `protocols.allow` pass all the same.
        headers: Spanned<PassOrDrop> =
            choice(&[("pass", PassOrDrop::Pass), ("drop", PassOrDrop::Drop)]).or("drop");
    }
}

section! {
    /// `[fragments]`
    FragmentPolicy {
        /// Fragments that contradict nothing. Large DNS answers and many VPNs need them; `rate` passes them up to both limits
        /// below, `drop` none. Later fragments have no ports: no service's policy applies to them.
        policy: Spanned<Fragments> = choice(&[
            ("pass", Fragments::Pass),
            ("rate", Fragments::Rate),
            ("drop", Fragments::Drop),
        ])
        .or("rate");
        /// Fragments of all sources together; sources that have answered a challenge pass beyond it. It spares the CPU: the stack's
        /// memory for datagrams that never become whole (`net.ipv4.ipfrag_high_thresh`) is filled by far fewer.
        total: Spanned<Option<Rate>> = rate().or("20000/s burst 20000");
        /// Fragments of each source: an IPv4 address or an IPv6 /64.
        per_source: Spanned<Option<Rate>> = rate().or("5000/s burst 10000");
    }
}

section! {
    /// `[icmp]`: neighbour discovery and what else the link needs always passes
    Icmp {
        /// Errors (unreachable, packet too big, time exceeded, parameter problem) about packets of the receiver, of all sources
        /// together. Beyond it pass those about connected sockets of this host: path-MTU discovery goes on under a flood.
        errors: Spanned<Option<Rate>> = rate().or("1000/s burst 1000");
        /// The latter, for each source.
        errors_per_source: Spanned<Option<Rate>> = rate().or("100/s burst 200");
        /// Pings (echo requests). `limit` passes them up to both limits below. Those to a multicast or broadcast address are
        /// dropped in any case.
        echo: Spanned<Echo> =
            choice(&[("pass", Echo::Pass), ("limit", Echo::Limit), ("drop", Echo::Drop)]).or("limit");
        /// Pings of each source.
        echo_per_source: Spanned<Option<Rate>> = rate().or("20/s burst 100");
        /// Pings of all sources together; sources that have answered a challenge pass beyond it.
        echo_total: Spanned<Option<Rate>> = rate().or("10000/s burst 10000");
        /// Replies to pings that this host, or one behind it, has not sent within `udp.reply_window` (with `udp.reflection = "drop"` all
        /// replies), of all sources together.
        echo_replies: Spanned<Option<Rate>> = rate().or("2000/s burst 2000");
        /// Redirects. A host with one router needs none, and whoever forges one diverts its traffic.
        redirect: Spanned<PassOrDrop> =
            choice(&[("pass", PassOrDrop::Pass), ("drop", PassOrDrop::Drop)]).or("drop");
    }
}

section! {
    /// `[protocols]`
    Protocols {
        /// Protocols that pass, whatever the other two knobs say. ICMP, TCP and UDP have rules of their own.
        allow: Vec<Spanned<u8>> = protocol().list();
        /// All others.
        other: Spanned<PassOrDrop> =
            choice(&[("pass", PassOrDrop::Pass), ("drop", PassOrDrop::Drop)]).or("pass");
        /// Packets of all others together, where they pass.
        rate: Spanned<Option<Rate>> = rate().or("off");
    }
}
