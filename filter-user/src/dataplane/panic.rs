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
    /// Does it and notes what became of it; with `dry` notes it only.
    fn note(&mut self, what: String, dry: bool, act: impl FnOnce() -> Result<()>) {
        match if dry { Ok(()) } else { act() } {
            Ok(()) => self.done.push(what),
            Err(error) => self.failed.push(format!("{what}: {error:#}")),
        }
    }
}

/// Takes our programs off every interface of this network namespace, looking at what is attached and not at what is said to be;
/// then removes what is pinned below `root`. With `dry` it only tells what there is to do.
#[must_use]
pub fn panic(root: &Path, dry: bool) -> Undone {
    let mut undone = Undone::default();
    let links = sys::links().unwrap_or_else(|error| {
        undone.failed.push(format!("cannot list the attachments: {error}"));
        Vec::new()
    });
    let ours = programs();
    for (ifindex, interface) in interfaces() {
        take_off((ifindex, &interface), &ours, &links, dry, &mut undone);
    }
    match detach(root, dry) {
        // In a dry run attachments are told already.
        Ok(done) => undone.done.extend(done.into_iter().filter(|what| !dry || what.contains("remove"))),
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
    (ifindex, interface): (u32, &str),
    ours: &BTreeSet<u32>,
    links: &[(OwnedFd, LinkInfo)],
    dry: bool,
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
            let what = format!("{} program {} from {interface}", verb("detach", dry), info.program);
            undone.note(what, dry, || sys::detach_now(link).context("BPF_LINK_DETACH"));
        }
    }
    for side in Side::ALL {
        for filter in side.filters(ifindex).unwrap_or_default() {
            let what = format!("{} a clsact filter of {interface}", verb("remove", dry));
            undone.note(what, dry, || tc::remove_filter(ifindex, side, filter));
        }
    }
}

fn verb(verb: &str, dry: bool) -> String {
    if dry { format!("would {verb}") } else { format!("{}ed", verb.trim_end_matches('e')) }
}
