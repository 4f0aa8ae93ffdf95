//! Flags and ports that no honest TCP or UDP sends.

use core::ops::ControlFlow::{Break, Continue};

use super::Verdict;
use crate::{headers::flag, packet::Packet, reason::Reason};

/// One bit for each combination of FIN, SYN, RST, PSH, ACK and URG that a TCP may send.
///
/// SYN goes with neither RST nor FIN, RST not with FIN; everything but SYN and RST carries ACK: "If the ACK
/// control bit is set ... Once a connection is established, this is always sent" (RFC 9293 3.1).
const LEGAL: u64 = legal();

const fn legal() -> u64 {
    let mut bits = 0;
    let mut flags = 0;
    while flags < 64 {
        let syn = flags & flag::SYN != 0;
        let rst = flags & flag::RST != 0;
        let fin = flags & flag::FIN != 0;
        let ack = flags & flag::ACK != 0;
        let exclusive = (syn as u8) + (rst as u8) + (fin as u8) <= 1;
        if exclusive && (ack || syn || rst) {
            bits |= 1 << flags;
        }
        flags += 1;
    }
    bits
}

#[inline(always)]
pub(super) fn check(packet: &Packet) -> Verdict {
    if packet.is_tcp() {
        if LEGAL >> (packet.tcp.flags & 0x3f) & 1 == 0 {
            return Break(Reason::TcpFlags);
        }
        if packet.ports.source == 0 || packet.ports.destination == 0 {
            return Break(Reason::PortZero);
        }
    }
    // A UDP source port of 0 is legal: no answer is expected (RFC 768).
    if packet.is_udp() && packet.ports.destination == 0 {
        return Break(Reason::PortZero);
    }
    Continue(())
}
