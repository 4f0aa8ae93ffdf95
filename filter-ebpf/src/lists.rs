//! Lists and bans on their maps: functions that the verifier checks once, by themselves.

use aya_ebpf::btf_maps::lpm_trie::Key;
use filter_common::{
    ban::{self, Bans},
    config::BAN_HINTS,
    list::{self, Class, Listed, Lists, Node, Page, Record},
    packet::{Address, Packet},
};

use crate::{kernel, maps};

/// The maps; none of them belongs to a packet.
struct Tables;

impl Lists for Tables {
    #[inline(always)]
    fn listed(&self) -> &Listed {
        maps::listed()
    }

    #[inline(always)]
    fn bits(&self, index: u32) -> Option<u64> {
        maps::LIST_BITS.get(index).copied()
    }

    #[inline(always)]
    fn record(&self, index: u32) -> Option<&Record> {
        maps::LIST_RECORDS.get(index)
    }

    #[inline(always)]
    fn page(&self, index: u32) -> Option<&Page> {
        maps::LIST_PAGES.get(index)
    }

    #[inline(always)]
    fn node(&self, index: u32) -> Option<&Node> {
        maps::LIST_NODES.get(index)
    }
}

impl Bans for Tables {
    #[inline(always)]
    fn gate(&self) -> u64 {
        maps::BAN_CONTROL.get(0).map_or(0, |control| control.gate)
    }

    #[inline(always)]
    fn may_hold(&self, key: u64) -> bool {
        let (word, bit) = ban::hint(key, maps::config().lines[BAN_HINTS]);
        maps::BAN_HINTS.get(word).is_none_or(|bits| bits >> bit & 1 != 0)
    }

    #[inline(always)]
    fn source(&self, key: u64) -> Option<u64> {
        // SAFETY: one aligned word of an entry is read; the kernel keeps its memory mapped.
        maps::BANS.get_ptr(&key).map(|ban| unsafe { (*ban).until })
    }

    #[inline(always)]
    fn prefix(&self, address: &Address) -> Option<u64> {
        maps::BANNED.get(&Key::new(128, address.0)).map(|ban| ban.until)
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        kernel::now()
    }
}

/// What the lists say of the packet's source. Numbers are handed on, no reference: the packet then lies in registers.
#[inline(always)]
pub(crate) fn class(packet: &Packet) -> Class {
    if packet.is_v6 {
        let [upper, lower] = packet.source.words();
        Class::from_bits(list_class_v6(u64::from_be(upper), u64::from_be(lower)) as u64)
    } else {
        list::class_v4(u32::from_be(packet.source.v4()), &Tables)
    }
}

/// Whether the packet's source may be banned. An IPv6 source is left to [`is_banned`]: the entry point has no registers for more.
#[inline(always)]
pub(crate) fn may_be_banned(packet: &Packet) -> bool {
    if packet.is_v6 { Tables.gate() != 0 } else { ban::may_be_banned(&packet.source, false, &Tables) }
}

/// Whether the packet's source is banned.
#[inline(always)]
pub(crate) fn is_banned(packet: &Packet) -> bool {
    let [upper, lower] = packet.source.words();
    ban_holds(upper, lower, packet.is_v6 as u32) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn list_class_v6(upper: u64, lower: u64) -> u32 {
    list::class_v6([upper, lower], &Tables) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ban_holds(upper: u64, lower: u64, is_v6: u32) -> u32 {
    ban::is_banned(&Address::from_words([upper, lower]), is_v6 != 0, &Tables) as u32
}
