//! Every item, on and off.

use std::collections::BTreeMap;

use super::*;
use crate::config::{Source, host::Link, parse};

/// A configuration that leaves nothing open on [`host`].
const SAFE: &str = r#"
schema = 1
[daemon]
mode = "enforce"
[management]
allow = ["192.31.196.9/32", "2620:4f:8000::9/128"]
[[interface]]
name = "eth0"
[[service]]
name = "web"
ports = ["tcp/443"]
protect = ["44.1.2.0/24"]
syn = { mode = "auto" }
[[service]]
name = "dns"
ports = ["udp/53"]
rate = { per_source = "100/s" }
[host]
rate = { per_source = "1000/s" }
[stray]
[cookie]
[challenge]
[udp]
[icmp]
[fragments]
[ip]
[protocols]
rate = "1000/s"
[lists]
[spoofing]
egress = "drop"
[metrics]
"#;

fn host() -> Host {
    let link = |index, addresses: &[&str]| Link {
        index,
        mtu: 1500,
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        ..Link::default()
    };
    let links = [
        ("lo", link(1, &["127.0.0.1/8", "::1/128"])),
        ("eth0", link(2, &["192.31.196.2/24", "2620:4f:8000::2/64"])),
        ("spare", link(3, &["fe80::1/64"])),
    ];
    let links = links.into_iter().map(|(name, link)| (name.to_owned(), link));
    Host { links: links.collect(), kfunc: true, ..Host::default() }
}

fn facts() -> Facts {
    Facts { default_routes: ["eth0".to_owned()].into(), key_file_mode: Some(0o600), ..Facts::default() }
}

fn found(text: &str, host: &Host, facts: &Facts) -> Vec<Risk> {
    let source = Source { path: "f.toml".to_owned(), text: text.to_owned() };
    let settings = parse(source).unwrap_or_else(|error| panic!("{error}")).settings;
    risks(&View { settings: &settings, host, facts })
}

fn ids(text: &str, host: &Host, facts: &Facts) -> Vec<&'static str> {
    found(text, host, facts).iter().map(|risk| risk.id).collect()
}

#[test]
fn a_careful_configuration_leaves_nothing_open() {
    assert_eq!(found(SAFE, &host(), &facts()), []);
}

