//! TCP segments.

use super::{Packet, protocol};

/// Flags (RFC 9293 3.1).
pub mod flag {
    #![expect(missing_docs, reason = "the RFC's names say it")]
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;
}

/// A segment; the defaults are a bare SYN from 40000 to 80.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Bits of [`flag`].
    pub flags: u8,
    /// Unscaled window.
    pub window: u16,
    /// Options, padded to a multiple of four with NOPs.
    pub options: Vec<u8>,
    /// Data.
    pub payload: Vec<u8>,
}

impl Default for Segment {
    fn default() -> Self {
        Self {
            source: 40000,
            destination: 80,
            sequence: 0x1234_5678,
            acknowledgment: 0,
            flags: flag::SYN,
            window: 64240,
            options: Vec::new(),
            payload: Vec::new(),
        }
    }
}

/// The options of a Linux SYN: MSS 1460, SACK permitted, timestamps, window scale 7.
#[must_use]
pub fn linux_options(tsval: u32) -> Vec<u8> {
    let mut options = vec![2, 4, 0x05, 0xb4, 4, 2, 8, 10];
    options.extend(tsval.to_be_bytes());
    options.extend([0, 0, 0, 0, 1, 3, 3, 7]);
    options
}

impl Segment {
    /// With these flags.
    #[must_use]
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// With these ports.
    #[must_use]
    pub fn ports(mut self, source: u16, destination: u16) -> Self {
        (self.source, self.destination) = (source, destination);
        self
    }

    /// With these options.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self.options.resize(options.len().next_multiple_of(4), 1);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.source.to_be_bytes(), self.destination.to_be_bytes()].concat();
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgment.to_be_bytes());
        bytes.extend([(((20 + self.options.len()) / 4) << 4) as u8, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.options);
        bytes.extend(&self.payload);
        bytes
    }
}

impl Packet {
    /// TCP.
    #[must_use]
    pub fn tcp(self, segment: &Segment) -> Self {
        self.checksummed(protocol::TCP, segment.bytes(), 16)
    }

    /// A bare SYN to a port.
    #[must_use]
    pub fn syn(self, port: u16) -> Self {
        self.tcp(&Segment::default().ports(40000, port))
    }
}
