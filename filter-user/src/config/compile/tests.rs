//! Whole plans: a file and a host in, tables out.

use std::collections::BTreeMap;

use filter_common::config::{Limit, flags, service, syn_mode};

use super::*;
use crate::config::{Source, parse};

fn host() -> Host {
    let link =
        Link { index: 2, mtu: 1500, addresses: vec!["10.0.0.2/24".parse().unwrap()], ..Link::default() };
    Host { links: BTreeMap::from([("eth0".to_owned(), link)]), kfunc: true, ..Host::default() }
}

fn settings(more: &str) -> Settings {
    let text = format!("schema = 1\n[[interface]]\nname = \"eth0\"\n{more}");
    parse(Source { path: "test.toml".to_owned(), text }).unwrap().settings
}

fn compiled(more: &str, host: &Host) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut problems = Problems::default();
    let plan = plan(&settings(more), host, Arc::default(), &mut problems);
    (plan, problems.into_sorted())
}

const WEB: &str = r#"
[[service]]
name = "dns"
ports = ["udp/53", "tcp/53"]
[[service]]
name = "web"
ports = ["tcp/80", "tcp/8000-8010"]
syn = { mode = "cookie" }
rate = { per_source = "1000/s burst 2000", per_source_syn = "30/m burst 5" }
"#;

#[test]
fn services_start_at_one() {
    let (plan, problems) = compiled(WEB, &host());
    let plan = plan.unwrap();
    assert_eq!(problems, []);
    assert_eq!((plan.ports.udp[53], plan.ports.tcp[53]), (1, 1));
    assert_eq!((plan.ports.tcp[80], plan.ports.tcp[8000], plan.ports.tcp[8010]), (2, 2, 2));
    assert_eq!(plan.ports.tcp.iter().filter(|index| **index != 0).count(), 13);
    let config = &plan.interfaces[0].config;
    assert_eq!(config.services[0], config::Service::default());
    assert_eq!(config.services[1].syn_mode, syn_mode::OFF);
    let web = config.services[2];
    assert_eq!((web.syn_mode, web.flags), (syn_mode::COOKIE, 0));
    assert_eq!((web.on, web.hold), (Limit::per_second(20_000, 2_000), 60_000_000_000));
    assert_eq!(web.per_source, Limit::per_second(1000, 2000));
    assert_eq!(web.per_source_syn, Limit { interval: 2_000_000_000, tolerance: 8_000_000_000 });
}

#[test]
fn mode_and_cookies_become_flags() {
    // The ladder's half: the wire's has a test of its own.
    let flags_of =
        |more: &str, host: &Host| compiled(more, host).0.unwrap().interfaces[0].config.flags & 0xffff;
    assert_eq!(flags_of("", &host()), flags::OBSERVE | flags::CHECK_STATE);
    assert_eq!(flags_of(WEB, &host()), flags::OBSERVE | flags::COOKIES | flags::CHECK_STATE);
    let enforce = format!("handover = \"decode\"\n[daemon]\nmode = \"enforce\"{WEB}");
    assert_eq!(flags_of(&enforce, &host()), flags::COOKIES | flags::DECODE_IN_TC | flags::CHECK_STATE);
    assert_eq!(flags_of("[stray]\nscope = \"off\"", &host()), flags::OBSERVE);
    let all = flags::OBSERVE | flags::CHECK_STATE | flags::CHECK_STATE_OF_HOST;
    assert_eq!(flags_of("[stray]\nscope = \"host\"", &host()), all);
}

#[test]
fn what_goes_on_to_another_program_carries_no_metadata() {
    let next = format!("next = \"/sys/fs/bpf/balance\"{WEB}");
    let interface = &compiled(&next, &host()).0.unwrap().interfaces[0];
    assert!(interface.config.has(flags::NEXT) && interface.config.has(flags::DECODE_IN_TC));
    let wanted = interface.next.as_ref().unwrap();
    assert_eq!((wanted.path.to_str(), wanted.id()), (Some("/sys/fs/bpf/balance"), None));
    assert!(compiled(WEB, &host()).0.unwrap().interfaces[0].next.is_none());
}

