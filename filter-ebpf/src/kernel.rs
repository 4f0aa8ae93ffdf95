//! `State` on the kernel's maps, clock and sockets.

use core::cell::Cell;

use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_F_CURRENT_NETNS, BPF_TCP_CLOSE, BPF_TCP_LISTEN, bpf_sock, bpf_sock_tuple, xdp_md},
    helpers::generated::{
        bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_sk_lookup_tcp, bpf_sk_lookup_udp, bpf_sk_release,
        bpf_skc_lookup_tcp, bpf_skc_to_mptcp_sock, bpf_tcp_check_syncookie,
    },
    programs::{TcContext, XdpContext},
};
use filter_common::{
    abi::{Counter, LOCAL_ADDRESS, LOCAL_BROADCAST, StepDown},
    arm::Arm,
    bucket::{Line, charge},
    config::{Config, Limit, Ports, Summary},
    cookie::Keys,
    cursor::index,
    headers::{Ipv4, Ipv6, Tcp, protocol},
    hints::Hints,
    list::Class,
    packet::{Address, Packet, Transport},
    quote::Quote,
    rules::Rules,
    stages::{
        limit::{self, Part},
        proven,
    },
    state::{List, Route, SAMPLE, Socket, State, Table, Total},
    word::Word,
};

use crate::{lists, maps, route};

/// The world as one packet's program sees it.
pub(crate) struct Kernel<C> {
    context: C,
    now: Cell<u64>,
}

impl<C: EbpfContext> Kernel<C> {
    #[inline(always)]
    pub(crate) const fn new(context: C) -> Self {
        Self { context, now: Cell::new(0) }
    }
}

/// `CLOCK_MONOTONIC` to the tick. The helper costs a call; ticks are counted in a word of memory, which the verifier reads in
/// place of `bpf_jiffies64`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: helpers without arguments; this CPU's own slot, in which programs of another hook write the same.
    unsafe {
        let Some(cpu) = maps::CPU.get_ptr_mut(0) else { return bpf_ktime_get_coarse_ns() };
        let tick = bpf_jiffies64();
        if (*cpu).tick != tick {
            (*cpu).now = bpf_ktime_get_coarse_ns();
            (*cpu).tick = tick;
        }
        (*cpu).now
    }
}

/// Tokens that a CPU takes from the shared total at once.
const GRANT_SIZE: u64 = 64;

/// A context that knows where its packet lies.
pub(crate) trait Bounds: EbpfContext {
    /// First byte, and the one behind the last.
    fn bounds(&self) -> (usize, usize);

    /// Index of the interface that it came in through.
    fn ingress(&self) -> u32;

    /// What [`State::is_connected`] says.
    #[inline(always)]
    fn is_connected(&self, _packet: &Packet, _quote: &Quote) -> bool {
        false
    }
}

impl Bounds for XdpContext {
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        (self.data(), self.data_end())
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: a valid context.
        unsafe { (*self.ctx).ingress_ifindex }
    }

    #[inline(always)]
    fn is_connected(&self, packet: &Packet, quote: &Quote) -> bool {
        xdp_is_connected(self.ctx, packet, quote) != 0
    }
}

impl Bounds for TcContext {
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        (self.data(), self.data_end())
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: a valid context.
        unsafe { (*self.skb.skb).ifindex }
    }
}

/// `start + offset` as one instruction: LLVM would derive it anew after the bounds check. Offsets of headers are
/// far below the mask, which keeps the sum within what the verifier follows.
#[inline(always)]
fn at(start: usize, offset: u16) -> usize {
    let mut address = start;
    // SAFETY: an addition.
    unsafe {
        core::arch::asm!("{1} &= 16383", "{0} += {1}", inout(reg) address,
            inout(reg) u64::from(offset) => _, options(pure, nomem, nostack));
    }
    address
}

impl<C: Bounds> State for Kernel<C> {
    #[inline(always)]
    fn now(&self) -> u64 {
        if self.now.get() == 0 {
            self.now.set(now());
        }
        self.now.get()
    }

