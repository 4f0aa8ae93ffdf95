//! From the data path's events to what the detector looks at, by the data path's own parser.

use std::ops::ControlFlow::Continue;

use filter_common::{
    abi::{Plane, TcpReqAttrs},
    config::{Config, Ports, Prefix},
    cursor::{Cursor, Writer},
    event::Event,
    extensions,
    frame::Frame,
    ip_options,
    options::{self, TcpOptions},
    packet::{Packet, parse},
    quote::{self, Quote},
    reason::{Action, Reason},
    stages,
    state::List,
    world::World,
};

use super::{load::Seen, vector::Vector};
use crate::explain::packet::address;

/// The beginning of a frame that was longer.
struct Head {
    bytes: Vec<u8>,
    length: u32,
}

impl Frame for Head {
    fn cursor(&self) -> Cursor<'_> {
        Cursor::new(&self.bytes)
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.bytes)
    }

    fn length(&self) -> u32 {
        self.length
    }

    fn ipv4_options(&self, offset: u16, length: u16) -> u32 {
        ip_options::read(self.cursor().at(offset), length)
    }

    fn quote(&self, packet: &Packet) -> Quote {
        quote::read(self.cursor(), packet)
    }

    fn options(&self, packet: &Packet) -> TcpOptions {
        options::parse(self.cursor().at(packet.l4 + 20), u16::from(packet.tcp.option_words) * 4)
    }

    fn extensions(&self, offset: u16, next: u8, payload: u16) -> u64 {
        extensions::walk(self.cursor().at(offset), next, payload)
    }

    fn resize(&mut self, _: u16, _: u16) -> bool {
        false
    }

    fn hand_over(&mut self, _: &TcpReqAttrs) {}
}

/// The packet of an event, as it was received; and whether the event's frame is the answer to it.
#[must_use]
pub fn packet(event: &Event) -> (Option<Packet>, bool) {
    let reason = Reason::from_number(event.reason);
    let replied =
        reason.is_some_and(|reason| reason.action() == Action::Reply) && event.plane == Plane::Enforced as u8;
    let captured = usize::from(event.captured).min(event.frame.len());
    let head = Head { bytes: event.frame[..captured].to_vec(), length: event.length };
    let Continue(mut packet) = parse(&head) else { return (None, replied) };
    if replied {
        std::mem::swap(&mut packet.source, &mut packet.destination);
        std::mem::swap(&mut packet.ports.source, &mut packet.ports.destination);
    }
    (Some(packet), replied)
}

/// Knows which service a packet is for.
pub struct Reader(World);

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    /// For the services of a plan; `destinations` are their prefixes with a word of services each.
    #[must_use]
    pub fn new(config: &Config, ports: &Ports, destinations: impl Iterator<Item = (Prefix, u64)>) -> Self {
        let mut world = World::new();
        world.config = *config;
        world.ports = Box::new(*ports);
        world.listed = destinations.map(|(prefix, word)| (List::ServiceDestinations, prefix, word)).collect();
        // The longest one that holds an address counts: it goes last.
        let length = |prefix: &Prefix| prefix.mask.iter().map(|part| part.count_ones()).sum::<u32>();
        world.listed.sort_by_key(|(_, prefix, _)| length(prefix));
        Self(world)
    }

    /// What the detector makes of an event; `None` if a program of another version has written it.
    #[must_use]
    pub fn read(&self, event: &Event) -> Option<Seen> {
        let reason = Reason::from_number(event.reason)?;
        let mut seen = Seen {
            service: 0,
            vector: Vector::Other,
            reason,
            source: None,
            weight: event.weight,
            length: event.length,
        };
        let (Some(packet), replied) = packet(event) else { return Some(seen) };
        seen.service = stages::service_of(&packet, &self.0) as u8;
        // Only SYNs are answered.
        seen.vector = if replied { Vector::Syn } else { Vector::of(&packet, reason, seen.service != 0) };
        seen.source = Some(address(&packet.source));
        Some(seen)
    }
}

#[cfg(test)]
mod tests {
    use filter_common::event::SNAP;

    use super::*;

    /// A TCP segment to port 443 of 192.31.196.1, of 1,400 bytes of which 128 are there.
    fn event(flags: u8, reason: Reason) -> Event {
        let mut frame = [0; SNAP];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[16..18].copy_from_slice(&1386_u16.to_be_bytes());
        (frame[22], frame[23]) = (64, 6);
        frame[26..30].copy_from_slice(&[44, 1, 2, 3]);
        frame[30..34].copy_from_slice(&[192, 31, 196, 1]);
        frame[34..36].copy_from_slice(&5000_u16.to_be_bytes());
        frame[36..38].copy_from_slice(&443_u16.to_be_bytes());
        (frame[46], frame[47]) = (0x50, flags);
        let (reason, length) = (reason as u8, 1400);
        Event { time: 1, weight: 16, ifindex: 2, length, captured: 128, reason, plane: 0, frame }
    }

    fn reader() -> Reader {
        let mut ports = Box::new(Ports::EMPTY);
        (ports.tcp[443], ports.udp[53]) = (7, 8);
        Reader::new(&Config::EMPTY, &ports, std::iter::empty())
    }

    #[test]
    fn the_head_of_a_frame_is_enough() {
        let seen = reader().read(&event(0x02, Reason::Pass)).unwrap();
        assert_eq!((seen.service, seen.vector, seen.length), (7, Vector::Syn, 1400));
        assert_eq!(seen.source, Some("44.1.2.3".parse().unwrap()));
        for (flags, vector) in
            [(0x10, Vector::Ack), (0x11, Vector::RstFin), (0x04, Vector::RstFin), (0x12, Vector::SynAck)]
        {
            assert_eq!(reader().read(&event(flags, Reason::Stray)).unwrap().vector, vector);
        }
    }

    #[test]
    fn an_answer_is_read_backwards() {
        let mut event = event(0x12, Reason::CookieSent);
        let (from, to) = event.frame[26..34].split_at_mut(4);
        from.swap_with_slice(to);
        let (from, to) = event.frame[34..38].split_at_mut(2);
        from.swap_with_slice(to);
        let seen = reader().read(&event).unwrap();
        assert_eq!((seen.service, seen.vector), (7, Vector::Syn));
        assert_eq!(seen.source, Some("44.1.2.3".parse().unwrap()));
    }

    #[test]
    fn nonsense_is_something_else() {
        let mut event = event(0x02, Reason::Ipv4Header);
        event.frame[14] = 0x41;
        let seen = reader().read(&event).unwrap();
        assert_eq!((seen.service, seen.vector, seen.source), (0, Vector::Other, None));
        event.captured = u16::MAX;
        assert!(reader().read(&event).is_some());
        event.reason = 127;
        assert!(reader().read(&event).is_none(), "no reason of ours");
    }

    #[test]
    fn reflections_tell_their_protocol() {
        let mut event = event(0, Reason::UdpReflection);
        event.frame[23] = 17;
        event.frame[34..36].copy_from_slice(&123_u16.to_be_bytes());
        event.frame[38..40].copy_from_slice(&1366_u16.to_be_bytes());
        assert_eq!(reader().read(&event).unwrap().vector, Vector::ReflectionNtp);
        event.frame[36..38].copy_from_slice(&53_u16.to_be_bytes());
        event.reason = Reason::Pass as u8;
        let seen = reader().read(&event).unwrap();
        assert_eq!((seen.service, seen.vector), (8, Vector::Udp), "a service's clients may have any port");
    }
}
