//! Whom this host cannot do without, as `/proc` tells.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use crate::config::{Host, schema::Management, value::Protocol};

/// Bytes that are read of a table in `/proc`: a busy server has megabytes of connections.
const LARGEST: u64 = 64 << 20;
/// Connections of one kind that are looked at.
const MOST: usize = 64;
/// include/net/tcp_states.h
const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";
const BGP: u16 = 179;

/// A TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// The other end.
    pub peer: SocketAddr,
    /// This end.
    pub local: SocketAddr,
}

impl Connection {
    /// `SSH_CONNECTION`: client, its port, server, its port.
    #[must_use]
    pub fn of_ssh(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [client, port, server, server_port] = words[..] else { return None };
        // Link-local addresses come with their interface.
        let address = |text: &str| Some(plain(text.split('%').next()?.parse().ok()?));
        let peer = SocketAddr::new(address(client)?, port.parse().ok()?);
        let local = SocketAddr::new(address(server)?, server_port.parse().ok()?);
        (peer.is_ipv4() == local.is_ipv4()).then_some(Self { peer, local })
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The caller's SSH connection.
    pub caller: Option<Connection>,
    /// Whether it is one of this host's.
    pub caller_is_here: bool,
    /// Others to the ports that the host is managed through.
    pub management: BTreeSet<Connection>,
    /// BGP sessions.
    pub bgp: BTreeSet<Connection>,
    /// Default gateways.
    pub gateways: BTreeSet<IpAddr>,
    /// Interfaces with a default route.
    pub uplinks: BTreeSet<String>,
    /// Resolvers.
    pub resolvers: BTreeSet<IpAddr>,
}

impl Found {
    /// Looks around, but not through all connections: a busy server has a million.
    #[must_use]
    pub fn near(ssh: Option<&str>) -> Self {
        let (gateways, uplinks) = routes();
        let caller = ssh.and_then(Connection::of_ssh);
        Self { caller, gateways, uplinks, resolvers: resolvers(), ..Self::default() }
    }

    /// Looks around.
    #[must_use]
    pub fn look(management: &Management, ssh: Option<&str>) -> Self {
        let established = connections(ESTABLISHED);
        let near = Self::near(ssh);
        let caller = near.caller;
        let ports = ports(management);
        let with = |wanted: &dyn Fn(&Connection) -> bool| {
            let others = established.iter().filter(|connection| Some(**connection) != caller);
            others.filter(|connection| wanted(connection)).take(MOST).copied().collect()
        };
        Self {
            caller_is_here: caller.is_some_and(|caller| established.contains(&caller)),
            management: with(&|c| {
                ports.iter().any(|(first, last)| (*first..=*last).contains(&c.local.port()))
            }),
            bgp: with(&|c| c.local.port() == BGP || c.peer.port() == BGP),
            ..near
        }
    }

    /// The same with the devices that interfaces with a default route come to: a bond's, or that below a VLAN device.
    #[must_use]
    pub fn on(self, host: &Host) -> Self {
        let carriers = |name: &String| {
            let carriers: Vec<_> = host.carriers(name).into_iter().map(str::to_owned).collect();
            if carriers.is_empty() { vec![name.clone()] } else { carriers }
        };
        Self { uplinks: self.uplinks.iter().flat_map(carriers).collect(), ..self }
    }

