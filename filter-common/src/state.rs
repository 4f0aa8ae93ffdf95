//! What a stage may ask of the world.

use crate::{
    abi::StepDown,
    arm::Arm,
    bucket::Line,
    config::{Config, Limit, Ports, Summary},
    cookie::Keys,
    hints::Hints,
    list::Class,
    packet::{Address, Packet},
    quote::Quote,
    rules::Rules,
    stages::limit::Part,
};

/// Tables of [`Line`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Table {
    /// Token buckets of sources.
    Sources = 0,
    /// Token buckets of the prefixes that we answer.
    Replies = 1,
    /// Tuples whose cookie was accepted a moment ago.
    Recent = 2,
    /// Sources that have shown that they can receive.
    Proven = 3,
    /// UDP tuples that this host has sent to a moment ago.
    Queries = 4,
    /// UDP flows that come in.
    Flows = 5,
}

/// Buckets of the whole host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Total {
    /// SYN-ACKs.
    Replies = 0,
    /// ACKs for no connection.
    UnknownAcks = 1,
    /// UDP to ports that nobody listens on.
    ClosedPorts = 2,
    /// Packets of unproven sources.
    HostPackets = 3,
    /// Bytes of unproven sources.
    HostBytes = 4,
    /// Fragments.
    Fragments = 5,
    /// ICMP errors.
    Errors = 6,
    /// Echo requests.
    Echoes = 7,
    /// Echo replies.
    EchoReplies = 8,
    /// Neither TCP, UDP nor ICMP, and not listed.
    OtherProtocols = 9,
    /// UDP to services from a reflector's port that a client may have.
    ClientPorts = 10,
}

/// Lists of prefixes: each prefix has a word with a bit for everything that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Sources that rules ask for.
    RuleSources,
    /// Destinations that rules ask for.
    RuleDestinations,
    /// Destinations of services.
    ServiceDestinations,
}

/// One segment in so many is looked up while nothing is armed.
pub const SAMPLE: u64 = 64;

/// Entries of the map `TOTAL`.
pub const TOTALS: usize = 11;

/// Which way leads back to a packet's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The interface that it came from.
    Here,
    /// Another one.
    Elsewhere,
    /// None: unreachable, blackhole, prohibited.
    None,
    /// The kernel doesn't say: it forwards nothing for this interface.
    Unknown,
}

/// Which socket a TCP packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// None at all.
    None,
    /// A listening TCP socket.
    Listener,
    /// A listening MPTCP socket.
    MptcpListener,
    /// Any other: established, half-open, TIME_WAIT.
    Connection,
    /// A listening socket, and the packet's acknowledgment number is a SYN cookie of the stack's own.
    StackCookie,
}

/// Maps, clock and sockets. The kernel's implementation is `filter-ebpf`, the host's is `world::World`.
pub trait State {
    /// `CLOCK_MONOTONIC`, nanoseconds, to the tick.
    fn now(&self) -> u64;

    /// This interface's configuration.
    fn config(&self) -> &Config;

    /// Services by port.
    fn ports(&self) -> &Ports;

    /// Summary of the management list.
    fn summary(&self) -> &Summary;

    /// Whether the source is on the management list; asked only where [`Summary`] has a bit.
    fn is_management(&self, source: &Address) -> bool;

    /// What the lists say of a packet's source; asked only where [`Config::list_families`] has its bit.
    fn class(&self, packet: &Packet) -> Class;

    /// False if the packet's source is not banned for certain.
    fn may_be_banned(&self, packet: &Packet) -> bool;

    /// Whether the packet's source is banned now.
    fn is_banned(&self, packet: &Packet) -> bool;
    /// The operator's rules.
    fn rules(&self) -> &Rules;

    /// The word of the longest prefix of `list` that holds the address.
    fn listed(&self, list: List, address: &Address) -> Option<u64>;

    /// Takes one token from the bucket that all packets of a rule share.
    fn take_of_rule(&self, rule: u32, limit: Limit, now: u64) -> bool;

    /// Counts a packet that met a rule, at [`crate::rules::counter_index`].
    fn count_rule(&self, index: u32, bytes: u64);

    /// Whether an address is this host's own.
    fn is_local(&self, address: &Address) -> bool;

    /// Whether an address is the broadcast address of one of this host's networks.
    fn is_broadcast(&self, address: &Address) -> bool;

    /// What the two above may be true of.
    fn hints(&self) -> Option<&Hints>;

    /// The way back to the packet's source.
    fn route_back(&self, packet: &Packet) -> Route;

    /// Whether a UDP packet has a socket.
    fn has_udp_socket(&self, packet: &Packet) -> bool;

    /// The socket of a TCP packet.
    fn socket(&self, packet: &Packet) -> Socket;

    /// Whether a connected TCP or UDP socket of this host has sent what the ICMP error `packet` quotes.
    fn is_connected(&self, packet: &Packet, quote: &Quote) -> bool;

    /// The line of `table` at `index`, which is below the table's number of lines.
    fn line(&self, table: Table, index: u32) -> Option<&Line>;

    /// What [`crate::stages::limit::more`] says.
    fn limits(&self, part: Part, packet: &Packet, service: u32) -> u32;

    /// Takes a token from the bucket of a source; the words are its key.
    fn take(&self, words: [u64; 2], limit: Limit, now: u64) -> bool;

    /// How long that hash stays marked in `table`, nanoseconds.
    fn marked(&self, table: Table, hash: u64, now: u64) -> u64;

    /// Marks that hash in `table` until then.
    fn mark(&self, table: Table, hash: u64, until: u64);

    /// What a service (0: the rest of the host) has armed.
    fn arm(&self, service: u32) -> Option<&Arm>;

    /// True for one segment in [`SAMPLE`], which it counts.
    fn sampled(&self) -> bool;

    /// Counts a segment, unless it is the one for which [`State::sampled`] would be true: then false, and nothing is counted.
    fn is_unsampled(&self) -> bool;

    /// Takes one token from a bucket of the whole host.
    fn take_total(&self, total: Total, limit: Limit, now: u64) -> bool;

    /// The cookie secrets.
    fn keys(&self) -> Option<&Keys>;

    /// Whether the kernel refused hand-overs for this port.
    fn is_stepped_down(&self, port: u16) -> bool;

    /// Remembers for user space why cookies don't work on this port.
    fn step_down(&self, port: u16, why: StepDown);
}
