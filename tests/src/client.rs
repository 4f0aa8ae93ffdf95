//! The legitimate client: open loop, so a slow server does not slow the questions down.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{latency::Tried, server::REQUEST};

/// What the client shall do.
#[derive(Clone, Debug)]
pub struct Questions {
    /// Whom it asks.
    pub server: SocketAddr,
    /// Where it asks from, in turn; empty for the system's choice.
    pub sources: Vec<IpAddr>,
    /// New connections a second.
    pub per_second: u32,
    /// How many.
    pub number: u64,
    /// How long a connection may take, from the first SYN to the end of the answer.
    pub timeout: Duration,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Connecting,
    Asked,
    Answered,
}

struct Connection {
    socket: Socket,
    begun: Instant,
    stage: Stage,
}

struct Client<'a> {
    questions: &'a Questions,
    epoll: Epoll,
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    result: Tried,
}

/// Asks all questions from the calling thread, which must be in the client's namespace.
pub fn ask(questions: &Questions) -> Result<Tried> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut client =
        Client { questions, epoll, slots: Vec::new(), free: Vec::new(), result: Tried::default() };
    let (start, interval) = (Instant::now(), Duration::from_secs(1) / questions.per_second);
    let mut begun: u32 = 0;
    let mut events = [EpollEvent::empty(); 256];
    while u64::from(begun) < questions.number || client.live() {
        while u64::from(begun) < questions.number && start.elapsed() >= interval * begun {
            client.begin(begun as usize);
            begun += 1;
        }
        for event in client.wait(&mut events, interval)? {
            client.turn(event);
        }
        client.expire();
    }
    Ok(client.result)
}

impl Client<'_> {
    fn live(&self) -> bool {
        self.free.len() < self.slots.len()
    }

    /// Waits for news, at most until the next question.
    fn wait(&self, events: &mut [EpollEvent], interval: Duration) -> Result<Vec<EpollEvent>> {
        let wait = u16::try_from(interval.as_millis().clamp(1, 5)).unwrap_or(1);
        match self.epoll.wait(events, EpollTimeout::from(wait)) {
            Ok(number) => Ok(events[..number].to_vec()),
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn begin(&mut self, number: usize) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Ok(connection) = self.connect(number, slot) {
            self.result.tried += 1;
            self.slots[slot] = Some(connection);
        } else {
            self.result.skipped += 1;
            self.free.push(slot);
        }
    }

    fn connect(&self, number: usize, slot: usize) -> Result<Connection> {
        let questions = self.questions;
        let socket = Socket::new(Domain::for_address(questions.server), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // Closed by RST once answered: ports are free again at once.
        socket.set_linger(Some(Duration::ZERO))?;
        if !questions.sources.is_empty() {
            let source = questions.sources[number % questions.sources.len()];
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        let begun = Instant::now();
        match socket.connect(&questions.server.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error.into()),
            _ => {}
        }
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(socket.as_fd(), EpollEvent::new(interest, slot as u64))?;
        Ok(Connection { socket, begun, stage: Stage::Connecting })
    }

    fn turn(&mut self, event: EpollEvent) {
        let slot = event.data() as usize;
        let Some(connection) = self.slots[slot].as_mut() else { return };
        if connection.stage == Stage::Connecting {
            match connection.greet() {
                Some(true) => self.result.connect(connection.begun.elapsed()),
                Some(false) => return self.fail(slot, |result| &mut result.refused),
                None => return,
            }
        }
        match connection.read() {
            None => {}
            Some(true) => {
                self.result.succeeded += 1;
                self.end(slot);
            }
            Some(false) => self.fail(slot, |result| &mut result.refused),
        }
    }

    /// Gives up on what takes too long.
    fn expire(&mut self) {
        let timeout = self.questions.timeout;
        for slot in 0..self.slots.len() {
            if self.slots[slot].as_ref().is_some_and(|connection| connection.begun.elapsed() > timeout) {
                self.fail(slot, |result| &mut result.timed_out);
            }
        }
    }

    fn fail(&mut self, slot: usize, counter: impl Fn(&mut Tried) -> &mut u64) {
        *counter(&mut self.result) += 1;
        if self.slots[slot].as_ref().is_some_and(|connection| connection.stage == Stage::Connecting) {
            self.result.connect(self.questions.timeout);
        }
        self.end(slot);
    }

    fn end(&mut self, slot: usize) {
        self.slots[slot] = None;
        self.free.push(slot);
    }
}

impl Connection {
    /// `Some(true)` once connected and asked, `Some(false)` if refused.
    fn greet(&mut self) -> Option<bool> {
        if self.socket.take_error().ok()?.is_some() {
            return Some(false);
        }
        self.socket.peer_addr().ok()?;
        self.stage = Stage::Asked;
        Some(self.socket.write_all(REQUEST).is_ok())
    }

    /// `Some(true)` once the whole answer is there and the server has closed.
    fn read(&mut self) -> Option<bool> {
        let mut buffer = [0; 8192];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Some(self.stage == Stage::Answered),
                Ok(len) if buffer[..len].starts_with(b"HTTP/1.") => self.stage = Stage::Answered,
                Ok(_) if self.stage == Stage::Answered => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Ok(_) | Err(_) => return Some(false),
            }
        }
    }
}
