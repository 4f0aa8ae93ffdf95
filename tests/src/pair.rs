//! Two namespaces and the wire between them: a client (and attacker) and a server (the victim).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};

use crate::{
    cleanup::unique_device,
    device,
    lab::Lab,
    netns::Namespace,
    sched::{Cores, Priority, napi_threads, place_thread},
};

/// The client's addresses; AS112's block (RFC 7535) is public and routed nowhere near here.
pub const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 1);
/// The server's.
pub const SERVER_V4: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 2);
/// The client's, IPv6 (RFC 7535 too).
pub const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 1);
/// The server's, IPv6.
pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 2);
/// The client's device.
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0x99, 1];
/// The server's device.
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0x99, 2];

/// An IP version, and with it who is who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// IPv4 and IPv6.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The client's address.
    #[must_use]
    pub fn client(self) -> IpAddr {
        match self {
            Self::V4 => CLIENT_V4.into(),
            Self::V6 => CLIENT_V6.into(),
        }
    }

    /// The server's address.
    #[must_use]
    pub fn server(self) -> IpAddr {
        match self {
            Self::V4 => SERVER_V4.into(),
            Self::V6 => SERVER_V6.into(),
        }
    }
}

/// One end of the wire.
#[derive(Clone, Debug)]
pub struct End {
    /// Where it is.
    pub namespace: Namespace,
    /// The name of its device, unique on this machine.
    pub device: String,
}

/// What the wire is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// As veth devices come: partial checksums, GSO.
    Veth,
    /// No checksum or segmentation offload: every packet as a cable would carry it. GRO is on.
    Cable,
}

/// Client and server, connected.
#[derive(Debug)]
pub struct Pair {
    /// The client's end, and the attacker's.
    pub client: End,
    /// The server's end, where Floodwall goes.
    pub server: End,
    /// Programs on the client's device: it receives what `XDP_TX` sends only if it has one.
    pub lab: Lab,
}

impl Pair {
    /// Both ends up, with addresses, static neighbours and the laboratory's `sink` on the client's device.
    pub fn new(wire: Wire) -> Result<Self> {
        let client = End { namespace: Namespace::new()?, device: unique_device('c') };
        let server = End { namespace: Namespace::new()?, device: unique_device('s') };
        let mut pair = Self { client, server, lab: Lab::load()? };
        pair.wire(wire)?;
        Ok(pair)
    }

    /// Both devices anew, with the same names and addresses; those that were there go first, and with them what is attached.
    pub fn rewire(&mut self, wire: Wire) -> Result<()> {
        self.client.namespace.ip(&format!("link del {}", self.client.device))?;
        self.lab = Lab::load()?;
        self.wire(wire)
    }

    fn wire(&mut self, wire: Wire) -> Result<()> {
        let Self { client, server, lab } = self;
        connect(client, server).context("connect two namespaces")?;
        client.settings(&[("net.ipv4.ip_local_port_range", "1024 65000")])?;
        server.settings(&[])?;
        client.address(CLIENT_V4.into(), 24)?;
        client.address(CLIENT_V6.into(), 64)?;
        server.address(SERVER_V4.into(), 24)?;
        server.address(SERVER_V6.into(), 64)?;
        client.up(wire)?;
        server.up(wire)?;
        client.neighbours(&[SERVER_V4.into(), SERVER_V6.into()], SERVER_MAC)?;
        server.neighbours(&[CLIENT_V4.into(), CLIENT_V6.into()], CLIENT_MAC)?;
        // Answers to forged sources go out on the wire, as they would through a router.
        server.namespace.ip(&format!("route add default via {CLIENT_V4}"))?;
        server.namespace.ip(&format!("-6 route add default via {CLIENT_V6}"))?;
        lab.attach_xdp(&client.namespace, "sink", &client.device)
    }

    /// Gives the victim's receive work a kernel thread on the victim's core, the attacker's one on the
    /// attacker's core, both before every ordinary thread, as a soft interrupt is. Without this all of it runs
    /// on the generator's core.
    pub fn pin(&self, cores: Cores) -> Result<()> {
        self.server.pin(cores.victim)?;
        self.client.pin(cores.attacker)
    }

    /// Another address of the client, known to the server.
    pub fn add_client(&self, address: IpAddr) -> Result<()> {
        self.client.address(address, if address.is_ipv4() { 24 } else { 64 })?;
        self.server.neighbours(&[address], CLIENT_MAC)
    }
}

/// Makes the pair of devices.
fn connect(client: &End, server: &End) -> Result<()> {
    let line = format!(
        "link add {} address {} type veth peer name {} netns {} address {}",
        client.device,
        mac(CLIENT_MAC),
        server.device,
        server.namespace.path(),
        mac(SERVER_MAC)
    );
    client.namespace.ip(&line).map(drop)
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

impl End {
    /// Quiet IPv6 (no DAD, no solicitations) and no reverse path filter.
    fn settings(&self, more: &[(&str, &str)]) -> Result<()> {
        self.namespace
            .sysctl(&[("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv6.conf.all.forwarding", "0")])?;
        for (name, value) in [
            ("ipv6/conf/{}/accept_dad", "0"),
            ("ipv6/conf/{}/router_solicitations", "0"),
            ("ipv4/conf/{}/rp_filter", "0"),
        ] {
            let name = format!("net/{}", name.replace("{}", &self.device));
            self.namespace.sysctl(&[(&name, value)])?;
        }
        self.namespace.sysctl(more)
    }

    /// Adds an address.
    pub fn address(&self, address: IpAddr, bits: u8) -> Result<()> {
        let nodad = if address.is_ipv6() { "nodad" } else { "" };
        self.namespace.ip(&format!("address add {address}/{bits} dev {} {nodad}", self.device)).map(drop)
    }

    fn up(&self, wire: Wire) -> Result<()> {
        self.namespace.ip(&format!("link set {} up", self.device))?;
        self.namespace.run(|| {
            if wire == Wire::Cable {
                device::without_offloads(&self.device);
            }
            device::with_gro(&self.device)
        })
    }

    /// Static neighbour entries.
    fn neighbours(&self, addresses: &[IpAddr], lladdr: [u8; 6]) -> Result<()> {
        for address in addresses {
            let line =
                format!("neigh replace {address} lladdr {} dev {} nud permanent", mac(lladdr), self.device);
            self.namespace.ip(&line)?;
        }
        Ok(())
    }

    fn pin(&self, core: usize) -> Result<()> {
        self.namespace.run(|| device::threaded_napi(&self.device))?;
        let threads = napi_threads(&self.device);
        anyhow::ensure!(!threads.is_empty(), "{} has no NAPI thread", self.device);
        threads.into_iter().try_for_each(|thread| place_thread(thread, core, Priority::RealTime))
    }
}
