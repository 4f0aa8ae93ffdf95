//! ICMP and ICMPv6 (RFC 792, RFC 1122 3.2.2, RFC 4443, RFC 4890): what connections need passes, the rest within limits.

use core::ops::ControlFlow::{Break, Continue};

use super::{
    Verdict,
    limit::{self, Kind},
    proven, query,
};
use crate::{
    config::Limit,
    frame::Frame,
    headers::protocol,
    packet::Packet,
    reason::Reason,
    state::{State, Total},
    wire::flags,
};

/// What a message is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    /// Destination unreachable, packet too big, time exceeded, parameter problem.
    Error,
    Echo,
    EchoReply,
    Redirect,
    /// ND and the like, which a router never forwards. What is right has passed as link control.
    Link,
    Other,
}

#[inline(always)]
const fn message(packet: &Packet) -> Message {
    if packet.is_v6 {
        match packet.icmp_type {
            1..=4 => Message::Error,
            128 => Message::Echo,
            129 => Message::EchoReply,
            137 => Message::Redirect,
            133..=136 | 141 | 142 | 148 | 149 => Message::Link,
            _ => Message::Other,
        }
    } else {
        match packet.icmp_type {
            3 | 11 | 12 => Message::Error,
            8 => Message::Echo,
            0 => Message::EchoReply,
            5 => Message::Redirect,
            _ => Message::Other,
        }
    }
}

/// What needs no table, and comes before the source is judged: routers speak from link-local addresses.
#[inline(always)]
pub(super) fn early<S: State>(packet: &Packet, state: &S) -> Verdict {
    if !packet.is_icmp() {
        return Continue(());
    }
    match message(packet) {
        Message::Redirect if state.config().wire.has(flags::DROP_REDIRECTS) => Break(Reason::Redirect),
        Message::Redirect | Message::Link if packet.is_v6 && packet.ttl != 255 => Break(Reason::NdHopLimit),
        Message::Redirect if packet.is_v6 => Break(Reason::LinkControl),
        _ => Continue(()),
    }
}

#[inline(always)]
pub(super) fn check<F: Frame, S: State>(frame: &F, packet: &Packet, state: &S) -> Verdict {
    if !packet.is_icmp() {
        return Continue(());
    }
    match message(packet) {
        Message::Error => error(frame, packet, state),
        Message::Echo => echo(packet, state),
        Message::EchoReply => echo_reply(packet, state),
        Message::Redirect => Continue(()),
        Message::Link | Message::Other => Break(Reason::IcmpType),
    }
}

/// Errors pass within a limit for all. Above it only those about connected sockets of this host do: path-MTU discovery
/// goes on, and a flood would have to know tuples.
#[inline(always)]
fn error<F: Frame, S: State>(frame: &F, packet: &Packet, state: &S) -> Verdict {
    let quote = frame.quote(packet);
    if !quote.matches {
        return Break(Reason::IcmpMismatch);
    }
    let policy = &state.config().wire;
    if within(Total::Errors, policy.errors, state) {
        return Continue(());
    }
    if !matches!(quote.protocol, protocol::TCP | protocol::UDP) || !state.is_connected(packet, &quote) {
        return Break(Reason::IcmpRate);
    }
    if !limit::take(packet, state, Kind::Errors, 0, policy.errors_per_source) {
        return Break(Reason::IcmpSourceRate);
    }
    Break(Reason::IcmpOfSocket)
}

/// Pings: each source's share, and that of all sources but proven ones.
#[inline(always)]
fn echo<S: State>(packet: &Packet, state: &S) -> Verdict {
    let policy = &state.config().wire;
    if is_to_group(packet) {
        return Break(Reason::Smurf);
    }
    if policy.has(flags::DROP_ECHO) {
        return Break(Reason::EchoDenied);
    }
    if !limit::take(packet, state, Kind::Echoes, 0, policy.echo_per_source) {
        return Break(Reason::IcmpSourceRate);
    }
    if within(Total::Echoes, policy.echo, state) || proven::left(packet, state) != 0 {
        return Continue(());
    }
    Break(Reason::IcmpRate)
}

/// Replies to own pings pass; what nobody asked for (a Smurf's victim gets that), or asked before Floodwall saw what leaves,
/// shares a limit.
#[inline(always)]
fn echo_reply<S: State>(packet: &Packet, state: &S) -> Verdict {
    if query::is_reply(packet, state) {
        return Break(Reason::EchoReply);
    }
    let limit = state.config().wire.echo_replies;
    if within(Total::EchoReplies, limit, state) || proven::left(packet, state) != 0 {
        return Continue(());
    }
    Break(Reason::IcmpRate)
}

#[inline(always)]
fn within<S: State>(total: Total, limit: Limit, state: &S) -> bool {
    !limit.is_some() || state.take_total(total, limit, state.now())
}

/// Sent to a multicast or broadcast address, of the link or of IP (RFC 1122 3.2.2.6, RFC 2644).
#[inline(always)]
const fn is_to_group(packet: &Packet) -> bool {
    let first = if packet.is_v6 { packet.destination.0[0] } else { packet.destination.v4() };
    let first = u32::from_be(first) >> 24;
    packet.to_group || if packet.is_v6 { first == 0xff } else { first >= 224 }
}
