//! What rtnetlink says about an interface: its XDP program, and our clsact filters.

use std::{collections::HashMap, ffi::OsStr};

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage, LinkXdp, XdpAttached},
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// How an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the stack, after the kernel has made a packet buffer.
    Generic,
    /// On the device itself.
    Offloaded,
}

impl Mode {
    /// The word that operators know it by.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
        }
    }
}

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Xdp {
    /// How it runs.
    pub(super) mode: Mode,
    /// Its id.
    pub(super) program: u32,
}

/// Index of the interface `name`.
pub(super) fn index(name: &str) -> Result<u32> {
    nix::net::if_::if_nametoindex(OsStr::new(name)).with_context(|| format!("no interface {name}"))
}

/// What a device is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stack {
    /// Nothing that we look below.
    #[default]
    Plain,
    /// A VLAN on another device.
    Vlan,
    /// Several devices together.
    Bond,
}

/// Stacked devices by name, and the names of the devices right below each. One below a VLAN device may be in another network
/// namespace, and then is none here.
pub fn stacked() -> Result<HashMap<String, (Stack, Vec<String>)>> {
    let mut devices = Vec::new();
    ask(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP, |answer| {
        if let RouteNetlinkMessage::NewLink(link) = answer {
            devices.extend(Device::new(&link));
        }
    })
    .context("rtnetlink, all interfaces")?;
    let stacked = devices.iter().filter(|device| device.stack != Stack::Plain);
    Ok(stacked.map(|device| (device.name.clone(), (device.stack, device.below(&devices)))).collect())
}

/// A device and its place among others.
#[derive(Default)]
struct Device {
    index: u32,
    name: String,
    stack: Stack,
    /// Index of the device that it is a part of.
    master: Option<u32>,
    /// Index of the device that it is on, in this network namespace.
    on: Option<u32>,
}

impl Device {
    fn new(link: &LinkMessage) -> Option<Self> {
        let mut device = Self { index: link.header.index, ..Self::default() };
        let mut elsewhere = false;
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => device.name.clone_from(name),
                LinkAttribute::Controller(index) => device.master = Some(*index),
                LinkAttribute::Link(index) => device.on = Some(*index),
                LinkAttribute::LinkNetNsId(_) => elsewhere = true,
                LinkAttribute::LinkInfo(parts) => device.stack = stack(parts),
                _ => {}
            }
        }
        device.on = device.on.filter(|_| !elsewhere);
        (!device.name.is_empty()).then_some(device)
    }

    fn below(&self, all: &[Self]) -> Vec<String> {
        let is_below = |other: &&Self| match self.stack {
            Stack::Plain => false,
            Stack::Vlan => self.on == Some(other.index),
            Stack::Bond => other.master == Some(self.index),
        };
        all.iter().filter(is_below).map(|device| device.name.clone()).collect()
    }
}

