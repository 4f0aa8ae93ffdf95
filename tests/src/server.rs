//! A small web server: one thread, any number of connections, one short answer each.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use anyhow::Result;
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    netns::Namespace,
    sched::{self, Priority},
};

/// What the client sends.
pub const REQUEST: &[u8] = b"GET / HTTP/1.0\r\nHost: floodwall.test\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
const LISTENER: u64 = u64::MAX;

/// Which kind of socket listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// TCP.
    #[default]
    Tcp,
    /// MPTCP (RFC 8684), as Go's listeners do by default.
    Mptcp,
}

/// A listener on every address of the namespace, IPv6 and IPv4.
pub fn listen(namespace: &Namespace, port: u16, kind: Kind) -> Result<Socket> {
    let protocol = if kind == Kind::Mptcp { Protocol::MPTCP } else { Protocol::TCP };
    namespace.run(|| {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(protocol))?;
        socket.set_only_v6(false)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port).into())?;
        socket.listen(4096)?;
        Ok(socket)
    })
}

/// A running server; dropped, it ends and closes.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `port`, on that core if one is given.
    pub fn start(namespace: &Namespace, port: u16, kind: Kind, core: Option<usize>) -> Result<Self> {
        let listener = listen(namespace, port, kind)?;
        listener.set_nonblocking(true)?;
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(listener.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        let mut served = Served { listener, epoll, open: HashMap::new(), accepted: Arc::clone(&accepted) };
        let ended = Arc::clone(&stop);
        let thread = thread::Builder::new().name("server".into()).spawn(move || {
            if let Some(core) = core {
                let _ = sched::place(core, Priority::Nice(-15));
            }
            while !ended.load(Relaxed) && served.turn().is_ok() {}
        })?;
        Ok(Self { stop, accepted, thread: Some(thread) })
    }

    /// Connections that the kernel handed over to the server.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Served {
    listener: Socket,
    epoll: Epoll,
    open: HashMap<RawFd, Socket>,
    accepted: Arc<AtomicU64>,
}

impl Served {
    fn turn(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        let number = match self.epoll.wait(&mut events, EpollTimeout::from(50_u8)) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        for event in &events[..number] {
            if event.data() == LISTENER {
                while self.accept().is_ok() {}
            } else {
                self.answer(RawFd::try_from(event.data())?);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        let (socket, _) = self.listener.accept()?;
        self.accepted.fetch_add(1, Relaxed);
        socket.set_nonblocking(true)?;
        let raw = socket.as_raw_fd();
        self.epoll
            .add(socket.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, u64::from(raw.unsigned_abs())))?;
        self.open.insert(raw, socket);
        Ok(())
    }

    /// A request is one packet long; whatever came is answered, and the connection closed.
    fn answer(&mut self, raw: RawFd) {
        let Some(mut socket) = self.open.remove(&raw) else { return };
        if matches!(socket.read(&mut [0; 4096]), Ok(1..)) {
            let _ = socket.write_all(ANSWER);
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
    }
}
