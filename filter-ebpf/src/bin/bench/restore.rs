//! One repetition: the frame as it was, then the program under test.

use core::{arch::asm, ptr};

use aya_ebpf::{
    bindings::xdp_action,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail},
    programs::XdpContext,
};

use crate::{
    FRAME, Frame, RENEWED, STATE, TARGET,
    abi::{RESTORED, SOURCES, State},
};

/// Never comes back if there is a program under test.
#[inline(always)]
pub(crate) fn and_go_on(context: &XdpContext) -> u32 {
    let (Some(state), Some(frame)) = (STATE.get_ptr_mut(0), FRAME.get_ptr_mut(0)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: one thread runs this program, and nothing else holds these values meanwhile.
    let (state, frame) = unsafe { (&mut *state, &mut *frame) };
    if state.source != 0 {
        renew(state, frame);
    }
    if !undo(context, state) {
        return xdp_action::XDP_ABORTED;
    }
    write_back(context.data(), context.data_end(), frame);
    // A locked instruction empties the store buffer: the program under test reads the frame from the cache, as it would
    // behind a NIC, and not out of stores that are under way.
    // SAFETY: an aligned word of a map's value.
    unsafe {
        asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) &raw mut state.count, in(reg) 1_u64, options(nostack));
        TARGET.tail_call(context, 0);
    }
    xdp_action::XDP_ABORTED
}

/// The next source, with its checksums.
#[inline(always)]
fn renew(state: &State, words: &mut [u64; RESTORED / 8]) {
    let index = (state.count & state.mask) as u32 & (SOURCES - 1);
    let Some(pair) = RENEWED.get(index >> 1) else { return };
    let source = (*pair >> ((index & 1) * 32)) as u32;
    // SAFETY: the same bytes; halves need no more alignment than words.
    let frame = unsafe { &mut *ptr::from_mut(words).cast::<Frame>() };
    let mut change = 0;
    for (i, half) in [source as u16, (source >> 16) as u16].into_iter().enumerate() {
        if let Some(place) = frame.get_mut(place(state.source + i as u64)) {
            change += (!*place) as u32 + half as u32;
            *place = half;
        }
    }
    for at in state.sums {
        if at != 0
            && let Some(sum) = frame.get_mut(place(at))
        {
            *sum = updated(*sum, change);
        }
    }
}

/// Keeps an index inside the frame.
#[inline(always)]
fn place(half: u64) -> usize {
    half as usize & (RESTORED / 2 - 1)
}

/// "HC' = ~(~HC + ~m + m')" (RFC 1624).
#[inline(always)]
fn updated(sum: u16, change: u32) -> u16 {
    let wide = (!sum) as u32 + change;
    let wide = (wide & 0xffff) + (wide >> 16);
    !((wide & 0xffff) + (wide >> 16)) as u16
}

/// Undoes what the last program did to the frame's bounds.
#[inline(always)]
fn undo(context: &XdpContext, state: &mut State) -> bool {
    let metadata = context.data() - context.metadata();
    // SAFETY: the context is valid, here and below.
    if metadata != 0 && unsafe { bpf_xdp_adjust_meta(context.ctx, metadata as i32) } == 0 {
        state.undone[2] += 1;
    }
    let here = number(&mut state.here, context.data());
    if state.start == 0 {
        state.start = here;
    }
    let moved = state.start.wrapping_sub(here) as i32;
    if moved != 0 {
        if unsafe { bpf_xdp_adjust_head(context.ctx, moved) } != 0 {
            return false;
        }
        state.undone[0] += 1;
    }
    let missing = state.length as i32 - (context.data_end() - context.data()) as i32;
    if missing != 0 {
        if unsafe { bpf_xdp_adjust_tail(context.ctx, missing) } != 0 {
            return false;
        }
        state.undone[1] += 1;
    }
    true
}

/// An address as a plain number: on its way through a map the verifier forgets what it is.
#[inline(always)]
fn number(through: &mut u64, address: usize) -> u64 {
    // SAFETY: a live word, written and read back.
    unsafe {
        ptr::write_volatile(through, address as u64);
        ptr::read_volatile(through)
    }
}

/// Writes the frame's first bytes.
#[inline(always)]
fn write_back(start: usize, end: usize, frame: &[u64; RESTORED / 8]) {
    let mut index = 0;
    while index < RESTORED / 8 {
        let (at, word) = (start + index * 8, frame[index]);
        if at + 8 > end {
            return write_rest(at, end, word);
        }
        // SAFETY: before the frame's end; frames begin 8-aligned.
        unsafe { *(at as *mut u64) = word };
        index += 1;
    }
}

/// Fewer than 8 bytes.
#[inline(always)]
fn write_rest(at: usize, end: usize, word: u64) {
    let mut done = 0;
    while done < 7 {
        let byte = at + done;
        let mut next = byte;
        // SAFETY: one is added. LLVM would make `byte < end` of it, which tells the verifier nothing.
        unsafe { asm!("{0} += 1", inout(reg) next, options(pure, nomem, nostack)) };
        if next > end {
            return;
        }
        // SAFETY: before the frame's end.
        unsafe { *(byte as *mut u8) = (word >> (done * 8)) as u8 };
        done += 1;
    }
}
