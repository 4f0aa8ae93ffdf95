//! SYN cookies: a connection's half-open state, kept by the client.
//!
//! ```text
//! ISN    MAC 28 bits | epoch 1 | MSS index 3
//! TSval  MAC 26 bits | ECN 1 | SACK 1 | window scale 4  (only if the SYN had timestamps)
//! ```
//! Clients with timestamps carry a 54-bit MAC, others 28 bits. It is SipHash-2-4 over the tuple, the client's ISN and all that the
//! clear bits say; one bit tells the only two epochs apart that are accepted. Our own window scale is in the MAC, too.
//! A window scale of 15 stands for "none" (RFC 7323 allows 0 to 14).

use crate::{
    options::TcpOptions,
    packet::{Packet, Transport},
    siphash::{Key, sip24, sip24_and},
};

/// MSS values that a cookie can carry for IPv4, ascending; the largest that fits is used.
///
/// 536 is RFC 9293's default and Linux's smallest; 8960 is a 9000-byte jumbo frame's.
pub const MSS_V4: [u16; 8] = [536, 1200, 1300, 1360, 1400, 1440, 1460, 8960];
/// MSS values that a cookie can carry for IPv6: 1220 is a 1280-byte MTU's.
pub const MSS_V6: [u16; 8] = [1220, 1280, 1340, 1360, 1380, 1400, 1440, 8940];

/// Key slots, by the low bits of the epoch.
pub const SLOTS: usize = 4;

/// The secrets of one epoch. All zero is a slot that accepts and issues nothing.
///
/// `Debug` is left out so that keys don't end in logs.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Slot {
    /// Makes the MAC.
    pub mac: Key,
    /// Issues cookies until then, `CLOCK_MONOTONIC` nanoseconds.
    pub issue_until: u64,
    /// Accepts cookies until then, `CLOCK_MONOTONIC` nanoseconds.
    pub accept_until: u64,
}

/// The map `KEYS`. User space writes a slot whole while nothing refers to it, then `current`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Keys {
    /// Number of the epoch; its low two bits name the slot that issues.
    pub current: u64,
    /// Until then an ACK without a valid cookie goes to the stack: its own cookies may still be in flight.
    pub grace_until: u64,
    /// Slots by `epoch & 3`.
    pub slots: [Slot; SLOTS],
}

impl Keys {
    /// The slot of `epoch` (only its low two bits count).
    #[must_use]
    #[inline(always)]
    pub const fn slot(&self, epoch: u64) -> &Slot {
        &self.slots[(epoch & (SLOTS as u64 - 1)) as usize]
    }

    /// Whether cookies are being issued at `now`.
    #[must_use]
    #[inline(always)]
    pub const fn issuing(&self, now: u64) -> bool {
        now < self.slot(self.current).issue_until
    }
}

/// What a cookie remembers of the SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Index in [`MSS_V4`] or [`MSS_V6`].
    pub mss_index: u8,
    /// Client's window scale shift, or [`NO_SCALE`].
    pub scale: u8,
    /// SACK permitted.
    pub sack: bool,
    /// ECN negotiated.
    pub ecn: bool,
    /// The SYN had timestamps: without them the three above are lost.
    pub timestamps: bool,
}

/// A window scale that says "option absent".
pub const NO_SCALE: u8 = 15;

const ISN_CLEAR: u32 = 0xf;
const TS_CLEAR: u32 = 0x3f;
/// Which of two epochs.
const PARITY: u32 = 8;

impl Memory {
    /// What the SYN's options leave in a cookie.
    #[must_use]
    #[inline(always)]
    pub const fn of(options: &TcpOptions, is_v6: bool, ecn: bool) -> Self {
        let keep = options.timestamps;
        Self {
            mss_index: mss_index(options.mss, is_v6),
            scale: if keep { options.scale } else { NO_SCALE },
            sack: keep && options.sack,
            ecn: keep && ecn,
            timestamps: keep,
        }
    }

    /// The MSS that the cookie stands for, bytes.
    #[must_use]
    #[inline(always)]
    pub const fn mss(&self, is_v6: bool) -> u16 {
        let table = if is_v6 { &MSS_V6 } else { &MSS_V4 };
        table[(self.mss_index & 7) as usize]
    }

    const fn option_bits(self) -> u32 {
        ((self.ecn as u32) << 5) | ((self.sack as u32) << 4) | (self.scale & 15) as u32
    }
}

/// Index of the largest entry that is not above `mss`; the smallest entry for anything below (as Linux does).
#[must_use]
#[inline(always)]
const fn mss_index(mss: u16, is_v6: bool) -> u8 {
    let table = if is_v6 { &MSS_V6 } else { &MSS_V4 };
    let mut index = 0;
    let mut i = 1;
    while i < table.len() {
        index += (mss >= table[i]) as u8;
        i += 1;
    }
    index
}

