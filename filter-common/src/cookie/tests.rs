use proptest::prelude::*;

use super::*;
use crate::{
    packet::parse,
    testing::{CLIENT, CLIENT6, SERVER, SERVER6, Tcp},
    world::Bytes,
};

const SECOND: u64 = 1_000_000_000;
const PERIOD: u64 = 64 * SECOND;
/// Our own window scale.
const SCALE: u8 = 7;

/// Keys in their `current`-th epoch, which began at `start`, as the daemon writes them.
fn keys(current: u64, start: u64) -> Keys {
    let mut keys = Keys { current, ..Keys::default() };
    for (epoch, start) in [(current, start), (current.wrapping_sub(1), start.saturating_sub(PERIOD))] {
        keys.slots[(epoch & 3) as usize] =
            Slot { mac: [epoch, !epoch], issue_until: start + 4 * PERIOD, accept_until: start + 2 * PERIOD };
    }
    keys
}

fn packet(is_v6: bool) -> Packet {
    let tcp = if is_v6 { Tcp::syn(CLIENT6, SERVER6) } else { Tcp::syn(CLIENT, SERVER) };
    match parse(&Bytes::from(tcp.bytes())) {
        core::ops::ControlFlow::Continue(packet) => packet,
        core::ops::ControlFlow::Break(reason) => panic!("{reason:?}"),
    }
}

fn memory() -> impl Strategy<Value = Memory> {
    (0_u8..8, 0_u8..=15, any::<[bool; 3]>()).prop_map(|(mss_index, scale, [sack, ecn, timestamps])| Memory {
        mss_index,
        scale: if timestamps { scale } else { NO_SCALE },
        sack: sack && timestamps,
        ecn: ecn && timestamps,
        timestamps,
    })
}

proptest! {
    #[test]
    fn round_trip(memory in memory(), is_v6: bool, isn: u32, current: u64) {
        let (keys, packet) = (keys(current, 100 * SECOND), packet(is_v6));
        let cookie = encode(&keys, &packet, isn, SCALE, &memory);
        let found = decode(&keys, 101 * SECOND, &packet, isn, SCALE, cookie, memory.timestamps);
        prop_assert_eq!(found, Some(memory));
    }

    #[test]
    fn one_changed_bit_is_refused(memory in memory(), is_v6: bool, isn: u32, bit in 0_u32..64) {
        let (keys, packet) = (keys(7, 100 * SECOND), packet(is_v6));
        let mut cookie = encode(&keys, &packet, isn, SCALE, &memory);
        if bit < 32 {
            cookie.isn ^= 1 << bit;
        } else if memory.timestamps {
            cookie.tsval ^= 1 << (bit - 32);
        } else {
            return Ok(());
        }
        prop_assert_eq!(decode(&keys, 101 * SECOND, &packet, isn, SCALE, cookie, memory.timestamps), None);
    }

    #[test]
    fn bound_to_tuple_and_isn(isn: u32, other: u32, port: u16) {
        let (keys, packet) = (keys(7, 100 * SECOND), packet(false));
        prop_assume!(isn != other && port != packet.ports.source);
        let memory = Memory { mss_index: 6, scale: 7, sack: true, ecn: false, timestamps: true };
        let cookie = encode(&keys, &packet, isn, SCALE, &memory);
        prop_assert_eq!(decode(&keys, 101 * SECOND, &packet, other, SCALE, cookie, true), None);
        let mut moved = packet;
        moved.ports.source = port;
        prop_assert_eq!(decode(&keys, 101 * SECOND, &moved, isn, SCALE, cookie, true), None);
    }
}

#[test]
fn two_epochs_are_accepted_and_no_third() {
    let packet = packet(false);
    let memory = Memory { mss_index: 6, scale: 7, sack: true, ecn: true, timestamps: true };
    let cookie = encode(&keys(5, 0), &packet, 1, SCALE, &memory);
    let after = |rotations: u64, now| {
        decode(&keys(5 + rotations, rotations * PERIOD), now, &packet, 1, SCALE, cookie, true).is_some()
    };
    assert!(after(0, PERIOD - 1));
    assert!(after(1, PERIOD + 1));
    assert!(!after(2, PERIOD + 1), "a key two epochs old is gone, whatever the clock says");
}

#[test]
fn accepted_until_the_last_nanosecond() {
    let (keys, packet) = (keys(5, 0), packet(true));
    let memory = Memory { mss_index: 1, scale: NO_SCALE, sack: false, ecn: false, timestamps: false };
    let cookie = encode(&keys, &packet, 9, SCALE, &memory);
    let at = |now| decode(&keys, now, &packet, 9, SCALE, cookie, false);
    assert_eq!(at(2 * PERIOD - SECOND), Some(memory), "one second before");
    assert_eq!(at(2 * PERIOD - 1), Some(memory));
    assert_eq!(at(2 * PERIOD), None);
}

#[test]
fn a_new_master_still_accepts_the_old_ones_epoch() {
    let packet = packet(false);
    let memory = Memory { mss_index: 6, scale: 7, sack: true, ecn: false, timestamps: true };
    let mut keys = keys(5, 0);
    let cookie = encode(&keys, &packet, 1, SCALE, &memory);
    keys.slots[2] = Slot { mac: [9, 9], ..keys.slots[1] };
    keys.current = 6;
    assert_eq!(decode(&keys, 1, &packet, 1, SCALE, cookie, true), Some(memory));
}

#[test]
fn a_host_with_another_window_scale_refuses() {
    let (keys, packet) = (keys(5, 0), packet(false));
    let memory = Memory { mss_index: 6, scale: 7, sack: true, ecn: false, timestamps: true };
    let cookie = encode(&keys, &packet, 1, SCALE, &memory);
    for scale in 0..=14 {
        let found = decode(&keys, 1, &packet, 1, scale, cookie, true);
        assert_eq!(found.is_some(), scale == SCALE, "{scale}");
    }
}

#[test]
fn an_empty_slot_neither_issues_nor_accepts() {
    let keys = Keys::default();
    assert!(!keys.issuing(0));
    let packet = packet(false);
    let memory = Memory { mss_index: 0, scale: NO_SCALE, sack: false, ecn: false, timestamps: false };
    let cookie = encode(&keys, &packet, 1, SCALE, &memory);
    assert_eq!(decode(&keys, 0, &packet, 1, SCALE, cookie, false), None);
}

#[test]
fn guessing_does_not_pay() {
    let (keys, packet) = (keys(5, 0), packet(false));
    let hits = (0..1_000_000_u32)
        .filter(|i| {
            let guess = Cookie { isn: i.wrapping_mul(0x9e37_79b1), tsval: 0 };
            decode(&keys, 1, &packet, 1, SCALE, guess, false).is_some()
        })
        .count();
    // 28 bits: 2^-28 per guess.
    assert_eq!(hits, 0);
}

#[test]
fn mss_is_rounded_down_to_the_table() {
    for (mss, is_v6, kept) in [
        (1460, false, 1460),
        (1459, false, 1440),
        (100, false, 536),
        (65_535, false, 8960),
        (1440, true, 1440),
        (536, true, 1220),
        (9000, true, 8940),
    ] {
        let options = TcpOptions { mss, ..TcpOptions::NONE };
        assert_eq!(Memory::of(&options, is_v6, false).mss(is_v6), kept);
    }
    assert!(MSS_V4.is_sorted() && MSS_V6.is_sorted());
}
