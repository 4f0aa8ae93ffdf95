//! Established TCP connections of this host, and what lists say of their peers.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use filter_common::list::Class;
use serde::{Deserialize, Serialize};

use crate::{config::lists::compare::class_of, dataplane::Plan};

/// Connections that are looked at, of each family.
const MOST: usize = 1 << 20;
/// Bytes of a line, at most; the kernel's have 150.
const LINE: u64 = 512;
/// Peers that are named one by one.
pub const SHOWN: usize = 50;

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    local: SocketAddr,
    remote: SocketAddr,
}

/// What lists say of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// On the block list.
    Blocked,
    /// On none.
    Unlisted,
    /// On the allow list.
    Allowed,
    /// On the management list.
    Management,
}

/// A connection whose peer fares worse than before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Touched {
    /// The peer.
    pub peer: SocketAddr,
    /// Our side.
    pub local: SocketAddr,
    /// What lists said of it.
    pub before: Standing,
    /// What they would say.
    pub after: Standing,
}

/// Connections whose peers would be blocked, or allowed no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Peers {
    /// How many.
    pub total: u64,
    /// The first of them, those that would be blocked in front.
    pub first: Vec<Touched>,
    /// Why nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl Peers {
    /// Of the connections that there are.
    pub(super) fn look(old: Option<&Plan>, new: &Plan) -> Self {
        match established() {
            Ok(peers) => Self::among(&peers, old, new),
            Err(error) => {
                Self { unknown: Some(format!("cannot list connections: {error}")), ..Self::default() }
            }
        }
    }

    fn among(peers: &[Peer], old: Option<&Plan>, new: &Plan) -> Self {
        let touched = peers.iter().filter_map(|peer| {
            let before = old.map_or(Standing::Unlisted, |plan| standing(plan, peer.remote.ip()));
            let after = standing(new, peer.remote.ip());
            let worse = after < before && after <= Standing::Unlisted;
            worse.then_some(Touched { peer: peer.remote, local: peer.local, before, after })
        });
        let mut first: Vec<_> = touched.collect();
        first.sort_by_key(|touched| (touched.after, touched.peer, touched.local));
        let total = first.len() as u64;
        first.truncate(SHOWN);
        Self { total, first, unknown: None }
    }
}

fn standing(plan: &Plan, source: IpAddr) -> Standing {
    if plan.management.iter().any(|prefix| prefix.contains(&source)) {
        return Standing::Management;
    }
    match class_of(&plan.lists, source) {
        Class::Allow => Standing::Allowed,
        Class::Block => Standing::Blocked,
        Class::None => Standing::Unlisted,
    }
}

/// Of this thread's network namespace (Documentation/networking/proc_net_tcp.rst).
fn established() -> io::Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for file in ["tcp", "tcp6"] {
        match File::open(format!("/proc/thread-self/net/{file}")) {
            Ok(file) => read(BufReader::new(file), &mut peers)?,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(peers)
}

fn read(mut file: impl io::BufRead, peers: &mut Vec<Peer>) -> io::Result<()> {
    let mut line = String::new();
    for _ in 0..MOST {
        line.clear();
        if file.by_ref().take(LINE).read_line(&mut line)? == 0 {
            break;
        }
        peers.extend(peer(&line));
    }
    Ok(())
}

/// A line: number, local and remote address, state (01: established), more.
fn peer(line: &str) -> Option<Peer> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    (state == "01").then(|| Some(Peer { local: socket(local)?, remote: socket(remote)? }))?
}

/// Words of the address as this machine reads them, each in eight hexadecimal digits; the port.
fn socket(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words: Vec<[u8; 4]> = address
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    let ip = match words[..] {
        [word] => IpAddr::V4(Ipv4Addr::from(word)),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [a, b, c, d].concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:26FC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 01C41FC0:0016 09C41FC0:C87C 01 00000000:00000000 02:000A7D8C 00000000     0        0 2
   2: nonsense";
    const V6: &str = "   0: 0000000000000000FFFF000001C41FC0:0016 0000000000000000FFFF000009C41FC0:C87D 01 0
   1: 4F0020260000008000000000000001 4F0020260000008000000000000002:1 01
   1: 4F0020260000008000000000000000 :0016 : 01\n";

    #[test]
    fn established_connections_are_read() {
        let mut peers = Vec::new();
        read(V4.as_bytes(), &mut peers).unwrap();
        read(V6.as_bytes(), &mut peers).unwrap();
        let peer = |port: u16| Peer {
            local: "192.31.196.1:22".parse().unwrap(),
            remote: SocketAddr::new("192.31.196.9".parse().unwrap(), port),
        };
        if cfg!(target_endian = "little") {
            assert_eq!(peers, [peer(0xc87c), peer(0xc87d)]);
        }
    }

    #[test]
    fn a_connection_of_ours_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let wanted = Peer { local: client.local_addr().unwrap(), remote: client.peer_addr().unwrap() };
        assert!(established().unwrap().contains(&wanted));
    }
}
