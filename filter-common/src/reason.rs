//! The table of fates: every packet gets exactly one [`Reason`].
//!
//! Numbers are append-only: they index counters that outlive a restart and appear in saved data. One list
//! yields the enum, the labels, the help texts, the metrics and the docs.

/// What happens to a packet that met this fate (before observe mode is applied).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Handed on to the stack.
    Pass,
    /// Ends here.
    Drop,
    /// Turned into an answer and sent back out of the same interface.
    Reply,
}

impl Action {
    /// The value of the `verdict` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Reply => "reply",
        }
    }
}

macro_rules! reasons {
    ($($number:literal $name:ident $action:ident $label:literal $help:literal;)*) => {
        /// Why a packet met its fate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = $help] $name = $number,)*
        }

        /// What each reason does, as the table above says.
        const ACTIONS: &[(Reason, Action)] = &[$((Reason::$name, Action::$action),)*];

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason of that number.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| *reason as u8 == number)
            }

            /// The reason of that label.
            #[must_use]
            pub fn from_label(label: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.label() == label)
            }

            /// What this reason does to the packet.
            #[must_use]
            #[inline(always)]
            pub const fn action(self) -> Action {
                if DROPS.has(self) {
                    Action::Drop
                } else if REPLIES.has(self) {
                    Action::Reply
                } else {
                    Action::Pass
                }
            }

            /// Whether only packets that leave the host meet it.
            #[must_use]
            pub const fn is_of_egress(self) -> bool {
                matches!(self, Self::EgressForged | Self::EgressLand | Self::EgressGroup)
            }

            /// The value of the `reason` label.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// One line for operators.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }
        }
    };
}

/// A bit for each reason: the data path looks there instead of comparing with each of a hundred numbers.
struct Reasons([u64; REASONS / 64]);

impl Reasons {
    const fn with(action: Action) -> Self {
        let mut bits = [0; REASONS / 64];
        let mut i = 0;
        while i < ACTIONS.len() {
            let (reason, its) = ACTIONS[i];
            if its as u8 == action as u8 {
                bits[reason as usize >> 6] |= 1 << (reason as usize & 63);
            }
            i += 1;
        }
        Self(bits)
    }

    #[inline(always)]
    const fn has(&self, reason: Reason) -> bool {
        let word = if reason as u8 & 64 == 0 { self.0[0] } else { self.0[1] };
        word >> (reason as u8 & 63) & 1 != 0
    }
}

const DROPS: Reasons = Reasons::with(Action::Drop);
const REPLIES: Reasons = Reasons::with(Action::Reply);

