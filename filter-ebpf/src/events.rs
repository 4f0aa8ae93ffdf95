//! Sampled packets on their way to user space.

use aya_ebpf::{
    bindings::{BPF_RB_NO_WAKEUP, xdp_md},
    helpers::generated::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
};
use filter_common::{config::flags, event::SNAP};

use crate::{kernel::now, maps};

/// Where `what` holds the packet's plane; below is its reason.
pub(crate) const PLANE: u32 = 8;

/// Tells user space about a packet, within this CPU's budget.
///
/// Verified by itself. The event is put together in the ring: the stack of the entry has no room for it. Nobody is woken: user space
/// looks at the ring now and then.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn xdp_event(context: *mut xdp_md, what: u32, length: u32) -> u32 {
    let config = maps::config();
    if context.is_null() || !config.has(flags::EVENTS) {
        return 0;
    }
    let Some(sampler) = maps::SAMPLER.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own slot, and XDP programs don't nest on a CPU.
    let sampler = unsafe { &mut *sampler };
    let time = now();
    let Some(stands_for) = sampler.take(time, config.sample_budget) else { return 0 };
    let Some(mut entry) = maps::EVENTS.reserve(0) else {
        sampler.full += 1;
        return 0;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the reserved memory has an event's size. What is read of the frame is bounded, and fits.
    let read = unsafe {
        let captured = from_1_to_snap(bpf_xdp_get_buff_len(context));
        (*event).time = time;
        (*event).weight = stands_for * (config.sample_mask + 1);
        (*event).ifindex = (*context).ingress_ifindex;
        (*event).length = length;
        (*event).captured = captured as u16;
        (*event).reason = what as u8;
        (*event).plane = (what >> PLANE) as u8;
        let frame = (&raw mut (*event).frame).cast();
        bpf_xdp_load_bytes(context, 0, frame, captured as u32) == 0
    };
    if !read {
        entry.discard(BPF_RB_NO_WAKEUP.into());
        return 0;
    }
    entry.submit(BPF_RB_NO_WAKEUP.into());
    sampler.written += 1;
    1
}

/// At most [`SNAP`] of so many bytes. Before Linux 6.8 the verifier learns from no comparison that a length is not 0, so it is told;
/// reading from an empty frame fails.
#[inline(always)]
fn from_1_to_snap(length: u64) -> u64 {
    let mut last = length.wrapping_sub(1);
    if last > SNAP as u64 - 1 {
        last = SNAP as u64 - 1;
    }
    // SAFETY: a number is masked, and counted up.
    unsafe {
        core::arch::asm!("{0} &= {mask}", "{0} += 1", inout(reg) last, mask = const SNAP - 1, options(pure, nomem, nostack));
    }
    last
}

const _: () = assert!(SNAP.is_power_of_two());
