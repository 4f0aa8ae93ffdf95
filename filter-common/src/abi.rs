//! The contract between the kernel programs and user space: names and layouts of maps and globals.
//!
//! [`VERSION`] names the pin directory. It rises whenever a shared layout changes, so that an upgraded
//! daemon never reads an old map with new eyes.

use crate::reason::REASONS;

/// Number of the layouts in this crate.
pub const VERSION: u32 = 1;

/// Names of programs and maps, as in the object file (the kernel cuts names at 15 bytes).
pub mod name {
    /// XDP entry point.
    pub const XDP: &str = "floodwall";
    /// tc ingress entry point.
    pub const TC: &str = "floodwall_tc";
    /// tc egress entry point.
    pub const EGRESS: &str = "floodwall_out";
    /// Read-only global [`crate::config::Config`].
    pub const CONFIG: &str = "CONFIG";
    /// Read-only global [`crate::config::Ports`].
    pub const PORTS: &str = "PORTS";
    /// Read-only global [`crate::config::Summary`].
    pub const SUMMARY: &str = "SUMMARY";
    /// Per-CPU array of [`super::Counter`], index [`super::counter_index`].
    pub const COUNTERS: &str = "COUNTERS";
    /// Per-CPU array of `u64`, index [`super::HandOver`].
    pub const HANDOVERS: &str = "HANDOVERS";
    /// Array of [`crate::bucket::Line`]: token buckets of sources.
    pub const SOURCES: &str = "SOURCES";
    /// Array of [`crate::bucket::Line`]: token buckets of the prefixes that we answer.
    pub const REPLIES: &str = "REPLIES";
    /// Array of [`crate::bucket::Line`]: tuples whose cookie was accepted a moment ago.
    pub const RECENT: &str = "RECENT";
    /// Array of [`crate::bucket::Line`]: sources that have shown that they can receive.
    pub const PROVEN: &str = "PROVEN";
    /// Array of [`crate::bucket::Line`]: UDP tuples that this host has sent to a moment ago.
    pub const QUERIES: &str = "QUERIES";
    /// Array of [`crate::bucket::Line`]: UDP flows that come in.
    pub const FLOWS: &str = "FLOWS";
    /// Array with one [`crate::hints::Hints`].
    pub const HINTS: &str = "HINTS";
    /// Array of [`crate::arm::Arm`] by service number: what has armed itself.
    pub const ARMS: &str = "ARMS";
    /// Per-CPU array with one [`super::Cpu`].
    pub const CPU: &str = "CPU";
    /// Array of [`crate::word::Word`], index [`crate::state::Total`]: buckets of the whole host.
    pub const TOTAL: &str = "TOTAL";
    /// Array with one [`crate::cookie::Keys`].
    pub const KEYS: &str = "KEYS";
    /// Array with one [`super::Ports8`]: ports stepped down, a byte of [`super::StepDown`] each.
    pub const STEP_DOWN: &str = "STEP_DOWN";
    /// LPM trie of management prefixes, key v4-mapped.
    pub const MANAGEMENT: &str = "MANAGEMENT";
    /// Read-only global [`crate::list::Listed`].
    pub const LISTED: &str = "LISTED";
    /// Array of `u64`, [`crate::list::BITS`] of them: the IPv4 lists.
    pub const LIST_BITS: &str = "LIST_BITS";
    /// Array of [`crate::list::Record`]: the IPv4 lists.
    pub const LIST_RECORDS: &str = "LIST_RECORDS";
    /// Array of [`crate::list::Page`]: the IPv4 lists.
    pub const LIST_PAGES: &str = "LIST_PAGES";
    /// Array of [`crate::list::Node`]: the IPv6 lists.
    pub const LIST_NODES: &str = "LIST_NODES";
    /// Hash of [`crate::ban::Ban`] by [`crate::ban::key_v4`] and [`crate::ban::key_v6`].
    pub const BANS: &str = "BANS";
    /// Array of `u64`, [`crate::ban::hint_words`] of them: which keys `BANS` may hold.
    pub const BAN_HINTS: &str = "BAN_HINTS";
    /// LPM trie of [`crate::ban::Ban`], key v4-mapped: bans of other prefixes.
    pub const BANNED: &str = "BANNED";
    /// Ring buffer of [`crate::event::Event`].
    pub const EVENTS: &str = "EVENTS";
    /// Per-CPU array with one [`crate::event::Sampler`].
    pub const SAMPLER: &str = "SAMPLER";
    /// Array with one [`crate::ban::Control`].
    pub const BAN_CONTROL: &str = "BAN_CONTROL";
    /// Array with one program: what packets that pass go on to.
    pub const NEXT: &str = "NEXT";
    /// LPM trie of the sources that rules ask for, key v4-mapped, value a bit for each rule.
    pub const RULE_SRC: &str = "RULE_SRC";
    /// The same for destinations.
    pub const RULE_DST: &str = "RULE_DST";
    /// LPM trie of the destinations of services, key v4-mapped, value a bit for each service.
    pub const SERVICE_DST: &str = "SERVICE_DST";
    /// Read-only global [`crate::rules::Rules`].
    pub const RULES: &str = "RULES";
    /// Per-CPU array of [`super::Counter`], index [`crate::rules::counter_index`].
    pub const RULE_COUNTERS: &str = "RULE_COUNTERS";
    /// Array of [`crate::word::Word`] by rule: the bucket that all its packets share.
    pub const RULE_BUCKETS: &str = "RULE_BUCKETS";
    /// Hash of this host's addresses, key v4-mapped, value [`super::LOCAL_ADDRESS`] or [`super::LOCAL_BROADCAST`].
    pub const LOCAL: &str = "LOCAL";
}

