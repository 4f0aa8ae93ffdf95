use etherparse::TcpOptionElement;
use proptest::prelude::*;

use super::*;
use crate::{
    abi::StepDown,
    arm::Arm,
    config::{Limit, Prefix, Service, service, syn_mode},
    headers::flag,
    packet::Address,
    state::Socket,
    testing::{CLIENT, CLIENT6, SERVER, SERVER6, Tcp, address, linux_options},
    world::{Bytes, World},
};

pub(super) fn world() -> World {
    let mut world = World::new();
    world.serve(80, address(SERVER));
    world.local.insert(address(SERVER6).0);
    world
}

fn fate(world: &World, bytes: Vec<u8>) -> (Reason, Bytes) {
    let mut frame = Bytes::from(bytes);
    let reason = decide(&mut frame, world);
    (reason, frame)
}

pub(super) fn fate_of(world: &World, bytes: Vec<u8>) -> Reason {
    fate(world, bytes).0
}

fn reason(world: &World, tcp: &Tcp) -> Reason {
    let bytes = tcp.bytes();
    let (reason, frame) = fate(world, bytes.clone());
    if reason.action() != Action::Reply {
        assert_eq!(frame.bytes, bytes, "{reason:?} changed the frame");
    }
    reason
}

/// The ACK that completes the handshake whose SYN was `syn` and whose answer is `reply`.
fn ack(syn: &Tcp, reply: &[u8]) -> Tcp {
    let sliced = etherparse::SlicedPacket::from_ethernet(reply).expect("well-formed");
    let Some(etherparse::TransportSlice::Tcp(answer)) = sliced.transport else { panic!("not TCP") };
    let mut ack = syn.clone();
    ack.header.syn = false;
    ack.header.ack = true;
    ack.header.sequence_number = syn.header.sequence_number.wrapping_add(1);
    ack.header.acknowledgment_number = answer.sequence_number().wrapping_add(1);
    let echo = answer.options_iterator().find_map(|option| match option {
        Ok(TcpOptionElement::Timestamp(value, _)) => Some(value),
        _ => None,
    });
    match echo {
        Some(echo) => ack.options(&[
            TcpOptionElement::Noop,
            TcpOptionElement::Noop,
            TcpOptionElement::Timestamp(0x0102_0305, echo),
        ]),
        None => ack.options(&[]),
    }
}

fn handshake(world: &World, syn: &Tcp) -> (Reason, Bytes) {
    let (sent, reply) = fate(world, syn.bytes());
    assert_eq!(sent, Reason::CookieSent);
    fate(world, ack(syn, &reply.bytes).bytes())
}

#[test]
fn a_handshake_with_every_option() {
    let world = world();
    for (source, destination, mss) in [(CLIENT, SERVER, 1460), (CLIENT6, SERVER6, 1440)] {
        let mut syn = Tcp::syn(source, destination).options(&linux_options());
        (syn.header.ece, syn.header.cwr) = (true, true);
        let (reason, frame) = handshake(&world, &syn);
        assert_eq!(reason, Reason::CookieAccepted);
        let attrs = frame.handed_over.expect("handed over");
        assert_eq!((attrs.mss, attrs.snd_wscale, attrs.rcv_wscale), (mss, 7, 7));
        assert_eq!((attrs.sack_ok, attrs.tstamp_ok, attrs.wscale_ok, attrs.ecn_ok), (1, 1, 1, 1));
        assert_eq!(attrs.rcv_tsval, 0x0102_0305);
    }
}

#[test]
fn a_handshake_without_timestamps_loses_the_rest() {
    let world = world();
    let options = [TcpOptionElement::MaximumSegmentSize(1300), TcpOptionElement::WindowScale(7)];
    let (reason, frame) = handshake(&world, &Tcp::syn(CLIENT, SERVER).options(&options));
    assert_eq!(reason, Reason::CookieAccepted);
    let attrs = frame.handed_over.expect("handed over");
    assert_eq!(
        (attrs.mss, attrs.wscale_ok, attrs.sack_ok, attrs.tstamp_ok, attrs.ecn_ok),
        (1300, 0, 0, 0, 0)
    );
}

#[test]
fn the_hosts_sysctls_have_their_say() {
    let mut world = world();
    world.config.tcp.flags = 0;
    let (_, frame) = handshake(&world, &Tcp::syn(CLIENT, SERVER).options(&linux_options()));
    let attrs = frame.handed_over.expect("handed over");
    assert_eq!((attrs.wscale_ok, attrs.sack_ok, attrs.tstamp_ok, attrs.ecn_ok), (0, 0, 0, 0));
}

#[test]
fn data_right_behind_the_ack_passes() {
    let world = world();
    let syn = Tcp::syn(CLIENT, SERVER).options(&linux_options());
    let (_, reply) = fate(&world, syn.bytes());
    let mut data = ack(&syn, &reply.bytes);
    assert_eq!(reason(&world, &data), Reason::CookieAccepted);
    assert_eq!(reason(&world, &data), Reason::RecentHandshake, "not handed over twice");
    world.advance(10_000_000);
    assert_eq!(reason(&world, &data), Reason::CookieAccepted, "a retransmission may be what arrives first");
    data.header.sequence_number = data.header.sequence_number.wrapping_add(1448);
    assert_eq!(reason(&world, &data), Reason::RecentHandshake);
    world.advance(3_000_000_000);
    assert_eq!(reason(&world, &data), Reason::CookieInvalid, "only for a moment");
}

