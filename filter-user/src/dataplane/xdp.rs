//! The XDP attachment of an interface: a pinned link that outlives us.

use std::{io, path::Path};

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};
use tracing::warn;

use super::{
    foreign,
    netlink::{self, Mode},
    plan::Attach,
    sys,
};

/// What is attached before an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    /// Nothing.
    Free,
    /// Our link, in this mode.
    Ours(Mode),
    /// Somebody else's program, which gives way because the operator says so.
    Foreign(netlink::Xdp),
}

impl Now {
    /// Whether we attach anew.
    pub(super) fn is_new(self) -> bool {
        !matches!(self, Self::Ours(_))
    }
}

/// Looks at the interface; somebody else's XDP program is an error unless it is to be replaced.
pub(super) fn now(name: &str, ifindex: u32, pin: &Path, replace: bool) -> Result<Now> {
    let attached = netlink::xdp(ifindex)?;
    let ours = alive(pin, ifindex)?;
    match attached {
        None if !ours => Ok(Now::Free),
        // A driver may hide its program; the link says that it is there.
        None => Ok(Now::Ours(Mode::Native)),
        Some(xdp) if ours => Ok(Now::Ours(xdp.mode)),
        Some(xdp) if replace => Ok(Now::Foreign(xdp)),
        Some(xdp) => Err(foreign::refusal(name, xdp).into()),
    }
}

/// Whether a link is pinned there and still attached to the interface.
pub(super) fn alive(pin: &Path, ifindex: u32) -> Result<bool> {
    match sys::link_info(pin) {
        Ok(info) => Ok(info.ifindex == ifindex),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("open {}", pin.display())),
    }
}

/// A new link, not pinned yet: dropping it detaches.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) link: FdLink,
    pub(super) mode: Mode,
    /// Why it is not the native mode.
    pub(super) warning: Option<String>,
}

impl Attached {
    /// Makes the attachment outlive us.
    pub(super) fn keep(self, pin: &Path) -> Result<()> {
        self.link.pin(pin).with_context(|| format!("pin {}", pin.display()))?;
        super::pins::make_owner_only(pin)
    }
}

/// Attaches to an interface that runs no XDP program.
pub(super) fn attach(program: &mut Xdp, name: &str, ifindex: u32, how: Attach) -> Result<Attached> {
    let native_error = match how {
        Attach::Generic => None,
        _ => match attach_as(program, ifindex, XdpMode::Driver) {
            Ok(link) => return Ok(Attached { link, mode: Mode::Native, warning: None }),
            Err(error) if how == Attach::Native => {
                return Err(error.context(format!(
                    "{name} refuses native XDP; interface.mode = \"auto\" or \"generic\" would do without"
                )));
            }
            Err(error) => Some(error),
        },
    };
    let warning =
        native_error.map(|error| format!("{name} refuses native XDP, so it runs in generic mode: {error:#}"));
    let link = attach_as(program, ifindex, XdpMode::Skb).with_context(|| format!("attach XDP to {name}"))?;
    if let Some(text) = &warning {
        warn!("{text}");
    }
    Ok(Attached { link, mode: Mode::Generic, warning })
}

/// Whether a link in `mode` is what `how` asks for; it can't change its mode.
pub(super) fn fits(mode: Mode, how: Attach) -> bool {
    match how {
        Attach::Auto => true,
        Attach::Native => mode != Mode::Generic,
        Attach::Generic => mode == Mode::Generic,
    }
}

/// Detaches our link and attaches anew in another mode: the kernel allows no overlap.
///
/// If the interface refuses the new mode, the new program runs in the old one and the error says so.
pub(super) fn change_mode(
    program: &mut Xdp,
    name: &str,
    ifindex: u32,
    how: Attach,
    pin: &Path,
) -> Result<Attached> {
    detach(pin)?;
    attach(program, name, ifindex, how).or_else(|error| {
        let old = if how == Attach::Generic { Attach::Native } else { Attach::Generic };
        let mut attached = attach(program, name, ifindex, old)?;
        attached.warning = Some(format!("{name} stays in {} mode: {error:#}", attached.mode.label()));
        Ok(attached)
    })
}

/// Detaches a pinned link of either hook at once and removes its pin.
pub(super) fn detach(pin: &Path) -> Result<()> {
    // Not attached any more is fine; without the pin the link goes in any case.
    let _ = sys::detach_link(pin);
    super::pins::unpin(pin)
}

fn attach_as(program: &mut Xdp, ifindex: u32, mode: XdpMode) -> Result<FdLink> {
    let id = program.attach_to_if_index(ifindex, mode).map_err(flat)?;
    FdLink::try_from(program.take_link(id)?).context("the kernel has no XDP links (Linux 5.9)")
}

/// The cause in front: "operation not supported" rather than the name of a system call.
fn flat(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::SyscallError(error) => anyhow!("{}", error.io_error),
        other => other.into(),
    }
}

/// Replaces the program of the pinned link with one `BPF_LINK_UPDATE`; the pin stays where it is.
pub(super) fn update(program: &mut Xdp, pin: &Path) -> Result<()> {
    let pinned = PinnedLink::from_pin(pin).with_context(|| format!("open {}", pin.display()))?;
    let link = XdpLink::try_from(FdLink::from(pinned))?;
    let id = program.attach_to_link(link).map_err(flat).context("replace the XDP program")?;
    // Dropping our descriptor leaves the link to its pin.
    drop(program.take_link(id)?);
    Ok(())
}
