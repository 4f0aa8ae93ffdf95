//! Measuring programs of `floodwall bench`: a wrapper that makes each repetition of `BPF_PROG_TEST_RUN` meet the same
//! frame, and programs that do next to nothing, for comparison.
//!
//! The kernel hands one buffer to all repetitions: what a program makes of it is what the next one gets.
#![no_std]
#![no_main]
#![expect(unreachable_pub, missing_docs, reason = "what aya's macros generate, and what user space shares")]
#![feature(asm_experimental_arch)]

#[path = "bench/abi.rs"]
mod abi;
#[path = "bench/restore.rs"]
mod restore;

use abi::{RESTORED, SOURCES, State};
use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, xdp_action},
    btf_maps::{Array, ProgramArray},
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

/// The frame as it is to be, in 16-bit halves.
type Frame = [u16; RESTORED / 2];

#[btf_map]
static STATE: Array<State, 1> = Array::new();
#[btf_map]
static FRAME: Array<[u64; RESTORED / 8], 1> = Array::new();
/// Two sources to a word, as they lie in a packet.
#[btf_map]
static RENEWED: Array<u64, { SOURCES as usize / 2 }, { BPF_F_MMAPABLE as usize }> = Array::new();
#[btf_map]
static TARGET: ProgramArray<1> = ProgramArray::new();

/// Restores the frame and goes on with the program under test.
#[xdp]
pub fn wrap(context: XdpContext) -> u32 {
    restore::and_go_on(&context)
}

#[xdp]
pub fn empty_drop(_context: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

#[xdp]
pub fn empty_pass(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[xdp]
pub fn empty_tx(_context: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Moves the beginning of the frame: what that costs, and undoing it.
#[xdp]
pub fn move_head(context: XdpContext) -> u32 {
    // SAFETY: the context is valid.
    unsafe { bpf_xdp_adjust_head(context.ctx, 4) };
    xdp_action::XDP_DROP
}

/// Moves its end.
#[xdp]
pub fn move_tail(context: XdpContext) -> u32 {
    // SAFETY: as above.
    unsafe { bpf_xdp_adjust_tail(context.ctx, -4) };
    xdp_action::XDP_DROP
}

/// Makes room for metadata.
#[xdp]
pub fn move_meta(context: XdpContext) -> u32 {
    // SAFETY: as above.
    unsafe { bpf_xdp_adjust_meta(context.ctx, -4) };
    xdp_action::XDP_DROP
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
