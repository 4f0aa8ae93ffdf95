//! The RST challenge: any TCP proves by itself that it can receive.
//!
//! A SYN is answered with a SYN-ACK whose acknowledgment number is a MAC instead of the client's number. The client,
//! in SYN-SENT, finds it unacceptable and sends "a reset ... <SEQ=SEG.ACK>" (RFC 9293 3.10.7.3): the MAC comes back
//! as the RST's sequence number. Nothing is stored in between; the client retries its SYN by itself.

use crate::{
    cookie::{Keys, Slot, tuple_hash},
    packet::Packet,
};

/// What a challenge's SYN-ACK says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Sequence number: no client looks at it.
    pub sequence: u32,
    /// Acknowledgment number: the MAC.
    pub acknowledgment: u32,
}

/// The challenge for `packet`, a SYN, with the current slot of `keys`.
#[must_use]
#[inline(always)]
pub fn challenge(keys: &Keys, packet: &Packet) -> Challenge {
    let mac = mac(keys.slot(keys.current), packet);
    Challenge { sequence: (mac >> 32) as u32, acknowledgment: mac as u32 }
}

/// Whether `packet`, a RST, answers a challenge of the current or the previous epoch.
#[must_use]
#[inline(always)]
pub fn proves(keys: &Keys, now: u64, packet: &Packet) -> bool {
    let current = keys.current;
    answers(keys.slot(current), now, packet) || answers(keys.slot(current.wrapping_sub(1)), now, packet)
}

#[inline(always)]
fn answers(slot: &Slot, now: u64, packet: &Packet) -> bool {
    now < slot.accept_until && mac(slot, packet) as u32 == packet.tcp.sequence
}

/// Over the tuple, all that SYN and RST have in common. Cookies use this key for longer messages.
#[inline(always)]
fn mac(slot: &Slot, packet: &Packet) -> u64 {
    tuple_hash(slot.mac, packet, 1 << 31)
}
