//! Pings of any size.

use std::{
    io::ErrorKind,
    mem::MaybeUninit,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{netns::Namespace, packet::ip, pair::Family};

const IDENTIFIER: [u8; 2] = *b"FW";
const INTERVAL: Duration = Duration::from_millis(5);

/// So many pings of so many bytes from the client to the server; how many were answered.
pub fn ping(from: &Namespace, family: Family, number: u16, size: usize) -> Result<u16> {
    let socket = from.run(|| raw(family))?;
    let to: SockAddr = SocketAddr::new(family.server(), 0).into();
    let (mut sent, mut answered) = (0, 0);
    let deadline = Instant::now() + INTERVAL * u32::from(number) + Duration::from_secs(2);
    let mut next = Instant::now();
    while answered < number && Instant::now() < deadline {
        if sent < number && Instant::now() >= next {
            sent += u16::from(send(&socket, &request(family, sent, size), &to)?);
            next += INTERVAL;
        }
        answered += u16::from(receive(&socket)?.is_some_and(|bytes| is_answer(family, &bytes, size)));
    }
    Ok(answered)
}

/// Whether it went out: while others have the core, fragments that wait may fill the socket's buffer. Then it is tried again, as
/// ping(8) does.
fn send(socket: &Socket, message: &[u8], to: &SockAddr) -> Result<bool> {
    match socket.send_to(message, to) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => Ok(false),
        Err(error) => Err(error).context("send"),
    }
}

fn raw(family: Family) -> Result<Socket> {
    let (domain, protocol) = match family {
        Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
        Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_recv_buffer_size(1 << 22)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    Ok(socket)
}

/// The message; the stack puts the IP header in front of it.
fn request(family: Family, number: u16, size: usize) -> Vec<u8> {
    let body = [&IDENTIFIER[..], &number.to_be_bytes(), &vec![7; size]].concat();
    let frame = ip(&family.client().to_string(), &family.server().to_string()).echo(false, &body).bytes();
    frame[14 + header(family)..].to_vec()
}

const fn header(family: Family) -> usize {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

/// Only IPv4's raw sockets hand over the IP header (raw(7), RFC 3542 3).
fn is_answer(family: Family, bytes: &[u8], size: usize) -> bool {
    let (start, kind) = if family == Family::V4 { (header(family), 0) } else { (0, 129) };
    bytes.len() == start + 8 + size && bytes[start] == kind && bytes[start + 4..start + 6] == IDENTIFIER
}

fn receive(socket: &Socket) -> Result<Option<Vec<u8>>> {
    let mut bytes = [MaybeUninit::new(0_u8); 4096];
    match socket.recv(&mut bytes) {
        // SAFETY: the array was initialised, and the kernel wrote bytes.
        Ok(len) => Ok(Some(bytes[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect())),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error).context("receive"),
    }
}