#[test]
fn tc_decodes_a_cookie_once() {
    let world = world();
    let syn = Tcp::syn(CLIENT, SERVER).options(&linux_options());
    let (_, reply) = fate(&world, syn.bytes());
    let frame = Bytes::from(ack(&syn, &reply.bytes).bytes());
    let Continue(packet) = packet::parse(&frame) else { panic!("well-formed") };
    let attrs = segment::decode(&frame, &packet, &world).expect("a valid cookie");
    assert_eq!(attrs.mss, 1460);
    assert_eq!(segment::decode(&frame, &packet, &world), None, "data in the same poll");
    world.advance(10_000_000);
    assert!(segment::decode(&frame, &packet, &world).is_some(), "a retransmission");
}

#[test]
fn unknown_acks_end_here() {
    let mut world = world();
    let mut stray = Tcp::syn(CLIENT, SERVER);
    (stray.header.syn, stray.header.ack) = (false, true);
    assert_eq!(reason(&world, &stray), Reason::CookieInvalid);
    world.config.unknown_acks = Limit::per_second(10, 1);
    assert_eq!(reason(&world, &stray), Reason::UnknownAck);
    assert_eq!(reason(&world, &stray), Reason::CookieInvalid, "the budget is spent");
    world.keys.grace_until = world.clock.get() + 1;
    assert_eq!(reason(&world, &stray), Reason::CookieGrace);
    world.connections.insert((40_000, 80));
    assert_eq!(reason(&world, &stray), Reason::Established);
}

#[test]
fn syns_that_are_the_stacks() {
    let syn = Tcp::syn(CLIENT, SERVER);
    let check = |change: &dyn Fn(&mut World), expected| {
        let mut world = world();
        change(&mut world);
        assert_eq!(reason(&world, &syn), expected);
    };
    check(&|w| w.listeners.clear(), Reason::NoListener);
    check(&|w| assert!(w.connections.insert((40_000, 80))), Reason::TupleInUse);
    check(&|w| w.local.clear(), Reason::NotLocal);
    check(&|w| w.advance(64_000_000_000), Reason::CookieUnavailable);
    check(&|w| w.config.services[1] = Service::default(), Reason::Pass);
    check(&|w| w.ports.tcp[80] = 0, Reason::Pass);
}

#[test]
fn cookies_are_honoured_after_their_key_stopped_issuing() {
    let world = world();
    let syn = Tcp::syn(CLIENT, SERVER).options(&linux_options());
    world.advance(63_999_999_999);
    let (_, reply) = fate(&world, syn.bytes());
    world.advance(2);
    assert_eq!(reason(&world, &ack(&syn, &reply.bytes)), Reason::CookieAccepted);
    world.step_down(80, StepDown::Refused);
    world.advance(20_000_000);
    assert_eq!(reason(&world, &ack(&syn, &reply.bytes)), Reason::CookieAccepted, "stepped down meanwhile");
    assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::CookieUnavailable, "no key, no answer");
}

#[test]
fn a_sysctl_turned_off_meanwhile() {
    let mut world = world();
    let syn = Tcp::syn(CLIENT, SERVER).options(&linux_options());
    let (_, reply) = fate(&world, syn.bytes());
    world.config.tcp.flags &= !crate::config::tcp::SACK;
    assert_eq!(reason(&world, &ack(&syn, &reply.bytes)), Reason::CookieInvalid);
}

#[test]
fn two_vlan_tags_get_no_cookie() {
    let world = world();
    let tagged = Tcp { vlans: vec![0x88a8, 0x8100], ..Tcp::syn(CLIENT, SERVER) };
    assert_eq!(reason(&world, &tagged), Reason::ChallengeSent, "the next rung");
    let mut stray = tagged;
    (stray.header.syn, stray.header.ack) = (false, true);
    assert_eq!(reason(&world, &stray), Reason::CookieUnavailable);
}

#[test]
fn forged_acks_leave_the_victims_share_alone() {
    let mut world = limited(Limit::per_second(10, 2), Limit::NONE);
    let mut forged = Tcp::syn(CLIENT, SERVER);
    (forged.header.syn, forged.header.ack) = (false, true);
    for port in 1..100 {
        forged.header.source_port = port;
        assert_eq!(reason(&world, &forged), Reason::CookieInvalid);
    }
    world.connections.insert((50_000, 80));
    forged.header.source_port = 50_000;
    assert_eq!(reason(&world, &forged), Reason::Established);
}

#[test]
fn without_a_key_nobodys_ack_is_refused() {
    let world = world();
    world.advance(64_000_000_000);
    let mut stray = Tcp::syn(CLIENT, SERVER);
    (stray.header.syn, stray.header.ack) = (false, true);
    assert_eq!(reason(&world, &stray), Reason::CookieUnavailable);
}