/// Value in `LOCAL`: an address of this host.
pub const LOCAL_ADDRESS: u8 = 1;
/// Value in `LOCAL`: the broadcast address of one of its networks.
pub const LOCAL_BROADCAST: u8 = 2;

/// Interfaces that can be counted apart.
pub const MAX_INTERFACES: u32 = 16;

/// Packets and bytes that met one fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire from the Ethernet header on, as received.
    pub bytes: u64,
}

/// What one CPU keeps for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Cpu {
    /// The kernel's count of ticks when `now` was read.
    pub tick: u64,
    /// `CLOCK_MONOTONIC` to the tick, nanoseconds: it changes with the tick only, so it is read once for each.
    pub now: u64,
    /// Segments, for the sample.
    pub segments: u64,
    /// Answers taken from `TOTAL` and not yet spent.
    pub grant: u64,
    /// Where a `bpf_sock_tuple` is put together: programs have little stack.
    pub tuple: [u64; 5],
}

/// Which way packets went that are counted, and whether their fates were carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Plane {
    /// Received, enforced.
    Enforced = 0,
    /// Received, only observed.
    Observed = 1,
    /// Sent, enforced.
    EgressEnforced = 2,
    /// Sent, only observed.
    EgressObserved = 3,
}

impl Plane {
    /// Every plane, in the order of its number.
    pub const ALL: [Self; 4] = [Self::Enforced, Self::Observed, Self::EgressEnforced, Self::EgressObserved];

    /// Whether fates were only observed.
    #[must_use]
    pub const fn is_observed(self) -> bool {
        matches!(self, Self::Observed | Self::EgressObserved)
    }

    /// Whether packets were on their way out.
    #[must_use]
    pub const fn is_sent(self) -> bool {
        matches!(self, Self::EgressEnforced | Self::EgressObserved)
    }

    /// The plane of received packets.
    #[must_use]
    #[inline(always)]
    pub const fn received(observed: bool) -> Self {
        if observed { Self::Observed } else { Self::Enforced }
    }

    /// The plane of sent packets.
    #[must_use]
    #[inline(always)]
    pub const fn sent(observed: bool) -> Self {
        if observed { Self::EgressObserved } else { Self::EgressEnforced }
    }
}

/// Where the counter of `reason` lies.
#[must_use]
#[inline(always)]
pub const fn counter_index(interface: u32, plane: Plane, reason: u8) -> u32 {
    ((interface & (MAX_INTERFACES - 1)) * Plane::ALL.len() as u32 + plane as u32) * REASONS as u32
        + (reason as u32 & (REASONS as u32 - 1))
}

/// Entries of `COUNTERS`.
pub const COUNTERS_LEN: u32 = MAX_INTERFACES * Plane::ALL.len() as u32 * REASONS as u32;

/// What became of a hand-over in tc ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum HandOver {
    /// The kernel took the connection over.
    Ok = 0,
    /// A socket exists already: an ACK came twice.
    Known = 1,
    /// The listener is gone.
    NoListener = 2,
    /// The kfunc refused; the port is stepped down.
    Refused = 3,
    /// The frame could not be read again in tc.
    Unreadable = 4,
}

impl HandOver {
    /// Every outcome, in the order of its number, with its label.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Ok, "ok"),
        (Self::Known, "known"),
        (Self::NoListener, "no_listener"),
        (Self::Refused, "refused"),
        (Self::Unreadable, "unreadable"),
    ];
}

/// Entries of `HANDOVERS`.
pub const HANDOVERS_LEN: u32 = 8;

/// One byte for each TCP port.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ports8(pub [u8; 65536]);

/// Why cookies stepped down on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StepDown {
    /// Cookies are fine.
    No = 0,
    /// The listener is an MPTCP socket. Only told: each SYN looks anew.
    Mptcp = 1,
    /// `bpf_sk_assign_tcp_reqsk` returned an error.
    Refused = 2,
}

/// The parts of the record that XDP hands to tc ingress in front of an accepted ACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct HandOverMeta {
    /// [`META_MAGIC`] xor the table seed: a driver's own metadata is not mistaken for ours.
    pub magic: u32,
    /// What the kernel needs to know about the connection.
    pub attrs: TcpReqAttrs,
}

/// First word of [`HandOverMeta`].
pub const META_MAGIC: u32 = 0x464c_5744;

/// `struct bpf_tcp_req_attrs` (Linux, include/net/tcp.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "the kernel's names say it")]
pub struct TcpReqAttrs {
    pub rcv_tsval: u32,
    pub rcv_tsecr: u32,
    pub mss: u16,
    pub rcv_wscale: u8,
    pub snd_wscale: u8,
    pub ecn_ok: u8,
    pub wscale_ok: u8,
    pub sack_ok: u8,
    pub tstamp_ok: u8,
    pub usec_ts_ok: u8,
    pub reserved: [u8; 3],
}

/// Key of an LPM trie over v4-mapped addresses: `prefix_len` counts from the v4-mapped prefix on (96 + n).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct LpmKey {
    /// Significant bits, 0 to 128.
    pub prefix_len: u32,
    /// Address in network byte order.
    pub address: [u32; 4],
}

const _: () = {
    assert!(size_of::<Counter>() == 16);
    assert!(size_of::<TcpReqAttrs>() == 20);
    assert!(size_of::<HandOverMeta>() == 24);
    assert!(size_of::<LpmKey>() == 20);
    assert!(counter_index(MAX_INTERFACES - 1, Plane::EgressObserved, REASONS as u8 - 1) == COUNTERS_LEN - 1);
};