    /// Addresses that must not be banned, with the words for why. Those of connections that anybody may open are not
    /// among them.
    #[must_use]
    pub fn not_to_ban(&self) -> Vec<(IpAddr, &'static str)> {
        let caller =
            self.caller.iter().map(|caller| (caller.peer.ip(), "you are connected from there (SSH)"));
        let gateways = self.gateways.iter().map(|address| (*address, "it is this host's gateway"));
        let resolvers = self.resolvers.iter().map(|address| (*address, "it is this host's resolver"));
        caller.chain(gateways).chain(resolvers).collect()
    }
}

fn ports(management: &Management) -> Vec<(u16, u16)> {
    let given = management.ports.iter().map(toml::Spanned::as_ref);
    let tcp: Vec<_> =
        given.filter(|range| range.protocol == Protocol::Tcp).map(|r| (r.first, r.last)).collect();
    if management.ports.is_empty() { vec![(22, 22)] } else { tcp }
}

/// TCP connections of this network namespace in `state`.
fn connections(state: &str) -> BTreeSet<Connection> {
    let files = ["tcp", "tcp6"].map(|name| read(Path::new("/proc/thread-self/net").join(name).as_path()));
    let texts: String = files.into_iter().collect();
    texts.lines().filter_map(|line| connection(line, state)).collect()
}

/// Local ports that somebody listens on: TCP, or UDP without a peer; addresses of the loopback left out.
#[must_use]
pub fn listening() -> BTreeSet<(Protocol, u16)> {
    let tcp = connections(LISTEN).into_iter().map(|c| (Protocol::Tcp, c.local));
    let files = ["udp", "udp6"].map(|name| read(Path::new("/proc/thread-self/net").join(name).as_path()));
    let udp_texts: String = files.into_iter().collect();
    // net/ipv4/udp.c: a socket without a peer is in state 7.
    let udp: Vec<_> = udp_texts.lines().filter_map(|line| connection(line, "07")).collect();
    let all = tcp.chain(udp.into_iter().map(|c| (Protocol::Udp, c.local)));
    all.filter(|(_, local)| !local.ip().is_loopback())
        .map(|(protocol, local)| (protocol, local.port()))
        .collect()
}

/// One line of `/proc/net/tcp` and its like: `0: LOCAL:PORT REMOTE:PORT STATE ..`
fn connection(line: &str, state: &str) -> Option<Connection> {
    let mut words = line.split_whitespace().skip(1);
    let (local, peer, is) = (words.next()?, words.next()?, words.next()?);
    (is == state).then_some(())?;
    Some(Connection { peer: end(peer)?, local: end(local)? })
}

/// Words of an address are printed as numbers of this host's byte order.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut octets = [0; 16];
            for (index, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            plain(IpAddr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// IPv4 in IPv6 clothes is IPv4.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Gateways of default routes, and the interfaces that have one.
fn routes() -> (BTreeSet<IpAddr>, BTreeSet<String>) {
    let folder = Path::new("/proc/thread-self/net");
    let v4 = read(&folder.join("route"));
    let v6 = read(&folder.join("ipv6_route"));
    let (mut gateways, mut uplinks) = (BTreeSet::new(), BTreeSet::new());
    for (interface, gateway) in v4.lines().filter_map(route_v4).chain(v6.lines().filter_map(route_v6)) {
        uplinks.insert(interface);
        gateways.extend(Some(gateway).filter(|address| !address.is_unspecified()));
    }
    (gateways, uplinks)
}

/// `IFACE DESTINATION GATEWAY FLAGS REFCNT USE METRIC MASK ..`
fn route_v4(line: &str) -> Option<(String, IpAddr)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (destination, mask) = (words.get(1)?, words.get(7)?);
    (*destination == "00000000" && *mask == "00000000").then_some(())?;
    let gateway = u32::from_str_radix(words.get(2)?, 16).ok()?;
    Some(((*words.first()?).to_owned(), Ipv4Addr::from(gateway.to_ne_bytes()).into()))
}

/// `DESTINATION LENGTH SOURCE LENGTH NEXT-HOP METRIC REFCNT USE FLAGS IFACE`; unreachable default routes lead to `lo`.
fn route_v6(line: &str) -> Option<(String, IpAddr)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (destination, length) = (words.first()?, words.get(1)?);
    let interface = words.get(9)?;
    let is_default = destination.bytes().all(|b| b == b'0') && *length == "00" && *interface != "lo";
    is_default.then_some(())?;
    let gateway = u128::from_str_radix(words.get(4)?, 16).ok()?;
    Some(((*interface).to_owned(), Ipv6Addr::from(gateway).into()))
}

/// Those of `resolv.conf`; where that names a stub on this host, those behind it.
fn resolvers() -> BTreeSet<IpAddr> {
    let files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
    let texts = files.map(|path| read(Path::new(path)));
    texts.iter().flat_map(|text| text.lines().filter_map(resolver)).take(MOST).collect()
}

fn resolver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    (words.next()? == "nameserver").then_some(())?;
    let address: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
    (!address.is_loopback()).then_some(address)
}

