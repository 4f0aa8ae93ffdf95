//! Attacks and what stands against them; tests keep `docs/threats.md` what this says (`FLOODWALL_BLESS=1 cargo test` writes it anew).

#[allow(clippy::enum_glob_use, reason = "a table of nearly all of them; tests are not asked")]
use filter_common::reason::Reason::{self, *};

/// An attack, and what stands against it.
#[derive(Debug)]
pub struct Threat {
    /// What it is.
    pub attack: &'static str,
    /// File in filter-common/src, without its ending.
    pub stage: &'static str,
    /// What its packets meet.
    pub reasons: &'static [Reason],
    /// Tables and keys of the configuration; empty: always on.
    pub settings: &'static [&'static str],
    /// What remains possible.
    pub remains: &'static str,
}

impl Threat {
    /// The one whose packets meet `reason`, if it stops any.
    #[must_use]
    pub fn of(reason: Reason) -> Option<&'static Self> {
        THREATS.iter().find(|threat| threat.reasons.contains(&reason))
    }
}

/// All of them.
pub const THREATS: &[Threat] = &[
    Threat {
        attack: "Malformed frames and headers",
        stage: "packet",
        reasons: &[
            EthernetTruncated,
            VlanDepth,
            Ipv4Truncated,
            Ipv4Header,
            Ipv6Truncated,
            Ipv6Header,
            TcpTruncated,
            TcpHeader,
            UdpTruncated,
            IcmpTruncated,
            HeadersSplit,
        ],
        settings: &[],
        remains: "What is well-formed and means nothing: the limits.",
    },
    Threat {
        attack: "Odd header chains: source routes, options, extension headers",
        stage: "stages/odd_headers",
        reasons: &[
            Ipv6Extensions,
            SourceRoute,
            Ipv4Options,
            Ipv4OptionsMalformed,
            Ipv6HopByHop,
            RoutingHeader,
            UnknownHeader,
        ],
        settings: &["ip.options", "ip.routing", "ip.headers"],
        remains: "Chains of up to six known headers.",
    },
    Threat {
        attack: "Teardrop, ping of death, tiny and overlapping fragments",
        stage: "stages/fragment",
        reasons: &[
            FragmentOverflow,
            FragmentOverlap,
            FragmentTiny,
            FragmentLength,
            FragmentNested,
            SynFragmented,
        ],
        settings: &[],
        remains: "Overlaps behind the transport header are the stack's: Linux drops them (RFC 5722).",
    },
    Threat {
        attack: "Fragment floods",
        stage: "stages/fragment",
        reasons: &[FragmentDenied, FragmentRate, FragmentSourceRate],
        settings: &["fragments.policy", "fragments.total", "fragments.per_source"],
        remains: "Honest fragments share the total with the flood, unless their source has answered a challenge.",
    },
    Threat {
        attack: "Forged sources: bogons, LAND, own addresses, no way back",
        stage: "stages/spoofed, stages/own",
        reasons: &[Bogon, Land, OwnSource, ReversePath],
        settings: &["interface.profile", "interface.reverse_path", "spoofing.own_sources", "spoofing.own"],
        remains: "Forged sources that are routed and public: everything below is for them.",
    },
    Threat {
        attack: "Packets from afar to link-local services (BGP, BFD)",
        stage: "stages/gtsm",
        reasons: &[TtlSecurity],
        settings: &["service.ttl_security"],
        remains: "Neighbours within that many hops.",
    },
    Threat {
        attack: "Scans with impossible TCP flags (NULL, Xmas), port 0",
        stage: "stages/tcp_flags",
        reasons: &[TcpFlags, PortZero],
        settings: &[],
        remains: "Scans with legal flags: limits per source.",
    },
    Threat {
        attack: "SYN floods, forged sources",
        stage: "stages/syn",
        reasons: &[CookieSent, ChallengeSent, ChallengePassed, CookieInvalid, SynLimit, SynData],
        settings: &[
            "service.syn.mode",
            "service.syn.on",
            "service.syn.off",
            "service.syn.hold",
            "service.syn.data",
        ],
        remains: "One guessed cookie in 2^28 ACKs; without timestamps a cookie loses window scale and SACK.",
    },
    Threat {
        attack: "SYN floods, real sources",
        stage: "stages/limit",
        reasons: &[SourceSynRate],
        settings: &["service.rate.per_source_syn", "challenge.per_source_syn"],
        remains: "A botnet whose hosts each stay within their limit.",
    },
    Threat {
        attack: "Reflection of our SYN-ACKs",
        stage: "stages/limit, reply",
        reasons: &[ReplyPrefixRate, ReplyTotalRate, ReplyFailed],
        settings: &["cookie.syn_ack.per_prefix", "cookie.syn_ack.total"],
        remains: "One SYN-ACK for a SYN, never larger, within these limits.",
    },
    Threat {
        attack: "ACK, data, FIN, RST and SYN-ACK floods",
        stage: "stages/segment",
        reasons: &[StrayAck, StrayData, StrayFin, StrayRst, StraySynAck, UnprovenRate],
        settings: &[
            "stray.scope",
            "stray.on",
            "stray.off",
            "stray.hold",
            "challenge.unproven",
            "cookie.unknown_ack",
        ],
        remains: "Below the threshold strays reach the stack; connections that are forwarded have no socket here.",
    },
    Threat {
        attack: "Reflection and amplification over UDP (DNS, NTP, memcached, ...)",
        stage: "stages/udp",
        reasons: &[UdpReflection],
        settings: &["udp.reflection", "udp.reflection_except", "udp.reply_window"],
        remains: "Answers that name a tuple which this host has just used; reflectors on other ports: the budget of closed ports.",
    },
    Threat {
        attack: "UDP to closed ports (storms of ICMP errors)",
        stage: "stages/udp",
        reasons: &[UdpClosedPort],
        settings: &["udp.closed"],
        remains: "So many errors a second as the budget allows.",
    },
    Threat {
        attack: "UDP floods of a service",
        stage: "stages/limit",
        reasons: &[FlowRate, SourceRate],
        settings: &["service.rate.flows", "service.rate.per_source_flows", "service.rate.per_source"],
        remains: "New honest clients share `flows` with the flood; known ones lose nothing.",
    },
    Threat {
        attack: "ICMP floods, blind ICMP attacks on connections",
        stage: "stages/icmp",
        reasons: &[IcmpMismatch, IcmpRate, IcmpSourceRate, EchoDenied, IcmpType],
        settings: &[
            "icmp.errors",
            "icmp.errors_per_source",
            "icmp.echo",
            "icmp.echo_total",
            "icmp.echo_per_source",
            "icmp.echo_replies",
        ],
        remains: "Pings share their total with the flood; errors about existing connections pass.",
    },
    Threat {
        attack: "Smurf, directed broadcasts",
        stage: "stages/icmp, stages/own",
        reasons: &[Smurf, DirectedBroadcast],
        settings: &["spoofing.directed_broadcast"],
        remains: "Broadcasts within a LAN profile.",
    },
    Threat {
        attack: "ICMP redirects, neighbour discovery from afar",
        stage: "stages/icmp",
        reasons: &[Redirect, NdHopLimit],
        settings: &["icmp.redirect"],
        remains: "Neighbours on the link (SEND, RA guard).",
    },
    Threat {
        attack: "Floods of other protocols (GRE, ESP, SCTP, ...)",
        stage: "stages/protocol",
        reasons: &[ProtocolDenied, ProtocolRate],
        settings: &["protocols.allow", "protocols.other", "protocols.rate"],
        remains: "Protocols that are allowed: `host.rate`.",
    },
    Threat {
        attack: "Known bad networks",
        stage: "stages/lists",
        reasons: &[BlockList, Banned],
        settings: &["lists.block", "lists.block_files", "limits.bans", "limits.banned_prefixes"],
        remains: "Forged sources: a list judges the address, not who sends. Never list what you can't do without.",
    },
    Threat {
        attack: "What the operator knows by its headers",
        stage: "stages/rules",
        reasons: &[RuleDrop, RuleLimit],
        settings: &["rule.action", "rule.rate", "rule.per", "rule.observe"],
        remains: "Headers can be forged: a rule's rate for all its packets is used up by a flood that looks alike.",
    },
    Threat {
        attack: "Heavy sources, carpets and crowds",
        stage: "stages/limit",
        reasons: &[SourceByteRate, PrefixRate, ServiceRate, ServiceByteRate, HostRate],
        settings: &[
            "service.rate.per_source_bytes",
            "service.rate.per_prefix",
            "service.rate.total",
            "service.rate.total_bytes",
            "host.total",
            "host.total_bytes",
        ],
        remains: "Totals take honest sources along that have not answered a challenge.",
    },
    Threat {
        attack: "Forged packets from this host or behind it (BCP 38)",
        stage: "stages/egress",
        reasons: &[EgressForged, EgressLand, EgressGroup],
        settings: &["spoofing.egress", "spoofing.own"],
        remains: "Interfaces without Floodwall; sources within the host's own networks.",
    },
];

#[cfg(test)]
mod tests;
