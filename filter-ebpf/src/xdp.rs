//! The XDP entry: one decision, one exit.

use core::ops::ControlFlow::{Break, Continue};

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::generated::{
        bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len,
    },
    programs::XdpContext,
};
use filter_common::{
    abi::{Counter, HandOverMeta, META_MAGIC, Plane, StepDown, TcpReqAttrs, counter_index},
    config::flags,
    cursor::{Cursor, Writer},
    extensions,
    frame::Frame,
    ip_options,
    options::{self, TcpOptions},
    packet::{self, Packet},
    quote::{self, Quote},
    reason::Action,
    stages::{self, Fate, Next, rules::Ruled},
    state::State,
};

use crate::{
    events::{PLANE, xdp_event},
    kernel::Kernel,
    maps,
};

/// The frame of an XDP program.
pub(crate) struct XdpFrame(XdpContext);

impl Frame for XdpFrame {
    #[inline(always)]
    fn cursor(&self) -> Cursor<'_> {
        // SAFETY: packet memory between data and data_end, ours while the program runs.
        unsafe { Cursor::from_range(self.0.data(), self.0.data_end()) }
    }

    #[inline(always)]
    fn writer(&mut self) -> Writer<'_> {
        // SAFETY: as above.
        unsafe { Writer::from_range(self.0.data(), self.0.data_end()) }
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: the context is valid.
        unsafe { bpf_xdp_get_buff_len(self.0.ctx) as u32 }
    }

    #[inline(always)]
    fn ipv4_options(&self, offset: u16, length: u16) -> u32 {
        xdp_ipv4_options(self.0.ctx, offset as u32, length as u32)
    }

    #[inline(always)]
    fn quote(&self, packet: &Packet) -> Quote {
        let mut quote = Quote::default();
        xdp_quote(self.0.ctx, packet, &raw mut quote);
        quote
    }

    #[inline(always)]
    fn options(&self, packet: &Packet) -> TcpOptions {
        let length = packet.tcp.option_words as u32 * 4;
        let usual = options::parse_usual(self.cursor().at(packet.l4 + 20), length as u16);
        if let Some(options) = usual {
            return options;
        }
        let mut options = TcpOptions::NONE;
        xdp_tcp_options(self.0.ctx, packet.l4 as u32 + 20, length, &raw mut options);
        options
    }

    #[inline(always)]
    fn extensions(&self, offset: u16, next: u8, payload: u16) -> u64 {
        xdp_extensions(self.0.ctx, offset as u32, next as u32, payload as u32)
    }

    #[inline(always)]
    fn resize(&mut self, cut: u16, length: u16) -> bool {
        // SAFETY: the context is valid; the helpers check the new bounds.
        unsafe {
            if cut != 0 && bpf_xdp_adjust_head(self.0.ctx, cut as i32) != 0 {
                return false;
            }
            let change = length as i32 - self.length() as i32;
            change == 0 || bpf_xdp_adjust_tail(self.0.ctx, change) == 0
        }
    }

    #[inline(always)]
    fn hand_over(&mut self, attrs: &TcpReqAttrs) {
        let kernel = Kernel::new(XdpContext::new(self.0.ctx));
        let config = kernel.config();
        if config.has(flags::DECODE_IN_TC) {
            return;
        }
        if !write_meta(&self.0, meta_magic(config.seed), attrs) {
            // Port 0 has no service; its byte tells that this driver has no metadata, and ends cookies.
            kernel.step_down(0, StepDown::Refused);
        }
    }
}

/// First word of a hand-over.
#[inline(always)]
pub(crate) const fn meta_magic(seed: [u64; 2]) -> u32 {
    META_MAGIC ^ seed[0] as u32
}

#[inline(always)]
fn write_meta(context: &XdpContext, magic: u32, attrs: &TcpReqAttrs) -> bool {
    // SAFETY: the context is valid; the record is written only inside [data_meta, data).
    unsafe {
        if bpf_xdp_adjust_meta(context.ctx, -(size_of::<HandOverMeta>() as i32)) != 0 {
            return false;
        }
        let start = context.metadata();
        if start + size_of::<HandOverMeta>() > context.metadata_end() {
            return false;
        }
        *(start as *mut HandOverMeta) = HandOverMeta { magic, attrs: *attrs };
    }
    true
}

/// Reads TCP options in a function that the verifier checks once, by itself: inlined it costs a million
/// instructions.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_tcp_options(context: *mut xdp_md, offset: u32, length: u32, out: *mut TcpOptions) -> i32 {
    if context.is_null() || out.is_null() {
        return -1;
    }
    let frame = XdpFrame(XdpContext::new(context));
    let options = options::parse(frame.cursor().at(offset as u16), length as u16);
    // SAFETY: checked for null; the verifier checks the size.
    unsafe { *out = options };
    0
}

