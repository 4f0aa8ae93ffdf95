//! A sampled packet as a frame that can be judged once more.

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    capture::Captured,
    frame::{Description, Flags, Transport, of_hex},
    packet::Told,
};
use crate::{
    daemon::{deadline::since_1970, events::Line},
    dataplane::rehearsal::LONGEST,
};

/// TCP's SYN.
const SYN: Flags = Flags(2);

/// What became of a packet that is explained now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Was {
    /// When it came, seconds since 1970.
    pub time: f64,
    /// How long ago that is, seconds.
    pub age: f64,
    /// Its verdict then.
    pub verdict: String,
    /// Its reason then.
    pub reason: String,
}

impl Was {
    /// Of a sample.
    #[must_use]
    pub fn new(line: &Line) -> Self {
        let now = since_1970().as_secs_f64();
        let Line { time, verdict, reason, .. } = line.clone();
        Self { time, age: (now - time).max(0.0), verdict, reason }
    }

    /// In a line.
    #[must_use]
    pub fn text(&self) -> String {
        format!("sampled {:.0} s ago: {} reason={}", self.age, self.verdict.replace('_', " "), self.reason)
    }
}

/// The frame as it was received; data behind what was sampled is zeros, as the filter reads headers. A SYN that was answered is made
/// anew, without options, since its frame was turned into the answer. The number is what `replay` tells.
pub fn received(number: u64, line: &Line) -> Result<Captured> {
    let frame =
        line.frame.as_ref().context("the daemon sent no frame: only root and daemon.admin_group see them")?;
    let mut frame = of_hex(frame).map_err(anyhow::Error::msg)?;
    let mut cut = false;
    if line.answer {
        frame = line.packet.as_ref().and_then(syn).context("an answer to nothing")?;
    } else {
        let whole = (line.bytes as usize).min(LONGEST);
        cut = whole > frame.len();
        frame.resize(whole.max(frame.len()), 0);
    }
    Ok(Captured { number, frame: Ok(frame), cut })
}

fn syn(packet: &Told) -> Option<Vec<u8>> {
    let Told { source, destination, ports, ttl, .. } = packet;
    let transport = Transport::Tcp((*ports)?, SYN);
    let (source, destination, ttl) = (*source, *destination, *ttl);
    Description { source, destination, transport, ttl, length: None, tags: Vec::new(), fragment: None }
        .frame()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{
        frame::to_hex,
        packet::{self, read},
    };

    fn line(frame: &[u8], bytes: u32, answer: bool) -> Line {
        let packet = Told {
            source: "44.1.2.3".parse().unwrap(),
            destination: "192.31.196.1".parse().unwrap(),
            protocol: "tcp".to_owned(),
            ports: Some([5000, 443]),
            flags: Some("SYN+ACK".to_owned()),
            icmp: None,
            ttl: 64,
            fragment: None,
        };
        let text = str::to_owned;
        Line {
            number: 9,
            time: 1.0,
            weight: 16,
            interface: text("eth0"),
            verdict: text("drop"),
            reason: text("source_rate"),
            service: text("web"),
            bytes,
            packet: Some(packet),
            frame: Some(to_hex(frame)),
            answer,
        }
    }

    #[test]
    fn what_was_cut_is_zeros() {
        let made = received(3, &line(&[7; 128], 1514, false)).unwrap();
        assert!(made.cut && made.number == 3);
        let frame = made.frame.unwrap();
        assert_eq!((frame.len(), frame[127], frame[128]), (1514, 7, 0));
        let whole = received(1, &line(&[7; 60], 60, false)).unwrap();
        assert!(!whole.cut && whole.frame.unwrap() == [7; 60]);
        let huge = received(1, &line(&[7; 60], u32::MAX, false)).unwrap();
        assert_eq!(huge.frame.unwrap().len(), LONGEST);
    }

    #[test]
    fn an_answered_syn_is_a_syn_again() {
        let frame = received(1, &line(&[7; 60], 60, true)).unwrap().frame.unwrap();
        assert!(read(&frame).unwrap().tcp.is_syn());
        assert!(packet::line(&frame).starts_with("TCP 44.1.2.3:5000 > 192.31.196.1:443 SYN, TTL 64"));
        let hidden = Line { frame: None, ..line(&[], 60, false) };
        assert!(received(1, &hidden).unwrap_err().to_string().contains("daemon.admin_group"));
    }

    #[test]
    fn the_past_is_told() {
        let was = Was::new(&line(&[], 60, false));
        assert!(was.age > 1e9 && was.text().ends_with(" s ago: drop reason=source_rate"));
    }
}