#[test]
fn a_broadcast_syn_is_not_answered() {
    let world = world();
    let mut bytes = Tcp::syn(CLIENT, SERVER).bytes();
    bytes[..6].fill(0xff);
    assert_eq!(fate(&world, bytes).0, Reason::Pass);
}

#[test]
fn observe_counts_and_changes_nothing() {
    let mut world = world();
    world.config.flags |= flags::OBSERVE;
    let bytes = Tcp::syn(CLIENT, SERVER).bytes();
    let (reason, frame) = fate(&world, bytes.clone());
    assert_eq!((reason, frame.bytes), (Reason::CookieSent, bytes));
    assert_eq!(super::fate(reason, &world).action(), Action::Pass);
    assert_eq!(super::fate(Reason::Bogon, &world).action(), Action::Pass);
}

#[test]
fn sources_that_are_forged() {
    let mut world = world();
    for (source, expected) in
        [("10.1.2.3", Reason::Bogon), (SERVER, Reason::Land), ("8.8.8.8", Reason::CookieSent)]
    {
        assert_eq!(reason(&world, &Tcp::syn(source, SERVER)), expected, "{source}");
    }
    assert_eq!(reason(&world, &Tcp::syn(SERVER6, SERVER6)), Reason::Land);
    world.config.connected[0] = Prefix { network: address("10.1.2.0").0, mask: mapped_mask(0xffff_ff00) };
    world.config.connected_len = 1;
    assert_eq!(reason(&world, &Tcp::syn("10.1.2.3", SERVER)), Reason::CookieSent, "connected");
    assert_eq!(reason(&world, &Tcp::syn("10.1.3.3", SERVER)), Reason::Bogon);
    world.manage(address("10.1.3.3"));
    assert_eq!(reason(&world, &Tcp::syn("10.1.3.3", SERVER)), Reason::Management);
}

fn mapped_mask(v4: u32) -> [u32; 4] {
    [u32::MAX, u32::MAX, u32::MAX, v4.to_be()]
}

#[test]
fn tcp_flags_by_the_table() {
    let world = World::new();
    for flags in 0..64_u8 {
        let mut tcp = Tcp::syn(CLIENT, SERVER);
        let h = &mut tcp.header;
        (h.fin, h.syn, h.rst) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        (h.psh, h.ack, h.urg) = (flags & 8 != 0, flags & 16 != 0, flags & 32 != 0);
        let legal = match (h.syn, h.rst, h.fin) {
            (true, false, false) | (false, true, false) => true,
            (false, false, _) => h.ack,
            _ => false,
        };
        let expected = if legal { Reason::Pass } else { Reason::TcpFlags };
        assert_eq!(reason(&world, &tcp), expected, "{flags:#x}");
    }
}

#[test]
fn port_zero_and_fragments() {
    let world = world();
    for change in [|t: &mut Tcp| t.header.source_port = 0, |t: &mut Tcp| t.header.destination_port = 0] {
        let mut tcp = Tcp::syn(CLIENT, SERVER);
        change(&mut tcp);
        assert_eq!(reason(&world, &tcp), Reason::PortZero);
    }
    let first = Tcp { fragment: (0, true), payload: vec![0; 4], ..Tcp::syn(CLIENT, SERVER) };
    assert_eq!(reason(&world, &first), Reason::SynFragmented);
    let later = Tcp { fragment: (100, false), ..Tcp::syn(CLIENT, SERVER) };
    assert_eq!(reason(&world, &later), Reason::Fragment);
}

fn limited(per_source: Limit, per_source_syn: Limit) -> World {
    let mut world = world();
    world.config.services[1] =
        Service { syn_mode: syn_mode::COOKIE, per_source, per_source_syn, ..Service::NONE };
    world
}

#[test]
fn a_source_gets_its_share_and_others_theirs() {
    let world = limited(Limit::NONE, Limit::per_second(10, 3));
    for source in [CLIENT, "192.31.196.8"] {
        let fates: Vec<_> = (0..5).map(|_| reason(&world, &Tcp::syn(source, SERVER))).collect();
        assert_eq!(fates[..3], [Reason::CookieSent; 3]);
        assert_eq!(fates[3..], [Reason::SourceSynRate; 2]);
    }
    world.advance(100_000_000);
    assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::CookieSent);
}

#[test]
fn syns_and_other_packets_are_counted_apart() {
    let mut world = limited(Limit::per_second(10, 2), Limit::per_second(10, 1));
    world.connections.insert((50_000, 80));
    let mut data = Tcp::syn(CLIENT, SERVER);
    (data.header.syn, data.header.ack, data.header.source_port) = (false, true, 50_000);
    assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::CookieSent);
    assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::SourceSynRate);
    assert_eq!(reason(&world, &data), Reason::Established);
    assert_eq!(reason(&world, &data), Reason::Established);
    assert_eq!(reason(&world, &data), Reason::SourceRate);
}

