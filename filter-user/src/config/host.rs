//! The facts about this machine that a plan depends on.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use nix::sys::socket::SockaddrStorage;
use tracing::debug;

use crate::{
    dataplane::{self, Stack, kfunc_available},
    sys,
};

/// What `net.ipv4.*` and `net.core.*` say about TCP.
#[expect(clippy::struct_excessive_bools, reason = "sysctls are switches")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sysctls {
    /// `tcp_timestamps` is not 0.
    pub timestamps: bool,
    /// `tcp_sack` is not 0.
    pub sack: bool,
    /// `tcp_window_scaling` is not 0.
    pub window_scaling: bool,
    /// `tcp_ecn` is not 0: ECN is granted to who asks.
    pub ecn: bool,
    /// `tcp_syncookies`
    pub syncookies: u32,
    /// `tcp_rmem`: least, initial and largest receive buffer.
    pub rmem: [u32; 3],
    /// `net.core.rmem_max`
    pub rmem_max: u32,
    /// `ip_default_ttl`
    pub ttl: u8,
}

/// Linux' own defaults: what a host says that has changed nothing.
impl Default for Sysctls {
    fn default() -> Self {
        Self {
            timestamps: true,
            sack: true,
            window_scaling: true,
            ecn: true,
            syncookies: 1,
            rmem: [4096, 131_072, 6_291_456],
            rmem_max: 212_992,
            ttl: 64,
        }
    }
}

/// One network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index: another one means that it was removed and added again.
    pub index: u32,
    /// Largest IP packet.
    pub mtu: u32,
    /// Its addresses, with the length of the network that each is in.
    pub addresses: Vec<IpNet>,
    /// What it is made of.
    pub stack: Stack,
    /// The devices right below it.
    pub below: Vec<String>,
}

/// Everything that a plan needs to know about the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// TCP's settings.
    pub sysctls: Sysctls,
    /// Interfaces by name.
    pub links: BTreeMap<String, Link>,
    /// Whether the kernel can take over a cookie (`bpf_sk_assign_tcp_reqsk`).
    pub kfunc: bool,
}

impl Host {
    /// Looks at this host's network namespace and kernel.
    pub fn read() -> Result<Self> {
        Ok(Self {
            sysctls: Sysctls::read(),
            links: links().context("cannot list the network interfaces")?,
            kfunc: kfunc_available(),
        })
    }

    /// Reads again what may change while we run; the kernel stays.
    pub fn refreshed(&self) -> Result<Self> {
        Ok(Self {
            sysctls: Sysctls::read(),
            links: links().context("cannot list the network interfaces")?,
            kfunc: self.kfunc,
        })
    }

    /// The devices that carry an interface's packets: itself, or what is below a VLAN device or a bond. None if it isn't there, or
    /// a bond of nothing.
    #[must_use]
    pub fn carriers<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let mut carriers = Vec::new();
        self.descend(name, DEPTH, &mut carriers);
        carriers
    }

    fn descend<'a>(&'a self, name: &'a str, depth: u32, carriers: &mut Vec<&'a str>) {
        let Some(link) = self.links.get(name) else { return };
        match link.stack {
            Stack::Vlan | Stack::Bond if !link.below.is_empty() && depth > 0 => {
                link.below.iter().for_each(|below| self.descend(below, depth - 1, carriers));
            }
            Stack::Bond => {}
            _ if carriers.contains(&name) => {}
            _ => carriers.push(name),
        }
    }

    /// Own addresses, without those that never come from a wire.
    #[must_use]
    pub fn local(&self) -> Vec<IpAddr> {
        let all = self.links.values().flat_map(|link| &link.addresses).map(IpNet::addr);
        let mut local: Vec<_> = all.filter(|address| !address.is_loopback()).collect();
        local.sort_unstable();
        local.dedup();
        local
    }
}

impl Host {
    /// Broadcast addresses of own networks: the last address of each IPv4 network that has one (RFC 3021: a /31 has none).
    #[must_use]
    pub fn broadcasts(&self) -> Vec<Ipv4Addr> {
        let networks = self.links.values().flat_map(|link| &link.addresses);
        let mut broadcasts: Vec<_> = networks
            .filter_map(|network| match network {
                IpNet::V4(v4) if v4.prefix_len() < 31 && !v4.addr().is_loopback() => Some(v4.broadcast()),
                _ => None,
            })
            .collect();
        broadcasts.sort_unstable();
        broadcasts.dedup();
        broadcasts
    }
}

impl Sysctls {
    /// Reads them; what is missing (`IPv6` only hosts, old kernels, namespaces) is taken at its default.
    #[must_use]
    pub fn read() -> Self {
        let default = Self::default();
        let on = |name, default: bool| sysctl::<u32>("ipv4", name).map_or(default, |value| value != 0);
        Self {
            timestamps: on("tcp_timestamps", default.timestamps),
            sack: on("tcp_sack", default.sack),
            window_scaling: on("tcp_window_scaling", default.window_scaling),
            ecn: on("tcp_ecn", default.ecn),
            syncookies: sysctl("ipv4", "tcp_syncookies").unwrap_or(0),
            rmem: triple("tcp_rmem").unwrap_or(default.rmem),
            // Other namespaces than the first do not show it before Linux 6.14.
            rmem_max: sysctl("core", "rmem_max").unwrap_or(default.rmem_max),
            ttl: sysctl("ipv4", "ip_default_ttl").unwrap_or(default.ttl),
        }
    }
}

fn sysctl<T: FromStr>(folder: &str, name: &str) -> Option<T> {
    fs::read_to_string(format!("/proc/sys/net/{folder}/{name}")).ok()?.trim().parse().ok()
}

fn triple(name: &str) -> Option<[u32; 3]> {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?;
    let values: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    values.try_into().ok()
}

/// VLANs on bonds on VLANs: nobody stacks higher.
const DEPTH: u32 = 8;

fn links() -> io::Result<BTreeMap<String, Link>> {
    // Not fatal: stacked devices then are what they are.
    let mut stacked = dataplane::stacked().inspect_err(|error| debug!("{error:#}")).unwrap_or_default();
    let mut links = BTreeMap::<String, Link>::new();
    for entry in nix::ifaddrs::getifaddrs()? {
        let link = links.entry(entry.interface_name).or_default();
        let address = entry.address.as_ref().and_then(ip);
        let mask = entry.netmask.as_ref().and_then(ip);
        if let (Some(address), Some(mask)) = (address, mask)
            && let Ok(network) = IpNet::with_netmask(address, mask)
        {
            link.addresses.push(network);
        }
    }
    for (name, link) in &mut links {
        link.addresses.sort_unstable();
        (link.stack, link.below) = stacked.remove(name).unwrap_or_default();
        link.below.sort_unstable();
        link.index = nix::net::if_::if_nametoindex(name.as_str()).unwrap_or(0);
        // Gone between the two calls: its addresses will be, too.
        link.mtu = sys::mtu(name).unwrap_or(1500);
    }
    Ok(links)
}

fn ip(storage: &SockaddrStorage) -> Option<IpAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(v4.ip().into());
    }
    storage.as_sockaddr_in6().map(|v6| v6.ip().into())
}
