//! The two file formats.

use std::io::{ErrorKind, Read};

/// More than any interface captures (tcpdump's own limit), and than any sane block holds.
const LARGEST: u32 = 262_144;
const LARGEST_BLOCK: u32 = 16 << 20;
/// Interfaces that a section may describe.
const INTERFACES: usize = 4096;

const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;

/// A packet as it lies in the file.
pub(super) struct Record {
    /// Link type (LINKTYPE_*).
    pub(super) link: u32,
    /// What was captured of it.
    pub(super) bytes: Vec<u8>,
    /// Its length on the wire.
    pub(super) length: u32,
    /// The capturing host sent it, and the file says so.
    pub(super) outgoing: bool,
}

/// Byte order, and what the head said.
pub(super) enum Format {
    Pcap { order: Order, link: u32 },
    Ng { order: Order, interfaces: Vec<(u32, u32)> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    fn u32(self, bytes: &[u8], at: usize) -> Result<u32, String> {
        let word =
            bytes.get(at..at + 4).and_then(|bytes| bytes.first_chunk()).ok_or("a block is too short")?;
        Ok(match self {
            Self::Little => u32::from_le_bytes(*word),
            Self::Big => u32::from_be_bytes(*word),
        })
    }

    fn u16(self, bytes: &[u8], at: usize) -> Result<u16, String> {
        let word =
            bytes.get(at..at + 2).and_then(|bytes| bytes.first_chunk()).ok_or("a block is too short")?;
        Ok(match self {
            Self::Little => u16::from_le_bytes(*word),
            Self::Big => u16::from_be_bytes(*word),
        })
    }
}

impl Format {
    pub(super) fn read(reader: &mut impl Read) -> Result<Self, String> {
        let magic: [u8; 4] = head(reader)?.ok_or("an empty file")?;
        let order = match u32::from_be_bytes(magic) {
            0xa1b2_c3d4 | 0xa1b2_3c4d => Order::Big,
            0xd4c3_b2a1 | 0x4d3c_b2a1 => Order::Little,
            SECTION => {
                let order = section(reader)?;
                return Ok(Self::Ng { order, interfaces: Vec::new() });
            }
            _ => return Err("neither pcap nor pcapng".to_owned()),
        };
        let rest = exactly(reader, 20)?;
        // The upper bits say whether frames end with a checksum (FCS), and are rare.
        Ok(Self::Pcap { order, link: order.u32(&rest, 16)? & 0xffff })
    }

