//! What user space tells the data path, as read-only globals of the loaded program.
//!
//! A changed configuration is a newly loaded program, swapped in with one `BPF_LINK_UPDATE`: no packet sees
//! half of it. The verifier knows the values, so a stage that is off is not even compiled.
//! Every struct is `repr(C)` without padding, valid for all-zero bytes.

use crate::{packet::Address, wire};

/// Tables of lines that there may be.
pub const TABLES: usize = 8;
/// The place in [`Config::lines`] of the words of `BAN_HINTS`, behind the tables of lines.
pub const BAN_HINTS: usize = 7;
/// Services a configuration may have; index 0 means "no service".
pub const MAX_SERVICES: usize = 64;
/// Connected prefixes that are bogons elsewhere and therefore exempt.
pub const MAX_CONNECTED: usize = 8;

/// Prefixes behind this host whose addresses can't come from outside.
pub const MAX_OWN: usize = 16;

/// Forwarded prefixes that services may protect.
pub const MAX_PROTECTED: usize = 8;

/// What kind of network an interface faces: which sources are normal there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Profile {
    /// Public addresses only.
    Internet = 0,
    /// Private, shared (RFC 6598) and link-local sources are normal.
    Lan = 1,
    /// Like [`Profile::Lan`], but of 169.254/16 only the metadata block 169.254.169.0/24.
    Cloud = 2,
}

impl Profile {
    /// The profile of that number; unknown numbers are the strictest one.
    #[must_use]
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Lan,
            2 => Self::Cloud,
            _ => Self::Internet,
        }
    }
}

/// A token bucket's rate and depth, in the terms of GCRA (ITU-T I.371): nothing to configure means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Limit {
    /// Nanoseconds that one token costs; 0 means unlimited.
    pub interval: u64,
    /// How far ahead of the clock a bucket may run, nanoseconds: `(burst - 1) * interval`.
    pub tolerance: u64,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self { interval: 0, tolerance: 0 };

    /// `rate` tokens a second with at most `burst` at once.
    ///
    /// Rates are rounded to whole nanoseconds per token: exact to 1 % up to 10,000,000/s.
    #[must_use]
    pub const fn per_second(rate: u64, burst: u64) -> Self {
        if rate == 0 {
            return Self::NONE;
        }
        let interval = match 1_000_000_000 / rate {
            0 => 1,
            ns => ns,
        };
        Self { interval, tolerance: interval * burst.saturating_sub(1) }
    }

    /// `rate` bytes a second with at most `burst` at once; [`Limit::of_bytes`] charges it.
    ///
    /// The interval is that of 1024 bytes: exact to 1 % up to 100 Gbit/s.
    #[must_use]
    pub const fn bytes_per_second(rate: u64, burst: u64) -> Self {
        if rate == 0 {
            return Self::NONE;
        }
        let interval = match 1_024_000_000_000 / rate {
            0 => 1,
            ns => ns,
        };
        Self { interval, tolerance: (burst >> 10) * interval }
    }

    /// The same bucket for a packet of that length: its one token is that many bytes.
    #[must_use]
    #[inline(always)]
    pub const fn of_bytes(self, length: u16) -> Self {
        Self { interval: (self.interval * length as u64) >> 10, tolerance: self.tolerance }
    }

    /// Whether a token lasts for 100 ms or longer: 10/s.
    #[must_use]
    #[inline(always)]
    pub const fn is_slow(&self) -> bool {
        self.interval >= 100_000_000
    }

    /// Whether there is a limit at all.
    #[must_use]
    #[inline(always)]
    pub const fn is_some(&self) -> bool {
        self.interval != 0
    }
}

/// What becomes of a [`Service`]'s SYNs: the ladder's rungs.
pub mod syn_mode {
    /// The stack's.
    pub const OFF: u32 = 0;
    /// At most [`super::Service::on`] reach the stack.
    pub const LIMIT: u32 = 1;
    /// Sources prove with a RST that they can receive.
    pub const CHALLENGE: u32 = 2;
    /// Answered with SYN cookies.
    pub const COOKIE: u32 = 3;
    /// The stack's up to [`super::Service::on`]; above it the best rung there is.
    pub const AUTO: u32 = 4;
}