#[test]
fn a_v6_64_is_one_source() {
    let world = limited(Limit::NONE, Limit::per_second(10, 2));
    let fates = ["2620:4f:8000::7", "2620:4f:8000::8", "2620:4f:8000::9", "2620:4f:8000:1::7"]
        .map(|source| reason(&world, &Tcp::syn(source, SERVER6)));
    let sent = Reason::CookieSent;
    assert_eq!(fates, [sent, sent, Reason::SourceSynRate, sent]);
}

#[test]
fn answers_are_limited_per_prefix_and_in_total() {
    let mut world = world();
    world.config.reply_per_prefix = Limit::per_second(10, 2);
    let fates =
        ["8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.9.1"].map(|source| reason(&world, &Tcp::syn(source, SERVER)));
    let sent = Reason::CookieSent;
    assert_eq!(fates, [sent, sent, Reason::ReplyPrefixRate, sent]);
    world.config.reply_per_prefix = Limit::NONE;
    world.config.reply_total = Limit::per_second(10, 1);
    assert_eq!(reason(&world, &Tcp::syn("9.9.9.9", SERVER)), sent);
    assert_eq!(reason(&world, &Tcp::syn("9.9.8.9", SERVER)), Reason::ReplyTotalRate);
}

/// Ethernet + IPv6 + ICMPv6, or Ethernet + IPv4 + a protocol's bytes.
pub(super) fn raw(
    is_v6: bool,
    source: &Address,
    destination: &Address,
    protocol: u8,
    ttl: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    let octets = |a: &Address| a.0.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>();
    let length = payload.len() as u16;
    if is_v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([protocol, ttl]);
        frame.extend(octets(source));
        frame.extend(octets(destination));
    } else {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((length + 20).to_be_bytes());
        frame.extend([0, 0, 0, 0, ttl, protocol, 0, 0]);
        frame.extend(&octets(source)[12..]);
        frame.extend(&octets(destination)[12..]);
    }
    frame.extend(payload);
    frame
}

#[test]
fn the_link_lives() {
    let world = World::new();
    let v6 = |source: &str, protocol, ttl, payload: &[u8]| {
        fate(&world, raw(true, &address(source), &address("ff02::1"), protocol, ttl, payload)).0
    };
    let message = |kind: u8| [kind, 0, 0, 0, 0, 0, 0, 0];
    for kind in [133, 134, 135, 136, 137, 141, 142, 148, 149] {
        assert_eq!(v6("fe80::1", 58, 255, &message(kind)), Reason::LinkControl, "ND {kind}");
        assert_eq!(v6("fe80::1", 58, 254, &message(kind)), Reason::NdHopLimit, "ND {kind} from afar");
    }
    assert_eq!(v6("::", 58, 255, &message(135)), Reason::LinkControl, "DAD");
    for kind in [130, 131, 132, 143, 151, 152, 153] {
        assert_eq!(v6("fe80::1", 58, 1, &message(kind)), Reason::LinkControl, "MLD {kind}");
    }
    let udp = |source: u16, destination: u16| {
        [source.to_be_bytes(), destination.to_be_bytes(), 8_u16.to_be_bytes(), [0, 0]].concat()
    };
    assert_eq!(v6("fe80::1", 17, 64, &udp(547, 546)), Reason::LinkControl, "DHCPv6");
    let v4 = |source: &str, destination: &str, protocol, ttl, payload: &[u8]| {
        fate(&world, raw(false, &address(source), &address(destination), protocol, ttl, payload)).0
    };
    assert_eq!(v4("0.0.0.0", "255.255.255.255", 17, 64, &udp(68, 67)), Reason::LinkControl, "DHCPv4");
    assert_eq!(v4("10.0.0.1", "192.31.196.2", 17, 64, &udp(67, 68)), Reason::LinkControl, "DHCPv4");
    assert_eq!(v4("10.0.0.1", "224.0.0.1", 2, 1, &[0x11, 0, 0, 0]), Reason::LinkControl, "IGMP");
    assert_eq!(v4("10.0.0.1", "224.0.0.1", 2, 2, &[0x11, 0, 0, 0]), Reason::Bogon, "routed IGMP");
    let about = |kind: u8, code: u8, is_v6: bool, from: &str| {
        let quoted = raw(is_v6, &address(from), &address(CLIENT), 6, 64, &[0; 8]);
        [&[kind, code, 0, 0, 0, 0, 0, 0], &quoted[14..]].concat()
    };
    assert_eq!(v4("10.0.0.1", SERVER, 1, 64, &about(3, 4, false, SERVER)), Reason::Pass, "path MTU");
    assert_eq!(v4("10.0.0.1", SERVER, 1, 64, &about(3, 3, false, SERVER)), Reason::Bogon, "port unreachable");
    assert_eq!(v6("fe80::1", 58, 64, &about(2, 0, true, "ff02::1")), Reason::Pass, "path MTU");
    assert_eq!(v6("fe80::1", 89, 1, &[]), Reason::OtherProtocol, "OSPFv3");
    assert_eq!(v6("fc00::1", 89, 1, &[]), Reason::Bogon);
    let to_server = raw(true, &address("fe80::1"), &address(SERVER6), 89, 1, &[]);
    assert_eq!(fate(&world, to_server).0, Reason::Bogon, "link-local to a global address");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Any bytes: an end, no panic, no passed packet that was changed, no answer larger than its cause.
    #[test]
    fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_usize..4) {
        let world = world();
        if bytes.len() > 34 {
            bytes[12..14].copy_from_slice(&[[8, 0], [0x86, 0xdd], [0x81, 0], [8, 6]][kind]);
            bytes[14] = if kind == 0 { 0x45 } else { 0x60 };
            bytes[16] = 0;
            bytes[20] = 6;
            bytes[23] = 6;
        }
        check_any(&world, bytes)?;
    }

    #[test]
    fn any_flipped_bit_or_cut_of_a_syn(bit in 0_usize..8 * 94, cut in 0_usize..94, is_v6: bool) {
        let world = world();
        let syn = if is_v6 { Tcp::syn(CLIENT6, SERVER6) } else { Tcp::syn(CLIENT, SERVER) };
        let mut bytes = syn.options(&linux_options()).bytes();
        let length = bytes.len();
        bytes[bit / 8 % length] ^= 1 << (bit % 8);
        check_any(&world, bytes.clone())?;
        bytes.truncate(cut % length);
        check_any(&world, bytes)?;
    }
}

