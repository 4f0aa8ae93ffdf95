//! Whole plans: a file and a host in, tables out.

use std::collections::BTreeMap;

use filter_common::config::{Limit, flags, service};

use super::*;
use crate::config::{Source, parse};

fn host() -> Host {
    let link = Link { index: 2, mtu: 1500, addresses: vec!["10.0.0.2/24".parse().unwrap()] };
    Host { links: BTreeMap::from([("eth0".to_owned(), link)]), kfunc: true, ..Host::default() }
}

fn settings(more: &str) -> Settings {
    let text = format!("schema = 1\n[[interface]]\nname = \"eth0\"\n{more}");
    parse(Source { path: "test.toml".to_owned(), text }).unwrap().settings
}

fn compiled(more: &str, host: &Host) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut problems = Problems::default();
    let plan = plan(&settings(more), host, &mut problems);
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
    assert_eq!(config.services[1].flags, 0);
    let web = config.services[2];
    assert_eq!(web.flags, service::SYN_COOKIE);
    assert_eq!(web.per_source, Limit::per_second(1000, 2000));
    assert_eq!(web.per_source_syn, Limit { interval: 2_000_000_000, tolerance: 8_000_000_000 });
}

#[test]
fn mode_and_cookies_become_flags() {
    let flags_of = |more: &str, host: &Host| compiled(more, host).0.unwrap().interfaces[0].config.flags;
    assert_eq!(flags_of("", &host()), flags::OBSERVE);
    assert_eq!(flags_of(WEB, &host()), flags::OBSERVE | flags::COOKIES);
    let enforce = format!("handover = \"decode\"\n[daemon]\nmode = \"enforce\"{WEB}");
    assert_eq!(flags_of(&enforce, &host()), flags::COOKIES | flags::DECODE_IN_TC);
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
    let many = (0..17).map(|i| format!("9.9.9.{i}/24").parse().unwrap());
    host.links.get_mut("eth0").unwrap().addresses = many.collect();
    let (plan, problems) = compiled("[limits]\nlocal_addresses = 16", &host);
    assert!(plan.is_none());
    assert!(problems[0].message.contains("17 addresses"), "{problems:?}");
}
