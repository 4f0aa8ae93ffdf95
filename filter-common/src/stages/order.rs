//! The pipeline as people are told of it: its stages in their order, and which of them says what.
//!
//! `mod.rs` is what runs; tests keep this list in step with it.

#[allow(clippy::enum_glob_use, reason = "a table of nearly all of them; tests are not asked")]
use crate::reason::Reason::{self, *};
use crate::{
    config::{Config, flags},
    packet::{Fragment, Packet},
};

/// A stage.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// What it looks for.
    pub about: &'static str,
    /// What it may say.
    pub reasons: &'static [Reason],
    /// Whether it has anything to do with such a packet.
    pub concerns: fn(&Packet, &Config) -> bool,
}

/// All stages, in the order in which a packet goes through them.
pub const STAGES: [Stage; 20] = [
    Stage {
        name: "parse",
        about: "headers that contradict themselves",
        reasons: &[
            NotIp,
            EthernetTruncated,
            VlanDepth,
            Ipv4Truncated,
            Ipv4Header,
            Ipv4OptionsMalformed,
            Ipv6Truncated,
            Ipv6Header,
            Ipv6Extensions,
            Ipv6HopByHop,
            TcpTruncated,
            TcpHeader,
            UdpTruncated,
            IcmpTruncated,
            FragmentOverflow,
            FragmentTiny,
            FragmentLength,
            FragmentNested,
            HeadersSplit,
        ],
        concerns: always,
    },
    Stage {
        name: "link",
        about: "ARP, ND, MLD, IGMP, DHCP of this link",
        reasons: &[LinkControl],
        concerns: always,
    },
    Stage {
        name: "management",
        about: "the management allow list",
        reasons: &[Management],
        concerns: always,
    },
    Stage { name: "allow list", about: "the allow list", reasons: &[AllowListed], concerns: always },
    Stage {
        name: "odd headers",
        about: "source routes, options",
        reasons: &[SourceRoute, RoutingHeader, Ipv4Options],
        concerns: |packet, _| packet.marks != 0,
    },
    Stage {
        name: "ICMP, early",
        about: "redirects, neighbour discovery from afar",
        reasons: &[Redirect, NdHopLimit, LinkControl],
        concerns: |packet, _| packet.is_icmp(),
    },
    Stage { name: "spoofed", about: "LAND, bogon sources", reasons: &[Land, Bogon], concerns: always },
    Stage {
        name: "TCP flags",
        about: "impossible flags, port 0",
        reasons: &[TcpFlags, PortZero],
        concerns: |packet, _| packet.is_tcp() || packet.is_udp(),
    },
    Stage {
        name: "block list, bans",
        about: "the block list, bans",
        reasons: &[BlockList, Banned],
        concerns: always,
    },
    Stage {
        name: "fragment",
        about: "fragmented SYNs, overlaps",
        reasons: &[SynFragmented, FragmentOverlap],
        concerns: is_fragment,
    },
    Stage {
        name: "rules",
        about: "the operator's rules",
        reasons: &[RuleDrop, RuleLimit],
        concerns: |_, config| config.has(flags::RULES),
    },
    Stage {
        name: "own",
        about: "own sources, no way back, directed broadcasts; then a rule that passes",
        reasons: &[OwnSource, DirectedBroadcast, ReversePath, RulePass],
        concerns: always,
    },
    Stage {
        name: "fragment rates",
        about: "fragments by policy",
        reasons: &[FragmentDenied, FragmentSourceRate, FragmentRate],
        concerns: is_fragment,
    },
    Stage {
        name: "ICMP",
        about: "errors about own packets only, rates",
        reasons: &[
            IcmpType,
            Smurf,
            EchoDenied,
            IcmpMismatch,
            IcmpRate,
            IcmpSourceRate,
            IcmpOfSocket,
            EchoReply,
        ],
        concerns: |packet, _| packet.is_icmp(),
    },
    Stage {
        name: "TTL security",
        about: "a TTL from too far away (GTSM)",
        reasons: &[TtlSecurity],
        concerns: |packet, _| packet.is_tcp() || packet.is_udp(),
    },
    Stage {
        name: "UDP",
        about: "reflections, closed ports",
        reasons: &[UdpReply, UdpReflection, UdpClosedPort, NoListener],
        concerns: |packet, _| packet.is_udp(),
    },
    Stage {
        name: "limits",
        about: "shares of sources, prefixes, services, the host",
        reasons: &[
            SourceRate,
            SourceSynRate,
            SourceByteRate,
            PrefixRate,
            ServiceRate,
            ServiceByteRate,
            FlowRate,
            HostRate,
        ],
        concerns: always,
    },
    Stage {
        name: "protocol",
        about: "other protocols, later fragments",
        reasons: &[Fragment, OtherProtocol, ProtocolDenied, ProtocolRate, UnknownHeader],
        concerns: |packet, _| !(packet.is_tcp() || packet.is_udp() || packet.is_icmp()),
    },
    Stage {
        name: "SYN",
        about: "cookies, challenges, the stack's budget",
        reasons: &[
            SynData,
            SynLimit,
            Proven,
            NoListener,
            NotLocal,
            TupleInUse,
            CookieUnavailable,
            ListenerMptcp,
            SteppedDown,
            ReplyPrefixRate,
            ReplyTotalRate,
            ReplyFailed,
            CookieSent,
            ChallengeSent,
        ],
        concerns: |packet, _| packet.is_syn(),
    },
    Stage {
        name: "segment",
        about: "sockets, cookies, strays",
        reasons: &[
            Established,
            NoListener,
            NotLocal,
            Proven,
            StackCookie,
            CookieAccepted,
            CookieInvalid,
            CookieUnavailable,
            CookieGrace,
            RecentHandshake,
            ListenerMptcp,
            SteppedDown,
            UnknownAck,
            Stray,
            StrayAck,
            StrayData,
            StrayFin,
            StrayRst,
            StraySynAck,
            ChallengePassed,
            UnprovenRate,
        ],
        concerns: |packet, _| packet.is_tcp() && !packet.is_syn(),
    },
];