fn check_any(world: &World, bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let (reason, frame) = fate(world, bytes.clone());
    match reason.action() {
        Action::Pass => prop_assert_eq!(frame.bytes, bytes),
        Action::Reply => prop_assert!(frame.bytes.len() <= bytes.len()),
        Action::Drop => {}
    }
    Ok(())
}

/// A world whose service is in this mode, with a budget of 10/s (burst 3) and a key.
fn laddered(mode: u32) -> World {
    let mut world = world();
    world.config.services[1] = Service {
        syn_mode: mode,
        on: Limit::per_second(10, 3),
        off: Limit::per_second(2, 1),
        hold: 10_000_000_000,
        ..Service::NONE
    };
    world.config.proven = 600_000_000_000;
    world.config.in_flight = 128_000_000_000;
    world
}

/// The RST with which a client that did not expect it answers a SYN-ACK.
fn reset(syn: &Tcp, reply: &[u8]) -> Tcp {
    let sliced = etherparse::SlicedPacket::from_ethernet(reply).expect("well-formed");
    let Some(etherparse::TransportSlice::Tcp(answer)) = sliced.transport else { panic!("not TCP") };
    assert!(answer.syn() && answer.ack());
    assert_ne!(answer.acknowledgment_number(), syn.header.sequence_number.wrapping_add(1), "acceptable");
    let mut rst = syn.clone();
    (rst.header.syn, rst.header.rst) = (false, true);
    rst.header.sequence_number = answer.acknowledgment_number();
    rst.options(&[])
}

fn with(tcp: &Tcp, flags: u8) -> Tcp {
    let mut tcp = tcp.clone();
    let header = &mut tcp.header;
    (header.syn, header.ack) = (flags & flag::SYN != 0, flags & flag::ACK != 0);
    (header.fin, header.rst) = (flags & flag::FIN != 0, flags & flag::RST != 0);
    tcp
}

#[test]
fn a_challenge_is_passed_once_and_for_all() {
    let mut world = laddered(syn_mode::CHALLENGE);
    world.config.services[1].on = Limit::NONE;
    for (source, destination) in [(CLIENT, SERVER), (CLIENT6, SERVER6)] {
        let syn = Tcp::syn(source, destination).options(&linux_options());
        let (sent, reply) = fate(&world, syn.bytes());
        assert_eq!(sent, Reason::ChallengeSent);
        assert!(reply.bytes.len() <= syn.bytes().len());
        let rst = reset(&syn, &reply.bytes);
        let mut guess = rst.clone();
        guess.header.sequence_number ^= 1;
        assert_eq!(reason(&world, &guess), Reason::Pass, "no proof");
        assert_eq!(reason(&world, &syn), Reason::ChallengeSent);
        assert_eq!(reason(&world, &rst), Reason::ChallengePassed);
        assert_eq!(reason(&world, &syn), Reason::Proven);
        let mut other = syn.clone();
        other.header.source_port += 1;
        assert_eq!(reason(&world, &other), Reason::Proven, "the source, not the tuple");
    }
    assert_eq!(reason(&world, &Tcp::syn("8.8.8.8", SERVER)), Reason::ChallengeSent);
    // Keys are renewed meanwhile; the proof is not theirs.
    world.advance(60_000_000_000);
    assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::Proven);
}

#[test]
fn a_proven_source_gets_its_share_and_no_more() {
    let mut world = laddered(syn_mode::CHALLENGE);
    world.config.proven_syns = Limit::per_second(10, 3);
    let syn = Tcp::syn(CLIENT, SERVER);
    let (_, reply) = fate(&world, syn.bytes());
    assert_eq!(reason(&world, &reset(&syn, &reply.bytes)), Reason::ChallengePassed);
    let fates: Vec<_> = (0..5).map(|_| reason(&world, &syn)).collect();
    assert_eq!(fates[..3], [Reason::Proven; 3]);
    assert_eq!(fates[3..], [Reason::SourceSynRate; 2]);
    world.advance(100_000_000);
    assert_eq!(reason(&world, &syn), Reason::Proven);
}

