//! The operator's own rules.

use ipnet::IpNet;
use toml::Spanned;

use crate::config::{
    rule::{section, switch},
    value::{Between, Rate, TcpFlags, between, choice, ip_protocol, name, prefix, rate, tcp_flags},
};

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ends the packet's way: it passes.
    Pass,
    /// Ends the packet's way.
    Drop,
    /// Drops what is over a rate.
    Limit,
    /// Challenges SYNs.
    Challenge,
    /// Counts.
    Count,
}

impl Action {
    /// The name in the file.
    #[must_use]
    pub fn label(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

const ACTIONS: &[(&str, Action)] = &[
    ("pass", Action::Pass),
    ("drop", Action::Drop),
    ("limit", Action::Limit),
    ("challenge", Action::Challenge),
    ("count", Action::Count),
];

/// Whose a rule's rate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each source's.
    Source,
    /// All sources' together.
    Rule,
}

/// Which fragments a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentKind {
    /// Packets that are none.
    No,
    /// First ones.
    First,
    /// All but the first.
    Later,
    /// All, and packets that are none.
    Any,
}

section! {
    /// `[[rule]]`
    Rule {
        /// Its name in metrics and messages; unique.
        name: Spanned<String> = name();
        /// `drop` and `pass` decide at once; what `pass` passes is seen by no later rule and by no service. `limit` drops what is
        /// over `rate`; the rest goes on. `challenge` has SYNs prove their source, whatever their service's `syn.mode`;
        /// other packets go on. `count` counts, and the packet goes on.
        action: Spanned<Action> = choice(ACTIONS);
        /// Source prefixes.
        src: Vec<Spanned<IpNet>> = prefix().or_more();
        /// Destination prefixes.
        dst: Vec<Spanned<IpNet>> = prefix().or_more();
        /// IP protocols; for IPv6 the first header that is no extension.
        proto: Vec<Spanned<u8>> = ip_protocol().or_more();
        /// Source ports; `proto` has to be TCP or UDP or both.
        sport: Vec<Spanned<Between<u16>>> = between(PORTS, "port", "1024-65535").or_more();
        /// Destination ports; `proto` has to be TCP or UDP or both.
        dport: Vec<Spanned<Between<u16>>> = between(PORTS, "port", "8000-8010").or_more();
        /// TCP flags; `proto` has to be TCP. Flags that are not named may be anything.
        flags: Option<Spanned<TcpFlags>> = tcp_flags().optional("any");
        /// ICMP types; `proto` has to be ICMP or ICMPv6.
        icmp_type: Vec<Spanned<Between<u8>>> = between(BYTE, "ICMP type", "8").or_more();
        /// Bytes of the IP packet, its header included.
        length: Option<Spanned<Between<u16>>> = between(LENGTHS, "length", "0-128").optional("any");
        /// TTL or hop limit.
        ttl: Option<Spanned<Between<u8>>> = between(BYTE, "TTL", "0-5").optional("any");
        /// Only whole packets, first fragments, later ones; or all of them. A later fragment has no ports, no flags and no ICMP type:
        /// a rule that asks for one of these meets later fragments only with `any`, and then whatever theirs are.
        fragment: Option<Spanned<FragmentKind>> = choice(&[
            ("no", FragmentKind::No),
            ("first", FragmentKind::First),
            ("later", FragmentKind::Later),
            ("any", FragmentKind::Any),
        ])
        .optional("all that can be told to match");
        /// Packets that `limit` lets go on.
        rate: Spanned<Option<Rate>> = rate().or("off");
        /// Whether each source (an IPv4 address, an IPv6 /64) gets that rate, or the whole `rule`.
        per: Option<Spanned<Per>> =
            choice(&[("source", Per::Source), ("rule", Per::Rule)]).optional("`\"source\"`");
        /// `true`: a rule on trial. It counts what it would do, and the packet goes on as if it were not there.
        observe: bool = switch();
    }
}

const PORTS: Between<u16> = Between { first: 0, last: u16::MAX };
const LENGTHS: Between<u16> = Between { first: 0, last: u16::MAX };
const BYTE: Between<u8> = Between { first: 0, last: u8::MAX };
