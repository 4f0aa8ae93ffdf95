//! The tc ingress entry: connections whose cookie XDP accepted are created in the stack here.
//!
//! Every other packet costs one comparison.

use aya_ebpf::{
    EbpfContext,
    bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::{bpf_skb_pull_data, bpf_skc_to_tcp_sock},
    programs::TcContext,
};
use aya_log_ebpf::warn;
use core::ops::ControlFlow::{Break, Continue};
use filter_common::{
    abi::{HandOver, HandOverMeta, Plane, StepDown, TcpReqAttrs},
    config::flags,
    cursor::{Cursor, Writer},
    extensions,
    frame::Frame,
    ip_options,
    options::{self, TcpOptions},
    packet::{self, Packet},
    quote::Quote,
    reason::{Action, Reason},
    stages::{egress, segment},
    state::State,
};

use crate::{
    kernel::{Held, Kernel},
    maps,
    xdp::{self, meta_magic},
};

unsafe extern "C" {
    /// `net/core/filter.c`, Linux 6.9; the loader fills in its BTF id or, without it, -95.
    fn bpf_sk_assign_tcp_reqsk(
        skb: *mut __sk_buff,
        sk: *mut core::ffi::c_void,
        attrs: *const TcpReqAttrs,
        size: u32,
    ) -> i32;
}

/// The frame of a tc program: read only.
struct TcFrame(*mut __sk_buff);

impl TcFrame {
    #[inline(always)]
    fn range(&self) -> (usize, usize) {
        // SAFETY: a valid context.
        unsafe { ((*self.0).data as usize, (*self.0).data_end as usize) }
    }
}

impl Frame for TcFrame {
    #[inline(always)]
    fn cursor(&self) -> Cursor<'_> {
        let (start, end) = self.range();
        // SAFETY: the linear part of the skb, ours while the program runs.
        unsafe { Cursor::from_range(start, end) }
    }

    #[inline(always)]
    fn writer(&mut self) -> Writer<'_> {
        let (start, end) = self.range();
        // SAFETY: as above.
        unsafe { Writer::from_range(start, end) }
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: a valid context.
        unsafe { (*self.0).len }
    }

    #[inline(always)]
    fn ipv4_options(&self, offset: u16, length: u16) -> u32 {
        tc_ipv4_options(self.0, offset as u32, length as u32)
    }

    /// Only the XDP program judges ICMP.
    #[inline(always)]
    fn quote(&self, _packet: &Packet) -> Quote {
        Quote::default()
    }

    #[inline(always)]
    fn options(&self, packet: &Packet) -> TcpOptions {
        let mut options = TcpOptions::NONE;
        let length = packet.tcp.option_words as u32 * 4;
        tc_tcp_options(self.0, packet.l4 as u32 + 20, length, &raw mut options);
        options
    }

    #[inline(always)]
    fn extensions(&self, offset: u16, next: u8, payload: u16) -> u64 {
        tc_extensions(self.0, offset as u32, next as u32, payload as u32)
    }

    #[inline(always)]
    fn resize(&mut self, _cut: u16, _length: u16) -> bool {
        false
    }

    #[inline(always)]
    fn hand_over(&mut self, _attrs: &TcpReqAttrs) {}
}

/// As in XDP, for this program type's context.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tc_tcp_options(context: *mut __sk_buff, offset: u32, length: u32, out: *mut TcpOptions) -> i32 {
    if context.is_null() || out.is_null() {
        return -1;
    }
    let options = options::parse(TcFrame(context).cursor().at(offset as u16), length as u16);
    // SAFETY: checked for null; the verifier checks the size.
    unsafe { *out = options };
    0
}

/// As in XDP, for this program type's context.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tc_ipv4_options(context: *mut __sk_buff, offset: u32, length: u32) -> u32 {
    if context.is_null() {
        return ip_options::MALFORMED;
    }
    ip_options::read(TcFrame(context).cursor().at(offset as u16), length as u16)
}

/// As in XDP, for this program type's context.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tc_extensions(context: *mut __sk_buff, offset: u32, next: u32, payload: u32) -> u64 {
    if context.is_null() {
        return 0;
    }
    extensions::walk(TcFrame(context).cursor().at(offset as u16), next as u8, payload as u16)
}

/// `-EINVAL`
const EINVAL: i32 = -22;

/// Bytes of headers that are read at most, so that they are made linear together.
const HEADERS: usize = 256;

