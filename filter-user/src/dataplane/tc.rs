//! The tc attachments of an interface, one for each direction: a pinned TCX link, or a clsact filter.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::programs::{
    LinkOrder, SchedClassifier, TcAttachType,
    links::{FdLink, PinnedLink},
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError},
};
use filter_common::abi::name;

use super::{
    netlink::{self, Filter},
    pins::Hook,
    plan::Ingress,
    xdp,
};

/// How a tc program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcKind {
    /// A TCX link (Linux 6.6).
    Tcx,
    /// A filter of the clsact qdisc.
    Clsact,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Ingress,
    Egress,
}

impl Side {
    /// Both of them.
    pub(super) const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// Its program's name.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Ingress => name::TC,
            Self::Egress => name::EGRESS,
        }
    }

    /// Its pin.
    pub(super) const fn hook(self) -> Hook {
        match self {
            Self::Ingress => Hook::Tc,
            Self::Egress => Hook::Egress,
        }
    }

    /// Our clsact filters on it.
    pub(super) fn filters(self, ifindex: u32) -> Result<Vec<Filter>> {
        let minor = match self {
            Self::Ingress => netlink::MIN_INGRESS,
            Self::Egress => netlink::MIN_EGRESS,
        };
        netlink::filters(ifindex, minor, self.program())
    }

    const fn attach_type(self) -> TcAttachType {
        match self {
            Self::Ingress => TcAttachType::Ingress,
            Self::Egress => TcAttachType::Egress,
        }
    }
}

impl Now {
    /// Whether this kind is attached.
    pub(super) fn has(&self, kind: TcKind) -> bool {
        match kind {
            TcKind::Tcx => self.tcx,
            TcKind::Clsact => !self.filters.is_empty(),
        }
    }
}

impl TcKind {
    /// The word that operators know it by.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// What `wanted` means on this kernel.
pub(super) fn choose(wanted: Ingress) -> Result<TcKind> {
    let has_tcx = super::kernel_at_least(6, 6);
    match wanted {
        Ingress::Clsact => Ok(TcKind::Clsact),
        Ingress::Auto if !has_tcx => Ok(TcKind::Clsact),
        Ingress::Tcx if !has_tcx => bail!("TCX needs Linux 6.6: use ingress = \"auto\""),
        Ingress::Auto | Ingress::Tcx => Ok(TcKind::Tcx),
    }
}

/// What is attached before an apply; both at once only if an earlier one was cut short.
#[derive(Debug, Default)]
pub(super) struct Now {
    pub(super) tcx: bool,
    pub(super) filters: Vec<Filter>,
}

/// Looks at one side of the interface.
pub(super) fn now(ifindex: u32, side: Side, pin: &Path) -> Result<Now> {
    Ok(Now { tcx: xdp::alive(pin, ifindex)?, filters: side.filters(ifindex)? })
}

/// A new attachment that ends when dropped, until [`New::keep`].
#[derive(Debug)]
pub(super) enum New {
    Tcx(FdLink),
    Clsact(SchedClassifierLink),
}

impl New {
    /// Makes the attachment outlive us.
    pub(super) fn keep(self, pin: &Path) -> Result<()> {
        match self {
            Self::Tcx(link) => {
                link.pin(pin).with_context(|| format!("pin {}", pin.display()))?;
                super::pins::make_owner_only(pin)
            }
            Self::Clsact(link) => {
                // aya deletes the filter on drop; the kernel keeps it without any descriptor of ours.
                std::mem::forget(link);
                Ok(())
            }
        }
    }
}

/// Attaches next to the wire (in front of other TCX programs on the way in, behind them on the way out), or as a clsact filter.
pub(super) fn attach(
    program: &mut SchedClassifier,
    interface: &str,
    side: Side,
    kind: TcKind,
) -> Result<New> {
    let options = match kind {
        TcKind::Tcx if side == Side::Ingress => TcAttachOptions::TcxOrder(LinkOrder::first()),
        TcKind::Tcx => TcAttachOptions::TcxOrder(LinkOrder::last()),
        TcKind::Clsact => {
            add_clsact(interface)?;
            TcAttachOptions::Netlink(NlOptions::default())
        }
    };
    let id = program
        .attach_with_options(interface, side.attach_type(), options)
        .with_context(|| format!("attach {} ({}) to {interface}", side.hook().label(), kind.label()))?;
    let link = program.take_link(id)?;
    Ok(match kind {
        TcKind::Tcx => New::Tcx(link.try_into()?),
        TcKind::Clsact => New::Clsact(link),
    })
}

fn add_clsact(interface: &str) -> Result<()> {
    match tc::qdisc_add_clsact(interface) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other.with_context(|| format!("add the clsact qdisc to {interface}")),
    }
}

/// Replaces the program of an attachment that [`Now::has`].
pub(super) fn update(
    program: &mut SchedClassifier,
    interface: &str,
    side: Side,
    now: &Now,
    kind: TcKind,
    pin: &Path,
) -> Result<()> {
    match (kind, now.filters.first()) {
        (TcKind::Tcx, _) => update_tcx(program, pin),
        (TcKind::Clsact, Some(filter)) => update_filter(program, interface, side, *filter),
        (TcKind::Clsact, None) => Ok(()),
    }
}

/// Replaces the program of the pinned TCX link; the pin stays where it is.
fn update_tcx(program: &mut SchedClassifier, pin: &Path) -> Result<()> {
    let pinned = PinnedLink::from_pin(pin).with_context(|| format!("open {}", pin.display()))?;
    let link = SchedClassifierLink::try_from(FdLink::from(pinned))?;
    let id = program.attach_to_link(link).context("replace the tcx program")?;
    drop(program.take_link(id)?);
    Ok(())
}

/// Replaces the program of a clsact filter in place.
fn update_filter(program: &mut SchedClassifier, interface: &str, side: Side, filter: Filter) -> Result<()> {
    let id =
        program.attach_to_link(handle_of(interface, side, filter)?).context("replace the clsact filter")?;
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

/// Ends whatever isn't of the kind that is wanted.
pub(super) fn clean(now: &Now, ifindex: u32, side: Side, wanted: Option<TcKind>, pin: &Path) -> Result<()> {
    if now.tcx && wanted != Some(TcKind::Tcx) {
        xdp::detach(pin)?;
    }
    let surplus = usize::from(wanted == Some(TcKind::Clsact));
    for filter in now.filters.iter().skip(surplus) {
        remove_filter(ifindex, side, *filter)?;
    }
    Ok(())
}

/// Deletes one clsact filter.
pub(super) fn remove_filter(ifindex: u32, side: Side, filter: Filter) -> Result<()> {
    let interface = nix::net::if_::if_indextoname(ifindex).context("interface")?;
    let interface = interface.to_str().context("interface name")?;
    aya::programs::Link::detach(handle_of(interface, side, filter)?).context("delete a clsact filter")
}

fn handle_of(interface: &str, side: Side, filter: Filter) -> Result<SchedClassifierLink> {
    let Filter { priority, handle, .. } = filter;
    SchedClassifierLink::attached(interface, side.attach_type(), priority, handle.into(), None)
        .with_context(|| format!("no interface {interface}"))
}