#[test]
fn proofs_and_challenges_end() {
    let mut world = laddered(syn_mode::CHALLENGE);
    world.config.proven = 5_000_000_000;
    let syn = Tcp::syn(CLIENT, SERVER);
    let (_, reply) = fate(&world, syn.bytes());
    let rst = reset(&syn, &reply.bytes);
    assert_eq!(reason(&world, &rst), Reason::ChallengePassed);
    world.advance(4_999_999_999);
    assert_eq!(reason(&world, &syn), Reason::Proven);
    world.advance(1);
    assert_eq!(reason(&world, &syn), Reason::ChallengeSent);
    world.advance(123_000_000_000);
    assert_eq!(reason(&world, &rst), Reason::Pass, "its key is past");
}

#[test]
fn cookies_step_down_to_challenges() {
    let syn = Tcp::syn(CLIENT, SERVER);
    let check = |change: &dyn Fn(&mut World)| {
        let mut world = laddered(syn_mode::COOKIE);
        change(&mut world);
        let (sent, reply) = fate(&world, syn.bytes());
        assert_eq!(sent, Reason::ChallengeSent);
        assert_eq!(reason(&world, &reset(&syn, &reply.bytes)), Reason::ChallengePassed);
        assert_eq!(reason(&world, &syn), Reason::Proven);
    };
    check(&|w| *w.listeners.get_mut(&80).expect("served") = Socket::MptcpListener);
    check(&|w| w.step_down(80, StepDown::Refused));
    check(&|w| w.step_down(0, StepDown::Refused));
    check(&|w| w.config.flags = 0);
}

#[test]
fn without_a_key_the_stack_gets_its_budget_and_no_more() {
    for mode in [syn_mode::COOKIE, syn_mode::CHALLENGE, syn_mode::LIMIT] {
        let world = laddered(mode);
        world.advance(64_000_000_000);
        let fates: Vec<_> = (0..5).map(|_| reason(&world, &Tcp::syn(CLIENT, SERVER)).action()).collect();
        let (pass, drop) = (Action::Pass, Action::Drop);
        assert_eq!(fates, [pass, pass, pass, drop, drop], "mode {mode}");
        world.advance(100_000_000);
        assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)).action(), pass);
    }
}

#[test]
fn auto_arms_with_the_first_syn_over_budget() {
    let world = laddered(syn_mode::AUTO);
    let syn = Tcp::syn(CLIENT, SERVER).options(&linux_options());
    let fates: Vec<_> = (0..5).map(|_| reason(&world, &syn)).collect();
    let (pass, sent) = (Reason::Pass, Reason::CookieSent);
    assert_eq!(fates, [pass, pass, pass, sent, sent]);
    let (_, reply) = fate(&world, syn.bytes());
    world.advance(10_000_000_000);
    assert_eq!(reason(&world, &syn), pass, "disarmed after its hold time");
    assert_eq!(reason(&world, &ack(&syn, &reply.bytes)), Reason::CookieAccepted, "still in flight");
    world.advance(200_000_000_000);
    assert_eq!(reason(&world, &syn), pass);
    assert_eq!(world.arms[1].syn.until.load(), 0, "long past");
    assert_eq!(world.arms[1].syn.count.load(), 1);
}

#[test]
fn auto_goes_down_the_ladder_too() {
    let mut world = laddered(syn_mode::AUTO);
    world.config.flags = 0;
    for _ in 0..3 {
        assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::Pass);
    }
    assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::ChallengeSent);
}

#[test]
fn a_freshly_armed_service_knows_the_stacks_own_handshakes() {
    let mut world = laddered(syn_mode::AUTO);
    let ack = with(&Tcp::syn(CLIENT, SERVER), flag::ACK);
    for _ in 0..4 {
        fate(&world, Tcp::syn("8.8.8.8", SERVER).bytes());
    }
    world.stack_cookies.insert((40_000, 80));
    assert_eq!(reason(&world, &ack), Reason::StackCookie);
    world.stack_cookies.clear();
    world.advance(2_000_000_000);
    assert_eq!(reason(&world, &ack), Reason::CookieInvalid);
}

#[test]
fn a_syn_with_data() {
    let mut world = laddered(syn_mode::COOKIE);
    let syn = Tcp { payload: vec![1; 10], ..Tcp::syn(CLIENT, SERVER) };
    assert_eq!(reason(&world, &syn), Reason::CookieSent);
    world.config.services[1].flags = service::DROP_SYN_DATA;
    assert_eq!(reason(&world, &syn), Reason::SynData);
    assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::CookieSent);
}

/// A world that watches segments: armed by the third sampled stray.
fn watching() -> World {
    let mut world = world();
    world.config.services[1] = Service::NONE;
    world.config.flags = flags::CHECK_STATE;
    world.config.stray_on = Limit::per_second(10, 2);
    world.config.stray_off = Limit::per_second(10, 10);
    world.config.stray_hold = 5_000_000_000;
    world.until_sample.set(1);
    // Segments of this service do have sockets.
    world.arms.iter().for_each(|arm| arm.served.store(1));
    world
}

