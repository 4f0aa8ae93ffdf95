//! A capture of sampled packets as pcapng, with what became of each as its comment (draft-ietf-opsawg-pcapng).

use std::{borrow::Cow, io::Write, time::Duration};

use anyhow::{Context as _, Result};
use pcap_file::{
    DataLink,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};

use super::private::without_person;
use crate::{daemon::events::Line, explain::frame::of_hex};

/// How packets are written.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Bytes of each packet, at most.
    pub snap: usize,
    /// Addresses of senders are cut to their network, data and Ethernet addresses are zeros.
    pub private: bool,
}

/// A capture that is being written.
pub struct Writer<W: Write> {
    file: PcapNgWriter<W>,
    interfaces: Vec<String>,
    form: Form,
}

impl<W: Write> Writer<W> {
    /// Writes the head.
    pub fn new(file: W, form: Form) -> Result<Self> {
        Ok(Self { file: PcapNgWriter::new(file)?, interfaces: Vec::new(), form })
    }

    /// Writes a packet, if its frame is there.
    pub fn write(&mut self, line: &Line) -> Result<()> {
        let Some(digits) = &line.frame else { return Ok(()) };
        let mut frame = of_hex(digits).map_err(anyhow::Error::msg).context("the daemon's frame")?;
        if self.form.private {
            without_person(&mut frame, line.bytes as usize, line.answer);
        }
        frame.truncate(self.form.snap);
        let interface_id = self.interface(&line.interface)?;
        let block = EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::try_from_secs_f64(line.time).unwrap_or_default(),
            original_len: line.bytes,
            data: Cow::Owned(frame),
            options: vec![
                // Inbound, outbound.
                EnhancedPacketOption::Flags(if line.answer { 2 } else { 1 }),
                EnhancedPacketOption::Comment(comment(line).into()),
            ],
        };
        self.file.write_pcapng_block(block).context("write a packet")?;
        Ok(())
    }

    /// Its number in the file; a new one is described first.
    fn interface(&mut self, name: &str) -> Result<u32> {
        if let Some(known) = self.interfaces.iter().position(|known| known == name) {
            return Ok(u32::try_from(known)?);
        }
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: 0,
            // Nanoseconds, as the crate writes times.
            options: vec![
                InterfaceDescriptionOption::IfName(name.into()),
                InterfaceDescriptionOption::IfTsResol(9),
            ],
        };
        self.file.write_pcapng_block(block).context("write an interface")?;
        self.interfaces.push(name.to_owned());
        Ok(u32::try_from(self.interfaces.len() - 1)?)
    }

    /// What was written to.
    pub fn get_mut(&mut self) -> &mut W {
        self.file.get_mut()
    }
}

fn comment(line: &Line) -> String {
    let Line { verdict, reason, service, weight, answer, .. } = line;
    let answer = if *answer { " (this frame is the answer)" } else { "" };
    format!("floodwall: verdict={verdict} reason={reason} service={service} weight={weight}{answer}")
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("interfaces", &self.interfaces).finish_non_exhaustive()
    }
}