/// What a file says; nothing when it cannot be read.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        let _ = file.take(LARGEST).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::host::Link, dataplane::Stack};

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_proc() {
        let line = "   1: 02C41FC0:0016 01C41FC0:C350 01 00000000:00000000 02:000A 0 0 0 1 2 3";
        let found = connection(line, ESTABLISHED).unwrap();
        assert_eq!(found, Connection::of_ssh("192.31.196.1 50000 192.31.196.2 22").unwrap());
        assert_eq!(connection(line, LISTEN), None);
        let mapped = "0: 0000000000000000FFFF000002C41FC0:0016 0000000000000000FFFF000001C41FC0:C350 01 0";
        assert_eq!(connection(mapped, ESTABLISHED), Some(found));
        let v6 = "0: 4F00202600000080000000000200000:0016 x 01";
        assert_eq!(connection(v6, ESTABLISHED), None);
        let v6 = end("4F002026000000800000000002000000:01BB").unwrap();
        assert_eq!(v6.to_string(), "[2620:4f:8000::2]:443");
        for garbage in ["", "0:", "0: a b c", "0: 00:00 00:00 01", "0: é0000000:0000 00000000:0000 01"] {
            assert_eq!(connection(garbage, ESTABLISHED), None, "{garbage}");
        }
        let route = "eth0\t00000000\t01C41FC0\t0003\t0\t0\t0\t00000000\t0\t0\t0";
        assert_eq!(route_v4(route).unwrap(), ("eth0".to_owned(), "192.31.196.1".parse().unwrap()));
        assert_eq!(route_v4("Iface\tDestination\tGateway"), None);
    }

    #[test]
    fn routes_and_resolvers() {
        let zero = "0".repeat(32);
        let line = format!("{zero} 00 {zero} 00 fe800000000000000000000000000001 0 1 0 3 eth0");
        assert_eq!(route_v6(&line).unwrap(), ("eth0".to_owned(), "fe80::1".parse().unwrap()));
        assert_eq!(route_v6(&line.replace("eth0", "lo")), None);
        assert_eq!(route_v6("garbage"), None);
        assert_eq!(resolver("nameserver 192.31.196.53"), Some("192.31.196.53".parse().unwrap()));
        assert_eq!(resolver("nameserver fe80::1%eth0"), Some("fe80::1".parse().unwrap()));
        for line in ["nameserver 127.0.0.53", "# nameserver 1.2.3.4", "search example", "nameserver", ""] {
            assert_eq!(resolver(line), None, "{line}");
        }
    }

    #[test]
    fn ssh_connections() {
        for garbage in
            ["", "a b c d", "192.31.196.1 1 2620:4f:8000::2 22", "192.31.196.1 70000 192.31.196.2 22"]
        {
            assert_eq!(Connection::of_ssh(garbage), None, "{garbage}");
        }
        let link_local = Connection::of_ssh("fe80::5%eth0 50000 fe80::2%eth0 22").unwrap();
        assert_eq!(link_local.peer.ip(), "fe80::5".parse::<IpAddr>().unwrap());
    }

    /// Our own connection over the loopback is found.
    #[test]
    fn this_hosts_connections_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, local) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        assert!(connections(ESTABLISHED).contains(&Connection { peer, local }));
        assert!(connections(LISTEN).iter().any(|connection| connection.local == local));
        assert!(!listening().contains(&(Protocol::Tcp, local.port())), "loopback is no service");
    }

    #[test]
    fn a_bonds_route_leads_through_its_devices() {
        let link = |stack, below: &[&str]| Link {
            stack,
            below: below.iter().map(|name| (*name).to_owned()).collect(),
            ..Link::default()
        };
        let links = [
            ("eth0", link(Stack::Plain, &[])),
            ("eth1", link(Stack::Plain, &[])),
            ("bond0", link(Stack::Bond, &["eth0", "eth1"])),
        ];
        let links = links.map(|(name, link)| (name.to_owned(), link)).into();
        let host = Host { links, ..Host::default() };
        let found = |name: &str| Found { uplinks: [name.to_owned()].into(), ..Found::default() }.on(&host);
        assert_eq!(found("bond0").uplinks, ["eth0".to_owned(), "eth1".to_owned()].into());
        assert_eq!(found("eth0").uplinks, ["eth0".to_owned()].into());
        assert_eq!(found("gone").uplinks, ["gone".to_owned()].into());
    }

    #[test]
    fn whoever_opens_a_connection_is_not_protected() {
        let connection = Connection::of_ssh("192.31.196.9 50000 192.31.196.2 22").unwrap();
        let bgp_in = Connection::of_ssh("192.31.196.8 50000 192.31.196.2 179").unwrap();
        let found = Found {
            management: [connection].into(),
            bgp: [bgp_in].into(),
            caller: Connection::of_ssh("192.31.196.1 50000 192.31.196.2 22"),
            ..Found::default()
        };
        let addresses: Vec<_> =
            found.not_to_ban().into_iter().map(|(address, _)| address.to_string()).collect();
        assert_eq!(addresses, ["192.31.196.1"]);
    }
}
