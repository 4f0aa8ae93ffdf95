//! A long TCP connection that carries data all the time, as an operator's SSH session does.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    pair::Pair,
    server::{self, Kind},
};

/// The port that it is made to.
pub const SSH: u16 = 22;
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(20);
/// Longer than any test: what is cut off is not dead yet.
const PATIENCE: Duration = Duration::from_mins(2);

/// What became of it so far.
#[derive(Debug)]
struct Life {
    answers: u64,
    last: Instant,
    broken: Option<String>,
}

/// A connection from the client's namespace to port 22 of the server's, where an echo answers.
#[derive(Debug)]
pub struct Session {
    ends: [SocketAddr; 2],
    stop: Arc<AtomicBool>,
    life: Arc<Mutex<Life>>,
    threads: Vec<JoinHandle<()>>,
    /// Others could log in, too.
    _listener: Socket,
}

impl Session {
    /// Connects and begins to talk.
    pub fn open(pair: &Pair, source: IpAddr, server: IpAddr) -> Result<Self> {
        let listener = server::listen(&pair.server.namespace, SSH, Kind::Tcp)?;
        let stop = Arc::new(AtomicBool::new(false));
        let client = pair.client.namespace.run(|| connect(source, SocketAddr::new(server, SSH)))?;
        let ends = [client.local_addr()?, client.peer_addr()?];
        let echo: TcpStream = listener.accept()?.0.into();
        client.set_read_timeout(Some(PATIENCE))?;
        echo.set_read_timeout(Some(PATIENCE))?;
        let life = Arc::new(Mutex::new(Life { answers: 0, last: Instant::now(), broken: None }));
        let talk = {
            let (stop, life) = (stop.clone(), life.clone());
            thread::spawn(move || {
                if let Err(error) = talk(client, &stop, &life) {
                    life.lock().unwrap_or_else(PoisonError::into_inner).broken = Some(format!("{error:#}"));
                }
            })
        };
        // Ends when the other side does.
        let answer = thread::spawn(move || drop(answer(echo)));
        Ok(Self { ends, stop, life, threads: vec![talk, answer], _listener: listener })
    }

    /// As sshd puts it into its children's environment.
    #[must_use]
    pub fn variable(&self) -> String {
        let [client, server] = self.ends;
        let plain = |address: SocketAddr| address.ip().to_canonical();
        format!("{} {} {} {}", plain(client), client.port(), plain(server), server.port())
    }

    /// Whether data has come back within the last moment.
    pub fn lives(&self) -> Result<bool> {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &life.broken {
            anyhow::bail!("the session is broken after {} answers: {why}", life.answers);
        }
        Ok(life.answers > 0 && life.last.elapsed() < Duration::from_millis(500))
    }

    /// Fails unless it lives, or comes to live again within `wait`.
    pub fn must_live(&self, wait: Duration) -> Result<()> {
        let deadline = Instant::now() + wait;
        while !self.lives()? {
            ensure!(Instant::now() < deadline, "the session carries nothing any more");
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // What is cut off waits for its timeout: it ends with the process.
            if self.life.lock().unwrap_or_else(PoisonError::into_inner).last.elapsed()
                < Duration::from_secs(1)
            {
                let _ = thread.join();
            }
        }
    }
}

fn connect(source: IpAddr, server: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&server.into(), Duration::from_secs(5)).context("open the session")?;
    socket.set_tcp_nodelay(true)?;
    // As ssh's keep-alives would: lost segments are sent again soon.
    Ok(socket.into())
}

fn talk(mut stream: TcpStream, stop: &AtomicBool, life: &Mutex<Life>) -> Result<()> {
    let mut number = 0_u64;
    while !stop.load(Relaxed) {
        number += 1;
        stream.write_all(&number.to_be_bytes())?;
        let mut echo = [0; 8];
        stream.read_exact(&mut echo)?;
        ensure!(u64::from_be_bytes(echo) == number, "another answer");
        let mut life = life.lock().unwrap_or_else(PoisonError::into_inner);
        (life.answers, life.last) = (number, Instant::now());
        drop(life);
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> Result<()> {
    let mut bytes = [0; 8];
    loop {
        match stream.read_exact(&mut bytes) {
            Ok(()) => stream.write_all(&bytes)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
