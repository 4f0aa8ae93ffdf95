//! Nonsense for an HTTP server on a unix socket, the same for the same seed.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::Result;

/// Frames of one connection at most: chunks of a body, lines of a head, pieces of garbage.
const MOST: u64 = 400;

/// A generator (splitmix64: Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let len = self.below(most);
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    /// One conversation; returns the frames that it took. The server may end it at any time.
    pub fn converse(&mut self, socket: &Path) -> Result<u64> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(Duration::from_millis(200)))?;
        let kind = self.below(16);
        let frames = 1 + self.below(MOST);
        let mut sent = 0;
        for number in 0..frames {
            let frame = match kind {
                0 => self.bytes(256),
                1..=2 => self.request(),
                3..=4 => self.head(number),
                5 => self.torn(number),
                _ => self.chunk(number),
            };
            sent += 1;
            match stream.write_all(&frame) {
                Ok(()) => {}
                Err(error) if gone(error.kind()) => break,
                Err(error) => return Err(error.into()),
            }
        }
        // Some go without a word, some wait for what comes.
        if self.below(4) > 0 {
            let _ = stream.shutdown(std::net::Shutdown::Write);
            stream.set_read_timeout(Some(Duration::from_millis(500)))?;
            let mut answer = [0; 4096];
            while stream.read(&mut answer).is_ok_and(|len| len > 0) {}
        }
        Ok(sent)
    }

    fn path(&mut self) -> String {
        let path = self.pick(&[
            "/v1",
            "/v1/status",
            "/v1/bans",
            "/v1/bans/delete",
            "/v1/cookie/rotate?force=2",
            "/",
            "//v1/bans",
            "/v1/%00",
            "/v2/status",
            "*",
            "http://x/v1",
            "/v1/../v1/bans",
        ]);
        let more = "a".repeat(self.below(40) as usize);
        if self.below(3) == 0 { format!("{path}{more}") } else { path.to_owned() }
    }

    /// A whole request with a body that is not what it should be; the next frame is pipelined behind it.
    fn request(&mut self) -> Vec<u8> {
        let method =
            self.pick(&["GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PRI", "\u{1}"]);
        let body = self.pick(&[
            "",
            "{}",
            "{\"entries\":[]",
            "[[[[[[[[",
            "{\"entries\":[\"::/0\"]}",
            "null",
            "\u{fffd}",
        ]);
        let length = self.pick(&["0", "1", "-1", "18446744073709551616", "99999999", "7, 7", ""]);
        let version = self.pick(&["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "http/1.1", ""]);
        let path = self.path();
        format!("{method} {path} {version}\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
            .into_bytes()
    }

    /// Lines of a head that never ends.
    fn head(&mut self, number: u64) -> Vec<u8> {
        if number == 0 {
            return format!("GET {} HTTP/1.1\r\n", self.path()).into_bytes();
        }
        let name =
            self.pick(&["x", "host", "content-length", "transfer-encoding", "upgrade", "expect", " ", "\0"]);
        let mut line = format!("{name}: ").into_bytes();
        line.extend(self.bytes(64).into_iter().filter(|byte| *byte != b'\n'));
        line.extend(b"\r\n");
        line
    }

    /// A request byte by byte.
    fn torn(&mut self, number: u64) -> Vec<u8> {
        let whole = b"POST /v1/bans HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n{\"entries\":[";
        vec![whole.get(number as usize).copied().unwrap_or_else(|| self.next() as u8)]
    }

    /// A body in chunks: nearly JSON, or nothing like it.
    fn chunk(&mut self, number: u64) -> Vec<u8> {
        if number == 0 {
            let path = self.pick(&["/v1/bans", "/v1/bans/delete"]);
            return format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
                .into_bytes();
        }
        let data = match self.below(8) {
            0 => self.bytes(128),
            1 => b"{\"entries\":[\"".to_vec(),
            2 => b"\"],\"ttl_seconds\":-1".to_vec(),
            3 => vec![b' '; self.below(8192) as usize],
            _ => format!("\"{}.{}.0.0/{}\",", self.below(300), self.below(300), self.below(40)).into_bytes(),
        };
        if self.below(500) == 0 {
            return b"zzzz\r\n".to_vec();
        }
        if data.is_empty() {
            return b"1\r\n \r\n".to_vec();
        }
        let mut frame = format!("{:x}\r\n", data.len()).into_bytes();
        frame.extend(data);
        frame.extend(b"\r\n");
        frame
    }
}

/// The server has had enough, or is busy with what came before.
fn gone(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::WouldBlock | ErrorKind::TimedOut
    )
}