    #[inline(always)]
    fn config(&self) -> &Config {
        maps::config()
    }

    #[inline(always)]
    fn ports(&self) -> &Ports {
        maps::ports()
    }

    #[inline(always)]
    fn summary(&self) -> &Summary {
        maps::summary()
    }

    #[inline(always)]
    fn is_management(&self, source: &Address) -> bool {
        let key = aya_ebpf::btf_maps::lpm_trie::Key::new(128, source.0);
        maps::MANAGEMENT.get(&key).is_some()
    }

    #[inline(always)]
    fn class(&self, packet: &Packet) -> Class {
        lists::class(packet)
    }

    #[inline(always)]
    fn may_be_banned(&self, packet: &Packet) -> bool {
        lists::may_be_banned(packet)
    }

    #[inline(always)]
    fn is_banned(&self, packet: &Packet) -> bool {
        lists::is_banned(packet)
    }

    #[inline(always)]
    fn rules(&self) -> &Rules {
        maps::rules()
    }

    #[inline(always)]
    fn listed(&self, list: List, address: &Address) -> Option<u64> {
        let key = aya_ebpf::btf_maps::lpm_trie::Key::new(128, address.0);
        match list {
            List::RuleSources => maps::RULE_SRC.get(&key),
            List::RuleDestinations => maps::RULE_DST.get(&key),
            List::ServiceDestinations => maps::SERVICE_DST.get(&key),
        }
        .copied()
    }

    #[inline(always)]
    fn take_of_rule(&self, rule: u32, limit: Limit, now: u64) -> bool {
        maps::RULE_BUCKETS.get(rule).is_none_or(|bucket| charge(bucket, limit, now))
    }

    #[inline(always)]
    fn count_rule(&self, index: u32, bytes: u64) {
        if let Some(counter) = maps::RULE_COUNTERS.get_ptr_mut(index) {
            // SAFETY: this CPU's own slot.
            let counter: &mut Counter = unsafe { &mut *counter };
            counter.packets += 1;
            counter.bytes += bytes;
        }
    }

    #[inline(always)]
    fn is_local(&self, address: &Address) -> bool {
        maps::HINTS.get(0).is_some_and(|hints| hints.is_known(address)) || local(address, LOCAL_ADDRESS)
    }

    #[inline(always)]
    fn is_broadcast(&self, address: &Address) -> bool {
        local(address, LOCAL_BROADCAST)
    }

    #[inline(always)]
    fn hints(&self) -> Option<&Hints> {
        maps::HINTS.get(0)
    }

    #[inline(always)]
    fn route_back(&self, packet: &Packet) -> Route {
        route::back(&self.context, packet)
    }

    #[inline(always)]
    fn has_udp_socket(&self, packet: &Packet) -> bool {
        Held::find_udp(&self.context, packet).is_some()
    }

    #[inline(always)]
    fn socket(&self, packet: &Packet) -> Socket {
        let Some(socket) = Held::find(&self.context, packet) else { return Socket::None };
        if !socket.is_listener() {
            return Socket::Connection;
        }
        if packet.tcp.is_ack() && socket.sent_cookie(&self.context, packet) {
            return Socket::StackCookie;
        }
        if socket.is_mptcp() { Socket::MptcpListener } else { Socket::Listener }
    }

    #[inline(always)]
    fn is_connected(&self, packet: &Packet, quote: &Quote) -> bool {
        self.context.is_connected(packet, quote)
    }

    #[inline(always)]
    fn line(&self, table: Table, index: u32) -> Option<&Line> {
        match table {
            Table::Sources => maps::SOURCES.get(index),
            Table::Replies => maps::REPLIES.get(index),
            Table::Recent => maps::RECENT.get(index),
            Table::Proven => maps::PROVEN.get(index),
            Table::Queries => maps::QUERIES.get(index),
            Table::Flows => maps::FLOWS.get(index),
        }
    }

