//! Link types: what is no Ethernet frame becomes one.

use serde::Serialize;

use crate::dataplane::rehearsal::{LONGEST, SHORTEST};

const ETHERNET: u32 = 1;
/// Linux cooked capture, which `tcpdump -i any` writes.
const SLL: u32 = 113;
const SLL2: u32 = 276;
/// IP without anything around it; 12 and 14 are what BSDs call it.
const RAW: [u32; 3] = [12, 14, 101];
const RAW_V4: u32 = 228;
const RAW_V6: u32 = 229;

/// "sent by us" in a cooked capture (linux/if_packet.h, PACKET_OUTGOING).
const OUTGOING: u16 = 4;

/// Why a packet is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// Its link type is none of those that are read.
    LinkType,
    /// Shorter than the headers of its link type.
    Short,
    /// Longer than any interface carries.
    Long,
    /// It was sent by the host that captured it.
    Outgoing,
}

impl Skipped {
    /// For people.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::LinkType => "of another link type than Ethernet, Linux cooked and raw IP",
            Self::Short => "shorter than their link header",
            Self::Long => "longer than any interface carries",
            Self::Outgoing => "sent by the capturing host",
        }
    }
}

/// The packet as an Ethernet frame, with so many bytes of zeros for what was not captured.
pub(super) fn frame(link: u32, bytes: Vec<u8>, missing: usize) -> Result<Vec<u8>, Skipped> {
    let mut frame = match link {
        ETHERNET => bytes,
        SLL => {
            let [kind, ethertype] = fields(&bytes, [0, 14])?;
            let source = bytes.get(6..12).ok_or(Skipped::Short)?;
            cooked(kind, source, ethertype, bytes.get(16..).ok_or(Skipped::Short)?)?
        }
        SLL2 => {
            let [ethertype, kind] = fields(&bytes, [0, 10])?;
            let source = bytes.get(12..18).ok_or(Skipped::Short)?;
            cooked(kind >> 8, source, ethertype, bytes.get(20..).ok_or(Skipped::Short)?)?
        }
        RAW_V4 => ethernet(HERE, &THERE, 0x0800, &bytes),
        RAW_V6 => ethernet(HERE, &THERE, 0x86dd, &bytes),
        raw if RAW.contains(&raw) => match bytes.first().map(|byte| byte >> 4) {
            Some(6) => ethernet(HERE, &THERE, 0x86dd, &bytes),
            Some(_) => ethernet(HERE, &THERE, 0x0800, &bytes),
            None => return Err(Skipped::Short),
        },
        _ => return Err(Skipped::LinkType),
    };
    frame.resize(frame.len() + missing, 0);
    match frame.len() {
        ..SHORTEST => Err(Skipped::Short),
        SHORTEST..=LONGEST => Ok(frame),
        _ => Err(Skipped::Long),
    }
}

/// A device of this host.
const HERE: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Its neighbour.
const THERE: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn fields<const N: usize>(bytes: &[u8], places: [usize; N]) -> Result<[u16; N], Skipped> {
    let mut fields = [0; N];
    for (field, at) in fields.iter_mut().zip(places) {
        let pair = bytes.get(at..at + 2).ok_or(Skipped::Short)?;
        *field = u16::from(pair[0]) << 8 | u16::from(pair[1]);
    }
    Ok(fields)
}

/// A cooked packet: to us, to all, to a group, to somebody else, by its kind.
fn cooked(kind: u16, source: &[u8], ethertype: u16, packet: &[u8]) -> Result<Vec<u8>, Skipped> {
    let destination = match kind {
        1 => [0xff; 6],
        2 => [1, 0, 0x5e, 0, 0, 1],
        OUTGOING => return Err(Skipped::Outgoing),
        _ => HERE,
    };
    Ok(ethernet(destination, source, ethertype, packet))
}

fn ethernet(destination: [u8; 6], source: &[u8], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    [&destination, source, &ethertype.to_be_bytes(), packet].concat()
}