/// As above: the kinds of options.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_ipv4_options(context: *mut xdp_md, offset: u32, length: u32) -> u32 {
    if context.is_null() {
        return ip_options::MALFORMED;
    }
    let frame = XdpFrame(XdpContext::new(context));
    ip_options::read(frame.cursor().at(offset as u16), length as u16)
}

/// As above: what an ICMP error quotes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_quote(context: *mut xdp_md, packet: *const Packet, out: *mut Quote) -> i32 {
    if context.is_null() || packet.is_null() || out.is_null() {
        return -1;
    }
    let frame = XdpFrame(XdpContext::new(context));
    // SAFETY: checked for null; the verifier checks the sizes.
    unsafe { *out = quote::read(frame.cursor(), &*packet) };
    0
}

/// Verified once, by itself: the ways through a chain are many.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_extensions(context: *mut xdp_md, offset: u32, next: u32, payload: u32) -> u64 {
    if context.is_null() {
        return 0;
    }
    let frame = XdpFrame(XdpContext::new(context));
    extensions::walk(frame.cursor().at(offset as u16), next as u8, payload as u16)
}

/// Decides, counts, acts.
///
/// The short way is part of this function: a call of its own would cost each packet 8 ns. Its frame and that of the deepest of the
/// functions below have to fit into 512 bytes, each rounded up to 32 before Linux 6.8.
#[inline(always)]
pub(crate) fn run(context: XdpContext) -> u32 {
    let kernel = Kernel::new(XdpContext::new(context.ctx));
    let mut packet = Packet::EMPTY;
    let way = stages::short(&XdpFrame(XdpContext::new(context.ctx)), &mut packet, &kernel);
    let (exit, length) = match way.next {
        Next::Ends => (exit(way.fate), packet.frame_length),
        Next::Admitted => admitted(context.ctx, way.service),
        Next::Long => ask(context.ctx, xdp_parse, |packet| long(context.ctx, packet, &kernel)),
        Next::Odd => ask(context.ctx, xdp_early, |packet| long(context.ctx, packet, &kernel)),
    };
    let plane = Plane::received(exit >> OBSERVED & 1 != 0);
    let counted = count(exit & 0xff, length as u64, plane, &kernel);
    let config = kernel.config();
    if config.has(flags::EVENTS) && counted as u32 & config.sample_mask == 0 {
        xdp_event(context.ctx, exit & 0xff | (plane as u32) << PLANE, length);
    }
    let action = exit >> ACTION & 0xff;
    if kernel.config().has(flags::NEXT) && opaque(action) == xdp_action::XDP_PASS {
        // SAFETY: nothing here has anything to drop. It returns if there is no such program.
        unsafe { maps::NEXT.tail_call(&context, 0) };
    }
    action
}

/// The same number, of unknown origin to the compiler: it would ask for it first, and then nothing of the condition is dead code
/// where it is off.
#[inline(always)]
fn opaque(mut number: u32) -> u32 {
    // SAFETY: the number comes out as it went in.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) number, options(pure, nomem, nostack)) };
    number
}

/// What is for a stage of TCP's: an exit and the frame's length. It has been parsed once, so nothing speaks against it.
#[inline(always)]
fn admitted(context: *mut xdp_md, service: u32) -> (u32, u32) {
    let Some(packet) = packet() else { return (NOTHING, 0) };
    let parsed = packet::parse_plain(&XdpFrame(XdpContext::new(context)), packet);
    let exit = if matches!(parsed, Continue(true)) { converse(context, packet, service, 0) } else { NOTHING };
    (exit, packet.frame_length)
}

/// What the short way leaves, from the parser on: an exit and the frame's length.
#[inline(always)]
fn ask(
    context: *mut xdp_md,
    parse: extern "C" fn(*mut xdp_md) -> u32,
    go_on: impl Fn(&Packet) -> u32,
) -> (u32, u32) {
    let Some(packet) = packet() else { return (NOTHING, 0) };
    let parsed = parse(context);
    let exit = if parsed == GOES_ON { go_on(packet) } else { parsed };
    (exit, packet.frame_length)
}

/// The long way. Its parts are functions of their own, so that each has the stack for itself.
#[inline(always)]
fn long(context: *mut xdp_md, packet: &Packet, kernel: &Kernel<XdpContext>) -> u32 {
    let ruled = if kernel.config().has(flags::RULES) { xdp_rules(context) } else { GOES_ON };
    if ruled < GOES_ON {
        return ruled;
    }
    let admitted = xdp_admit(context, ruled - GOES_ON);
    if admitted < GOES_ON {
        return admitted;
    }
    converse(context, packet, admitted - GOES_ON, ruled - GOES_ON)
}