/// Flags of a [`Service`].
pub mod service {
    /// A SYN with data is dropped (no TCP Fast Open).
    pub const DROP_SYN_DATA: u32 = 1;
    /// Its verdicts are counted and not carried out.
    pub const OBSERVE: u32 = 1 << 24;
}

/// One `[[service]]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Service {
    /// One of [`syn_mode`].
    pub syn_mode: u32,
    /// Bits of [`service`].
    pub flags: u32,
    /// SYNs of the whole service that reach the stack; `auto` arms at the first one above.
    pub on: Limit,
    /// While SYNs keep above this, `auto` stays armed.
    pub off: Limit,
    /// For so long `auto` stays armed afterwards, nanoseconds.
    pub hold: u64,
    /// Packets per source (SYNs too, unless they have a limit of their own).
    pub per_source: Limit,
    /// SYNs per source.
    pub per_source_syn: Limit,
    /// Bytes per source.
    pub per_source_bytes: Limit,
    /// New UDP flows per source.
    pub per_source_flows: Limit,
    /// Packets per source prefix (IPv4 /24, IPv6 /48).
    pub per_prefix: Limit,
    /// Packets of all sources that are not proven.
    pub total: Limit,
    /// Bytes of all sources that are not proven.
    pub total_bytes: Limit,
    /// New UDP flows of all sources.
    pub flows: Limit,
    /// Lowest TTL or hop limit that is taken (GTSM, RFC 5082): 255 means a neighbour.
    pub ttl_min: u32,
    /// Reserved, 0.
    pub reserved: u32,
}

impl Service {
    /// No protection at all.
    pub const NONE: Self = Self {
        syn_mode: syn_mode::OFF,
        flags: 0,
        on: Limit::NONE,
        off: Limit::NONE,
        hold: 0,
        per_source: Limit::NONE,
        per_source_syn: Limit::NONE,
        per_source_bytes: Limit::NONE,
        per_source_flows: Limit::NONE,
        per_prefix: Limit::NONE,
        total: Limit::NONE,
        total_bytes: Limit::NONE,
        flows: Limit::NONE,
        ttl_min: 0,
        reserved: 0,
    };

    /// Whether it has any limit that [`crate::stages::limit::more`] looks at.
    #[must_use]
    pub const fn has_more_limits(&self) -> bool {
        self.per_source_bytes.is_some()
            || self.per_source_flows.is_some()
            || self.per_prefix.is_some()
            || self.total.is_some()
            || self.total_bytes.is_some()
            || self.flows.is_some()
    }
}

/// Flags of [`Config`].
pub mod flags {
    /// Observe mode: count what would happen, pass everything, answer nothing.
    pub const OBSERVE: u32 = 1;
    /// The kernel can take over a cookie (kfunc and sysctls are there).
    pub const COOKIES: u32 = 2;
    /// tc ingress checks cookies itself: the driver has no XDP metadata.
    pub const DECODE_IN_TC: u32 = 4;
    /// Segments are looked up in the socket table: a sample always, all of them while armed.
    pub const CHECK_STATE: u32 = 8;
    /// The same for ports without a service.
    pub const CHECK_STATE_OF_HOST: u32 = 16;
    /// UDP from [`super::Ports::reflectors`] is dropped.
    pub const REFLECTION: u32 = 1 << 16;
    /// tc egress notes what is sent, so that replies to it are known.
    pub const REPLIES: u32 = 1 << 17;
    /// tc egress looks at sources of packets that leave.
    pub const EGRESS_SOURCES: u32 = 1 << 18;
    /// What it finds is dropped, not only counted.
    pub const EGRESS_DROP: u32 = 1 << 19;
    /// Sources that are this host's own are dropped.
    pub const OWN_SOURCES: u32 = 1 << 20;
    /// Packets to the broadcast addresses of this host's networks are dropped.
    pub const DIRECTED_BROADCAST: u32 = 1 << 21;
    /// Sources without a route back are dropped.
    pub const REVERSE_PATH: u32 = 1 << 22;
    /// Sources whose route back leads out of another interface, too.
    pub const REVERSE_PATH_STRICT: u32 = 1 << 23;
    /// There are rules.
    pub const RULES: u32 = 1 << 24;
    /// Some rule challenges SYNs.
    pub const CHALLENGE_RULES: u32 = 1 << 25;
    /// Some service has destination prefixes: [`super::Ports`] holds classes instead of numbers.
    pub const SERVICES_BY_DESTINATION: u32 = 1 << 26;
    /// Some service is only observed.
    pub const OBSERVE_SERVICES: u32 = 1 << 27;
    /// Some service, or the host, has limits besides those per source.
    pub const MORE_LIMITS: u32 = 1 << 28;
    /// What passes goes on to another XDP program.
    pub const NEXT: u32 = 1 << 29;
    /// Packets are sampled.
    pub const EVENTS: u32 = 1 << 30;
}

