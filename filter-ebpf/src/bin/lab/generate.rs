//! The flood: each frame is written anew, because a recycled page holds whatever its last receiver made of it.

use core::ptr;

use aya_ebpf::{
    Global,
    bindings::xdp_action,
    helpers::{bpf_get_prandom_u32, bpf_ktime_get_ns, bpf_redirect},
    programs::XdpContext,
};

use super::{
    DUE, TALLY,
    abi::{Generate, IPV6, NUMBERED, ONLY_SOURCE, RANDOM_ACK, RANDOM_SOURCE, TEMPLATE_WORDS, Tally},
};

#[unsafe(no_mangle)]
static GENERATE: Global<Generate> = Global::new(Generate {
    ifindex: 0,
    flags: 0,
    len: 0,
    source_mask: 0,
    interval: 0,
    limit: 0,
    first: 0,
    sum_network: 0,
    sum_transport: 0,
    checksum_at: 0,
    template: [0; TEMPLATE_WORDS],
});

/// Reads one field, so that the whole never lies on the stack.
macro_rules! config {
    ($($field:tt)+) => {
        // SAFETY: a static of plain numbers, which user space replaces only before the program is loaded.
        unsafe { ptr::read_volatile(&raw const (*(&raw const GENERATE).cast::<Generate>()).$($field)+) }
    };
}

/// What is new in this frame; each in the place of its template's zeros, as the bytes lie in memory.
struct Fresh {
    source: u64,
    port: u64,
    sequence: u64,
    acknowledgment: u64,
}

/// One frame.
#[inline(always)]
pub(crate) fn frame(ctx: &XdpContext) -> u32 {
    if !due() {
        return xdp_action::XDP_DROP;
    }
    let Some(number) = within_limit() else { return xdp_action::XDP_DROP };
    let flags = config!(flags);
    let fresh = Fresh::new(flags, config!(first) + number);
    let (start, end) = (ctx.data(), ctx.data_end());
    let written = if flags & IPV6 == 0 { write_v4(start, end, &fresh) } else { write_v6(start, end, &fresh) };
    if !written {
        return xdp_action::XDP_ABORTED;
    }
    let ifindex = config!(ifindex);
    // SAFETY: the helper takes plain numbers.
    unsafe { bpf_redirect(ifindex, 0) as u32 }
}

/// Paced by spinning: a frame that is not due yet is dropped and its page used again. Time that the generator's core gave
/// to others is lost: a burst to make up for it would only overflow the receiver's ring.
#[inline(always)]
fn due() -> bool {
    const LATE: u64 = 200_000;
    let interval = config!(interval);
    if interval == 0 {
        return true;
    }
    let Some(slot) = DUE.get_ptr_mut(0) else { return false };
    // SAFETY: one thread generates; a lost update would cost one frame.
    unsafe {
        let now = bpf_ktime_get_ns();
        if now < *slot {
            return false;
        }
        if now - *slot > LATE + interval {
            *slot = now;
        }
        *slot += interval;
    }
    true
}

/// The frame's number, if there is to be one more. A generator stays on its CPU.
#[inline(always)]
fn within_limit() -> Option<u64> {
    let sent = TALLY.get_ptr_mut(Tally::Sent as u32)?;
    let limit = config!(limit);
    // SAFETY: the map's own slot of this CPU.
    unsafe {
        let number = *sent;
        if number >= limit {
            return None;
        }
        *sent = number + 1;
        Some(number)
    }
}

impl Fresh {
    #[inline(always)]
    fn new(flags: u32, number: u64) -> Self {
        let sequence = random();
        let draw = if flags & NUMBERED == 0 { random() } else { scattered(number as u32) };
        let source = match flags & (RANDOM_SOURCE | IPV6) {
            RANDOM_SOURCE => u64::from(source_v4(draw).to_be()),
            0 | IPV6 => 0,
            _ => u64::from(draw & config!(source_mask)).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be(),
        };
        if flags & ONLY_SOURCE != 0 {
            return Self { source, port: 0, sequence: 0, acknowledgment: 0 };
        }
        let acknowledgment = if flags & RANDOM_ACK == 0 { 0 } else { u64::from(random()) };
        // 32768 to 65535
        let port = u64::from((sequence as u16) | 0x80);
        Self { source, port, sequence: u64::from(sequence), acknowledgment }
    }

