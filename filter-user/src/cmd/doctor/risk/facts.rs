//! What only this question asks of the host.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _};

use crate::config::Settings;

/// Interfaces' names.
pub(super) type Names = BTreeSet<String>;

/// Of this network namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Interfaces that a default route leads out of.
    pub(super) default_routes: Names,
    /// Protected interfaces without `rp_filter`.
    pub(super) no_rp_filter: Names,
    /// Protected interfaces that forward IPv4: only there XDP can ask for routes.
    pub(super) forwarding: Names,
    /// Protected interfaces that take ICMP redirects.
    pub(super) redirects: Names,
    /// `icmp_echo_ignore_broadcasts` is 0.
    pub(super) echoes_broadcasts: bool,
    /// Permissions of `cookie.key_file`.
    pub(super) key_file_mode: Option<u32>,
}

impl Facts {
    /// Looks; what is missing counts as safe.
    pub(super) fn read(settings: &Settings) -> Self {
        let names: Names = settings.interface.iter().map(|i| i.name.as_ref().clone()).collect();
        let those = |test: fn(&str) -> bool| names.iter().filter(|name| test(name)).cloned().collect();
        let routes = |file| fs::read_to_string(format!("/proc/net/{file}")).unwrap_or_default();
        let mut default_routes = default_routes_v4(&routes("route"));
        default_routes.extend(default_routes_v6(&routes("ipv6_route")));
        let key_file = settings.cookie.key_file.as_ref().and_then(|path| fs::metadata(path.as_ref()).ok());
        Self {
            default_routes,
            // The kernel takes the larger one (Documentation/networking/ip-sysctl.rst).
            no_rp_filter: those(|name| {
                number("ipv4/conf/all/rp_filter").max(conf("ipv4", name, "rp_filter")) == Some(0)
            }),
            forwarding: those(|name| conf("ipv4", name, "forwarding") == Some(1)),
            redirects: those(takes_redirects),
            echoes_broadcasts: number("ipv4/icmp_echo_ignore_broadcasts") == Some(0),
            key_file_mode: key_file.map(|file| file.mode() & 0o7777),
        }
    }
}

/// Hosts take IPv4's if either knob says so, routers if both do.
fn takes_redirects(name: &str) -> bool {
    let [own, all] = [name, "all"].map(|name| conf("ipv4", name, "accept_redirects") == Some(1));
    let forwards = conf("ipv4", name, "forwarding") == Some(1);
    let v6 = conf("ipv6", name, "accept_redirects") == Some(1)
        && conf("ipv6", name, "forwarding") == Some(0)
        && conf("ipv6", name, "disable_ipv6") == Some(0);
    v6 || if forwards { own && all } else { own || all }
}

fn conf(family: &str, interface: &str, knob: &str) -> Option<u32> {
    number(&format!("{family}/conf/{interface}/{knob}"))
}

fn number(path: &str) -> Option<u32> {
    fs::read_to_string(format!("/proc/sys/net/{path}")).ok()?.trim().parse().ok()
}

/// Of `/proc/net/route`: name, destination, gateway, flags, three numbers, mask.
fn default_routes_v4(text: &str) -> Names {
    let default = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is = fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000");
        is.then(|| fields[0].to_owned())
    };
    text.lines().skip(1).filter_map(default).collect()
}

/// Of `/proc/net/ipv6_route`: destination, its length, seven more, name. Rejecting routes are on the loopback device.
fn default_routes_v6(text: &str) -> Names {
    let default = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is = fields.get(1) == Some(&"00") && fields[0].bytes().all(|byte| byte == b'0');
        fields.get(9).filter(|name| is && **name != "lo").map(|name| (*name).to_owned())
    };
    text.lines().filter_map(default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_are_found() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
                  eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                  eth1\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(default_routes_v4(v4), Names::from(["eth0".to_owned()]));
        let zero = "0".repeat(32);
        let line = |length: &str, name: &str| {
            format!("{zero} {length} {zero} 00 {zero} 00000400 00000001 00000000 00000003 {name}\n")
        };
        let v6 = [line("00", "eth2"), line("00", "lo"), line("80", "eth3")].concat();
        assert_eq!(default_routes_v6(&v6), Names::from(["eth2".to_owned()]));
        assert!(default_routes_v4("").is_empty() && default_routes_v6("\n").is_empty());
    }
}