/// Bits of [`Config::list_families`].
pub mod list_families {
    /// A list holds an IPv4 prefix.
    pub const V4: u32 = 1;
    /// A list holds an IPv6 prefix.
    pub const V6: u32 = 2;
}

/// Flags of [`LocalTcp`]: what `net.ipv4.tcp_*` allows.
pub mod tcp {
    /// `tcp_timestamps`
    pub const TIMESTAMPS: u16 = 1;
    /// `tcp_sack`
    pub const SACK: u16 = 2;
    /// `tcp_window_scaling`
    pub const WINDOW_SCALING: u16 = 4;
    /// `tcp_ecn` answers ECN when asked
    pub const ECN: u16 = 8;
}

/// What this host's own TCP announces in a SYN-ACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LocalTcp {
    /// Our MSS for IPv4 (interface MTU - 40).
    pub mss_v4: u16,
    /// Our MSS for IPv6 (interface MTU - 60).
    pub mss_v6: u16,
    /// Initial receive window, unscaled.
    pub window: u16,
    /// Bits of [`tcp`].
    pub flags: u16,
    /// Our window scale shift, at most 14.
    pub window_scale: u8,
    /// TTL and hop limit of an answer (`ip_default_ttl`).
    pub ttl: u8,
    /// Reserved, 0.
    pub reserved: [u8; 6],
}

/// An address prefix; IPv4 is stored v4-mapped (`::ffff:a.b.c.d`), as in [`crate::packet::Address`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Prefix {
    /// Network address, words in network byte order as they lie in memory.
    pub network: [u32; 4],
    /// Mask, in the same form.
    pub mask: [u32; 4],
}

impl Prefix {
    /// Whether `address` lies in it.
    #[must_use]
    #[inline(always)]
    pub const fn contains(&self, address: &Address) -> bool {
        let mut differs = 0;
        let mut i = 0;
        while i < 4 {
            differs |= (address.0[i] & self.mask[i]) ^ self.network[i];
            i += 1;
        }
        differs == 0
    }
}

/// Whether one of the first `length` prefixes contains `address`.
#[must_use]
#[inline(always)]
pub fn lists<const N: usize>(prefixes: &[Prefix; N], length: u32, address: &Address) -> bool {
    for (i, prefix) in prefixes.iter().enumerate() {
        if i as u32 >= length {
            return false;
        }
        if prefix.contains(address) {
            return true;
        }
    }
    false
}