    /// Sum of the transport header's new words.
    #[inline(always)]
    fn sum(&self) -> u64 {
        self.port + words(self.sequence) + words(self.acknowledgment) + words(self.source)
    }
}

/// 32.0.0.0 to 63.255.255.255, or a fixed set from 45.0.0.0 on.
#[inline(always)]
fn source_v4(random: u32) -> u32 {
    let mask = config!(source_mask);
    if mask == u32::MAX {
        0x2000_0000 | (random & 0x1fff_ffff)
    } else {
        0x2d00_0000 + (random & mask & 0xfffff) * 13
    }
}

/// An odd factor makes a permutation of any number of low bits: other numbers, other addresses.
#[inline(always)]
fn scattered(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b1)
}

#[inline(always)]
fn random() -> u32 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_get_prandom_u32() }
}

/// The sum of a word's four 16-bit parts.
#[inline(always)]
fn words(word: u64) -> u64 {
    (word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48)
}

/// The Internet checksum of a sum of 16-bit words (RFC 1071).
#[inline(always)]
fn checksum(sum: u64) -> u64 {
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) & 0xffff
}

/// The transport's checksum in the word at `index`, if it goes there. Zero is how UDP says that there is none (RFC 768);
/// 0xffff means the same to the sum, and does for all.
#[inline(always)]
fn transport(fresh: &Fresh, index: usize) -> u64 {
    let at = config!(checksum_at);
    if at == 0 || at / 8 != index as u64 {
        return 0;
    }
    let checksum = checksum(config!(sum_transport) + fresh.sum());
    (if checksum == 0 { 0xffff } else { checksum }) << (at % 8 * 8)
}

/// Ethernet 14, IPv4 20 (checksum at 24, source at 26), TCP (port at 34, sequence at 38, acknowledgment at 42).
#[inline(always)]
fn write_v4(start: usize, end: usize, fresh: &Fresh) -> bool {
    let network = checksum(config!(sum_network) + words(fresh.source));
    let (ack, seq) = (fresh.acknowledgment, fresh.sequence);
    write(start, end, fresh, |index| match index {
        3 => network | fresh.source << 16,
        4 => fresh.port << 16 | seq << 48,
        5 => seq >> 16 | ack << 16,
        _ => 0,
    })
}

/// Ethernet 14, IPv6 40 (source at 22), TCP (port at 54, sequence at 58, acknowledgment at 62).
#[inline(always)]
fn write_v6(start: usize, end: usize, fresh: &Fresh) -> bool {
    let (ack, seq) = (fresh.acknowledgment, fresh.sequence);
    write(start, end, fresh, |index| match index {
        3 => fresh.source,
        6 => fresh.port << 48,
        7 => seq << 16 | ack << 48,
        8 => ack >> 16,
        _ => 0,
    })
}

/// Writes the template with `edit` and the transport's checksum or-ed into it.
#[inline(always)]
fn write(start: usize, end: usize, fresh: &Fresh, edit: impl Fn(usize) -> u64) -> bool {
    let len = config!(len) as usize;
    let mut index = 0;
    while index < TEMPLATE_WORDS {
        let word = config!(template[index]) | edit(index) | transport(fresh, index);
        let (at, left) = (start + index * 8, len.wrapping_sub(index * 8));
        // SAFETY: each store lies before the frame's end; frames start 8-aligned (XDP_PACKET_HEADROOM).
        unsafe {
            if left >= 8 {
                if at + 8 > end {
                    return false;
                }
                *(at as *mut u64) = word;
            } else {
                return write_tail(at, end, left, word);
            }
        }
        index += 1;
    }
    true
}

/// Writes the last 0, 2, 4 or 6 bytes.
#[inline(always)]
unsafe fn write_tail(at: usize, end: usize, left: usize, word: u64) -> bool {
    let mut done = 0;
    while done < 3 && left > done * 2 {
        if at + done * 2 + 2 > end {
            return false;
        }
        // SAFETY: before the frame's end, 2-aligned.
        unsafe { *((at + done * 2) as *mut u16) = (word >> (done * 16)) as u16 };
        done += 1;
    }
    true
}