/// Sends strays until all segments are looked up.
fn arm_strays(world: &World, stray: &Tcp) {
    for _ in 0..3 {
        world.until_sample.set(1);
        assert_eq!(reason(world, stray).action(), Action::Pass);
    }
}

#[test]
fn strays_arm_the_check_and_are_dropped_by_their_kind() {
    let base = Tcp::syn("8.8.8.8", SERVER);
    let data = Tcp { payload: vec![0; 4], ..with(&base, flag::ACK) };
    for (stray, expected) in [
        (with(&base, flag::ACK), Reason::StrayAck),
        (data, Reason::StrayData),
        (with(&base, flag::ACK | flag::FIN), Reason::StrayFin),
        (with(&base, flag::RST), Reason::StrayRst),
        (with(&base, flag::RST | flag::ACK), Reason::StrayRst),
        (with(&base, flag::SYN | flag::ACK), Reason::StraySynAck),
    ] {
        let mut world = watching();
        world.connections.insert((50_000, 80));
        arm_strays(&world, &stray);
        assert_eq!(reason(&world, &stray), expected);
        let mut known = stray.clone();
        known.header.source_port = 50_000;
        assert_eq!(reason(&world, &known), Reason::Established, "of a connection");
        world.listeners.clear();
        assert_eq!(reason(&world, &stray), expected, "to a closed port");
        world.advance(5_000_000_000);
        assert_ne!(reason(&world, &stray), expected, "disarmed");
        world.until_sample.set(1);
        fate(&world, known.bytes());
        assert_eq!(world.arms[1].state.until.load(), 0, "no clock for calm segments");
    }
}

#[test]
fn a_redirected_service_has_no_strays() {
    let world = watching();
    world.arms[1].served.store(0);
    let stray = with(&Tcp::syn("8.8.8.8", SERVER), flag::ACK);
    for _ in 0..20 {
        world.until_sample.set(1);
        assert_eq!(reason(&world, &stray), Reason::Stray);
    }
    let mut world = world;
    world.connections.insert((50_000, 80));
    let mut known = stray.clone();
    known.header.source_port = 50_000;
    world.until_sample.set(1);
    assert_eq!(reason(&world, &known), Reason::Established, "a socket after all");
    arm_strays(&world, &stray);
    assert_eq!(reason(&world, &stray), Reason::StrayAck);
}

#[test]
fn where_no_cookie_is_due_strays_are_strays() {
    let check = |change: &dyn Fn(&mut World), calm: Reason| {
        let mut world = watching();
        world.config.services[1].syn_mode = syn_mode::COOKIE;
        world.config.flags |= flags::COOKIES;
        change(&mut world);
        let stray = with(&Tcp::syn("8.8.8.8", SERVER), flag::ACK);
        for _ in 0..3 {
            world.until_sample.set(1);
            assert_eq!(reason(&world, &stray), calm);
        }
        assert_eq!(reason(&world, &stray), Reason::StrayAck, "{calm:?}");
    };
    check(&|w| *w.listeners.get_mut(&80).expect("served") = Socket::MptcpListener, Reason::ListenerMptcp);
    check(&|w| w.step_down(80, StepDown::Refused), Reason::SteppedDown);
    check(&|w| w.step_down(0, StepDown::Refused), Reason::CookieUnavailable);
    check(&|w| w.listeners.clear(), Reason::NoListener);
}

#[test]
fn data_behind_the_stacks_own_cookie_is_no_stray() {
    let mut world = watching();
    let ack = with(&Tcp::syn(CLIENT, SERVER), flag::ACK);
    arm_strays(&world, &with(&Tcp::syn("8.8.8.8", SERVER), flag::ACK));
    world.stack_cookies.insert((40_000, 80));
    assert_eq!(reason(&world, &ack), Reason::StackCookie);
    world.stack_cookies.clear();
    assert_eq!(reason(&world, &ack), Reason::RecentHandshake);
    world.advance(2_000_000_000);
    assert_eq!(reason(&world, &ack), Reason::StrayAck);
}

#[test]
fn all_proven_sources_together_get_the_stacks_budget() {
    let world = laddered(syn_mode::CHALLENGE);
    let fates: Vec<_> = (1..6)
        .map(|host| {
            let syn = Tcp::syn(&format!("8.8.8.{host}"), SERVER);
            let (_, reply) = fate(&world, syn.bytes());
            assert_eq!(reason(&world, &reset(&syn, &reply.bytes)), Reason::ChallengePassed);
            reason(&world, &syn)
        })
        .collect();
    assert_eq!(fates[..3], [Reason::Proven; 3]);
    assert_eq!(fates[3..], [Reason::SynLimit; 2], "as if forged SYNs had made live hosts reset us");
}

#[test]
fn few_strays_arm_nothing() {
    let world = watching();
    let stray = with(&Tcp::syn("8.8.8.8", SERVER), flag::ACK);
    for _ in 0..20 {
        world.until_sample.set(1);
        assert_eq!(reason(&world, &stray), Reason::Stray);
        world.advance(100_000_000);
    }
    assert_eq!(world.arms[1].state.count.load(), 0);
}