#[inline(always)]
fn converse(context: *mut xdp_md, packet: &Packet, service: u32, ruled: u32) -> u32 {
    if packet.is_syn() { xdp_greet(context, service, ruled) } else { xdp_go_on(context, service) }
}

/// No [`exit`]; what is above it is the number of a service or of a [`Ruled`].
const GOES_ON: u32 = 1 << 24;

/// What [`exit`] says if a map is not there, which can't be.
const NOTHING: u32 = xdp_action::XDP_DROP << ACTION;

/// The packet's meaning. It lies in a map: on the stack the verifier would tell it apart for each way through the parser,
/// and a pointer that is handed on is no key of a map before Linux 6.9.
#[inline(always)]
fn packet() -> Option<&'static mut Packet> {
    // SAFETY: this CPU's own slot; XDP programs don't nest on a CPU, and each part below holds it alone.
    maps::PACKET.get_ptr_mut(0).map(|packet| unsafe { &mut *packet })
}

/// Parses the packet.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_parse(context: *mut xdp_md) -> u32 {
    let Some(packet) = packet().filter(|_| !context.is_null()) else { return NOTHING };
    match packet::parse_into(&XdpFrame(XdpContext::new(context)), packet) {
        Break(reason) => exit(stages::fate(reason, &Kernel::new(XdpContext::new(context)))),
        Continue(()) => GOES_ON,
    }
}

/// Parses the packet, and looks at nothing else.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_early(context: *mut xdp_md) -> u32 {
    let parsed = xdp_parse(context);
    if parsed != GOES_ON {
        return parsed;
    }
    let Some(packet) = packet().filter(|_| !context.is_null()) else { return NOTHING };
    let kernel = Kernel::new(XdpContext::new(context));
    match stages::early(packet, &kernel) {
        Break(reason) => exit(stages::fate(reason, &kernel)),
        Continue(()) => GOES_ON,
    }
}

/// Asks the operator's rules.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_rules(context: *mut xdp_md) -> u32 {
    let Some(packet) = packet().filter(|_| !context.is_null()) else { return NOTHING };
    let kernel = Kernel::new(XdpContext::new(context));
    match stages::rules::check(packet, &kernel) {
        Ruled::Drop(reason) => exit(stages::fate(reason, &kernel)),
        ruled => GOES_ON + ruled.number().unwrap_or(0),
    }
}

/// Asks tables who it is from and what it is for.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_admit(context: *mut xdp_md, ruled: u32) -> u32 {
    let Some(packet) = packet().filter(|_| !context.is_null()) else { return NOTHING };
    let kernel = Kernel::new(XdpContext::new(context));
    let frame = XdpFrame(XdpContext::new(context));
    match stages::admit(&frame, packet, Ruled::from_number(ruled, &kernel), &kernel) {
        Break(fate) => exit(fate),
        Continue(service) => GOES_ON + service,
    }
}

/// Asks sockets and keys about a SYN.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_greet(context: *mut xdp_md, service: u32, ruled: u32) -> u32 {
    let Some(packet) = packet().filter(|_| !context.is_null()) else { return NOTHING };
    let kernel = Kernel::new(XdpContext::new(context));
    let mut frame = XdpFrame(XdpContext::new(context));
    exit(stages::greet(&mut frame, packet, service, Ruled::from_number(ruled, &kernel), &kernel))
}

/// Asks sockets and keys about any other packet.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_go_on(context: *mut xdp_md, service: u32) -> u32 {
    let Some(packet) = packet().filter(|_| !context.is_null()) else { return NOTHING };
    let kernel = Kernel::new(XdpContext::new(context));
    let mut frame = XdpFrame(XdpContext::new(context));
    exit(stages::go_on(&mut frame, packet, service, &kernel))
}

/// Where an exit holds what XDP does; below is the reason.
const ACTION: u32 = 8;
/// Where it tells that this is only observed.
const OBSERVED: u32 = 16;

/// A fate as one number that a BPF function can return.
#[inline(always)]
fn exit(fate: Fate) -> u32 {
    let action = match fate.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Reply => xdp_action::XDP_TX,
    };
    fate.reason as u32 | action << ACTION | (fate.observed as u32) << OBSERVED
}

/// Counts a packet on this CPU; returns how many of its kind there have been.
#[inline(always)]
pub(crate) fn count(reason: u32, bytes: u64, plane: Plane, state: &impl State) -> u64 {
    let index = counter_index(state.config().interface, plane, reason as u8);
    let Some(counter) = maps::COUNTERS.get_ptr_mut(index) else { return 0 };
    // SAFETY: this CPU's own slot.
    let counter: &mut Counter = unsafe { &mut *counter };
    counter.packets += 1;
    counter.bytes += bytes;
    counter.packets
}
