//! What user space tells the data path, as read-only globals of the loaded program.
//!
//! A changed configuration is a newly loaded program, swapped in with one `BPF_LINK_UPDATE`: no packet sees
//! half of it. The verifier knows the values, so a stage that is off is not even compiled.
//! Every struct is `repr(C)` without padding, valid for all-zero bytes.

/// Services a configuration may have; index 0 means "no service".
pub const MAX_SERVICES: usize = 64;
/// Connected prefixes that are bogons elsewhere and therefore exempt.
pub const MAX_CONNECTED: usize = 8;

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

    /// Whether there is a limit at all.
    #[must_use]
    #[inline(always)]
    pub const fn is_some(&self) -> bool {
        self.interval != 0
    }
}

/// Flags of a [`Service`].
pub mod service {
    /// SYNs are answered with cookies (`syn.mode = "cookie"`).
    pub const SYN_COOKIE: u32 = 1;
}

/// One `[[service]]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Service {
    /// Bits of [`service`].
    pub flags: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// Packets per source (SYNs too, unless they have a limit of their own).
    pub per_source: Limit,
    /// SYNs per source.
    pub per_source_syn: Limit,
}

/// Flags of [`Config`].
pub mod flags {
    /// Observe mode: count what would happen, pass everything, answer nothing.
    pub const OBSERVE: u32 = 1;
    /// The kernel can take over a cookie (kfunc and sysctls are there).
    pub const COOKIES: u32 = 2;
    /// tc ingress checks cookies itself: the driver has no XDP metadata.
    pub const DECODE_IN_TC: u32 = 4;
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
    /// Whether the management list has any entry of that family (bit 0: IPv4, bit 1: IPv6).
    pub management_families: u32,
    /// Lines of `SOURCES`, `REPLIES` and `RECENT`, by [`crate::state::Table`]; powers of two.
    pub lines: [u32; 4],
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
    /// Connected prefixes that are exempt from the bogon check.
    pub connected: [Prefix; MAX_CONNECTED],
    /// Services, from index 1.
    pub services: [Service; MAX_SERVICES],
}

impl Config {
    /// All zero: what the object file holds until user space writes the real one.
    pub const EMPTY: Self = Self {
        abi: 0,
        flags: 0,
        profile: 0,
        interface: 0,
        connected_len: 0,
        management_families: 0,
        lines: [0; 4],
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
        connected: [Prefix { network: [0; 4], mask: [0; 4] }; MAX_CONNECTED],
        services: [Service { flags: 0, reserved: 0, per_source: Limit::NONE, per_source_syn: Limit::NONE };
            MAX_SERVICES],
    };

    /// Whether `flag` of [`flags`] is set.
    #[must_use]
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// The read-only global `PORTS`: for each destination port the index of its service, 0 for none.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ports {
    /// TCP ports.
    pub tcp: [u8; 65536],
    /// UDP ports.
    pub udp: [u8; 65536],
}

impl Ports {
    /// No services.
    #[expect(clippy::large_stack_arrays, reason = "the value of a static, never on a stack")]
    pub const EMPTY: Self = Self { tcp: [0; 65536], udp: [0; 65536] };
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
    assert!(size_of::<Service>() == 40);
    assert!(size_of::<LocalTcp>() == 16);
    assert!(size_of::<Prefix>() == 32);
    assert!(size_of::<Config>() == 40 + 16 + 16 + 48 + 32 * MAX_CONNECTED + 40 * MAX_SERVICES);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_rounds_to_whole_nanoseconds() {
        assert_eq!(Limit::per_second(1000, 2000), Limit { interval: 1_000_000, tolerance: 1999 * 1_000_000 });
        assert_eq!(Limit::per_second(0, 5), Limit::NONE);
        assert_eq!(Limit::per_second(u64::MAX, 1).interval, 1);
    }
}