#[test]
fn armed_or_not_some_strays_reach_the_stack_to_be_reset() {
    let mut world = watching();
    world.config.unknown_acks = Limit::per_second(10, 1);
    let stray = with(&Tcp::syn("8.8.8.8", SERVER), flag::ACK);
    arm_strays(&world, &stray);
    assert_eq!(reason(&world, &stray), Reason::UnknownAck);
    assert_eq!(reason(&world, &stray), Reason::StrayAck);
    world.advance(1_000_000_000);
    assert_eq!(reason(&world, &with(&stray, flag::RST)), Reason::StrayRst, "nobody answers a RST");
}

#[test]
fn strays_elsewhere_are_somebody_elses() {
    let world = watching();
    let mut stray = with(&Tcp::syn("8.8.8.8", SERVER), flag::ACK);
    arm_strays(&world, &stray);
    stray.header.destination_port = 50_000;
    assert_eq!(reason(&world, &stray), Reason::Pass, "no service there");
    let mut host = watching();
    host.config.flags |= flags::CHECK_STATE_OF_HOST;
    arm_strays(&host, &stray);
    assert_eq!(reason(&host, &stray), Reason::StrayAck);
    let forwarded = with(&Tcp::syn("8.8.8.8", "9.9.9.9"), flag::ACK);
    host.config.services[1].syn_mode = syn_mode::OFF;
    arm_strays(&host, &with(&Tcp::syn("8.8.8.8", SERVER), flag::ACK));
    assert_eq!(reason(&host, &forwarded), Reason::NotLocal);
}

fn gateway(mode: u32) -> World {
    let mut world = laddered(mode);
    world.config.protected[0] = Prefix { network: address("9.9.9.0").0, mask: mapped_mask(0xffff_ff00) };
    world.config.protected[1] =
        Prefix { network: address("2620:4f:8000:9::").0, mask: [u32::MAX, u32::MAX, 0, 0] };
    (world.config.protected_service, world.config.protected_len) = ([1; 8], 2);
    world.config.unproven = Limit::per_second(10, 3);
    world
}

#[test]
fn a_gateway_challenges_for_those_behind_it() {
    for mode in [syn_mode::CHALLENGE, syn_mode::COOKIE] {
        let world = gateway(mode);
        for (source, destination) in [(CLIENT, "9.9.9.9"), (CLIENT6, "2620:4f:8000:9::9")] {
            let syn = Tcp::syn(source, destination);
            let (sent, reply) = fate(&world, syn.bytes());
            assert_eq!(sent, Reason::ChallengeSent);
            assert_eq!(reason(&world, &reset(&syn, &reply.bytes)), Reason::ChallengePassed);
            assert_eq!(reason(&world, &syn), Reason::Proven);
            for _ in 0..10 {
                assert_eq!(reason(&world, &with(&syn, flag::ACK)), Reason::Proven);
            }
        }
        let strange: Vec<_> =
            (0..5).map(|_| reason(&world, &with(&Tcp::syn("8.8.8.8", "9.9.9.9"), flag::ACK))).collect();
        assert_eq!(strange[..3], [Reason::Pass; 3]);
        assert_eq!(strange[3..], [Reason::UnprovenRate; 2]);
        assert_eq!(reason(&world, &Tcp::syn(CLIENT, "9.9.8.9")), Reason::NotLocal, "not protected");
    }
}

#[test]
fn without_a_key_a_gateway_cuts_nobody() {
    let world = gateway(syn_mode::CHALLENGE);
    world.advance(64_000_000_000);
    for _ in 0..20 {
        assert_eq!(reason(&world, &with(&Tcp::syn("8.8.8.8", "9.9.9.9"), flag::ACK)), Reason::Pass);
    }
}

#[test]
fn forged_packets_prove_nothing_and_evict_nobody() {
    let world = laddered(syn_mode::CHALLENGE);
    let syn = Tcp::syn(CLIENT, SERVER);
    let (_, reply) = fate(&world, syn.bytes());
    assert_eq!(reason(&world, &reset(&syn, &reply.bytes)), Reason::ChallengePassed);
    for number in 0..100_000_u32 {
        let source = std::net::Ipv4Addr::from(0x2000_0000 + number * 7).to_string();
        let mut packet = Tcp::syn(&source, SERVER);
        packet.header.sequence_number = number;
        assert_ne!(reason(&world, &with(&packet, flag::RST)), Reason::ChallengePassed);
        assert_ne!(reason(&world, &packet), Reason::Proven);
    }
    assert_eq!(reason(&world, &syn), Reason::Proven);
}

#[test]
fn observe_arms_and_drops_nothing() {
    let mut world = laddered(syn_mode::AUTO);
    world.config.flags |= flags::OBSERVE;
    let fates: Vec<_> = (0..5).map(|_| reason(&world, &Tcp::syn(CLIENT, SERVER))).collect();
    assert_eq!(fates[3..], [Reason::CookieSent; 2], "what would happen");
    assert_eq!(super::fate(fates[4], &world).action(), Action::Pass);
    assert!(world.arms.iter().all(|arm: &Arm| arm.state.count.load() == 0));
}
