//! Lists and bans on their maps: functions that the verifier checks once, by themselves.

use aya_ebpf::{btf_maps::lpm_trie::Key, helpers::generated::bpf_ktime_get_coarse_ns};
use filter_common::{
    ban::{self, Bans},
    list::{self, Class, Listed, Lists, Node, Page, Record},
    packet::{Address, Packet},
};

use crate::maps;

/// The maps; none of them belongs to a packet.
struct Tables;

impl Lists for Tables {
    #[inline(always)]
    fn listed(&self) -> &Listed {
        maps::listed()
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
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_coarse_ns() }
    }
}

/// What the lists say of the packet's source.
#[inline(always)]
pub(crate) fn class(packet: &Packet) -> Class {
    Class::from_bits(list_class(packet) as u64)
}

/// Whether there is any ban.
#[inline(always)]
pub(crate) fn any_bans() -> bool {
    Tables.gate() != 0
}

/// Whether the packet's source is banned.
#[inline(always)]
pub(crate) fn is_banned(packet: &Packet) -> bool {
    ban_holds(packet) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn list_class(packet: *const Packet) -> u32 {
    // SAFETY: checked for null; the verifier checks the size.
    unsafe { packet.as_ref() }.map_or(0, |packet| list::class_of(packet, &Tables) as u32)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ban_holds(packet: *const Packet) -> u32 {
    // SAFETY: as above.
    unsafe { packet.as_ref() }.map_or(0, |packet| ban::is_banned(packet, &Tables) as u32)
}
