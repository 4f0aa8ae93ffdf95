//! Somebody behind a router with a smaller MTU.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::{
    cleanup::unique_device,
    netns::Namespace,
    pair::{Family, Pair},
    server::{Kind, listen},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// The least that IPv6 allows (RFC 8200 5).
const MTU: usize = 1280;
const SIZE: usize = 300_000;

/// Its addresses; those of no flood.
const fn address(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(80, 1, 2, 3)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0x2a03, 0x80, 1, 2, 0, 0, 0, 3)),
    }
}

/// A namespace behind the client's, which forwards to it with a smaller MTU; its own MSS says 1460.
#[derive(Debug)]
pub struct Far(Namespace);

impl Far {
    /// Connects it.
    pub fn new(pair: &Pair) -> Result<Self> {
        let far = Namespace::new()?;
        let (near, outer) = (unique_device('r'), unique_device('f'));
        let router = &pair.client.namespace;
        router.ip(&format!(
            "link add {near} mtu {MTU} type veth peer name {outer} mtu 1500 netns {}",
            far.path()
        ))?;
        for (namespace, device, host) in [(router, &near, 1), (&far, &outer, 3)] {
            namespace.ip(&format!("address add 80.1.2.{host}/24 dev {device}"))?;
            namespace.ip(&format!("address add 2a03:80:1:2::{host}/64 dev {device} nodad"))?;
            namespace.ip(&format!("link set {device} up"))?;
        }
        far.ip("route add default via 80.1.2.1")?;
        far.ip("-6 route add default via 2a03:80:1:2::1")?;
        router.sysctl(&[("net.ipv4.ip_forward", "1"), ("net.ipv6.conf.all.forwarding", "1")])?;
        Ok(Self(far))
    }

    /// 300 kB from the server's port 82, in segments that are too long for the router until it has said so.
    pub fn download(&self, pair: &Pair, family: Family) -> Result<()> {
        let server = &pair.server.namespace;
        let listener = TcpListener::from(listen(server, 82, Kind::Tcp)?);
        let sender = thread::spawn(move || -> Result<()> {
            let (mut socket, _) = listener.accept()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(socket.write_all(&vec![7; SIZE])?)
        });
        let connect = || TcpStream::connect_timeout(&(family.server(), 82).into(), PATIENCE);
        let mut socket = self.0.run(connect).with_context(|| format!("{family:?}: connect from afar"))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = Vec::new();
        socket
            .read_to_end(&mut bytes)
            .with_context(|| format!("{family:?}: the path's MTU was not learnt"))?;
        sender.join().map_err(|_| anyhow!("the server panicked"))??;
        ensure!(bytes.len() == SIZE, "{family:?}: {} bytes", bytes.len());
        let route = server.ip(&format!("route get {}", address(family)))?;
        ensure!(route.contains(&format!("mtu {MTU}")), "{route}");
        Ok(())
    }
}
