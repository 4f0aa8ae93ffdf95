//! UDP and forged sources.

use filter_common::{
    config::{Config, MAX_OWN, Profile, flags},
    reflector,
};

use super::{limit, nanoseconds, prefixes};
use crate::config::{
    diagnostic::{Diagnostic, Problems},
    schema::{Broadcast, Egress, Interface, OwnSources, Reflection, ReversePath, Settings, Spoofing, Udp},
};

/// What is the same for all interfaces.
pub(super) fn base(config: &mut Config, settings: &Settings, problems: &mut Problems) {
    udp(config, &settings.udp);
    spoofing(config, &settings.spoofing, problems);
}

fn udp(config: &mut Config, udp: &Udp) {
    config.closed_ports = limit(*udp.closed.as_ref());
    config.reply_window = nanoseconds(*udp.reply_window.as_ref());
    config.flags |= match udp.reflection.as_ref() {
        Reflection::Off => 0,
        Reflection::Match => flags::REFLECTION | flags::REPLIES,
        Reflection::Drop => flags::REFLECTION,
    };
    // Whether a reply has a socket or a translation, or answers a ping, only the packet on its way out tells.
    let awaits = config.closed_ports.is_some() || config.wire.echo_replies.is_some();
    if awaits && *udp.reflection.as_ref() != Reflection::Drop {
        config.flags |= flags::REPLIES;
    }
}

fn spoofing(config: &mut Config, spoofing: &Spoofing, problems: &mut Problems) {
    if *spoofing.own_sources.as_ref() == OwnSources::Drop {
        config.flags |= flags::OWN_SOURCES;
    }
    config.flags |= match spoofing.egress.as_ref() {
        Egress::Off => 0,
        Egress::Monitor => flags::EGRESS_SOURCES,
        Egress::Drop => flags::EGRESS_SOURCES | flags::EGRESS_DROP,
    };
    for (index, prefix) in spoofing.own.iter().enumerate() {
        let Some(slot) = config.own.get_mut(index) else {
            let error = Diagnostic::error(prefix.span(), format!("more than {MAX_OWN} own prefixes"));
            problems.push(error.hint("aggregate them"));
            return;
        };
        *slot = prefixes::mapped(prefix.as_ref());
        config.own_len = index as u32 + 1;
    }
}

/// What depends on the interface.
pub(super) fn interface(config: &mut Config, interface: &Interface, spoofing: &Spoofing) {
    let drops = match spoofing.directed_broadcast.as_ref() {
        Broadcast::Auto => *interface.profile.as_ref() == Profile::Internet,
        Broadcast::Drop => true,
        Broadcast::Pass => false,
    };
    if drops {
        config.flags |= flags::DIRECTED_BROADCAST;
    }
    config.flags |= match interface.reverse_path.as_ref() {
        ReversePath::Off => 0,
        ReversePath::Loose => flags::REVERSE_PATH,
        ReversePath::Strict => flags::REVERSE_PATH | flags::REVERSE_PATH_STRICT,
    };
}

/// Whether something has to look at what leaves.
pub(super) fn needs_egress(config: &Config) -> bool {
    config.has(flags::REPLIES) || config.has(flags::EGRESS_SOURCES)
}

/// Source ports that reflect.
pub(super) fn reflectors(udp: &Udp) -> [u64; 65536 / 64] {
    reflector::bits(|port| {
        udp.reflection_except.iter().any(|range| (range.as_ref().first..=range.as_ref().last).contains(&port))
    })
}
