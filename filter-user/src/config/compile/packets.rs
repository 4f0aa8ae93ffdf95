//! `[fragments]`, `[ip]`, `[protocols]`, `[icmp]`.

use filter_common::{
    config::Limit,
    wire::{Policy, flags},
};

use super::limit;
use crate::config::schema::{Echo, Fragments, Icmp, PassOrDrop, Settings};

/// The part of the data path's configuration that is about packets which are not whole, or neither TCP nor UDP.
pub(super) fn policy(settings: &Settings) -> Policy {
    let mut policy = Policy::NONE;
    let ip = &settings.ip;
    for (choice, flag) in [
        (&ip.options, flags::DROP_OPTIONS),
        (&ip.routing, flags::DROP_ROUTED),
        (&ip.headers, flags::DROP_HEADERS),
        (&settings.protocols.other, flags::DROP_PROTOCOLS),
        (&settings.icmp.redirect, flags::DROP_REDIRECTS),
    ] {
        if *choice.as_ref() == PassOrDrop::Drop {
            policy.flags |= flag;
        }
    }
    settings.protocols.allow.iter().for_each(|protocol| policy.allow(*protocol.as_ref()));
    policy.other_protocols = limit(*settings.protocols.rate.as_ref());
    fragments(&mut policy, settings);
    icmp(&mut policy, &settings.icmp);
    policy
}

fn fragments(policy: &mut Policy, settings: &Settings) {
    let section = &settings.fragments;
    match section.policy.as_ref() {
        Fragments::Pass => {}
        Fragments::Drop => policy.flags |= flags::DROP_FRAGMENTS,
        Fragments::Rate => {
            policy.fragments = limit(*section.total.as_ref());
            policy.fragments_per_source = limit(*section.per_source.as_ref());
        }
    }
}

fn icmp(policy: &mut Policy, icmp: &Icmp) {
    policy.errors = limit(*icmp.errors.as_ref());
    policy.errors_per_source = limit(*icmp.errors_per_source.as_ref());
    policy.echo_replies = limit(*icmp.echo_replies.as_ref());
    (policy.echo, policy.echo_per_source) = match icmp.echo.as_ref() {
        Echo::Limit => (limit(*icmp.echo_total.as_ref()), limit(*icmp.echo_per_source.as_ref())),
        Echo::Pass | Echo::Drop => (Limit::NONE, Limit::NONE),
    };
    if *icmp.echo.as_ref() == Echo::Drop {
        policy.flags |= flags::DROP_ECHO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse};

    fn compiled(more: &str) -> Policy {
        let text = format!("schema = 1\n[[interface]]\nname = \"eth0\"\n{more}");
        policy(&parse(Source { path: "test.toml".to_owned(), text }).unwrap().settings)
    }

    #[test]
    fn defaults_drop_what_no_host_needs_and_limit_the_rest() {
        let policy = compiled("");
        let expected = flags::DROP_OPTIONS | flags::DROP_ROUTED | flags::DROP_HEADERS | flags::DROP_REDIRECTS;
        assert_eq!(policy.flags, expected);
        for limit in [
            policy.fragments,
            policy.fragments_per_source,
            policy.errors,
            policy.errors_per_source,
            policy.echo,
            policy.echo_per_source,
            policy.echo_replies,
        ] {
            assert!(limit.is_some());
        }
        assert_eq!((policy.other_protocols, policy.protocols), (Limit::NONE, [0; 4]));
    }

    #[test]
    fn each_knob_has_its_effect() {
        let passing = "[fragments]\npolicy = \"pass\"\n[ip]\noptions = \"pass\"\nrouting = \"pass\"\nheaders = \"pass\"\n\
            [icmp]\nerrors = \"off\"\nerrors_per_source = \"off\"\necho = \"pass\"\necho_replies = \"off\"\nredirect = \"pass\"\n";
        assert_eq!(compiled(passing), Policy::NONE);
        let policy = compiled(
            "[fragments]\npolicy = \"drop\"\n[icmp]\necho = \"drop\"\n\
             [protocols]\nallow = [\"esp\", \"gre\", \"89\", \"255\"]\nother = \"drop\"\nrate = \"10/s burst 10\"\n",
        );
        for flag in [flags::DROP_FRAGMENTS, flags::DROP_ECHO, flags::DROP_PROTOCOLS] {
            assert!(policy.has(flag));
        }
        let allowed: Vec<u8> = (0..=255).filter(|protocol| policy.allows(*protocol)).collect();
        assert_eq!(allowed, [47, 50, 89, 255]);
        assert_eq!(policy.other_protocols, Limit::per_second(10, 10));
    }
}