/// The read-only global `CONFIG` of each loaded program: one interface's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Config {
    /// [`crate::abi::VERSION`] of whoever wrote it.
    pub abi: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// [`Profile`] as a number.
    pub profile: u32,
    /// This interface's block of counters.
    pub interface: u32,
    /// Number of `connected` prefixes in use.
    pub connected_len: u32,
    /// Number of `protected` prefixes in use.
    pub protected_len: u32,
    /// Number of `own` prefixes in use.
    pub own_len: u32,
    /// Whether the management list has any entry of that family (bit 0: IPv4, bit 1: IPv6).
    pub management_families: u32,
    /// Lines of each table, by [`crate::state::Table`]; powers of two.
    pub lines: [u32; TABLES],
    /// Key of the table hashes, random per host; never changes while the tables live.
    pub seed: [u64; 2],
    /// What our SYN-ACKs say.
    pub tcp: LocalTcp,
    /// SYN-ACKs per source prefix (/24, /48).
    pub reply_per_prefix: Limit,
    /// SYN-ACKs in total.
    pub reply_total: Limit,
    /// ACKs for no connection that reach the stack, which resets them.
    pub unknown_acks: Limit,
    /// Sampled segments for no connection; more arm the check of all of them.
    pub stray_on: Limit,
    /// While segments for no connection keep above this, it stays armed.
    pub stray_off: Limit,
    /// For so long it stays armed afterwards, nanoseconds.
    pub stray_hold: u64,
    /// Forwarded segments of all unproven sources together, while SYNs are challenged.
    pub unproven: Limit,
    /// SYNs per proven source.
    pub proven_syns: Limit,
    /// How long a source counts as proven after its last proof, nanoseconds.
    pub proven: u64,
    /// Longest life of a cookie, nanoseconds: for so long they are honoured after `auto` has disarmed.
    pub in_flight: u64,
    /// UDP to ports that nobody listens on.
    pub closed_ports: Limit,
    /// Packets of all sources that are not proven, to whatever they are for.
    pub host_packets: Limit,
    /// As above, bytes.
    pub host_bytes: Limit,
    /// How long after a datagram was sent its replies are awaited, nanoseconds.
    pub reply_window: u64,
    /// Prefixes behind this host.
    pub own: [Prefix; MAX_OWN],
    /// Forwarded destinations and the service that protects them.
    pub protected: [Prefix; MAX_PROTECTED],
    /// Number of the service of each.
    pub protected_service: [u8; MAX_PROTECTED],
    /// Connected prefixes that are exempt from the bogon check.
    pub connected: [Prefix; MAX_CONNECTED],
    /// Services, from index 1; 0 is the rest of the host, of which only the limits count.
    pub services: [Service; MAX_SERVICES],
    /// Fragments, options, ICMP, other protocols.
    pub wire: wire::Policy,
    /// Families that the lists hold: bits of [`list_families`].
    pub list_families: u32,
    /// What a token of a source's limit costs, in tokens, while [`crate::arm::Arm::tight`] lasts; 0 and 1: never more.
    pub tighten: u32,
    /// With [`flags::EVENTS`] one packet in so many, less one, is offered as an event: a power of two less one.
    pub sample_mask: u32,
    /// Events that a CPU writes in a [`crate::event::WINDOW`].
    pub sample_budget: u32,
}

impl Config {
    /// All zero: what the object file holds until user space writes the real one.
    pub const EMPTY: Self = Self {
        abi: 0,
        flags: 0,
        profile: 0,
        interface: 0,
        connected_len: 0,
        protected_len: 0,
        own_len: 0,
        management_families: 0,
        lines: [0; TABLES],
        seed: [0; 2],
        tcp: LocalTcp {
            mss_v4: 0,
            mss_v6: 0,
            window: 0,
            flags: 0,
            window_scale: 0,
            ttl: 0,
            reserved: [0; 6],
        },
        reply_per_prefix: Limit::NONE,
        reply_total: Limit::NONE,
        unknown_acks: Limit::NONE,
        stray_on: Limit::NONE,
        stray_off: Limit::NONE,
        stray_hold: 0,
        unproven: Limit::NONE,
        proven_syns: Limit::NONE,
        proven: 0,
        in_flight: 0,
        closed_ports: Limit::NONE,
        host_packets: Limit::NONE,
        host_bytes: Limit::NONE,
        reply_window: 0,
        own: [Prefix { network: [0; 4], mask: [0; 4] }; MAX_OWN],
        protected: [Prefix { network: [0; 4], mask: [0; 4] }; MAX_PROTECTED],
        protected_service: [0; MAX_PROTECTED],
        connected: [Prefix { network: [0; 4], mask: [0; 4] }; MAX_CONNECTED],
        services: [Service::NONE; MAX_SERVICES],
        wire: wire::Policy::NONE,
        list_families: 0,
        tighten: 0,
        sample_mask: 0,
        sample_budget: 0,
    };