reasons! {
    0 Pass Pass "pass" "Nothing objected: the default verdict of the interface.";
    1 NotIp Pass "not_ip" "Neither IPv4 nor IPv6: ARP, LLDP and the like.";
    2 LinkControl Pass "link_control" "Traffic that keeps the link alive: ND, MLD, IGMP, DHCP.";
    3 Management Pass "management" "The source is on the management allow list, which nothing overrules.";
    4 Fragment Pass "fragment" "A later fragment: it has no ports, so no transport decision is made.";
    5 Established Pass "established" "Belongs to a socket of this host.";
    6 NoListener Pass "no_listener" "Nobody listens there: the stack gives the usual answer.";
    7 TupleInUse Pass "tuple_in_use" "A SYN for a connection that this host still knows (TIME_WAIT): the stack decides.";
    8 NotLocal Pass "not_local" "The destination is no address of this host: never answered for somebody else.";
    9 CookieUnavailable Pass "cookie_unavailable" "No cookie key in its time, or the kernel lacks the hand-over: the stack decides.";
    10 ListenerMptcp Pass "listener_mptcp" "The listener speaks MPTCP, which cannot take over a cookie: the stack decides.";
    11 SteppedDown Pass "stepped_down" "The kernel refused a hand-over for this port: the stack decides.";
    12 CookieAccepted Pass "cookie_accepted" "An ACK with a valid cookie: the connection is created in the stack.";
    13 RecentHandshake Pass "recent_handshake" "Data right behind an accepted cookie, before the stack has its socket.";
    14 CookieGrace Pass "cookie_grace" "An unknown ACK shortly after cookies were armed: the stack may know it.";

    15 UnknownAck Pass "unknown_ack" "An ACK for no connection of this host, within the budget for which the stack sends resets.";

    16 EthernetTruncated Drop "ethernet_truncated" "Shorter than an Ethernet header and its VLAN tags.";
    17 VlanDepth Drop "vlan_depth" "More than two VLAN tags.";
    18 Ipv4Truncated Drop "ipv4_truncated" "Shorter than its IPv4 header says.";
    19 Ipv4Header Drop "ipv4_header" "An IPv4 header with a wrong version or a length below 20.";
    20 Ipv6Truncated Drop "ipv6_truncated" "Shorter than its IPv6 header or extension headers say.";
    21 Ipv6Header Drop "ipv6_header" "An IPv6 header with a wrong version.";
    22 Ipv6Extensions Drop "ipv6_extensions" "More extension headers than the parser follows.";
    23 TcpTruncated Drop "tcp_truncated" "Shorter than its TCP header says.";
    24 TcpHeader Drop "tcp_header" "A TCP data offset below 5.";
    25 UdpTruncated Drop "udp_truncated" "Shorter than a UDP header, or than its own length field says.";
    26 IcmpTruncated Drop "icmp_truncated" "Shorter than an ICMP header.";

    32 Bogon Drop "bogon" "A source that cannot come from there (IANA special-purpose registries).";
    33 Land Drop "land" "Source and destination are the same address.";
    34 TcpFlags Drop "tcp_flags" "A combination of TCP flags that no TCP sends: NULL, Xmas, SYN+FIN, SYN+RST, FIN without ACK.";
    35 PortZero Drop "port_zero" "Port 0.";
    36 SynFragmented Drop "syn_fragmented" "A fragmented SYN.";
    37 OwnSource Drop "own_source" "A SYN from outside with an address of this host as its source.";

    40 SourceRate Drop "source_rate" "Over the service's packet rate per source.";
    41 SourceSynRate Drop "source_syn_rate" "Over the service's SYN rate per source.";
    42 ReplyPrefixRate Drop "reply_prefix_rate" "No SYN-ACK: its prefix already gets the most that we send to one prefix.";
    43 ReplyTotalRate Drop "reply_total_rate" "No SYN-ACK: the host already sends as many as it may.";
    44 ReplyFailed Drop "reply_failed" "No SYN-ACK: the driver could not resize the frame.";
    45 CookieInvalid Drop "cookie_invalid" "An ACK for no connection of this host, without a valid cookie.";

    46 SynLimit Drop "syn_limit" "A SYN above what the stack gets for this service.";
    47 SynData Drop "syn_data" "A SYN with data, which the service does not take.";
    48 StrayAck Drop "stray_ack" "An ACK without data for no connection of this host, while such packets flood it.";
    49 StrayData Drop "stray_data" "Data for no connection of this host, while such packets flood it.";
    50 StrayFin Drop "stray_fin" "A FIN for no connection of this host, while such packets flood it.";
    51 StrayRst Drop "stray_rst" "A RST for no connection of this host, while such packets flood it.";
    52 StraySynAck Drop "stray_syn_ack" "A SYN-ACK that this host did not ask for, while such packets flood it.";
    53 ChallengePassed Drop "challenge_passed" "The RST that answers a challenge: its source is proven, and nobody else needs the packet.";
    54 UnprovenRate Drop "unproven_rate" "A forwarded segment of a source that is not proven, above what all of them get.";

    56 CookieSent Reply "cookie_sent" "A SYN answered with a SYN cookie.";
    57 ChallengeSent Reply "challenge_sent" "A SYN answered with a challenge: a SYN-ACK that its sender resets.";

    58 Proven Pass "proven" "From a source that has answered a challenge.";
    59 StackCookie Pass "stack_cookie" "An ACK with a SYN cookie that the stack itself has sent.";
    60 Stray Pass "stray" "A segment for no connection of this host, while there are few.";
    61 UdpReply Pass "udp_reply" "Answers a datagram that this host, or one behind it, has sent a moment ago.";

    62 EchoReply Pass "echo_reply" "Answers a ping that this host, or one behind it, has sent a moment ago.";

    64 AllowListed Pass "allow_list" "The source is on the allow list: only what can't be parsed is dropped.";
    65 BlockList Drop "block_list" "The source is on the block list.";
    66 Banned Drop "banned" "The source is banned, and the ban has not ended.";
    68 FragmentOverflow Drop "fragment_overflow" "A fragment that ends beyond 65535 bytes: Teardrop, ping of death.";
    69 FragmentOverlap Drop "fragment_overlap" "A later fragment inside what must be the transport header (RFC 1858, RFC 3128).";
    70 FragmentTiny Drop "fragment_tiny" "A first fragment without its whole header chain (RFC 1858, RFC 7112).";
    71 FragmentLength Drop "fragment_length" "A fragment without data, or one that others follow and no multiple of 8 bytes long.";
    72 FragmentNested Drop "fragment_nested" "More than one IPv6 fragment header.";
    73 FragmentDenied Drop "fragment_denied" "A fragment, which the configuration does not let pass.";
    74 FragmentRate Drop "fragment_rate" "Over the rate of fragments of all sources together.";
    75 FragmentSourceRate Drop "fragment_source_rate" "Over the rate of fragments per source.";
    76 SourceRoute Drop "source_route" "An IPv4 source route (LSRR, SSRR).";
    77 Ipv4Options Drop "ipv4_options" "IPv4 options, which the configuration does not let pass.";
    78 Ipv4OptionsMalformed Drop "ipv4_options_malformed" "IPv4 options longer than their header.";
    79 Ipv6HopByHop Drop "ipv6_hop_by_hop" "Hop-by-hop options that are not the first extension header (RFC 8200).";
    80 RoutingHeader Drop "routing_header" "An IPv6 routing header of type 0 (RFC 5095), or one with segments left that the configuration does not let pass.";
    81 UnknownHeader Drop "unknown_header" "An IPv6 extension header that is not walked (Mobility, HIP, Shim6, experiments), or none at all.";
    82 OtherProtocol Pass "other_protocol" "Neither TCP, UDP nor ICMP.";
    83 ProtocolDenied Drop "protocol_denied" "A protocol that the configuration does not let pass.";
    84 ProtocolRate Drop "protocol_rate" "Over the rate of all protocols that are not listed.";
    85 HeadersSplit Drop "headers_split" "A frame in several buffers whose headers are not in the first.";

    88 IcmpMismatch Drop "icmp_mismatch" "An ICMP error about a packet that its receiver has not sent.";
    89 IcmpRate Drop "icmp_rate" "Over the rate of such ICMP messages of all sources together.";
    90 IcmpSourceRate Drop "icmp_source_rate" "Over the rate of such ICMP messages per source.";
    91 EchoDenied Drop "echo_denied" "A ping, which the configuration does not let pass.";
    92 Smurf Drop "smurf" "A ping to a group of hosts.";
    93 Redirect Drop "redirect" "An ICMP redirect, which the configuration does not let pass.";
    94 NdHopLimit Drop "nd_hop_limit" "Neighbour discovery that has crossed a router: its hop limit is not 255.";
    95 IcmpType Drop "icmp_type" "An ICMP message that no host needs (RFC 4890): timestamps, masks, information, unknown types.";
    96 IcmpOfSocket Pass "icmp_of_socket" "An ICMP error about a connection of this host, above what others get.";

    98 UdpReflection Drop "udp_reflection" "From the port of a service that reflects and amplifies, and nobody here has asked it.";
    99 UdpClosedPort Drop "udp_closed_port" "To a UDP port that nobody listens on, above what the stack gets to answer.";

    104 DirectedBroadcast Drop "directed_broadcast" "To the broadcast address of a network of this host.";
    105 TtlSecurity Drop "ttl_security" "A TTL that shows more hops than the service allows (GTSM).";
    106 ReversePath Drop "reverse_path" "No route leads back to the source, or it leads out of another interface.";
    107 EgressForged Drop "egress_forged" "Leaving the host with a source that is neither its own nor of a network behind it (BCP 38).";
    108 EgressLand Drop "egress_land" "Leaving the host with one address as source and destination.";
    109 EgressGroup Drop "egress_group" "Leaving the host with a multicast or broadcast source.";

    112 PrefixRate Drop "prefix_rate" "Over the service's packet rate per source prefix (IPv4 /24, IPv6 /48).";
    113 ServiceRate Drop "service_rate" "Over the service's packet rate, from a source that is not proven.";
    114 SourceByteRate Drop "source_byte_rate" "Over the service's byte rate per source.";
    115 ServiceByteRate Drop "service_byte_rate" "Over the service's byte rate, from a source that is not proven.";
    116 FlowRate Drop "flow_rate" "A new UDP flow, over the service's rate of these.";
    117 HostRate Drop "host_rate" "Over the whole host's rate, from a source that is not proven.";

    118 RulePass Pass "rule_pass" "A rule passes it: nothing behind the rules looks at it.";
    119 RuleDrop Drop "rule_drop" "A rule drops it.";
    120 RuleLimit Drop "rule_limit" "Over a rule's rate.";
}

/// Reserved numbers: the stride of the counters.
pub const REASONS: usize = 128;

const _: () = assert!(Reason::CookieSent as usize == 56 && Reason::ALL.len() <= REASONS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_labels_are_unique() {
        for pair in Reason::ALL.windows(2) {
            assert!((pair[0] as u8) < (pair[1] as u8));
        }
        let mut labels: Vec<_> = Reason::ALL.iter().map(|r| r.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Reason::ALL.len());
    }

    #[test]
    fn the_bits_say_what_the_table_says() {
        assert!(ACTIONS.iter().all(|(reason, action)| reason.action() == *action));
        assert_eq!(Reason::Pass.action(), Action::Pass);
        assert_eq!(Reason::Bogon.action(), Action::Drop);
        assert_eq!(Reason::ChallengeSent.action(), Action::Reply);
    }

    #[test]
    fn every_reason_explains_itself() {
        for reason in Reason::ALL {
            assert!(reason.help().ends_with('.'), "{reason:?}");
            assert!(
                reason.label().bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
            );
        }
    }
}