fn stack(parts: &[LinkInfo]) -> Stack {
    let kind = parts.iter().find_map(|part| match part {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    match kind {
        Some(InfoKind::Vlan) => Stack::Vlan,
        Some(InfoKind::Bond | InfoKind::Team) => Stack::Bond,
        _ => Stack::Plain,
    }
}

/// Takes the XDP program off an interface that runs it without a link.
pub(super) fn xdp_off(ifindex: u32, mode: Mode) -> Result<()> {
    // XDP_FLAGS_*_MODE (Linux, include/uapi/linux/if_link.h)
    let flags = match mode {
        Mode::Generic => 1 << 1,
        Mode::Native => 1 << 2,
        Mode::Offloaded => 1 << 3,
    };
    let mut request = LinkMessage::default();
    request.header.index = ifindex;
    request.attributes = vec![LinkAttribute::Xdp(vec![LinkXdp::Fd(-1), LinkXdp::Flags(flags)])];
    ask(RouteNetlinkMessage::SetLink(request), NLM_F_ACK, |_| {})
}

/// The XDP program on the interface, if there is one.
pub(super) fn xdp(ifindex: u32) -> Result<Option<Xdp>> {
    let mut request = LinkMessage::default();
    request.header.index = ifindex;
    let mut found = None;
    ask(RouteNetlinkMessage::GetLink(request), 0, |answer| {
        if let RouteNetlinkMessage::NewLink(link) = answer {
            found = link.attributes.iter().find_map(xdp_attribute);
        }
    })
    .with_context(|| format!("rtnetlink, interface {ifindex}"))?;
    Ok(found)
}

fn xdp_attribute(attribute: &LinkAttribute) -> Option<Xdp> {
    let LinkAttribute::Xdp(parts) = attribute else { return None };
    let mode = parts.iter().find_map(|part| match part {
        LinkXdp::Attached(XdpAttached::Driver | XdpAttached::Multiple) => Some(Mode::Native),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(Mode::Generic),
        LinkXdp::Attached(XdpAttached::Hardware) => Some(Mode::Offloaded),
        _ => None,
    })?;
    let program = parts.iter().find_map(|part| match part {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => {
            Some(*id)
        }
        _ => None,
    })?;
    Some(Xdp { mode, program })
}

/// Where a clsact filter sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// Lower runs first.
    pub(super) priority: u16,
    /// Names it among those of its priority.
    pub(super) handle: u32,
    /// Id of its program, 0 where the kernel doesn't say.
    pub(super) program: u32,
}

/// Minor numbers of clsact's two sides, below `TC_H_CLSACT` (include/uapi/linux/pkt_sched.h).
pub(super) const MIN_INGRESS: u16 = 0xfff2;
/// As above.
pub(super) const MIN_EGRESS: u16 = 0xfff3;

/// The filters on that side of the interface whose program has this name.
pub(super) fn filters(ifindex: u32, side: u16, name: &str) -> Result<Vec<Filter>> {
    let mut request = TcMessage::with_index(ifindex.cast_signed());
    request.header.parent = TcHandle { major: 0xffff, minor: side };
    let mut found = Vec::new();
    ask(RouteNetlinkMessage::GetTrafficFilter(request), NLM_F_DUMP, |answer| {
        if let RouteNetlinkMessage::NewTrafficFilter(filter) = answer {
            found.extend(filter_named(&filter, name));
        }
    })
    .with_context(|| format!("tc filters of interface {ifindex}"))?;
    Ok(found)
}

fn filter_named(message: &TcMessage, name: &str) -> Option<Filter> {
    let options = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    })?;
    let mut filter = None;
    let mut program = 0;
    for option in options {
        match option {
            TcOption::Bpf(TcFilterBpfOption::ProgName(n)) if n == name => {
                let TcHandle { major, minor } = message.header.handle;
                let priority = (message.header.info >> 16) as u16;
                filter = Some((priority, u32::from(major) << 16 | u32::from(minor)));
            }
            TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => program = *id,
            _ => {}
        }
    }
    filter.map(|(priority, handle)| Filter { priority, handle, program })
}

/// Sends one request and hands every answer to `take`.
fn ask(request: RouteNetlinkMessage, flags: u16, mut take: impl FnMut(RouteNetlinkMessage)) -> Result<()> {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(request));
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);

    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)?;
            let length = (answer.header.length as usize).next_multiple_of(4);
            match answer.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) if error.code.is_some() => bail!(error.to_io()),
                NetlinkPayload::InnerMessage(inner) => take(inner),
                _ => {}
            }
            if flags & NLM_F_DUMP == 0 {
                return Ok(());
            }
            rest = rest.get(length.max(16)..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(index: u32, name: &str, stack: Stack, master: Option<u32>, on: Option<u32>) -> Device {
        Device { index, name: name.to_owned(), stack, master, on }
    }

    #[test]
    fn what_is_below_is_found_by_index() {
        let all = [
            device(2, "eth0", Stack::Plain, Some(9), None),
            device(3, "eth1", Stack::Plain, Some(9), Some(77)),
            device(4, "eth2", Stack::Plain, Some(8), None),
            device(8, "br0", Stack::Plain, None, None),
            device(9, "bond0", Stack::Bond, None, None),
            device(10, "bond0.5", Stack::Vlan, None, Some(9)),
            device(11, "far.6", Stack::Vlan, None, None),
        ];
        let below: Vec<_> = all.iter().map(|device| device.below(&all).join(" ")).collect();
        assert_eq!(below, ["", "", "", "", "eth0 eth1", "bond0", ""]);
    }

    #[test]
    fn kinds_are_told_apart() {
        let kind = |kind| stack(&[LinkInfo::Kind(kind)]);
        assert_eq!((kind(InfoKind::Vlan), kind(InfoKind::Bond)), (Stack::Vlan, Stack::Bond));
        assert_eq!((kind(InfoKind::Team), kind(InfoKind::Bridge)), (Stack::Bond, Stack::Plain));
        assert_eq!(stack(&[]), Stack::Plain);
    }

    #[test]
    fn this_host_can_be_asked() {
        stacked().expect("a dump of all interfaces");
    }
}