#[test]
fn without_the_kernels_help_there_are_no_cookies_and_somebody_is_told() {
    let no_kfunc = Host { kfunc: false, ..host() };
    let mut no_sysctl = host();
    no_sysctl.sysctls.syncookies = 0;
    for (host, word) in [(no_kfunc, "bpf_sk_assign_tcp_reqsk"), (no_sysctl, "tcp_syncookies")] {
        let (plan, problems) = compiled(WEB, &host);
        let plan = plan.unwrap();
        assert!(!plan.interfaces[0].config.has(flags::COOKIES));
        assert_eq!(plan.interfaces[0].ingress, None);
        assert!(problems[0].message.contains(word), "{problems:?}");
    }
}

#[test]
fn an_unknown_interface_is_refused_with_a_suggestion() {
    let mut other = host();
    other.links = BTreeMap::from([("eth1".to_owned(), Link::default())]);
    let (plan, problems) = compiled("", &other);
    assert!(plan.is_none());
    assert_eq!(problems[0].hint.as_deref(), Some("did you mean \"eth1\"?"));
}

#[test]
fn too_many_private_networks_are_refused() {
    let mut host = host();
    let far_apart = (0..9).map(|i| format!("10.{}.0.1/24", i * 2).parse().unwrap());
    host.links.get_mut("eth0").unwrap().addresses = far_apart.collect();
    let (plan, problems) = compiled("", &host);
    assert!(plan.is_none());
    assert!(problems[0].message.contains("9 private networks"), "{problems:?}");
    assert!(compiled("profile = \"lan\"", &host).0.is_some());
}

#[test]
fn management_is_summarised() {
    let (plan, _) = compiled("[management]\nallow = [\"192.31.196.9\", \"2620:fe::/48\"]", &host());
    let plan = plan.unwrap();
    assert_eq!(plan.interfaces[0].config.management_families, 3);
    assert_eq!(plan.summary.v4[0xc01f / 64], 1 << (0xc01f % 64));
    assert_eq!(plan.management.len(), 2);
}

#[test]
fn own_addresses_must_fit() {
    let mut host = host();
    let many = (0..17).map(|i| format!("9.9.{i}.9/31").parse().unwrap());
    host.links.get_mut("eth0").unwrap().addresses = many.collect();
    let (plan, problems) = compiled("[limits]\nlocal_addresses = 16", &host);
    assert!(plan.is_none());
    assert!(problems[0].message.contains("17 addresses"), "{problems:?}");
}

#[test]
fn broadcast_addresses_count_as_well() {
    let mut host = host();
    let networks = ["9.9.9.9/24", "9.9.9.10/24", "9.9.8.0/31", "9.9.7.1/32", "9.9.6.1/30", "2a00::1/64"];
    host.links.get_mut("eth0").unwrap().addresses = networks.map(|n| n.parse().unwrap()).to_vec();
    let plan = compiled("", &host).0.unwrap();
    assert_eq!(plan.broadcasts, ["9.9.6.3", "9.9.9.255"].map(|a| a.parse::<std::net::Ipv4Addr>().unwrap()));
}

#[test]
fn what_the_wire_brings_becomes_flags() {
    let plan_of = |more: &str| compiled(more, &host()).0.unwrap();
    let flags_of = |more: &str| plan_of(more).interfaces[0].config.flags & 0xffff_0000 & !flags::EVENTS;
    let base = flags::REFLECTION | flags::REPLIES | flags::EGRESS_SOURCES | flags::OWN_SOURCES;
    assert_eq!(flags_of(""), base | flags::DIRECTED_BROADCAST);
    assert_eq!(flags_of("profile = \"lan\""), base);
    assert_eq!(flags_of("reverse_path = \"loose\"\nprofile = \"lan\""), base | flags::REVERSE_PATH);
    let strict = flags::REVERSE_PATH | flags::REVERSE_PATH_STRICT;
    assert_eq!(flags_of("reverse_path = \"strict\"\nprofile = \"lan\""), base | strict);
    let off = "profile = \"lan\"\n[udp]\nreflection = \"off\"\nclosed = \"off\"\n[spoofing]\negress = \"off\"\nown_sources = \"pass\"\n[icmp]\necho_replies = \"off\"";
    assert_eq!(flags_of(off), 0);
    assert_eq!(plan_of(off).interfaces[0].egress, None, "nothing to look for");
    let drop = flags_of("[udp]\nreflection = \"drop\"\n[spoofing]\negress = \"drop\"");
    assert_eq!(drop, base & !flags::REPLIES | flags::DIRECTED_BROADCAST | flags::EGRESS_DROP);
}