/// A change of the configuration, and the items that it opens.
const CHANGES: &[(&str, &str, &[&str])] = &[
    ("\"enforce\"", "\"observe\"", &["observe"]),
    ("allow = [\"192.31.196.9/32\", \"2620:4f:8000::9/128\"]", "", &["no_management"]),
    (", \"2620:4f:8000::9/128\"", "", &["management_v4_only"]),
    ("192.31.196.9/32", "192.0.0.0/9", &["management_broad"]),
    ("2620:4f:8000::9/128", "2620::/28", &["management_broad"]),
    ("[metrics]", "[[feed]]\nname = \"a\"\nsource = \"http://192.31.196.9/x\"\n[metrics]", &["feed_open"]),
    ("[metrics]", "[metrics]\nlisten = \"0.0.0.0:9980\"", &["metrics_open"]),
    ("[metrics]", "[metrics]\nlisten = \"0.0.0.0:9980\"\nusers_file = \"/u\"", &["metrics_open"]),
    (
        "[metrics]",
        "[metrics]\nlisten = \"0.0.0.0:9980\"\nusers_file = \"/u\"\ntls_cert = \"/c\"\ntls_key = \"/k\"",
        &[],
    ),
    ("name = \"eth0\"", "name = \"eth0\"\n[[interface]]\nname = \"eth9\"", &["interface_missing"]),
    ("name = \"eth0\"", "name = \"eth0\"\nmode = \"generic\"", &["generic_xdp"]),
    ("name = \"eth0\"", "name = \"eth0\"\nreverse_path = \"loose\"", &["reverse_path_idle"]),
    ("tcp/443", "tcp/443\", \"udp/443", &["udp_unlimited"]),
    ("protect = [\"44.1.2.0/24\"]\nsyn = { mode = \"auto\" }", "", &["syn_off"]),
    ("protect = [\"44.1.2.0/24\"]\nsyn = { mode = \"auto\" }", "syn = { mode = \"limit\" }", &["syn_limit"]),
    ("[stray]", "[stray]\nscope = \"off\"", &["stray_off"]),
    ("[challenge]", "[challenge]\nunproven = \"off\"", &["unproven_unlimited"]),
    ("[cookie]", "[cookie]\nsyn_ack = { per_prefix = \"off\" }", &["syn_ack_unlimited"]),
    ("[udp]", "[udp]\nreflection = \"off\"", &["reflection_off"]),
    ("[udp]", "[udp]\nclosed = \"off\"", &["closed_off"]),
    ("rate = { per_source = \"100/s\" }", "rate = { total = \"100/s\" }", &["udp_unlimited"]),
    ("[icmp]", "[icmp]\necho = \"pass\"", &["echo_unlimited"]),
    ("[icmp]", "[icmp]\necho_total = \"off\"", &["echo_unlimited"]),
    ("[icmp]", "[icmp]\necho = \"drop\"\necho_total = \"off\"", &[]),
    ("[icmp]", "[icmp]\nerrors = \"off\"", &["icmp_errors_unlimited"]),
    ("[icmp]", "[icmp]\nerrors_per_source = \"off\"", &["icmp_errors_unlimited"]),
    ("[icmp]", "[icmp]\necho_replies = \"off\"", &["echo_replies_unlimited"]),
    ("[icmp]", "[icmp]\nredirect = \"pass\"", &["redirects_pass"]),
    ("[fragments]", "[fragments]\npolicy = \"pass\"", &["fragments_unlimited"]),
    ("[fragments]", "[fragments]\ntotal = \"off\"", &["fragments_unlimited"]),
    ("[fragments]", "[fragments]\npolicy = \"drop\"\ntotal = \"off\"", &[]),
    ("[ip]", "[ip]\noptions = \"pass\"", &["ipv4_options_pass"]),
    ("[ip]", "[ip]\nrouting = \"pass\"", &["odd_headers_pass"]),
    ("[ip]", "[ip]\nheaders = \"pass\"", &["odd_headers_pass"]),
    ("rate = \"1000/s\"", "", &["protocols_unlimited"]),
    ("rate = \"1000/s\"", "other = \"drop\"", &[]),
    ("[lists]", "[lists]\nallow = [\"8.0.0.0/8\"]", &["allow_broad"]),
    ("[lists]", "[lists]\nallow = [\"8.8.8.8\"]", &[]),
    ("[lists]", "[[rule]]\nname = \"r\"\naction = \"pass\"\nproto = \"tcp\"", &["rule_passes_all"]),
    (
        "[lists]",
        "[[rule]]\nname = \"r\"\naction = \"pass\"\nsrc = \"0.0.0.0/0\"\nobserve = true",
        &["rule_observed"],
    ),
    ("[lists]", "[[rule]]\nname = \"r\"\naction = \"pass\"\nsrc = \"8.8.8.0/24\"", &[]),
    ("name = \"eth0\"", "name = \"eth0\"\nobserve = true", &["interface_observed"]),
    ("name = \"dns\"", "name = \"dns\"\nobserve = true", &["service_observed"]),
    ("[spoofing]", "[spoofing]\nown_sources = \"pass\"", &["own_sources"]),
    ("[spoofing]", "[spoofing]\ndirected_broadcast = \"pass\"", &["directed_broadcast"]),
    ("egress = \"drop\"", "egress = \"off\"", &["egress_off"]),
    ("egress = \"drop\"", "", &["egress_monitor"]),
    ("rate = { per_source = \"1000/s\" }", "", &["host_unlimited"]),
    ("rate = { per_source = \"1000/s\" }", "total = \"100000/s\"", &[]),
];

