//! What frames have to know of the configuration: who is asked, at which ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::{
    Host, Settings,
    schema::Service,
    value::{PortRange, Protocol},
};

/// Where frames go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// This host.
    pub v4: Ipv4Addr,
    /// As above.
    pub v6: Ipv6Addr,
    /// A host behind this one.
    pub behind: Ipv4Addr,
    /// The service whose SYNs are measured.
    pub defended: Option<String>,
    /// Its port.
    pub port: u16,
    /// A port that is no service's.
    pub free: u16,
}

// Of AS112 (RFC 7535), which answers for nobody else's addresses: no packet leaves, and none is ours.
const V4: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 2);
const V6: Ipv6Addr = Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 2);

impl Facts {
    /// Of that interface.
    #[must_use]
    pub fn of(settings: &Settings, host: &Host, interface: &str) -> Self {
        let tcp = || settings.service.iter().filter(|service| service.has(Protocol::Tcp));
        let defended = tcp()
            .find(|service| service.wants_cookies())
            .or_else(|| tcp().find(|service| service.defends_syns()))
            .or_else(|| tcp().next());
        let port = defended.and_then(|service| tcp_ports(service).next()).map_or(80, |ports| ports.first);
        let own = || {
            let served =
                defended.into_iter().flat_map(|service| &service.dst).map(|net| first(*net.as_ref()));
            let link = host.links.get(interface).into_iter().flat_map(|link| &link.addresses);
            served.chain(link.map(IpNet::addr)).filter(|address| !is_local_only(*address))
        };
        let v4 = own().find_map(|address| if let IpAddr::V4(v4) = address { Some(v4) } else { None });
        let v6 = own().find_map(|address| if let IpAddr::V6(v6) = address { Some(v6) } else { None });
        let v4 = v4.unwrap_or(V4);
        Self {
            v4,
            v6: v6.unwrap_or(V6),
            behind: Ipv4Addr::from_bits(v4.to_bits() ^ 64),
            defended: defended.map(|service| service.name.as_ref().clone()),
            port,
            free: free(settings),
        }
    }
}

fn tcp_ports(service: &Service) -> impl Iterator<Item = &PortRange> {
    service.ports.iter().map(AsRef::as_ref).filter(|ports| ports.protocol == Protocol::Tcp)
}

fn free(settings: &Settings) -> u16 {
    let taken = |port: u16| {
        settings.service.iter().flat_map(tcp_ports).any(|ports| (ports.first..=ports.last).contains(&port))
    };
    (1024..50_000).rev().find(|port| !taken(*port)).unwrap_or(1)
}

/// The first host of a network.
fn first(net: IpNet) -> IpAddr {
    net.hosts().next().unwrap_or(net.addr())
}

fn is_local_only(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse};

    fn facts(services: &str) -> Facts {
        let text = format!("schema = 1\n[[interface]]\nname = \"eth0\"\n{services}");
        let loaded = parse(Source { path: "f.toml".to_owned(), text }).expect("valid");
        Facts::of(&loaded.settings, &Host::default(), "eth0")
    }

    #[test]
    fn the_service_with_cookies_is_asked() {
        let found = facts(
            "[[service]]\nname = \"dns\"\nports = [\"udp/53\", \"tcp/53\"]\n\
             [[service]]\nname = \"web\"\nports = [\"udp/443\", \"tcp/8080-8090\"]\nsyn = { mode = \"auto\" }\n",
        );
        assert_eq!((found.defended.as_deref(), found.port), (Some("web"), 8080));
        assert_eq!((found.v4, found.v6), (V4, V6));
        assert_ne!(found.behind, found.v4);
    }

    #[test]
    fn a_services_destination_is_asked() {
        let found = facts(
            "[[service]]\nname = \"web\"\nports = [\"tcp/80\", \"tcp/40000-65535\"]\ndst = [\"192.31.196.128/25\", \"2620:4f:8000::9\"]\n",
        );
        assert_eq!(found.v4, Ipv4Addr::new(192, 31, 196, 129));
        assert_eq!(found.v6.segments()[7], 9);
        assert_eq!(found.free, 39_999);
    }

    #[test]
    fn no_service_is_no_error() {
        assert_eq!((facts("").defended, facts("").port), (None, 80));
    }
}