    #[inline(always)]
    fn limits(&self, part: Part, packet: &Packet, service: u32) -> u32 {
        match part {
            Part::Narrow => narrow_limits(packet, service),
            Part::Wide => wide_limits(packet, service),
            Part::Flows => flow_limits(packet, service),
        }
    }

    #[inline(always)]
    fn take(&self, words: [u64; 2], limit: Limit, now: u64) -> bool {
        take_token(words[0], words[1], limit.interval, limit.tolerance, now) != 0
    }

    #[inline(always)]
    fn marked(&self, table: Table, hash: u64, now: u64) -> u64 {
        marked(table as u32, hash, now)
    }

    #[inline(always)]
    fn mark(&self, table: Table, hash: u64, until: u64) {
        mark(table as u32, hash, until);
    }

    #[inline(always)]
    fn arm(&self, service: u32) -> Option<&Arm> {
        maps::ARMS.get(service)
    }

    #[inline(always)]
    fn sampled(&self) -> bool {
        let Some(cpu) = maps::CPU.get_ptr_mut(0) else { return false };
        // SAFETY: this CPU's own slot, and XDP programs don't nest on a CPU.
        let count = unsafe {
            (*cpu).segments = (*cpu).segments.wrapping_add(1);
            (*cpu).segments
        };
        count % SAMPLE == 0
    }

    #[inline(always)]
    fn is_unsampled(&self) -> bool {
        let Some(cpu) = maps::CPU.get_ptr_mut(0) else { return false };
        // SAFETY: as above.
        unsafe {
            let count = (*cpu).segments.wrapping_add(1);
            let is_sample = count % SAMPLE == 0;
            if !is_sample {
                (*cpu).segments = count;
            }
            !is_sample
        }
    }

    #[inline(always)]
    fn take_total(&self, total: Total, limit: Limit, now: u64) -> bool {
        let Some(word) = maps::TOTAL.get(total as u32) else { return true };
        match total {
            Total::Replies => take_in_batches(word, limit, now),
            _ => charge(word, limit, now),
        }
    }

    #[inline(always)]
    fn keys(&self) -> Option<&Keys> {
        maps::KEYS.get(0)
    }

    #[inline(always)]
    fn is_stepped_down(&self, port: u16) -> bool {
        let byte = maps::STEP_DOWN.get(0).and_then(|ports| ports.0.get(index(port)));
        byte.is_some_and(|why| *why == StepDown::Refused as u8)
    }

    #[inline(always)]
    fn step_down(&self, port: u16, why: StepDown) {
        if let Some(ports) = maps::STEP_DOWN.get_ptr_mut(0) {
            // SAFETY: a byte of a map value; any CPU may write it. Most find it written: the line stays shared.
            if let Some(byte) = unsafe { (*ports).0.get_mut(index(port)) }
                && *byte != why as u8
            {
                *byte = why as u8;
            }
        }
    }
}

/// Verified once, by itself: inlined, each way to a limit would be followed through all that is in here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn take_token(first: u64, second: u64, interval: u64, tolerance: u64, now: u64) -> i32 {
    limit::take_from(&Kernel::new(NoContext), [first, second], Limit { interval, tolerance }, now) as i32
}

/// As above; nearly all configurations have none of them.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn narrow_limits(packet: *const Packet, service: u32) -> u32 {
    more_limits(Part::Narrow, packet, service)
}

/// As above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn wide_limits(packet: *const Packet, service: u32) -> u32 {
    more_limits(Part::Wide, packet, service)
}

/// As above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_limits(packet: *const Packet, service: u32) -> u32 {
    more_limits(Part::Flows, packet, service)
}

#[inline(always)]
fn more_limits(part: Part, packet: *const Packet, service: u32) -> u32 {
    if packet.is_null() {
        return 0;
    }
    // SAFETY: checked for null; the verifier checks the size.
    limit::more(part, unsafe { &*packet }, service, &Kernel::new(NoContext))
}

