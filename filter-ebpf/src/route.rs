//! The kernel's routing table: which way leads back to a source.

use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_BLACKHOLE, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NOT_FWDED,
        BPF_FIB_LKUP_RET_PROHIBIT, BPF_FIB_LKUP_RET_UNREACHABLE, bpf_fib_lookup as Parameters,
    },
    helpers::generated::bpf_fib_lookup,
};
use filter_common::{packet::Packet, state::Route};

use crate::kernel::Bounds;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The route to the packet's source, as a forwarded packet would take it (`bpf_fib_lookup`, net/core/filter.c).
#[inline(always)]
pub(crate) fn back<C: Bounds>(context: &C, packet: &Packet) -> Route {
    // SAFETY: integers; all of them zero is valid.
    let mut parameters: Parameters = unsafe { core::mem::zeroed() };
    let ingress = context.ingress();
    parameters.ifindex = ingress;
    if packet.is_v6 {
        parameters.family = AF_INET6;
        parameters.__bindgen_anon_3.ipv6_src = packet.destination.0;
        parameters.__bindgen_anon_4.ipv6_dst = packet.source.0;
    } else {
        parameters.family = AF_INET;
        parameters.__bindgen_anon_3.ipv4_src = packet.destination.v4();
        parameters.__bindgen_anon_4.ipv4_dst = packet.source.v4();
    }
    let size = size_of::<Parameters>() as i32;
    // SAFETY: the parameters outlive the call and have that size.
    let found = unsafe { bpf_fib_lookup(context.as_ptr(), &raw mut parameters, size, 0) };
    match found as u32 {
        // "Not forwarded" is a destination without a route, or an address of this host.
        BPF_FIB_LKUP_RET_BLACKHOLE
        | BPF_FIB_LKUP_RET_UNREACHABLE
        | BPF_FIB_LKUP_RET_PROHIBIT
        | BPF_FIB_LKUP_RET_NOT_FWDED => Route::None,
        BPF_FIB_LKUP_RET_FWD_DISABLED => Route::Unknown,
        _ if parameters.ifindex == ingress => Route::Here,
        _ => Route::Elsewhere,
    }
}
