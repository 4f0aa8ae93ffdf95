//! Everything off, whatever is pinned, configured or damaged.

use std::{collections::BTreeSet, os::fd::OwnedFd, path::Path};

use anyhow::{Context as _, Result};
use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType, loaded_programs};
use filter_common::abi::name;

use super::{
    detach, netlink,
    sys::{self, LinkInfo},
    tc::{self, Side},
};

/// What was done, a line each, and what could not be.
#[derive(Clone, Debug, Default)]
pub struct Undone {
    /// Done.
    pub done: Vec<String>,
    /// Failed.
    pub failed: Vec<String>,
}

impl Undone {
    fn note(&mut self, what: String, result: Result<()>) {
        match result {
            Ok(()) => self.done.push(what),
            Err(error) => self.failed.push(format!("{what}: {error:#}")),
        }
    }
}

/// Takes our programs off every interface of this network namespace, looking at what is attached and not at what is said to be;
/// then removes what is pinned below `root`.
#[must_use]
pub fn panic(root: &Path) -> Undone {
    let mut undone = Undone::default();
    let links = sys::links().unwrap_or_else(|error| {
        undone.failed.push(format!("cannot list the attachments: {error}"));
        Vec::new()
    });
    let ours = programs();
    for (ifindex, interface) in interfaces() {
        take_off(ifindex, &interface, &ours, &links, &mut undone);
    }
    match detach(root, false) {
        Ok(done) => undone.done.extend(done),
        Err(error) => undone.failed.push(format!("{}: {error:#}", root.display())),
    }
    undone
}

fn interfaces() -> Vec<(u32, String)> {
    let Ok(all) = nix::net::if_::if_nameindex() else { return Vec::new() };
    all.iter().filter_map(|one| Some((one.index(), one.name().to_str().ok()?.to_owned()))).collect()
}

/// Ids of loaded programs with our names.
fn programs() -> BTreeSet<u32> {
    let is_ours = |name: &str| [name::XDP, name::TC, name::EGRESS].contains(&name);
    let all = loaded_programs().filter_map(Result::ok);
    all.filter(|program| program.name_as_str().is_some_and(is_ours)).map(|program| program.id()).collect()
}

fn take_off(
    ifindex: u32,
    interface: &str,
    ours: &BTreeSet<u32>,
    links: &[(OwnedFd, LinkInfo)],
    undone: &mut Undone,
) {
    // Another network namespace may have an interface of that index: what runs here is asked for by name.
    let mut here = BTreeSet::new();
    here.extend(netlink::xdp(ifindex).ok().flatten().map(|xdp| xdp.program));
    for side in [TcAttachType::Ingress, TcAttachType::Egress] {
        let programs = SchedClassifier::query_tcx(interface, side);
        here.extend(programs.map(|(_, programs)| programs).unwrap_or_default().iter().map(ProgramInfo::id));
    }
    for (link, info) in links {
        if info.ifindex == ifindex && here.contains(&info.program) && ours.contains(&info.program) {
            let result = sys::detach_now(link).context("BPF_LINK_DETACH");
            undone.note(format!("detached program {} from {interface}", info.program), result);
        }
    }
    for side in Side::ALL {
        for filter in side.filters(ifindex).unwrap_or_default() {
            let result = tc::remove_filter(ifindex, side, filter);
            undone.note(format!("deleted a clsact filter of {interface}"), result);
        }
    }
}
