//! A frame without what it tells about a person: RFC 6973 asks to keep no more than the purpose needs.

use filter_common::packet::{Fragment, Packet};

use super::super::packet::read;
use crate::dataplane::rehearsal::LONGEST;

/// Bytes of an Ethernet header's addresses.
const ETHERNET: usize = 12;

/// Cuts the sender's address to its /24 or /48 and makes zeros of Ethernet addresses, IPv4 options and data; checksums are left and don't
/// fit any more. `length` is the frame's length on the wire, of which `frame` is the beginning; `answer`: the sender is its destination.
/// What cannot be parsed is zeros as a whole.
pub(super) fn without_person(frame: &mut [u8], length: usize, answer: bool) {
    let mut whole = frame.to_vec();
    whole.resize(length.clamp(frame.len(), frame.len().max(LONGEST)), 0);
    let Some(packet) = read(&whole) else {
        frame.fill(0);
        return;
    };
    let (l3, l4) = (usize::from(packet.l3), usize::from(packet.l4));
    // The host's part of the address (RFC 791 3.1, RFC 8200 3).
    let host = match (packet.is_v6, answer) {
        (false, false) => 15..16,
        (false, true) => 19..20,
        (true, false) => 14..24,
        (true, true) => 30..40,
    };
    let options = if packet.is_v6 { l4..l4 } else { l3 + 20..l4 };
    for part in [0..ETHERNET, l3 + host.start..l3 + host.end, options, l4 + header(&packet)..frame.len()] {
        if let Some(bytes) = frame.get_mut(part.start..part.end.min(whole.len())) {
            bytes.fill(0);
        }
    }
}

/// Bytes of the transport header.
fn header(packet: &Packet) -> usize {
    match packet {
        _ if packet.fragment == Fragment::Later => 0,
        _ if packet.is_tcp() => 20 + 4 * usize::from(packet.tcp.option_words),
        _ if packet.is_udp() || packet.is_icmp() => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{
        frame::{Description, Transport},
        packet::Told,
    };

    fn frame(source: &str, destination: &str, transport: Transport) -> Vec<u8> {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let (ttl, length, tags, fragment) = (57, Some(200), vec![7], None);
        let mut frame =
            Description { source, destination, transport, ttl, length, tags, fragment }.frame().unwrap();
        let end = frame.len();
        frame[..ETHERNET].fill(0xaa);
        frame[end - 80..].fill(0xbb);
        frame
    }

    fn told(frame: &[u8]) -> Told {
        Told::new(&read(frame).unwrap())
    }

    #[test]
    fn the_sender_is_a_network_and_data_is_gone() {
        let udp = Transport::Udp([4444, 53]);
        for (source, destination, network, cut) in [
            ("44.1.2.3", "192.31.196.9", "44.1.2.0", "192.31.196.0"),
            ("2620:fe:9:8::7", "2620:4f:8000:1::2", "2620:fe:9::", "2620:4f:8000::"),
        ] {
            let whole = frame(source, destination, udp);
            for (answer, expected) in [(false, [network, destination]), (true, [source, cut])] {
                let mut private = whole.clone();
                without_person(&mut private, whole.len(), answer);
                let told = told(&private);
                assert_eq!([told.source.to_string(), told.destination.to_string()], expected);
                assert_eq!(told.ports, Some([4444, 53]));
                assert!(!private.contains(&0xaa) && !private.contains(&0xbb));
            }
            // Only its beginning was kept.
            let mut head = whole[..128].to_vec();
            without_person(&mut head, whole.len(), false);
            assert!(
                !head.contains(&0xaa) && !head.contains(&0xbb) && head[17..].iter().any(|byte| *byte != 0)
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_gone() {
        for length in [0, 1, 14, 20, 60] {
            let mut frame = vec![0xcc; length];
            without_person(&mut frame, length + 9, false);
            assert_eq!(frame, vec![0; length]);
        }
    }
}
