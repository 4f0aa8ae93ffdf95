//! The Internet checksum (RFC 1071), written for clarity: a second opinion on the data path's own.

use std::net::IpAddr;

/// A running sum of 16-bit words in network byte order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The pseudo header of TCP, UDP and `ICMPv6` (RFC 9293 3.1, RFC 8200 8.1).
    #[must_use]
    pub fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> Self {
        let mut sum = Self::default();
        for address in [source, destination] {
            sum = match address {
                IpAddr::V4(address) => sum.plus(&address.octets()),
                IpAddr::V6(address) => sum.plus(&address.octets()),
            };
        }
        Self(sum.0 + u64::from(protocol) + len as u64)
    }

    /// Adds bytes; an odd last one counts as a high byte.
    #[must_use]
    pub fn plus(mut self, bytes: &[u8]) -> Self {
        for pair in bytes.chunks(2) {
            self.0 += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
        self
    }

    /// The folded sum, not complemented.
    #[must_use]
    pub fn folded(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// What goes into the header. Summing up a header with it gives 0xffff.
    #[must_use]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_1071_example() {
        assert_eq!(Sum::default().plus(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).folded(), 0xddf2);
    }
}