/// As above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xdp_is_connected(context: *mut xdp_md, packet: *const Packet, quote: *const Quote) -> i32 {
    if context.is_null() || packet.is_null() || quote.is_null() {
        return 0;
    }
    // SAFETY: checked for null; the verifier checks the sizes.
    let (packet, quote) = unsafe { (&*packet, &*quote) };
    Held::find_quoted(&XdpContext::new(context), packet, quote).is_some_and(|socket| socket.is_connected())
        as i32
}

/// As above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn marked(table: u32, hash: u64, now: u64) -> u64 {
    proven::marked_in(&Kernel::new(NoContext), table_of(table), hash, now)
}

/// As above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn mark(table: u32, hash: u64, until: u64) -> i32 {
    proven::mark_in(&Kernel::new(NoContext), table_of(table), hash, until);
    0
}

/// The tables of marks.
#[inline(always)]
const fn table_of(number: u32) -> Table {
    if number == Table::Proven as u32 {
        Table::Proven
    } else if number == Table::Queries as u32 {
        Table::Queries
    } else if number == Table::Flows as u32 {
        Table::Flows
    } else {
        Table::Recent
    }
}

/// Whether `LOCAL` holds that value for an address.
#[inline(always)]
fn local(address: &Address, value: u8) -> bool {
    // A key on the stack: up to 6.1 the verifier takes none out of a function's argument. Volatile, so that it is copied.
    // SAFETY: a valid reference; a byte that user space replaces whole.
    unsafe {
        let key = core::ptr::read_volatile(&raw const address.0);
        maps::LOCAL.get(&key).is_some_and(|found| *found == value)
    }
}

/// For functions that need maps only.
struct NoContext;

impl EbpfContext for NoContext {
    fn as_ptr(&self) -> *mut core::ffi::c_void {
        core::ptr::null_mut()
    }
}

impl Bounds for NoContext {
    fn bounds(&self) -> (usize, usize) {
        (0, 0)
    }

    fn ingress(&self) -> u32 {
        0
    }
}

/// Each CPU takes [`GRANT_SIZE`] tokens at a time from the shared bucket, if that is deep enough.
#[inline(always)]
fn take_in_batches(total: &Word, limit: Limit, now: u64) -> bool {
    let batch = Limit { interval: limit.interval * GRANT_SIZE, tolerance: limit.tolerance };
    if batch.interval > limit.tolerance {
        return charge(total, limit, now);
    }
    let Some(cpu) = maps::CPU.get_ptr_mut(0) else { return true };
    // SAFETY: this CPU's own slot, and XDP programs don't nest on a CPU.
    let grant = unsafe { &mut (*cpu).grant };
    if *grant == 0 {
        if !charge(total, batch, now) {
            return false;
        }
        *grant = GRANT_SIZE;
    }
    *grant -= 1;
    true
}

/// Writes the `bpf_sock_tuple` of a packet from `source` to the destination of `packet`; it and its size.
///
/// u64 words: the verifier may refuse 8-byte stores to a 4-aligned `bpf_sock_tuple`.
#[inline(always)]
fn tuple(packet: &Packet, source: &Address, ports: Transport) -> Option<(*mut bpf_sock_tuple, u32)> {
    let cpu = maps::CPU.get_ptr_mut(0)?;
    let ports = ports.source.to_be() as u64 | (ports.destination.to_be() as u64) << 16;
    // SAFETY: this CPU's own slot; XDP and tc ingress, which look sockets up, don't interrupt each other.
    let tuple = unsafe { &mut (*cpu).tuple };
    let size = if packet.is_v6 {
        let [s0, s1] = source.words();
        let [d0, d1] = packet.destination.words();
        *tuple = [s0, s1, d0, d1, ports];
        36
    } else {
        tuple[0] = source.v4() as u64 | (packet.destination.v4() as u64) << 32;
        tuple[1] = ports;
        12
    };
    Some((tuple.as_mut_ptr().cast(), size))
}

/// A socket that the kernel has lent us until it is dropped.
pub(crate) struct Held(*mut bpf_sock);

impl Held {
    #[inline(always)]
    const fn of(socket: *mut bpf_sock) -> Option<Self> {
        if socket.is_null() { None } else { Some(Self(socket)) }
    }

