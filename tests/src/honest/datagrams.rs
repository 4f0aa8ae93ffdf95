//! Questions and answers by UDP.

use std::{
    io::ErrorKind,
    net::{IpAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::netns::Namespace;

/// Answers every datagram with itself until dropped.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    /// On these ports of every address, IPv6 and IPv4.
    pub fn on(namespace: &Namespace, ports: &[u16]) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for port in ports {
            let socket = namespace.run(|| UdpSocket::bind(("::", *port)))?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            let stop = Arc::clone(&stop);
            threads.push(thread::spawn(move || {
                let mut datagram = [0; 2048];
                while !stop.load(SeqCst) {
                    if let Ok((len, from)) = socket.recv_from(&mut datagram) {
                        let _ = socket.send_to(&datagram[..len], from);
                    }
                }
            }));
        }
        Ok(Self { stop, threads })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        self.threads.drain(..).for_each(|thread| {
            let _ = thread.join();
        });
    }
}

/// So many questions, each from a socket of its own, asked again after two seconds as resolvers do: how many were
/// answered at once, and in the end.
pub fn ask(from: &Namespace, server: (IpAddr, u16), questions: usize) -> Result<[usize; 2]> {
    let mut answered = [0; 2];
    for question in 0..questions {
        let mapped = match server.0 {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let mut answer = [0; 64];
        for attempt in 0..2 {
            // A new port each time: the first may have been a reflector's.
            let socket = from.run(|| UdpSocket::bind(("::", 0)))?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            socket.send_to(&question.to_be_bytes(), (mapped, server.1))?;
            match socket.recv_from(&mut answer) {
                Ok((len, _)) if answer[..len] == question.to_be_bytes() => {
                    (attempt..2).for_each(|at_most| answered[at_most] += 1);
                    break;
                }
                Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(error).context("receive");
                }
                _ => {}
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(answered)
}