    pub(super) fn next(&mut self, reader: &mut impl Read) -> Result<Option<Record>, String> {
        match self {
            Self::Pcap { order, link } => pcap(reader, *order, *link),
            Self::Ng { order, interfaces } => loop {
                let Some(head) = head::<8>(reader)? else { return Ok(None) };
                if u32::from_be_bytes([head[0], head[1], head[2], head[3]]) == SECTION {
                    *order = section_with(reader, [head[4], head[5], head[6], head[7]])?;
                    interfaces.clear();
                    continue;
                }
                let (kind, length) = (order.u32(&head, 0)?, order.u32(&head, 4)?);
                let body = block(reader, *order, length, 8)?;
                match kind {
                    INTERFACE if interfaces.len() == INTERFACES => {
                        return Err("too many interfaces".to_owned());
                    }
                    INTERFACE => {
                        interfaces.push((order.u16(&body, 0)?.into(), order.u32(&body, 4)?));
                    }
                    ENHANCED => return enhanced(&body, *order, interfaces).map(Some),
                    SIMPLE => return simple(&body, *order, interfaces).map(Some),
                    _ => {}
                }
            },
        }
    }
}

fn pcap(reader: &mut impl Read, order: Order, link: u32) -> Result<Option<Record>, String> {
    let Some(head) = head::<16>(reader)? else { return Ok(None) };
    let (captured, length) = (order.u32(&head, 8)?, order.u32(&head, 12)?);
    if captured > LARGEST {
        return Err(format!("a packet of {captured} bytes"));
    }
    Ok(Some(Record { link, bytes: exactly(reader, captured)?, length, outgoing: false }))
}

/// Behind the type of a section header block.
fn section(reader: &mut impl Read) -> Result<Order, String> {
    let length = head(reader)?.ok_or("the file ends in its head")?;
    section_with(reader, length)
}

fn section_with(reader: &mut impl Read, length: [u8; 4]) -> Result<Order, String> {
    let magic: [u8; 4] = head(reader)?.ok_or("the file ends in its head")?;
    let order = match BYTE_ORDER {
        order if order == u32::from_be_bytes(magic) => Order::Big,
        order if order == u32::from_le_bytes(magic) => Order::Little,
        _ => return Err("a section without a byte order".to_owned()),
    };
    let length = order.u32(&length, 0)?;
    block(reader, order, length, 12)?;
    Ok(order)
}

/// The body of a block of that total length, of which so many bytes have been read already.
fn block(reader: &mut impl Read, order: Order, length: u32, already: u32) -> Result<Vec<u8>, String> {
    let is_sane = length <= LARGEST_BLOCK && length.is_multiple_of(4) && length >= already + 4;
    if !is_sane {
        return Err(format!("a block of {length} bytes"));
    }
    let mut body = exactly(reader, length - already)?;
    let end = body.len() - 4;
    let again = order.u32(&body, end)?;
    if again != length {
        return Err(format!("a block of {length} bytes that ends as one of {again}"));
    }
    body.truncate(end);
    Ok(body)
}

fn enhanced(body: &[u8], order: Order, interfaces: &[(u32, u32)]) -> Result<Record, String> {
    let number = order.u32(body, 0)?;
    let interface = interfaces.get(number as usize);
    let (link, _) = *interface.ok_or_else(|| format!("an interface {number} that is not described"))?;
    let (captured, length) = (order.u32(body, 12)?, order.u32(body, 16)?);
    let bytes = (captured <= LARGEST).then(|| body.get(20..20 + captured as usize)).flatten();
    let bytes = bytes.ok_or_else(|| format!("a packet of {captured} bytes in a shorter block"))?;
    let options = body.get(20 + (captured as usize).next_multiple_of(4)..).unwrap_or_default();
    Ok(Record { link, bytes: bytes.to_vec(), length, outgoing: is_outgoing(options, order) })
}

/// What the option `epb_flags` says, if it is there. Options that make no sense say nothing.
fn is_outgoing(mut options: &[u8], order: Order) -> bool {
    const FLAGS: u16 = 2;
    const OUTBOUND: u32 = 2;
    while let (Ok(code @ 1..), Ok(length)) = (order.u16(options, 0), order.u16(options, 2)) {
        if code == FLAGS {
            return order.u32(options, 4).is_ok_and(|flags| flags & 3 == OUTBOUND);
        }
        options = options.get(4 + usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// Of the first interface; its snap length says how much of it is there.
fn simple(body: &[u8], order: Order, interfaces: &[(u32, u32)]) -> Result<Record, String> {
    let (link, snaplen) = *interfaces.first().ok_or("a packet of an interface that is not described")?;
    let length = order.u32(body, 0)?;
    let captured = if snaplen == 0 { length } else { length.min(snaplen) };
    let bytes = (captured <= LARGEST).then(|| body.get(4..4 + captured as usize)).flatten();
    let bytes = bytes.ok_or_else(|| format!("a packet of {captured} bytes in a shorter block"))?;
    Ok(Record { link, bytes: bytes.to_vec(), length, outgoing: false })
}

/// So many bytes; none if the file ends right here.
fn head<const N: usize>(reader: &mut impl Read) -> Result<Option<[u8; N]>, String> {
    let mut bytes = [0; N];
    let mut read = 0;
    while read < N {
        match reader.read(&mut bytes[read..]) {
            Ok(0) if read == 0 => return Ok(None),
            Ok(0) => return Err("the file ends in the middle of a packet".to_owned()),
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(Some(bytes))
}

fn exactly(reader: &mut impl Read, length: u32) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; length as usize];
    reader.read_exact(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => "the file ends in the middle of a packet".to_owned(),
        _ => error.to_string(),
    })?;
    Ok(bytes)
}
