//! What has to stay reachable.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{Complaint, Leaf, digits, text};

/// A TCP port that accepts connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Probe {
    /// An address, or a name to be looked up.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse() {
            Ok(IpAddr::V6(v6)) => write!(f, "tcp://[{v6}]:{}", self.port),
            _ => write!(f, "tcp://{}:{}", self.host, self.port),
        }
    }
}

/// `tcp://HOST:PORT`
pub(in crate::config) fn probe() -> Leaf<Probe> {
    text("`\"tcp://HOST:PORT\"`", |raw| {
        parse(raw).ok_or_else(|| {
            let shown: String = raw.chars().take(60).collect();
            let hint = "write \"tcp://192.31.196.9:443\", \"tcp://[2001:db8::9]:443\" or \"tcp://name:443\"";
            Complaint::new(format!("{shown:?} is no probe"), hint)
        })
    })
}

fn parse(raw: &str) -> Option<Probe> {
    let (host, port) = raw.strip_prefix("tcp://")?.rsplit_once(':')?;
    let port = digits::<u16>(port).filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
        None => host.to_owned(),
    };
    let is_name = |host: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
        (1..=253).contains(&host.len()) && host.bytes().all(fits)
    };
    (host.parse::<IpAddr>().is_ok() || is_name(&host)).then_some(Probe { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for text in ["tcp://192.31.196.9:443", "tcp://[2620:4f:8000::9]:22", "tcp://name.example:80"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        for text in [
            "192.31.196.9:443",
            "tcp://:443",
            "tcp://x:0",
            "tcp://x:65536",
            "tcp://[x]:1",
            "tcp://a b:1",
            "udp://x:1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