/// A cookie as it travels: the SYN-ACK's sequence number and its timestamp value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Our initial sequence number.
    pub isn: u32,
    /// Our timestamp value; 0 if the SYN had none.
    pub tsval: u32,
}

/// Makes the cookie for `packet`, a SYN, with the current slot of `keys`.
///
/// `own_scale` is the window scale shift that we announce. It is part of the MAC: a host (or a later
/// configuration) with another one must not take the connection over and misread its windows.
#[must_use]
#[inline(always)]
pub fn encode(keys: &Keys, packet: &Packet, client_isn: u32, own_scale: u8, memory: &Memory) -> Cookie {
    let epoch = keys.current as u32 & 3;
    let mac = mac(keys.slot(keys.current).mac, packet, client_isn, epoch, own_scale, memory);
    let isn = (mac as u32) << 4 | (epoch & 1) << 3 | memory.mss_index as u32;
    let tsval = ((mac >> 32) as u32) << 6 | memory.option_bits();
    Cookie { isn, tsval: if memory.timestamps { tsval } else { 0 } }
}

/// What the cookie in an ACK remembers, if it is one of ours, made for this tuple and in its time.
///
/// `client_isn` is the ACK's sequence number less 1, `cookie.isn` its acknowledgment number less 1 and
/// `cookie.tsval` the timestamp echo of clients with timestamps.
#[must_use]
#[inline(always)]
pub fn decode(
    keys: &Keys,
    now: u64,
    packet: &Packet,
    client_isn: u32,
    own_scale: u8,
    cookie: Cookie,
    timestamps: bool,
) -> Option<Memory> {
    let current = keys.current;
    let is_current = cookie.isn & PARITY == (current as u32 & 1) << 3;
    let epoch = if is_current { current } else { current.wrapping_sub(1) };
    let slot = keys.slot(epoch);
    if now >= slot.accept_until {
        return None;
    }
    let memory = remember(cookie, timestamps);
    let mac = mac(slot.mac, packet, client_isn, epoch as u32 & 3, own_scale, &memory);
    let isn_holds = (mac as u32) << 4 == cookie.isn & !ISN_CLEAR;
    let ts_holds = !timestamps || ((mac >> 32) as u32) << 6 == cookie.tsval & !TS_CLEAR;
    (isn_holds && ts_holds).then_some(memory)
}

/// What the clear bits say.
#[inline(always)]
const fn remember(cookie: Cookie, timestamps: bool) -> Memory {
    let mss_index = (cookie.isn & 7) as u8;
    if !timestamps {
        return Memory { mss_index, scale: NO_SCALE, sack: false, ecn: false, timestamps };
    }
    let bits = cookie.tsval & TS_CLEAR;
    Memory { mss_index, scale: (bits & 15) as u8, sack: bits & 16 != 0, ecn: bits & 32 != 0, timestamps }
}

/// SipHash-2-4 of the tuple and 32 bits more: what a challenge is. A cookie's message is longer.
#[inline(always)]
pub(crate) fn tuple_hash(key: Key, packet: &Packet, more: u32) -> u64 {
    let last = last_word(packet, more);
    if packet.is_v6 {
        let [[s0, s1], [d0, d1]] = [packet.source.words(), packet.destination.words()];
        sip24(key, [s0, s1, d0, d1, last])
    } else {
        sip24(key, [packet.source.v4() as u64 | (packet.destination.v4() as u64) << 32, last])
    }
}

#[inline(always)]
const fn last_word(packet: &Packet, more: u32) -> u64 {
    let Transport { source, destination } = packet.ports;
    source as u64 | (destination as u64) << 16 | (more as u64) << 32
}

#[inline(always)]
fn mac(key: Key, packet: &Packet, client_isn: u32, epoch: u32, own_scale: u8, memory: &Memory) -> u64 {
    let meaning = epoch
        | (own_scale as u32) << 3
        | (memory.mss_index as u32) << 8
        | memory.option_bits() << 16
        | (memory.timestamps as u32) << 24
        | (packet.is_v6 as u32) << 25;
    let last = last_word(packet, client_isn);
    if packet.is_v6 {
        let [[s0, s1], [d0, d1]] = [packet.source.words(), packet.destination.words()];
        sip24_and(key, [s0, s1, d0, d1, last], meaning)
    } else {
        sip24_and(key, [packet.source.v4() as u64 | (packet.destination.v4() as u64) << 32, last], meaning)
    }
}

const _: () = {
    assert!(size_of::<Slot>() == 32);
    assert!(size_of::<Keys>() == 16 + SLOTS * 32);
};

#[cfg(test)]
mod tests;
