//! The laboratory's kernel side: a flood, a sink for what the flooded host answers to forged sources, and
//! witnesses. Only the tests and the demo load it; no part of it belongs to the filter.
#![no_std]
#![no_main]
#![expect(
    unreachable_pub,
    missing_docs,
    reason = "what aya's macros generate, and lab/abi.rs, which the tests include"
)]

#[path = "lab/abi.rs"]
mod abi;
#[path = "lab/frame.rs"]
mod frame;
#[path = "lab/generate.rs"]
mod generate;

use abi::{TALLY_LEN, Tally};
use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action},
    btf_maps::{Array, PerCpuArray},
    macros::{btf_map, classifier, xdp},
    programs::{TcContext, XdpContext},
};
use frame::{Kind, forged_destination, forged_source};

#[btf_map]
static TALLY: PerCpuArray<u64, TALLY_LEN> = PerCpuArray::new();

/// When `generate`'s next frame is due.
#[btf_map]
static DUE: Array<u64, 1> = Array::new();

#[inline(always)]
fn count(what: Tally) {
    if let Some(slot) = TALLY.get_ptr_mut(what as u32) {
        // SAFETY: the map's own slot of this CPU, which nobody else writes while this program runs.
        unsafe { *slot += 1 }
    }
}

/// Writes the next frame of the flood; run in live-frame mode.
#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    generate::frame(&ctx)
}

/// Takes the answers to forged sources away at the lowest cost and leaves everything else alone.
#[xdp(frags)]
pub fn sink(ctx: XdpContext) -> u32 {
    let what = match forged_destination(ctx.data(), ctx.data_end()) {
        None => return xdp_action::XDP_PASS,
        Some(Kind::SynAck) => Tally::SynAck,
        Some(Kind::Rst) => Tally::Rst,
        Some(_) => Tally::Other,
    };
    count(what);
    xdp_action::XDP_DROP
}

/// Does nothing; a veth peer needs a program to receive what `XDP_TX` sends.
#[xdp(frags)]
pub fn pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Stands for somebody else's program behind the filter.
#[xdp]
pub fn onward(ctx: XdpContext) -> u32 {
    go_on(&ctx)
}

/// The same, for frames in several buffers.
#[xdp(frags)]
pub fn onward_frags(ctx: XdpContext) -> u32 {
    go_on(&ctx)
}

#[inline(always)]
fn go_on(ctx: &XdpContext) -> u32 {
    count(Tally::Onward);
    if ctx.metadata() < ctx.metadata_end() {
        count(Tally::OnwardMeta);
    }
    xdp_action::XDP_PASS
}

/// Counts what forged sources get through to the stack.
#[classifier]
pub fn witness(ctx: TcContext) -> i32 {
    match forged_source(ctx.data(), ctx.data_end()) {
        None => {}
        Some(Kind::Syn) => count(Tally::SeenSyn),
        Some(_) => count(Tally::SeenOther),
    }
    TC_ACT_UNSPEC
}

/// A VLAN interface for kernels that have none: tags what leaves.
#[classifier]
pub fn tag(ctx: TcContext) -> i32 {
    const ETH_P_8021Q: u16 = 0x8100_u16.to_be();
    // SAFETY: the context is the one the kernel gave to this program.
    unsafe { aya_ebpf::helpers::bpf_skb_vlan_push(ctx.skb.skb, ETH_P_8021Q, 7) };
    TC_ACT_UNSPEC
}

/// A VLAN interface for kernels that have none: takes the tag off what arrives.
#[classifier]
pub fn untag(ctx: TcContext) -> i32 {
    // SAFETY: as above.
    unsafe { aya_ebpf::helpers::bpf_skb_vlan_pop(ctx.skb.skb) };
    TC_ACT_UNSPEC
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
