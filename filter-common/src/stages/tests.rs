use etherparse::TcpOptionElement;
use proptest::prelude::*;

use super::*;
use crate::{
    abi::StepDown,
    config::{Limit, Service, service},
    packet::Address,
    state::Socket,
    testing::{CLIENT, CLIENT6, SERVER, SERVER6, Tcp, address, linux_options},
    world::{Bytes, World},
};

fn world() -> World {
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
    let Continue(packet) = parse(frame.cursor()) else { panic!("well-formed") };
    let attrs = ack::decode(&frame, &packet, &world).expect("a valid cookie");
    assert_eq!(attrs.mss, 1460);
    assert_eq!(ack::decode(&frame, &packet, &world), None, "data in the same poll");
    world.advance(10_000_000);
    assert!(ack::decode(&frame, &packet, &world).is_some(), "a retransmission");
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
    check(&|w| *w.listeners.get_mut(&80).expect("served") = Socket::MptcpListener, Reason::ListenerMptcp);
    check(&|w| w.step_down(80, StepDown::Refused), Reason::SteppedDown);
    check(&|w| w.config.flags = 0, Reason::CookieUnavailable);
    check(&|w| w.step_down(0, StepDown::Refused), Reason::CookieUnavailable);
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
    assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::CookieUnavailable);
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
fn two_vlan_tags_are_the_stacks() {
    let world = world();
    let tagged = Tcp { vlans: vec![0x88a8, 0x8100], ..Tcp::syn(CLIENT, SERVER) };
    assert_eq!(reason(&world, &tagged), Reason::CookieUnavailable);
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
    assert_eq!(action(reason, &world), Action::Pass);
    assert_eq!(action(Reason::Bogon, &world), Action::Pass);
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
    world.config.connected[0] =
        crate::config::Prefix { network: address("10.1.2.0").0, mask: mapped_mask(0xffff_ff00) };
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
    let tiny = Tcp { fragment: (0, true), ..Tcp::syn(CLIENT, SERVER) };
    assert_eq!(reason(&world, &tiny), Reason::SynFragmented);
    let later = Tcp { fragment: (100, true), ..Tcp::syn(CLIENT, SERVER) };
    assert_eq!(reason(&world, &later), Reason::Fragment);
}

fn limited(per_source: Limit, per_source_syn: Limit) -> World {
    let mut world = world();
    world.config.services[1] =
        Service { flags: service::SYN_COOKIE, reserved: 0, per_source, per_source_syn };
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
fn raw(
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
    for kind in 133..=137 {
        assert_eq!(v6("fe80::1", 58, 255, &[kind, 0, 0, 0]), Reason::LinkControl, "ND {kind}");
        assert_eq!(v6("fe80::1", 58, 254, &[kind, 0, 0, 0]), Reason::Bogon, "ND {kind} from afar");
    }
    assert_eq!(v6("::", 58, 255, &[135, 0, 0, 0]), Reason::LinkControl, "DAD");
    for kind in [130, 131, 132, 143] {
        assert_eq!(v6("fe80::1", 58, 1, &[kind, 0, 0, 0]), Reason::LinkControl, "MLD {kind}");
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
    assert_eq!(v4("10.0.0.1", SERVER, 1, 64, &[3, 4, 0, 0]), Reason::Pass, "path MTU");
    assert_eq!(v4("10.0.0.1", SERVER, 1, 64, &[3, 3, 0, 0]), Reason::Bogon, "port unreachable");
    assert_eq!(v6("fe80::1", 58, 64, &[2, 0, 0, 0]), Reason::Pass, "path MTU");
    assert_eq!(v6("fe80::1", 89, 1, &[]), Reason::Pass, "OSPFv3");
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
