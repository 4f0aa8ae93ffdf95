//! The list: one entry for each thing that may be open.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Item,
    Severity::{High, Low, Medium},
    View,
};
use crate::{
    config::{
        Mode,
        schema::{
            Action, Broadcast, Echo, Egress, Fragments, Interface, OwnSources, PassOrDrop, Reflection,
            ReversePath, Rule, Service, Strays, SynMode,
        },
        value::Protocol,
    },
    dataplane::Attach,
};

const fn item(
    severity: super::Severity,
    id: &'static str,
    why: &'static str,
    set: &'static str,
    found: fn(&View<'_>) -> Option<String>,
) -> Item {
    Item { severity, id, why, set, found }
}

pub(super) const ITEMS: &[Item] = &[
    // What holds for everything.
    item(
        High,
        "observe",
        "Attacks are counted, and reach the host.",
        "daemon.mode = \"enforce\", once the counters show what you expect",
        |v| when(*v.settings.daemon.mode.as_ref() == Mode::Observe, "observe mode: every packet passes"),
    ),
    item(
        High,
        "interface_observed",
        "Attacks through it are counted, and reach the host.",
        "interface.observe = false, once the counters show what you expect",
        |v| interfaces(v, "only observed:", |i| i.observe),
    ),
    item(
        Medium,
        "service_observed",
        "Attacks on it are counted, and reach the host.",
        "service.observe = false, once the counters show what you expect",
        |v| services(v, "only observed:", |s| s.observe),
    ),
    item(
        Low,
        "rule_observed",
        "It is on trial, and decides nothing.",
        "rule.observe = false, once its counters show what you expect",
        |v| each("only observed:", v.settings.rule.iter().filter(|r| r.observe).map(|r| r.name.as_ref())),
    ),
    item(
        Medium,
        "no_management",
        "A limit or a list that is too tight can lock you out.",
        "management.allow = [..] with the addresses that you log in from",
        |v| when(v.settings.management.allow.is_empty(), "no management addresses"),
    ),
    item(
        Low,
        "management_v4_only",
        "Over IPv6 you can be locked out.",
        "an IPv6 prefix in management.allow",
        |v| {
            let allow = &v.settings.management.allow;
            let any_v6 = allow.iter().any(|prefix| matches!(prefix.as_ref(), IpNet::V6(_)));
            when(!allow.is_empty() && !any_v6 && has_ipv6(v), "no IPv6 address in management.allow")
        },
    ),
    item(
        Medium,
        "management_broad",
        "Their sources pass whatever they send, and can be forged.",
        "the few addresses that you log in from, in management.allow",
        |v| {
            each("management lists", v.settings.management.allow.iter().map(|p| *p.as_ref()).filter(is_broad))
        },
    ),
    item(
        Medium,
        "metrics_open",
        "Anybody can ask for /metrics, or overhear its password: an attacker sees what works.",
        "metrics.users_file with metrics.tls_cert and tls_key, or metrics.listen = \"127.0.0.1:9980\"",
        |v| {
            let metrics = &v.settings.metrics;
            let is_closed = metrics.users_file.is_some() && metrics.tls_cert.is_some();
            metrics.open_at().filter(|_| !is_closed).map(|address| format!("metrics are served at {address}"))
        },
    ),
    item(
        Medium,
        "feed_open",
        "Whoever is on the way can have honest sources dropped.",
        "feed.source = \"https://..\"",
        |v| {
            let open = v.settings.feed.iter().filter(|feed| feed.enabled && !feed.source.as_ref().is_safe());
            each("fetched in clear:", open.map(|feed| feed.name.as_ref()))
        },
    ),
    item(
        High,
        "key_file_readable",
        "Who reads the secret makes cookies: forged connections get through.",
        "chown root and chmod 0600 the file, then write a new secret into it",
        |v| {
            let mode = v.facts.key_file_mode.filter(|mode| mode & 0o077 != 0)?;
            Some(format!("cookie.key_file has mode {mode:04o}"))
        },
    ),
    // Interfaces.
    item(
        High,
        "interface_missing",
        "The daemon refuses the whole file, or nothing is filtered there.",
        "interface.name as `ip -brief link` shows it",
        |v| interfaces(v, "not on this host:", |i| !v.host.links.contains_key(i.name.as_ref())),
    ),
    item(
        High,
        "interface_unprotected",
        "What comes in there is not filtered.",
        "an [[interface]] for it",
        |v| each("a default route, and no Floodwall, on", bare(v, true).map(|(name, _)| name)),
    ),
    item(
        Low,
        "addresses_unprotected",
        "What comes in there is not filtered; fine for internal networks.",
        "an [[interface]] for it, if it faces clients",
        |v| each("addresses, and no Floodwall, on", bare(v, false).map(|(name, _)| name)),
    ),
    item(
        Medium,
        "ipv6_unprotected",
        "Attackers use the family that is left open.",
        "an [[interface]] for it",
        |v| {
            let open = bare(v, true)
                .chain(bare(v, false))
                .filter(|(_, link)| link.addresses.iter().any(is_global_v6));
            each("public IPv6 addresses, and no Floodwall, on", open.map(|(name, _)| name))
        },
    ),
    item(
        Low,
        "generic_xdp",
        "Each packet costs several times as much as in the driver.",
        "interface.mode = \"auto\"",
        |v| interfaces(v, "generic XDP on", |i| *i.mode.as_ref() == Attach::Generic),
    ),
    item(
        Medium,
        "reverse_path_strict",
        "Where routes are asymmetric, strict reverse path drops clients (RFC 3704 2.2).",
        "interface.reverse_path = \"loose\"",
        |v| {
            let several = v.facts.default_routes.len() > 1;
            interfaces(v, "several default routes, and strict reverse path on", |i| several && strict(i))
        },
    ),
    item(
        Medium,
        "reverse_path_idle",
        "The kernel tells XDP of routes only where it forwards.",
        "net.ipv4.conf.IFACE.rp_filter = 1 or 2 instead, or forwarding on a router",
        |v| {
            interfaces(v, "reverse path is asked for without effect on", |i| {
                looks_back(i) && !v.facts.forwarding.contains(i.name.as_ref())
            })
        },
    ),
    item(
        Low,
        "rp_filter",
        "Sources that nothing leads back to reach the stack.",
        "net.ipv4.conf.IFACE.rp_filter = 2 (1 where routes are symmetric)",
        |v| {
            interfaces(v, "no reverse path filter on", |i| {
                !looks_back(i) && v.facts.no_rp_filter.contains(i.name.as_ref())
            })
        },
    ),
    item(
        Low,
        "accept_redirects",
        "A forged ICMP redirect moves this host's routes.",
        "net.ipv4.conf.all.accept_redirects = 0, the interface's own, and the same for net.ipv6",
        |v| interfaces(v, "ICMP redirects are taken on", |i| v.facts.redirects.contains(i.name.as_ref())),
    ),
    // TCP.
    item(
        Medium,
        "no_service",
        "Nothing defends against SYN floods or limits what comes.",
        "a [[service]] for what this host serves",
        |v| when(v.settings.service.is_empty(), "no services"),
    ),
    item(High, "syn_off", "A SYN flood reaches the stack.", "syn = { mode = \"auto\" }", |v| {
        services(v, "no SYN defence for", |s| serves(s, Protocol::Tcp) && !s.defends_syns())
    }),
    item(
        Medium,
        "syn_limit",
        "A flood uses the limit up, and clients get no connection.",
        "syn = { mode = \"auto\" }",
        |v| services(v, "only a SYN limit for", |s| *s.syn.mode.as_ref() == SynMode::Limit),
    ),
    item(
        Medium,
        "cookies_unavailable",
        "Without the kernel's hand-over SYNs are challenged: clients connect one round trip later, some a second.",
        "Linux 6.9 or later",
        |v| {
            services(v, "this kernel takes no cookies over, wanted by", |s| {
                !v.host.kfunc && s.wants_cookies()
            })
        },
    ),
    item(
        Medium,
        "tcp_syncookies",
        "The stack has no cookies of its own, and can't take Floodwall's over.",
        "net.ipv4.tcp_syncookies = 1",
        |v| when(v.host.sysctls.syncookies == 0, "net.ipv4.tcp_syncookies is 0"),
    ),
    item(
        Medium,
        "stray_off",
        "Floods of ACKs, data, FINs and RSTs reach the stack.",
        "stray.scope = \"services\"",
        |v| {
            when(
                *v.settings.stray.scope.as_ref() == Strays::Off,
                "segments of no connection are not looked for",
            )
        },
    ),
    item(
        Medium,
        "unproven_unlimited",
        "While SYNs are challenged, a flood of other segments is forwarded.",
        "challenge.unproven = \"200000/s burst 200000\"",
        |v| {
            let open = v.settings.challenge.unproven.as_ref().is_none();
            services(v, "no limit for segments of unproven sources to what is behind", |s| {
                open && !s.protect.is_empty()
            })
        },
    ),
    item(
        Medium,
        "syn_ack_unlimited",
        "A flood of forged SYNs makes this host send SYN-ACKs to its victim.",
        "cookie.syn_ack.per_prefix = \"20000/s burst 40000\"",
        |v| {
            when(
                v.settings.cookie.syn_ack.per_prefix.as_ref().is_none(),
                "no limit for SYN-ACKs to one prefix",
            )
        },
    ),
    // UDP and ICMP.
    item(
        High,
        "reflection_off",
        "Reflected and amplified answers (DNS, NTP, memcached) reach the host.",
        "udp.reflection = \"match\"",
        |v| when(*v.settings.udp.reflection.as_ref() == Reflection::Off, "UDP from reflectors' ports passes"),
    ),
    item(
        Medium,
        "closed_off",
        "The stack answers each datagram to a closed port with an ICMP error.",
        "udp.closed = \"1000/s burst 1000\"",
        |v| when(v.settings.udp.closed.as_ref().is_none(), "UDP to closed ports is not limited"),
    ),
    item(
        Medium,
        "udp_unlimited",
        "UDP proves nothing: one source may send all that it can.",
        "rate.per_source, rate.per_source_bytes or rate.per_source_flows; rate.flows against forged sources",
        |v| services(v, "no limit per source for", |s| serves(s, Protocol::Udp) && !limits_sources(s)),
    ),
    item(
        Medium,
        "echo_broadcasts",
        "A ping to the broadcast address with a forged source makes this host a reflector (Smurf).",
        "net.ipv4.icmp_echo_ignore_broadcasts = 1",
        |v| when(v.facts.echoes_broadcasts, "net.ipv4.icmp_echo_ignore_broadcasts is 0"),
    ),
    item(
        Medium,
        "echo_unlimited",
        "A flood of pings makes the host send as much as it gets.",
        "icmp.echo = \"limit\", with echo_per_source and echo_total",
        |v| {
            let icmp = &v.settings.icmp;
            let unlimited = match icmp.echo.as_ref() {
                Echo::Pass => true,
                Echo::Limit => icmp.echo_total.as_ref().is_none(),
                Echo::Drop => false,
            };
            when(unlimited, "pings are answered without a limit for all sources together")
        },
    ),
    item(
        Medium,
        "icmp_errors_unlimited",
        "A flood of forged ICMP errors keeps the stack busy, and guesses at connections (RFC 5927).",
        "icmp.errors = \"1000/s burst 1000\", icmp.errors_per_source = \"100/s burst 200\"",
        |v| {
            let icmp = &v.settings.icmp;
            let open = icmp.errors.as_ref().is_none() || icmp.errors_per_source.as_ref().is_none();
            when(open, "ICMP errors are not limited")
        },
    ),
    item(
        Medium,
        "echo_replies_unlimited",
        "The victim of a Smurf gets every reply.",
        "icmp.echo_replies = \"2000/s burst 2000\"",
        |v| when(v.settings.icmp.echo_replies.as_ref().is_none(), "replies to pings are not limited"),
    ),
    item(
        Medium,
        "redirects_pass",
        "Who forges an ICMP redirect diverts this host's traffic.",
        "icmp.redirect = \"drop\"",
        |v| when(*v.settings.icmp.redirect.as_ref() == PassOrDrop::Pass, "ICMP redirects pass"),
    ),
    // What isn't whole, or odd.
    item(
        Medium,
        "fragments_unlimited",
        "Fragments that never become whole fill the stack's memory for them: honest ones are lost.",
        "fragments.policy = \"rate\", with total and per_source",
        |v| {
            let fragments = &v.settings.fragments;
            let unlimited = match fragments.policy.as_ref() {
                Fragments::Pass => true,
                Fragments::Rate => fragments.total.as_ref().is_none(),
                Fragments::Drop => false,
            };
            when(unlimited, "fragments pass without a limit for all sources together")
        },
    ),
    item(
        Low,
        "ipv4_options_pass",
        "IPv4 options take the slow path of routers and hosts (RFC 7126).",
        "ip.options = \"drop\"",
        |v| when(*v.settings.ip.options.as_ref() == PassOrDrop::Pass, "IPv4 options pass"),
    ),
    item(
        Low,
        "odd_headers_pass",
        "Headers that no client sends are there to get around filters (RFC 9288).",
        "ip.routing = \"drop\", ip.headers = \"drop\"",
        |v| {
            let ip = &v.settings.ip;
            let routing = (*ip.routing.as_ref() == PassOrDrop::Pass).then_some("ip.routing");
            let headers = (*ip.headers.as_ref() == PassOrDrop::Pass).then_some("ip.headers");
            each("IPv6 extension headers pass by", routing.into_iter().chain(headers))
        },
    ),
    item(
        Low,
        "protocols_unlimited",
        "A flood of a protocol that nobody here speaks reaches the stack.",
        "protocols.other = \"drop\" and protocols.allow, or protocols.rate",
        |v| {
            let protocols = &v.settings.protocols;
            let passes = *protocols.other.as_ref() == PassOrDrop::Pass;
            when(
                passes && protocols.rate.as_ref().is_none(),
                "protocols other than TCP, UDP and ICMP are not limited",
            )
        },
    ),
    // Lists and rules.
    item(
        Medium,
        "allow_broad",
        "Their sources pass every check but the parser's, and can be forged.",
        "narrower prefixes in lists.allow",
        |v| each("lists.allow holds", v.settings.lists.allow.iter().map(|p| *p.as_ref()).filter(is_broad)),
    ),
    item(
        Medium,
        "rule_passes_all",
        "What it passes meets neither a limit nor a SYN defence.",
        "a prefix or a port in the rule, or action = \"count\"",
        |v| {
            let open = v.settings.rule.iter().filter(|rule| passes_anybody(rule));
            each("a pass for any source and any port by rule", open.map(|rule| rule.name.as_ref()))
        },
    ),
    // Forged sources.
    item(
        Medium,
        "own_sources",
        "A forged source that is this host's own passes what trusts it.",
        "spoofing.own_sources = \"drop\"",
        |v| {
            when(
                *v.settings.spoofing.own_sources.as_ref() == OwnSources::Pass,
                "own sources pass from outside",
            )
        },
    ),
    item(
        Low,
        "directed_broadcast",
        "One packet reaches every host of a network (RFC 2644).",
        "spoofing.directed_broadcast = \"auto\"",
        |v| {
            let passes = *v.settings.spoofing.directed_broadcast.as_ref() == Broadcast::Pass;
            when(passes, "packets to broadcast addresses pass")
        },
    ),
    item(
        Medium,
        "egress_off",
        "A host that is broken into takes part in attacks with forged sources, and nobody sees it (BCP 38).",
        "spoofing.egress = \"monitor\", then \"drop\"",
        |v| {
            when(
                *v.settings.spoofing.egress.as_ref() == Egress::Off,
                "sources of what leaves are not looked at",
            )
        },
    ),
    item(
        Low,
        "egress_monitor",
        "Forged sources leave; they are only counted.",
        "spoofing.egress = \"drop\", once `egress_forged` stays at 0",
        |v| {
            let only = *v.settings.spoofing.egress.as_ref() == Egress::Monitor;
            when(only, "forged sources that leave are only counted")
        },
    ),
    item(
        Low,
        "host_unlimited",
        "What is for no service has no limits.",
        "[host] rate = { per_source = \"..\" }, or total",
        |v| {
            let host = &v.settings.host;
            let any = host.total.as_ref().is_some() || host.total_bytes.as_ref().is_some();
            let per_source =
                host.rate.per_source.as_ref().is_some() || host.rate.per_source_bytes.as_ref().is_some();
            when(!any && !per_source, "no limits for the rest of the host")
        },
    ),
];

fn when(open: bool, what: &str) -> Option<String> {
    open.then(|| what.to_owned())
}

/// `what` and where; nothing where there is no such place.
fn each(what: &str, places: impl Iterator<Item = impl ToString>) -> Option<String> {
    let places: Vec<_> = places.map(|place| place.to_string()).collect();
    (!places.is_empty()).then(|| format!("{what} {}", places.join(", ")))
}

fn services(view: &View<'_>, what: &str, open: impl Fn(&Service) -> bool) -> Option<String> {
    each(what, view.settings.service.iter().filter(|s| open(s)).map(|s| s.name.as_ref()))
}

fn interfaces(view: &View<'_>, what: &str, open: impl Fn(&Interface) -> bool) -> Option<String> {
    each(what, view.settings.interface.iter().filter(|i| open(i)).map(|i| i.name.as_ref()))
}

fn serves(service: &Service, protocol: Protocol) -> bool {
    service.ports.iter().any(|range| range.as_ref().protocol == protocol)
}

/// A pass that names neither few sources nor destinations, ports or ICMP types.
fn passes_anybody(rule: &Rule) -> bool {
    *rule.action.as_ref() == Action::Pass
        && !rule.observe
        && rule.src.iter().all(|prefix| is_broad(prefix.as_ref()))
        && rule.dst.is_empty()
        && rule.sport.is_empty()
        && rule.dport.is_empty()
        && rule.icmp_type.is_empty()
}

fn limits_sources(service: &Service) -> bool {
    let rate = &service.rate;
    rate.per_source.as_ref().is_some()
        || rate.per_source_bytes.as_ref().is_some()
        || rate.per_source_flows.as_ref().is_some()
}

fn strict(interface: &Interface) -> bool {
    *interface.reverse_path.as_ref() == ReversePath::Strict
}

fn looks_back(interface: &Interface) -> bool {
    *interface.reverse_path.as_ref() != ReversePath::Off
}

/// Interfaces with addresses but without Floodwall, with or without a default route.
fn bare<'a>(
    view: &'a View<'_>,
    with_route: bool,
) -> impl Iterator<Item = (&'a String, &'a crate::config::host::Link)> {
    let attached = |name: &String| view.settings.interface.iter().any(|i| i.name.as_ref() == name);
    view.host.links.iter().filter(move |(name, link)| {
        !attached(name)
            && link.addresses.iter().any(|network| !is_of_link(network.addr()))
            && view.facts.default_routes.contains(*name) == with_route
    })
}

fn has_ipv6(view: &View<'_>) -> bool {
    view.host.links.values().flat_map(|link| &link.addresses).any(is_global_v6)
}

/// 2000::/3: what the registries hand out.
fn is_global_v6(network: &IpNet) -> bool {
    matches!(network, IpNet::V6(v6) if v6.addr().segments()[0] >> 13 == 1)
}

/// Nobody reaches it from afar.
fn is_of_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

/// More than one organisation's addresses.
fn is_broad(prefix: &IpNet) -> bool {
    prefix.prefix_len() < if matches!(prefix, IpNet::V4(_)) { 16 } else { 32 }
}
