//! 100 MB each way, every byte checked.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use fastrand::Rng;
use socket2::Socket;

/// Bytes each way.
pub const SIZE: usize = 100_000_000;
const CHUNK: usize = 1 << 16;
const PATIENCE: Duration = Duration::from_secs(20);

/// A reproducible stream.
struct Stream {
    random: Rng,
    left: usize,
}

impl Stream {
    fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed), left: SIZE }
    }

    fn chunk(&mut self) -> Vec<u8> {
        let len = self.left.min(CHUNK);
        self.left -= len;
        let mut bytes = vec![0; len];
        self.random.fill(&mut bytes);
        bytes
    }
}

/// FNV-1a.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// Sends a stream and returns its checksum.
fn send(socket: &mut impl Write, seed: u64) -> Result<u64> {
    let (mut stream, mut hash) = (Stream::new(seed), FNV_OFFSET);
    while stream.left > 0 {
        let chunk = stream.chunk();
        hash = fnv(hash, &chunk);
        socket.write_all(&chunk).context("send")?;
    }
    Ok(hash)
}

/// Receives a stream and returns its checksum.
fn receive(socket: &mut impl Read) -> Result<u64> {
    let (mut left, mut hash, mut buffer) = (SIZE, FNV_OFFSET, vec![0; CHUNK]);
    while left > 0 {
        let len = socket.read(&mut buffer[..CHUNK.min(left)]).context("receive")?;
        ensure!(len > 0, "the other end closed {left} bytes early");
        hash = fnv(hash, &buffer[..len]);
        left -= len;
    }
    Ok(hash)
}

/// Accepts one connection, receives a stream, answers with another and the checksum of both.
#[must_use]
pub fn serve(listener: Socket) -> JoinHandle<Result<()>> {
    thread::spawn(move || {
        let mut socket = TcpStream::from(listener.accept()?.0);
        patient(&socket)?;
        let received = receive(&mut socket)?;
        let sent = send(&mut socket, 2)?;
        socket.write_all(&received.to_le_bytes())?;
        socket.write_all(&sent.to_le_bytes())?;
        Ok(socket.shutdown(Shutdown::Write)?)
    })
}

fn patient(socket: &TcpStream) -> Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.set_write_timeout(Some(PATIENCE))?)
}

/// The client's side, in the calling thread's namespace: an error if a checksum differs.
pub fn exchange(server: SocketAddr) -> Result<()> {
    let mut socket = TcpStream::connect_timeout(&server, PATIENCE)?;
    patient(&socket)?;
    let sent = send(&mut socket, 1)?;
    let received = receive(&mut socket)?;
    let mut checksums = [0; 16];
    socket.read_exact(&mut checksums).map_err(|error| anyhow!("no checksums: {error}"))?;
    let (theirs, ours) = checksums.split_at(8);
    ensure!(theirs == sent.to_le_bytes(), "the server received something else");
    ensure!(ours == received.to_le_bytes(), "the client received something else");
    Ok(())
}