#[test]
fn each_knob_that_is_left_open_is_told() {
    for (from, to, expected) in CHANGES {
        assert!(SAFE.contains(from), "{from}");
        assert_eq!(ids(&SAFE.replace(from, to), &host(), &facts()), *expected, "{to}");
    }
    let bare = "schema = 1\n[[interface]]\nname = \"eth0\"\n";
    let open = ids(bare, &host(), &facts());
    assert_eq!(
        open,
        ["observe", "no_management", "no_service", "protocols_unlimited", "egress_monitor", "host_unlimited"]
    );
}

#[test]
fn each_fact_about_the_host_is_told() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let eth0 = || names(&["eth0"]);
    for (facts, expected) in [
        (Facts { no_rp_filter: eth0(), ..facts() }, "rp_filter"),
        (Facts { redirects: eth0(), ..facts() }, "accept_redirects"),
        (Facts { echoes_broadcasts: true, ..facts() }, "echo_broadcasts"),
        (Facts { key_file_mode: Some(0o640), ..facts() }, "key_file_readable"),
    ] {
        assert_eq!(ids(SAFE, &host(), &facts), [expected]);
    }
    let strict = SAFE.replace("name = \"eth0\"", "name = \"eth0\"\nreverse_path = \"strict\"");
    // A filter of Floodwall's own takes the kernel's place.
    let router = Facts { forwarding: eth0(), no_rp_filter: eth0(), ..facts() };
    assert_eq!(found(&strict, &host(), &router), []);
    let asymmetric = Facts { default_routes: names(&["eth0", "eth1"]), ..router };
    assert_eq!(ids(&strict, &host(), &asymmetric), ["reverse_path_strict"]);
    let mut weak = host();
    (weak.kfunc, weak.sysctls.syncookies) = (false, 0);
    assert_eq!(ids(SAFE, &weak, &facts()), ["cookies_unavailable", "tcp_syncookies"]);
}

#[test]
fn interfaces_without_floodwall_are_told() {
    let with = |address: &str| {
        let mut host = host();
        let link = Link { index: 4, mtu: 1500, addresses: vec![address.parse().unwrap()], ..Link::default() };
        host.links.extend(BTreeMap::from([("eth1".to_owned(), link)]));
        host
    };
    let routed = Facts { default_routes: ["eth0".to_owned(), "eth1".to_owned()].into(), ..facts() };
    assert_eq!(ids(SAFE, &with("10.0.0.1/24"), &facts()), ["addresses_unprotected"]);
    assert_eq!(ids(SAFE, &with("10.0.0.1/24"), &routed), ["interface_unprotected"]);
    assert_eq!(
        ids(SAFE, &with("2620:4f:8000:1::1/64"), &facts()),
        ["ipv6_unprotected", "addresses_unprotected"]
    );
    let risks = found(SAFE, &with("10.0.0.1/24"), &routed);
    assert_eq!(risks[0].what, "a default route, and no Floodwall, on eth1");
}

#[test]
fn worst_first_and_every_item_explains_itself() {
    let mut ids: Vec<_> = ITEMS.iter().map(|item| item.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), ITEMS.len());
    assert!(ITEMS.iter().all(|item| item.why.ends_with('.') && !item.set.is_empty()));
    let bare = "schema = 1\n[[interface]]\nname = \"eth0\"\n";
    let severities: Vec<_> = found(bare, &host(), &facts()).iter().map(|risk| risk.severity).collect();
    assert!(severities.is_sorted());
    let out = Output::new(false, false, 0, crate::cmd::output::Color::Never);
    let text = text(&found(bare, &host(), &facts()), out);
    assert!(text.starts_with("high    observe") && text.contains("-> daemon.mode"), "{text}");
    assert!(super::text(&[], out).contains("nothing"));
}