    /// The socket of a TCP packet, as the stack would find it (`bpf_skc_lookup_tcp`).
    #[inline(always)]
    pub(crate) fn find<C: EbpfContext>(context: &C, packet: &Packet) -> Option<Self> {
        let (tuple, size) = tuple(packet, &packet.source, packet.ports)?;
        // SAFETY: the tuple outlives the call and has at least `size` bytes.
        let socket =
            unsafe { bpf_skc_lookup_tcp(context.as_ptr(), tuple, size, BPF_F_CURRENT_NETNS as u64, 0) };
        Self::of(socket)
    }

    /// The socket of a UDP packet, as the stack would find it (`bpf_sk_lookup_udp`).
    #[inline(always)]
    fn find_udp<C: EbpfContext>(context: &C, packet: &Packet) -> Option<Self> {
        let (tuple, size) = tuple(packet, &packet.source, packet.ports)?;
        // SAFETY: as above.
        let socket =
            unsafe { bpf_sk_lookup_udp(context.as_ptr(), tuple, size, BPF_F_CURRENT_NETNS as u64, 0) };
        Self::of(socket)
    }

    /// The socket that has sent what the ICMP error `packet` quotes.
    #[inline(always)]
    fn find_quoted<C: EbpfContext>(context: &C, packet: &Packet, quote: &Quote) -> Option<Self> {
        let ports = Transport { source: quote.remote_port, destination: quote.local_port };
        let (tuple, size) = tuple(packet, &quote.remote, ports)?;
        // SAFETY: as above.
        let socket = unsafe {
            if quote.protocol == protocol::TCP {
                // Not `skc`: the verifier wants one type of pointer from both.
                bpf_sk_lookup_tcp(context.as_ptr(), tuple, size, BPF_F_CURRENT_NETNS as u64, 0)
            } else {
                bpf_sk_lookup_udp(context.as_ptr(), tuple, size, BPF_F_CURRENT_NETNS as u64, 0)
            }
        };
        Self::of(socket)
    }

    /// Whether it listens.
    #[inline(always)]
    pub(crate) fn is_listener(&self) -> bool {
        // SAFETY: held and not null.
        unsafe { (*self.0).state == BPF_TCP_LISTEN }
    }

    /// Whether it has a peer: neither a listener nor an unconnected UDP socket, which has the state of a closed one.
    #[inline(always)]
    fn is_connected(&self) -> bool {
        // SAFETY: held and not null.
        let state = unsafe { (*self.0).state };
        state != BPF_TCP_LISTEN && state != BPF_TCP_CLOSE
    }

    #[inline(always)]
    fn is_mptcp(&self) -> bool {
        // SAFETY: held and not null; the helper returns null for any other socket.
        unsafe { !bpf_skc_to_mptcp_sock(self.0.cast()).is_null() }
    }

    /// Whether the packet acknowledges a SYN cookie that the stack itself has sent for this listener.
    #[inline(always)]
    fn sent_cookie<C: Bounds>(&self, context: &C, packet: &Packet) -> bool {
        let (start, end) = context.bounds();
        let (ip, tcp) = (at(start, packet.l3), at(start, packet.l4));
        let ip_length = if packet.is_v6 { size_of::<Ipv6>() } else { size_of::<Ipv4>() };
        if ip + ip_length > end || tcp + size_of::<Tcp>() > end {
            return false;
        }
        // SAFETY: the socket is held, both headers lie within the packet.
        unsafe {
            bpf_tcp_check_syncookie(
                self.0.cast(),
                ip as *mut _,
                ip_length as u32,
                tcp as *mut _,
                size_of::<Tcp>() as u32,
            ) == 0
        }
    }

    /// The raw pointer, for kernel functions.
    #[inline(always)]
    pub(crate) const fn as_ptr(&self) -> *mut bpf_sock {
        self.0
    }
}

impl Drop for Held {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: held, released once.
        unsafe { bpf_sk_release(self.0.cast()) };
    }
}