fn always(_: &Packet, _: &Config) -> bool {
    true
}

fn is_fragment(packet: &Packet, _: &Config) -> bool {
    packet.fragment != Fragment::No
}

/// The place in [`STAGES`] of the one that said `reason` of this packet; `None` if none did (nothing objected), or the packet leaves.
#[must_use]
pub fn stage_of(reason: Reason, packet: &Packet, config: &Config) -> Option<usize> {
    let says = |stage: &&Stage| stage.reasons.contains(&reason);
    let first = |stage: &&Stage| says(stage) && (stage.concerns)(packet, config);
    let found = STAGES.iter().position(|stage| first(&stage));
    // What can't be parsed has nothing that a stage could be concerned with.
    found.or_else(|| STAGES.iter().position(|stage| says(&stage)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each stage's call in `mod.rs`, and the files in which its reasons are said.
    const SOURCES: [(&str, &[&str]); 20] = [
        ("parse_into", &[include_str!("../packet.rs"), include_str!("../extensions.rs")]),
        ("link::check", &[include_str!("link.rs")]),
        ("management::check", &[include_str!("management.rs")]),
        ("lists::allowed", &[include_str!("lists.rs")]),
        ("odd_headers::check", &[include_str!("odd_headers.rs")]),
        ("icmp::early", &[include_str!("icmp.rs")]),
        ("spoofed::check", &[include_str!("spoofed.rs")]),
        ("tcp_flags::check", &[include_str!("tcp_flags.rs")]),
        ("lists::blocked", &[include_str!("lists.rs")]),
        ("fragment::check", &[include_str!("fragment.rs")]),
        ("rules::check", &[include_str!("rules.rs")]),
        ("own::check", &[include_str!("own.rs"), include_str!("mod.rs")]),
        ("fragment::limit", &[include_str!("fragment.rs")]),
        ("icmp::check", &[include_str!("icmp.rs")]),
        ("gtsm::check", &[include_str!("gtsm.rs")]),
        ("udp::check", &[include_str!("udp.rs")]),
        ("limit::check", &[include_str!("limit.rs")]),
        ("protocol::check", &[include_str!("protocol.rs")]),
        ("syn::check", &[include_str!("syn.rs"), include_str!("limit.rs")]),
        ("segment::check", &[include_str!("segment.rs")]),
    ];

    /// The body of a function of `mod.rs`.
    fn body(name: &str) -> Option<&'static str> {
        let source = include_str!("mod.rs");
        let start = [format!("fn {name}<"), format!("fn {name}(")];
        let at = start.iter().find_map(|start| source.find(start.as_str()))?;
        let rest = &source[at..];
        let open = rest.find("{\n")?;
        Some(&rest[open..open + rest[open..].find("\n}\n")?])
    }

    /// What a function calls, its own kind followed, in the order of its text.
    fn calls(name: &str, all: &mut Vec<String>) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        for (at, _) in body(name).unwrap().match_indices('(') {
            let before = &body(name).unwrap()[..at];
            let word = before.rfind(|c: char| !is_word(c)).map_or(before, |start| &before[start + 1..]);
            match word {
                "early" | "long" | "admit" | "of_any_service" | "admission" | "converse" | "greet"
                | "go_on" => {
                    calls(word, all);
                }
                word if SOURCES.iter().any(|(call, _)| *call == word) || word.ends_with("::check") => {
                    all.push(word.into());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_list_is_the_pipeline() {
        let mut all = Vec::new();
        calls("whole", &mut all);
        let expected: Vec<_> = SOURCES.iter().map(|(call, _)| *call).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn every_reason_is_said_where_the_list_says() {
        for (stage, (_, files)) in STAGES.iter().zip(SOURCES) {
            for reason in stage.reasons {
                let name = format!("Reason::{reason:?}");
                assert!(files.iter().any(|file| file.contains(&name)), "{name} in {}", stage.name);
            }
        }
        for reason in Reason::ALL.iter().filter(|reason| !reason.is_of_egress() && **reason != Pass) {
            assert!(STAGES.iter().any(|stage| stage.reasons.contains(reason)), "{reason:?}");
        }
    }

    #[test]
    fn the_packet_tells_which_stage_it_was() {
        let udp = Packet { protocol: crate::headers::protocol::UDP, ..Packet::EMPTY };
        let mut tcp = Packet { protocol: crate::headers::protocol::TCP, ..Packet::EMPTY };
        let name =
            |packet: &Packet| stage_of(NoListener, packet, &Config::EMPTY).map(|stage| STAGES[stage].name);
        assert_eq!((name(&udp), name(&tcp)), (Some("UDP"), Some("segment")));
        tcp.tcp.flags = crate::headers::flag::SYN;
        assert_eq!(name(&tcp), Some("SYN"));
        assert_eq!(stage_of(Pass, &tcp, &Config::EMPTY), None);
        assert_eq!(stage_of(RuleDrop, &tcp, &Config::EMPTY), Some(10), "rules are off, but it said so");
    }
}
