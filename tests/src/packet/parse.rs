//! Reading answers back: an independent look at what the data path wrote.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail, ensure};

use super::{checksum::Sum, protocol};

/// A TCP segment in an untagged or tagged frame, checksums verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the headers' own names")]
pub struct Answer {
    pub destination_mac: [u8; 6],
    pub source_mac: [u8; 6],
    pub tags: Vec<(u16, u16)>,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hop_limit: u8,
    pub source_port: u16,
    pub destination_port: u16,
    pub sequence: u32,
    pub acknowledgment: u32,
    pub flags: u8,
    pub window: u16,
    pub options: Vec<u8>,
}

/// Parses a frame and checks every length and checksum in it.
pub fn answer(frame: &[u8]) -> Result<Answer> {
    let (tags, ethertype, packet) = ethernet(frame)?;
    let (source, destination, hop_limit, segment) = match ethertype {
        0x0800 => ipv4(packet)?,
        0x86dd => ipv6(packet)?,
        other => bail!("EtherType {other:04x}"),
    };
    let sum = Sum::pseudo(source, destination, protocol::TCP, segment.len()).plus(segment);
    ensure!(sum.folded() == 0xffff, "TCP checksum: {:04x}", sum.folded());
    let header = usize::from(segment.get(12).context("short TCP header")? >> 4) * 4;
    Ok(Answer {
        destination_mac: frame[..6].try_into()?,
        source_mac: frame[6..12].try_into()?,
        tags,
        source,
        destination,
        hop_limit,
        source_port: u16_at(segment, 0)?,
        destination_port: u16_at(segment, 2)?,
        sequence: u32_at(segment, 4)?,
        acknowledgment: u32_at(segment, 8)?,
        flags: segment[13],
        window: u16_at(segment, 14)?,
        options: segment.get(20..header).context("TCP data offset")?.to_vec(),
    })
}

type Network<'a> = (IpAddr, IpAddr, u8, &'a [u8]);

type Link<'a> = (Vec<(u16, u16)>, u16, &'a [u8]);

fn ethernet(frame: &[u8]) -> Result<Link<'_>> {
    let (mut tags, mut at) = (Vec::new(), 12);
    loop {
        let ethertype = u16_at(frame, at)?;
        if ethertype != super::CUSTOMER && ethertype != super::PROVIDER {
            return Ok((tags, ethertype, &frame[at + 2..]));
        }
        tags.push((ethertype, u16_at(frame, at + 2)?));
        at += 4;
    }
}

fn ipv4(packet: &[u8]) -> Result<Network<'_>> {
    let total = usize::from(u16_at(packet, 2)?);
    ensure!(packet.len() == total, "IPv4 says {total} bytes, the frame has {}", packet.len());
    ensure!(packet[0] == 0x45 && packet[9] == protocol::TCP, "IPv4 with options, or no TCP");
    let sum = Sum::default().plus(&packet[..20]);
    ensure!(sum.folded() == 0xffff, "IPv4 checksum: {:04x}", sum.folded());
    let address = |at: usize| -> Result<IpAddr> { Ok(<[u8; 4]>::try_from(&packet[at..at + 4])?.into()) };
    Ok((address(12)?, address(16)?, packet[8], &packet[20..]))
}

fn ipv6(packet: &[u8]) -> Result<Network<'_>> {
    let len = usize::from(u16_at(packet, 4)?);
    ensure!(packet.len() == 40 + len, "IPv6 says 40 + {len} bytes, the frame has {}", packet.len());
    ensure!(packet[0] >> 4 == 6 && packet[6] == protocol::TCP, "no IPv6 with TCP");
    let address = |at: usize| -> Result<IpAddr> { Ok(<[u8; 16]>::try_from(&packet[at..at + 16])?.into()) };
    Ok((address(8)?, address(24)?, packet[7], &packet[40..]))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_be_bytes(bytes.get(at..at + 2).context("short frame")?.try_into()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_be_bytes(bytes.get(at..at + 4).context("short frame")?.try_into()?))
}
