//! The lists of the operator: who is allowed whatever else is said, who is blocked, who is banned for a while.

use core::ops::ControlFlow::{Break, Continue};

use super::Verdict;
use crate::{
    config::list_families,
    list::Class,
    packet::{Packet, Parsed},
    reason::Reason,
    state::State,
};

/// What the lists say of the source, asked once; a source that is allowed meets no later stage.
#[inline(always)]
pub(super) fn allowed<S: State>(packet: &Packet, state: &S) -> Parsed<Class> {
    let family = if packet.is_v6 { list_families::V6 } else { list_families::V4 };
    if state.config().list_families & family == 0 {
        return Continue(Class::None);
    }
    match state.class(packet) {
        Class::Allow => Break(Reason::AllowListed),
        class => Continue(class),
    }
}

/// The block list, then bans.
#[inline(always)]
pub(super) fn blocked<S: State>(packet: &Packet, class: Class, state: &S) -> Verdict {
    if class == Class::Block {
        return Break(Reason::BlockList);
    }
    if state.may_be_banned(packet) && state.is_banned(packet) {
        return Break(Reason::Banned);
    }
    Continue(())
}

#[cfg(test)]
mod tests {
    use crate::{
        ban::{key_v4, key_v6},
        config::{Prefix, flags},
        list::build::{Tables, resolve},
        reason::Reason,
        stages::{decide, fate},
        testing::{CLIENT, CLIENT6, SERVER, SERVER6, Tcp, address},
        world::{Bytes, World},
    };

    fn reason(world: &World, tcp: &Tcp) -> Reason {
        decide(&mut Bytes::from(tcp.bytes()), world)
    }

    /// 192.31.196.0/24 and 2620:4f:8000::/64 are blocked, .7 and ::7 are allowed; so is 10/8.
    fn listing() -> World {
        let mut world = World::new();
        let net4 = |low: u32| 0xc01f_c400 | low;
        let net6 = |low: u128| 0x2620_004f_8000_0000_u128 << 64 | low;
        let v4 = resolve(vec![(net4(7), net4(7)), (0x0a00_0000, 0x0aff_ffff)], vec![(net4(0), net4(255))]);
        let v6 = resolve(vec![(net6(7), net6(7))], vec![(net6(0), net6(u64::MAX.into()))]);
        world.lists = Tables::new(&v4, &v6);
        world.config.list_families = 3;
        world
    }

    #[test]
    fn allow_comes_before_every_check_and_block_behind_the_spoofed() {
        let mut world = listing();
        for (source, wanted) in [
            (CLIENT, Reason::AllowListed),
            ("192.31.196.8", Reason::BlockList),
            ("192.31.197.8", Reason::Pass),
            ("10.1.2.3", Reason::AllowListed),
            (SERVER, Reason::Land),
        ] {
            assert_eq!(reason(&world, &Tcp::syn(source, SERVER)), wanted, "{source}");
        }
        for (source, wanted) in [
            (CLIENT6, Reason::AllowListed),
            ("2620:4f:8000::8", Reason::BlockList),
            ("2620:4f:8000:1::8", Reason::Pass),
        ] {
            assert_eq!(reason(&world, &Tcp::syn(source, SERVER6)), wanted, "{source}");
        }
        let mut null = Tcp::syn(CLIENT, SERVER);
        null.header.syn = false;
        assert_eq!(reason(&world, &null), Reason::AllowListed);
        world.manage(address("192.31.196.8"));
        assert_eq!(reason(&world, &Tcp::syn("192.31.196.8", SERVER)), Reason::Management);
        world.config.list_families = 2;
        assert_eq!(reason(&world, &Tcp::syn("192.31.196.9", SERVER)), Reason::Pass, "IPv4 lists are off");
    }

    #[test]
    fn a_ban_ends_to_the_tick() {
        let mut world = World::new();
        let end = world.clock.get() + 1_000_000_000;
        world.bans.insert(key_v4(address(CLIENT).v4()), end);
        world.bans.insert(key_v6(&address(CLIENT6)), end);
        let both = |world: &World| {
            [reason(world, &Tcp::syn(CLIENT, SERVER)), reason(world, &Tcp::syn("2620:4f:8000::ff", SERVER6))]
        };
        assert_eq!(both(&world), [Reason::Banned; 2]);
        assert_eq!(reason(&world, &Tcp::syn("192.31.196.8", SERVER)), Reason::Pass);
        world.advance(999_999_999);
        assert_eq!(both(&world), [Reason::Banned; 2]);
        world.advance(1);
        assert_eq!(both(&world), [Reason::Pass; 2]);
    }

    #[test]
    fn a_prefix_holds_whose_own_ban_has_ended() {
        let mut world = World::new();
        let now = world.clock.get();
        let mask = [u32::MAX, u32::MAX, u32::MAX, 0xffff_ff00_u32.to_be()];
        let network = address("192.31.196.0").0;
        world.banned.push((Prefix { network, mask }, now + 10));
        world.bans.insert(key_v4(address(CLIENT).v4()), now);
        assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::Banned);
        assert_eq!(reason(&world, &Tcp::syn("192.31.197.7", SERVER)), Reason::Pass);
        world.advance(10);
        assert_eq!(reason(&world, &Tcp::syn(CLIENT, SERVER)), Reason::Pass);
    }

    /// 2001:db8:0:0::/64 and 32.1.13.184 would share a key if an address were its own.
    #[test]
    fn families_have_keys_of_their_own() {
        assert_ne!(key_v6(&address("2001:db8::1")), key_v4(address("32.1.13.184").v4()));
        assert_eq!(key_v6(&address("2001:db8::1")), key_v6(&address("2001:db8::2")));
    }

    #[test]
    fn lists_and_bans_are_observed_too() {
        let mut world = listing();
        world.config.flags |= flags::OBSERVE;
        let seen = reason(&world, &Tcp::syn("192.31.196.8", SERVER));
        assert_eq!((seen, fate(seen, &world).action()), (Reason::BlockList, crate::reason::Action::Pass));
    }
}
