//! What floods are made of, and what a packet's fate says about it.

use filter_common::{
    packet::{Fragment, Packet},
    reason::Reason,
    reflector,
};

macro_rules! vectors {
    ($($name:ident $label:literal $help:literal;)*) => {
        /// A kind of flood.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Vector {
            $(#[doc = $help] $name,)*
        }

        impl Vector {
            /// Every vector, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The value of the `vector` label.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

vectors! {
    Syn "syn" "SYNs whose handshake nobody completes.";
    SynAck "syn_ack" "SYN-ACKs that nobody asked for: TCP reflection.";
    Ack "ack" "ACKs and data of no connection.";
    RstFin "rst_fin" "RSTs and FINs of no connection.";
    Udp "udp" "UDP that answers nothing.";
    ReflectionDns "reflection_dns" "Unasked answers of name servers.";
    ReflectionNtp "reflection_ntp" "Unasked answers of time servers.";
    ReflectionSsdp "reflection_ssdp" "Unasked answers of SSDP.";
    ReflectionCldap "reflection_cldap" "Unasked answers of CLDAP.";
    ReflectionMemcached "reflection_memcached" "Unasked answers of memcached.";
    ReflectionOther "reflection_other" "Unasked answers from other ports that reflect.";
    Icmp "icmp" "ICMP and ICMPv6.";
    Fragment "fragment" "Fragments.";
    Other "other" "What is malformed, and other protocols.";
}

/// How many there are.
pub const VECTORS: usize = Vector::ALL.len();

impl Vector {
    /// Of a parsed packet that met that fate.
    #[must_use]
    pub fn of(packet: &Packet, reason: Reason, has_service: bool) -> Self {
        if packet.fragment != Fragment::No {
            Self::Fragment
        } else if packet.is_tcp() {
            Self::of_tcp(packet)
        } else if packet.is_udp() {
            let reflects = reason == Reason::UdpReflection || !has_service;
            let reflection = reflects.then(|| Self::reflection(packet.ports.source)).flatten();
            reflection.unwrap_or(Self::Udp)
        } else if packet.is_icmp() {
            Self::Icmp
        } else {
            Self::Other
        }
    }

    const fn of_tcp(packet: &Packet) -> Self {
        use filter_common::headers::flag::{FIN, RST, SYN};
        let flags = packet.tcp.flags;
        if packet.tcp.is_syn() {
            Self::Syn
        } else if flags & (RST | FIN) != 0 {
            Self::RstFin
        } else if flags & SYN != 0 {
            Self::SynAck
        } else {
            Self::Ack
        }
    }

    fn reflection(port: u16) -> Option<Self> {
        let listed = reflector::PORTS.iter().any(|(first, last, _)| (*first..=*last).contains(&port));
        listed.then_some(match port {
            53 => Self::ReflectionDns,
            123 => Self::ReflectionNtp,
            1900 => Self::ReflectionSsdp,
            389 => Self::ReflectionCldap,
            11211 => Self::ReflectionMemcached,
            _ => Self::ReflectionOther,
        })
    }

    /// A segment that needs a connection.
    #[must_use]
    pub const fn is_segment(self) -> bool {
        matches!(self, Self::Ack | Self::RstFin | Self::SynAck)
    }

    /// Whether nothing but limits helps: no handshake or connection tells who is honest. Segments are such where they are not looked up.
    #[must_use]
    pub const fn needs_limits(self, is_looked_up: bool) -> bool {
        !self.has_evidence() || (self.is_segment() && !is_looked_up)
    }

    /// Whether evidence can leave next to nothing of honest traffic, so that no load has to be learned before a flood is seen.
    #[must_use]
    pub const fn has_evidence(self) -> bool {
        !matches!(self, Self::Udp | Self::Icmp | Self::Fragment | Self::Other)
    }
}

/// What a packet's fate says about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// No concern of the detector's: the link, management, the allow list, what leaves.
    Exempt,
    /// Belongs to a connection, or was asked for.
    Honest,
    /// Belongs to no connection, or was not asked for.
    Stray,
    /// As before, and it stands for [`filter_common::state::SAMPLE`] segments: nothing is armed, so only a sample was looked up.
    StraySample,
    /// Nothing either way.
    Open,
}

impl Evidence {
    /// Every reason is here by its name, so that a new one can't be forgotten.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table of a hundred reasons")]
    pub const fn of(reason: Reason) -> Self {
        use Reason as R;
        match reason {
            R::NotIp
            | R::LinkControl
            | R::Management
            | R::AllowListed
            | R::EgressForged
            | R::EgressLand
            | R::EgressGroup => Self::Exempt,
            R::Established
            | R::TupleInUse
            | R::CookieAccepted
            | R::RecentHandshake
            | R::ChallengePassed
            | R::Proven
            | R::StackCookie
            | R::UdpReply
            | R::EchoReply
            | R::IcmpOfSocket => Self::Honest,
            R::Stray => Self::StraySample,
            R::UnknownAck
            | R::CookieInvalid
            | R::StrayAck
            | R::StrayData
            | R::StrayFin
            | R::StrayRst
            | R::StraySynAck
            | R::UdpReflection
            | R::IcmpMismatch
            | R::EthernetTruncated
            | R::VlanDepth
            | R::Ipv4Truncated
            | R::Ipv4Header
            | R::Ipv6Truncated
            | R::Ipv6Header
            | R::Ipv6Extensions
            | R::TcpTruncated
            | R::TcpHeader
            | R::UdpTruncated
            | R::IcmpTruncated
            | R::Bogon
            | R::Land
            | R::TcpFlags
            | R::PortZero
            | R::SynFragmented
            | R::OwnSource
            | R::FragmentOverflow
            | R::FragmentOverlap
            | R::FragmentTiny
            | R::FragmentLength
            | R::FragmentNested
            | R::HeadersSplit => Self::Stray,
            R::Pass
            | R::Fragment
            | R::NoListener
            | R::NotLocal
            | R::CookieUnavailable
            | R::ListenerMptcp
            | R::SteppedDown
            | R::CookieGrace
            | R::SourceRate
            | R::SourceSynRate
            | R::ReplyPrefixRate
            | R::ReplyTotalRate
            | R::ReplyFailed
            | R::SynLimit
            | R::SynData
            | R::UnprovenRate
            | R::CookieSent
            | R::ChallengeSent
            | R::BlockList
            | R::Banned
            | R::FragmentDenied
            | R::FragmentRate
            | R::FragmentSourceRate
            | R::SourceRoute
            | R::Ipv4Options
            | R::Ipv4OptionsMalformed
            | R::Ipv6HopByHop
            | R::RoutingHeader
            | R::UnknownHeader
            | R::OtherProtocol
            | R::ProtocolDenied
            | R::ProtocolRate
            | R::IcmpRate
            | R::IcmpSourceRate
            | R::EchoDenied
            | R::Smurf
            | R::Redirect
            | R::NdHopLimit
            | R::IcmpType
            | R::UdpClosedPort
            | R::DirectedBroadcast
            | R::TtlSecurity
            | R::ReversePath
            | R::PrefixRate
            | R::ServiceRate
            | R::SourceByteRate
            | R::ServiceByteRate
            | R::FlowRate
            | R::HostRate
            | R::RulePass
            | R::RuleDrop
            | R::RuleLimit => Self::Open,
        }
    }

    /// Whether the packet itself proves that its source can receive: it holds a number that only this host's answer told.
    #[must_use]
    pub const fn proves(reason: Reason) -> bool {
        matches!(reason, Reason::CookieAccepted | Reason::StackCookie | Reason::ChallengePassed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique() {
        let mut labels: Vec<_> = Vector::ALL.iter().map(|vector| vector.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), VECTORS);
    }

    #[test]
    fn what_has_evidence_has_another_answer_than_limits() {
        let those = |is_looked_up| {
            let all = Vector::ALL.iter().filter(move |vector| vector.needs_limits(is_looked_up));
            all.map(|vector| vector.label()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(those(true), "udp icmp fragment other");
        assert_eq!(those(false), "syn_ack ack rst_fin udp icmp fragment other");
    }

    #[test]
    fn what_the_data_path_drops_for_its_shape_is_no_honest_load() {
        for reason in Reason::ALL {
            let proves = Evidence::proves(*reason);
            assert!(!proves || Evidence::of(*reason) == Evidence::Honest, "{reason:?}");
        }
        assert_eq!(Evidence::of(Reason::Management), Evidence::Exempt);
        assert_eq!(Evidence::of(Reason::CookieSent), Evidence::Open);
    }
}
