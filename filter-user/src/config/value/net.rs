//! Ports, prefixes, addresses.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Complaint, Leaf, digits, text};

/// Transport protocol of a service's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its name in the file.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// `tcp/443` or `udp/8000-8010`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// Transport protocol.
    pub protocol: Protocol,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

const PORT_HINT: &str = "write \"tcp/443\", \"udp/53\" or a range: \"tcp/8000-8010\"";

/// A protocol and a port or a range of ports.
pub(in crate::config) fn port_range() -> Leaf<PortRange> {
    text("`\"tcp/PORT\"`, `\"udp/PORT\"` or a range `\"tcp/FIRST-LAST\"`", |raw| {
        let bad = || Complaint::new(format!("{raw:?} is no port"), PORT_HINT);
        let (protocol, ports) = raw.split_once('/').ok_or_else(bad)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(bad()),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last) = (digits(first).ok_or_else(bad)?, digits(last).ok_or_else(bad)?);
        if first == 0 {
            return Err(Complaint::new("port 0 is no service's port", PORT_HINT));
        }
        if first > last {
            return Err(Complaint::new(format!("the range {ports} runs backwards"), PORT_HINT));
        }
        Ok(PortRange { protocol, first, last })
    })
    .pattern("^(tcp|udp)/[0-9]+(-[0-9]+)?$")
}

/// An address or a prefix as written; host bits are the validator's to cut off.
pub(in crate::config) fn prefix() -> Leaf<IpNet> {
    text("an address or a prefix: `\"192.31.196.9\"`, `\"2001:db8::/32\"`", |raw| {
        let parsed = raw.parse::<IpNet>().or_else(|_| raw.parse::<IpAddr>().map(IpNet::from));
        parsed.map_err(|_| {
            let hint = "write \"192.31.196.0/24\" or \"2001:db8::/32\"";
            Complaint::new(format!("{raw:?} is no address and no prefix"), hint)
        })
    })
    .pattern("^[0-9A-Fa-f:.]+(/[0-9]+)?$")
}

/// Where to listen, or "off".
pub(in crate::config) fn listen() -> Leaf<Option<SocketAddr>> {
    text("`\"ADDRESS:PORT\"` or `\"off\"`", |raw| {
        if raw == "off" {
            return Ok(None);
        }
        let hint = "write \"127.0.0.1:9980\", \"[::1]:9980\" or \"off\"";
        raw.parse().map(Some).map_err(|_| Complaint::new(format!("{raw:?} is no address with a port"), hint))
    })
    .pattern("^(off|.+:[0-9]+)$")
}