    /// Whether an address lies in a network behind this host.
    #[must_use]
    #[inline(always)]
    pub fn is_behind(&self, address: &Address) -> bool {
        lists(&self.own, self.own_len, address) || lists(&self.protected, self.protected_len, address)
    }

    /// Whether `flag` of [`flags`] is set.
    #[must_use]
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// The read-only global `PORTS`: for each destination port the number of its service, 0 for none; and which source ports reflect.
///
/// With [`flags::SERVICES_BY_DESTINATION`] a class of ports instead; the services of the class AND those of the destination, bit n
/// for service n, leave the packet's: the lowest.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ports {
    /// TCP ports.
    pub tcp: [u8; 65536],
    /// UDP ports.
    pub udp: [u8; 65536],
    /// A bit for each UDP source port of [`crate::reflector`].
    pub reflectors: [u64; 65536 / 64],
    /// Services of each class of ports.
    pub classes: [u64; 256],
    /// Services without destination prefixes.
    pub anywhere: u64,
}

impl Ports {
    /// No services.
    #[expect(clippy::large_stack_arrays, reason = "the value of a static, never on a stack")]
    pub const EMPTY: Self = Self {
        tcp: [0; 65536],
        udp: [0; 65536],
        reflectors: [0; 65536 / 64],
        classes: [0; 256],
        anywhere: 0,
    };
}

/// Words in one family's summary of the management list: one bit for each /16 (IPv4) or hashed /32 (IPv6).
pub const SUMMARY_WORDS: usize = 65536 / 64;

/// The read-only global `SUMMARY`: a clear bit means "no management prefix there", so that only its own
/// packets pay for the look-up.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Summary {
    /// Bit `address >> 16`.
    pub v4: [u64; SUMMARY_WORDS],
    /// Bit [`summary_bit_v6`].
    pub v6: [u64; SUMMARY_WORDS],
}

impl Summary {
    /// Nothing listed.
    pub const EMPTY: Self = Self { v4: [0; SUMMARY_WORDS], v6: [0; SUMMARY_WORDS] };
}

/// Where an IPv6 source with these first 32 bits (host order) lies in [`Summary::v6`].
///
/// Multiplicative hash by the golden ratio (Knuth, TAOCP 6.4): neighbouring /32 prefixes get bits of their own.
#[must_use]
#[inline(always)]
pub const fn summary_bit_v6(first_32: u32) -> u16 {
    (first_32.wrapping_mul(0x9e37_79b1) >> 16) as u16
}

const _: () = {
    assert!(size_of::<Limit>() == 16);
    assert!(size_of::<Service>() == 184);
    assert!(size_of::<LocalTcp>() == 16);
    assert!(size_of::<Prefix>() == 32);
    let limits = 10 * 16 + 4 * 8;
    let prefixes = 32 * (MAX_CONNECTED + MAX_OWN) + 33 * MAX_PROTECTED;
    let rest = size_of::<wire::Policy>() + 8 + 8;
    assert!(size_of::<Config>() == 32 + 4 * TABLES + 16 + 16 + limits + prefixes + 184 * MAX_SERVICES + rest);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_a_bit_of_its_own() {
        let source = include_str!("config.rs");
        let flags = source.split("pub mod flags {").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
        let mut seen = 0_u64;
        for line in flags.lines().filter_map(|line| line.split_once(": u32 = ")) {
            let (shift, plain) = (line.1.split_once("<< "), line.1.trim_end_matches(';'));
            let bit = match shift {
                Some((_, shift)) => 1 << shift.trim_end_matches(';').parse::<u32>().unwrap(),
                None => plain.parse::<u64>().unwrap(),
            };
            assert_eq!(seen & bit, 0, "{}", line.0);
            seen |= bit;
        }
        assert!(seen.count_ones() > 15);
    }

    #[test]
    fn limit_rounds_to_whole_nanoseconds() {
        assert_eq!(Limit::per_second(1000, 2000), Limit { interval: 1_000_000, tolerance: 1999 * 1_000_000 });
        assert_eq!(Limit::per_second(0, 5), Limit::NONE);
        assert_eq!(Limit::per_second(u64::MAX, 1).interval, 1);
    }
}