#[inline(always)]
pub(crate) fn run(context: &TcContext) -> i32 {
    let skb = context.skb.skb;
    let kernel = Kernel::new(TcContext::new(skb));
    let meta = read_meta(skb, meta_magic(kernel.config().seed));
    if meta.is_some() || kernel.config().has(flags::DECODE_IN_TC) {
        take_over(context, &kernel, meta);
    }
    TC_ACT_UNSPEC
}

/// What XDP left in front of the packet.
#[inline(always)]
fn read_meta(skb: *mut __sk_buff, magic: u32) -> Option<TcpReqAttrs> {
    // SAFETY: a valid context; the record is read only inside [data_meta, data).
    let meta = unsafe {
        let (start, end) = ((*skb).data_meta as usize, (*skb).data as usize);
        if start + size_of::<HandOverMeta>() > end {
            return None;
        }
        *(start as *const HandOverMeta)
    };
    (meta.magic == magic).then_some(meta.attrs)
}

#[inline(always)]
fn take_over(context: &TcContext, kernel: &Kernel<TcContext>, meta: Option<TcpReqAttrs>) {
    let skb = context.skb.skb;
    let frame = linear(skb);
    let Continue(packet) = packet::parse(&frame) else {
        if meta.is_some() {
            count(HandOver::Unreadable);
        }
        return;
    };
    // A constant to the verifier: without it the whole decoder is not looked at.
    let decoded = if kernel.config().has(flags::DECODE_IN_TC) {
        segment::decode(&frame, &packet, kernel)
    } else {
        None
    };
    let Some(attrs) = meta.or(decoded) else { return };
    let outcome = assign(context, kernel, &packet, &attrs);
    count(outcome);
}

/// The skb with its headers in the linear part.
#[inline(always)]
fn linear(skb: *mut __sk_buff) -> TcFrame {
    let frame = TcFrame(skb);
    let (start, end) = frame.range();
    // SAFETY: a valid context; pointers are read anew afterwards.
    unsafe {
        let len = (*skb).len;
        if end - start < HEADERS && (end - start) < len as usize {
            bpf_skb_pull_data(skb, if len < HEADERS as u32 { len } else { HEADERS as u32 });
        }
    }
    frame
}

/// Gives the packet to the listener with everything that the handshake negotiated.
#[inline(always)]
fn assign(context: &TcContext, kernel: &Kernel<TcContext>, packet: &Packet, attrs: &TcpReqAttrs) -> HandOver {
    let Some(socket) = Held::find(context, packet) else { return HandOver::NoListener };
    if !socket.is_listener() {
        return HandOver::Known;
    }
    // SAFETY: the socket is held; the kernel function checks the rest.
    let error = unsafe {
        let tcp = bpf_skc_to_tcp_sock(socket.as_ptr().cast());
        if tcp.is_null() {
            return HandOver::NoListener;
        }
        bpf_sk_assign_tcp_reqsk(context.as_ptr().cast(), tcp.cast(), attrs, size_of::<TcpReqAttrs>() as u32)
    };
    if error == 0 {
        return HandOver::Ok;
    }
    // Out of memory is no property of the port; a listener of a kind that can't take over cookies is.
    if error == EINVAL {
        kernel.step_down(packet.ports.destination, StepDown::Refused);
    }
    warn!(context, "port {}: the kernel refused a hand-over: error {}", packet.ports.destination, error);
    HandOver::Refused
}

/// tc egress: what leaves is judged by its source, and noted for its replies.
#[inline(always)]
pub(crate) fn leave(context: &TcContext) -> i32 {
    let skb = context.skb.skb;
    let kernel = Kernel::new(TcContext::new(skb));
    let Some(packet) = maps::LEAVING.get_ptr_mut(0) else { return TC_ACT_UNSPEC };
    // SAFETY: this CPU's own slot; egress programs run with bottom halves off.
    let packet = unsafe { &mut *packet };
    let frame = linear(skb);
    // SAFETY: a valid context.
    let bytes = unsafe { (*skb).len };
    let reason = match packet::parse_into(&frame, packet) {
        // What this host sends it answers for: only its sources are judged.
        Break(_) => Reason::Pass,
        Continue(()) => egress::leave(packet, &kernel),
    };
    let enforces = egress::enforces(&kernel);
    xdp::count(reason as u32, bytes.into(), Plane::sent(!enforces), &kernel);
    if enforces && reason.action() == Action::Drop { TC_ACT_SHOT } else { TC_ACT_UNSPEC }
}

#[inline(always)]
fn count(outcome: HandOver) {
    if let Some(counter) = maps::HANDOVERS.get_ptr_mut(outcome as u32) {
        // SAFETY: this CPU's own slot.
        unsafe { *counter += 1 };
    }
}
