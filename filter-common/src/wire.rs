//! What the configuration says of packets that are not whole, or neither TCP nor UDP: fragments, IP options, extension
//! headers, ICMP, other protocols.

use crate::config::Limit;

/// Flags of [`Policy`].
pub mod flags {
    /// Every fragment is dropped.
    pub const DROP_FRAGMENTS: u32 = 1;
    /// IPv4 options other than source routes are dropped, too.
    pub const DROP_OPTIONS: u32 = 2;
    /// A routing header that has segments left is dropped, whatever its type.
    pub const DROP_ROUTED: u32 = 4;
    /// Extension headers that are not walked are dropped.
    pub const DROP_HEADERS: u32 = 8;
    /// Protocols that are not in the table are dropped.
    pub const DROP_PROTOCOLS: u32 = 16;
    /// Echo requests are dropped.
    pub const DROP_ECHO: u32 = 32;
    /// Redirects are dropped.
    pub const DROP_REDIRECTS: u32 = 64;
}

/// Part of [`crate::config::Config`]; all zero lets pass what is not broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Policy {
    /// Bits of [`flags`].
    pub flags: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// One bit for each protocol that passes without a limit.
    pub protocols: [u64; 4],
    /// Packets of all other protocols together.
    pub other_protocols: Limit,
    /// Fragments of all sources together.
    pub fragments: Limit,
    /// Fragments per source.
    pub fragments_per_source: Limit,
    /// ICMP errors of all sources together.
    pub errors: Limit,
    /// ICMP errors per source about sockets of this host, above `errors`.
    pub errors_per_source: Limit,
    /// Echo requests of all sources together.
    pub echo: Limit,
    /// Echo requests per source.
    pub echo_per_source: Limit,
    /// Echo replies of all sources together.
    pub echo_replies: Limit,
}

impl Policy {
    /// Nothing is limited.
    pub const NONE: Self = Self {
        flags: 0,
        reserved: 0,
        protocols: [0; 4],
        other_protocols: Limit::NONE,
        fragments: Limit::NONE,
        fragments_per_source: Limit::NONE,
        errors: Limit::NONE,
        errors_per_source: Limit::NONE,
        echo: Limit::NONE,
        echo_per_source: Limit::NONE,
        echo_replies: Limit::NONE,
    };

    /// Whether `flag` of [`flags`] is set.
    #[must_use]
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether that protocol is in the table.
    #[must_use]
    #[inline(always)]
    pub const fn allows(&self, protocol: u8) -> bool {
        self.protocols[(protocol >> 6) as usize] >> (protocol & 63) & 1 != 0
    }

    /// Puts a protocol into the table.
    pub const fn allow(&mut self, protocol: u8) {
        self.protocols[(protocol >> 6) as usize] |= 1 << (protocol & 63);
    }
}

const _: () = assert!(size_of::<Policy>() == 8 + 32 + 8 * 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_has_a_bit_of_its_own() {
        for protocol in 0..=255 {
            let mut policy = Policy::NONE;
            policy.allow(protocol);
            assert!((0..=255).all(|other| policy.allows(other) == (other == protocol)), "{protocol}");
        }
    }
}
