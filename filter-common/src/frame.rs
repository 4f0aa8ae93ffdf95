//! The bytes of one packet, as a stage may touch them.

use crate::{
    abi::TcpReqAttrs,
    cursor::{Cursor, Writer},
    options::TcpOptions,
    packet::Packet,
    quote::Quote,
};

/// One frame: packet memory in the kernel, a `Vec` on the host.
pub trait Frame {
    /// A cursor at the first byte of the Ethernet header.
    fn cursor(&self) -> Cursor<'_>;

    /// A writer at the first byte of the Ethernet header.
    fn writer(&mut self) -> Writer<'_>;

    /// Bytes of the whole frame. A jumbo frame may lie in several buffers; the cursor reaches the first one only.
    fn length(&self) -> u32;

    /// What [`crate::ip_options::read`] finds in the `length` bytes of IPv4 options at `offset`.
    fn ipv4_options(&self, offset: u16, length: u16) -> u32;

    /// What the ICMP error `packet` quotes.
    fn quote(&self, packet: &Packet) -> Quote;

    /// Options of a TCP packet.
    fn options(&self, packet: &Packet) -> TcpOptions;

    /// What [`crate::extensions::walk`] finds `offset` bytes behind the start of the frame.
    fn extensions(&self, offset: u16, next: u8, payload: u16) -> u64;

    /// Cuts `cut` bytes off the front, then makes the frame `length` bytes long (shorter or equal).
    ///
    /// False if the driver refuses; the frame is then undefined and must be dropped.
    fn resize(&mut self, cut: u16, length: u16) -> bool;

    /// Tells tc ingress what the kernel needs to create this ACK's connection.
    fn hand_over(&mut self, attrs: &TcpReqAttrs);
}