#[test]
fn limits_of_services_and_of_the_host() {
    let config = |more: &str| compiled(more, &host()).0.unwrap().interfaces.remove(0).config;
    assert!(!config(WEB).has(flags::MORE_LIMITS), "per source: packets and SYNs come for little");
    let dns = |rate: &str| format!("[[service]]\nname = \"dns\"\nports = [\"udp/53\"]\nrate = {{ {rate} }}");
    for rate in ["per_source_bytes", "total_bytes"] {
        let compiled = config(&dns(&format!("{rate} = \"100Mbit/s burst 2MiB\"")));
        let service = compiled.services[1];
        let limit = if rate == "total_bytes" { service.total_bytes } else { service.per_source_bytes };
        assert_eq!(limit, Limit { interval: 81_920, tolerance: 2048 * 81_920 }, "{rate}");
        assert!(compiled.has(flags::MORE_LIMITS));
    }
    for rate in ["per_source_flows", "per_prefix", "total", "flows"] {
        assert!(config(&dns(&format!("{rate} = \"10/s\""))).has(flags::MORE_LIMITS), "{rate}");
    }
    let rest = config("[host]\nrate = { per_source = \"5/s\" }");
    assert_eq!(rest.services[0].per_source, Limit::per_second(5, 10));
    assert!(rest.has(flags::MORE_LIMITS));
    assert_eq!(config("[host]\ntotal = \"9000/s\"").host_packets, Limit::per_second(9000, 18_000));
    assert_eq!(config("[host]\ntotal_bytes = \"1kB/s burst 64KiB\"").host_bytes.interval, 1_024_000_000);
}

#[test]
fn gtsm_counts_hops() {
    for (hops, least) in [(0, 0), (1, 255), (3, 253), (254, 2)] {
        let more = format!("[[service]]\nname = \"bgp\"\nports = [\"tcp/179\"]\nttl_security = {hops}");
        let plan = compiled(&more, &host()).0.unwrap();
        assert_eq!(plan.interfaces[0].config.services[1].ttl_min, least, "{hops}");
    }
}

#[test]
fn more_own_prefixes_than_fit_are_refused() {
    let own: Vec<_> = (0..17).map(|i| format!("44.{i}.0.0/16")).collect();
    let (plan, problems) = compiled(&format!("[spoofing]\nown = {own:?}"), &host());
    assert!(plan.is_none());
    assert!(problems[0].message.contains("more than 16 own prefixes"), "{problems:?}");
}

#[test]
fn the_ladder_compiles() {
    let mode = |mode: &str| {
        let more = format!(
            "[[service]]\nname = \"web\"\nports = [\"tcp/80\"]\nsyn = {{ mode = \"{mode}\", data = \"drop\" }}"
        );
        let (plan, problems) = compiled(&more, &host());
        assert_eq!(problems, [], "{mode}");
        let interface = plan.unwrap().interfaces.remove(0);
        assert_eq!(interface.config.services[1].flags, service::DROP_SYN_DATA);
        (
            interface.config.services[1].syn_mode,
            interface.config.has(flags::COOKIES),
            interface.ingress.is_some(),
        )
    };
    assert_eq!(mode("off"), (syn_mode::OFF, false, false));
    assert_eq!(mode("limit"), (syn_mode::LIMIT, false, false));
    assert_eq!(mode("challenge"), (syn_mode::CHALLENGE, false, false));
    assert_eq!(mode("cookie"), (syn_mode::COOKIE, true, true));
    assert_eq!(mode("auto"), (syn_mode::AUTO, true, true));
}

#[test]
fn protected_prefixes_know_their_service() {
    let more = |prefixes: &str| {
        format!(
            "[[service]]\nname = \"a\"\nports = [\"udp/53\"]\n[[service]]\nname = \"b\"\nports = [\"tcp/80\"]\n\
             syn = {{ mode = \"auto\" }}\nprotect = [{prefixes}]"
        )
    };
    let (plan, _) = compiled(&more("\"9.9.9.0/24\", \"2620:fe::/48\""), &host());
    let config = &plan.unwrap().interfaces[0].config;
    assert_eq!((config.protected_len, config.protected_service[..2].to_vec()), (2, vec![2, 2]));
    assert_eq!(config.protected[0].network[3], 0x0909_0900_u32.to_be());
    let many: Vec<_> = (0..9).map(|i| format!("\"9.9.{i}.0/24\"")).collect();
    let (plan, problems) = compiled(&more(&many.join(", ")), &host());
    assert!(plan.is_none());
    assert!(problems[0].message.contains("more than 8"), "{problems:?}");
}
