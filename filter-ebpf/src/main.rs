//! The kernel shell: entry points around `filter_common`'s decision, and nothing that decides.
#![no_std]
#![no_main]
#![expect(unreachable_pub, missing_docs, reason = "what aya's macros generate around the entry points")]
#![feature(asm_experimental_arch)]

mod events;
mod kernel;
mod lists;
mod maps;
mod route;
mod tc;
mod xdp;

use aya_ebpf::{
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// Filters what an interface receives.
#[xdp(frags)]
pub fn floodwall(context: XdpContext) -> u32 {
    xdp::run(context)
}

/// Creates the connections of accepted cookies.
#[classifier]
pub fn floodwall_tc(context: TcContext) -> i32 {
    tc::run(&context)
}

/// Looks at what leaves the host.
#[classifier]
pub fn floodwall_out(context: TcContext) -> i32 {
    tc::leave(&context)
}

/// A reachable panic must fail the load: the verifier refuses the endless loop.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
