//! The part of an apply that changes what runs.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::Xdp;
use filter_common::abi::name;

use super::{
    apply::{Target, Tc},
    foreign, load, netlink, next,
    pins::{Hook, Pins, exists, make_owner_only, remove_folder, unpin},
    plan::InterfacePlan,
    schema::STATE,
    slots::{Record, Slots},
    tables::Counters,
    tc::{self, Side},
    xdp,
};

/// What was attached to one interface and is not pinned yet.
#[derive(Default)]
struct Fresh {
    tc: Vec<(Side, tc::New)>,
    xdp: Option<xdp::Attached>,
}

/// Attaches what is new (the part that may fail), then swaps what is there, then removes what is left over.
pub(super) fn commit(
    targets: &mut [Target<'_>],
    kept: &[u32],
    pins: &Pins,
    slots: &mut Slots,
    notes: &mut Vec<String>,
) -> Result<()> {
    // Not pinned, all of these end with an error below: the host is then as it was.
    let fresh: Vec<Fresh> =
        targets.iter_mut().map(|target| attach_new(target, notes)).collect::<Result<_>>()?;
    pins.publish()?;
    for name in STATE {
        make_owner_only(&pins.map(name))?;
    }
    for (target, fresh) in targets.iter().zip(fresh) {
        keep(target, fresh, pins, notes).with_context(|| format!("interface {}", target.plan.name))?;
    }
    for target in targets.iter_mut() {
        swap(target, pins, notes).with_context(|| format!("interface {}", target.plan.name))?;
    }
    next::tidy(targets, kept, pins)?;
    remove_left_over(targets, kept, pins, slots, notes)?;
    for target in targets.iter() {
        if target.assigned.reused {
            Counters::open(&pins.map(name::COUNTERS))?.clear(target.assigned.slot)?;
        }
    }
    Ok(())
}

/// Attaches tc before XDP: the first cookie that XDP accepts finds its hand-over.
fn attach_new(target: &mut Target<'_>, notes: &mut Vec<String>) -> Result<Fresh> {
    let name = &target.plan.name;
    let mut fresh = Fresh::default();
    let Some(programs) = &mut target.programs else { return Ok(fresh) };
    for Tc { side, now, wanted } in &target.tc {
        if let Some(kind) = wanted.filter(|kind| !now.has(*kind)) {
            fresh.tc.push((*side, tc::attach(load::tc(programs, *side)?, name, *side, kind)?));
        }
    }
    if let xdp::Now::Foreign(found) = target.xdp {
        notes.push(foreign::evict(name, target.ifindex, found)?);
    }
    if target.xdp.is_new() {
        let program = load::xdp(programs)?;
        fresh.xdp = Some(xdp::attach(program, name, target.ifindex, target.plan.attach)?);
    }
    Ok(fresh)
}

/// Pins what was attached, in the place of pins that have died with their interface.
fn keep(target: &Target<'_>, fresh: Fresh, pins: &Pins, notes: &mut Vec<String>) -> Result<()> {
    for (side, new) in fresh.tc {
        let pin = pins.link(target.ifindex, side.hook());
        if target.tc.iter().any(|tc| tc.side == side && !tc.now.tcx) {
            unpin(&pin)?;
        }
        new.keep(&pin)?;
    }
    if let Some(new) = fresh.xdp {
        let pin = pins.link(target.ifindex, Hook::Xdp);
        unpin(&pin)?;
        notes.extend(new.warning.clone());
        notes.push(format!("{}: XDP attached, {} mode", target.plan.name, new.mode.label()));
        new.keep(&pin)?;
    }
    Ok(())
}

/// Swaps the programs of attachments that were there, then ends attachments of another kind.
fn swap(target: &mut Target<'_>, pins: &Pins, notes: &mut Vec<String>) -> Result<()> {
    let Target { plan, ifindex, tc, programs, .. } = target;
    let pin = |hook| pins.link(*ifindex, hook);
    if let Some(programs) = programs {
        for Tc { side, now, wanted } in tc.iter() {
            if let Some(kind) = wanted.filter(|kind| now.has(*kind)) {
                tc::update(load::tc(programs, *side)?, &plan.name, *side, now, kind, &pin(side.hook()))?;
            }
        }
        swap_xdp(load::xdp(programs)?, target.xdp, plan, &pin(Hook::Xdp), *ifindex, notes)?;
    }
    for Tc { side, now, wanted } in tc.iter() {
        tc::clean(now, *ifindex, *side, *wanted, &pin(side.hook()))?;
    }
    Ok(())
}

fn swap_xdp(
    program: &mut Xdp,
    now: xdp::Now,
    plan: &InterfacePlan,
    pin: &Path,
    ifindex: u32,
    notes: &mut Vec<String>,
) -> Result<()> {
    let (name, how) = (&plan.name, plan.attach);
    match now {
        xdp::Now::Free | xdp::Now::Foreign(_) => Ok(()),
        xdp::Now::Ours(mode) if xdp::fits(mode, how) => xdp::update(program, pin),
        xdp::Now::Ours(_) => {
            let attached = xdp::change_mode(program, name, ifindex, how, pin)?;
            notes.extend(attached.warning.clone());
            notes.push(format!("{name}: XDP now in {} mode", attached.mode.label()));
            attached.keep(pin)
        }
    }
}

/// Detaches from interfaces that are neither in the plan nor kept; removes maps of other layouts.
fn remove_left_over(
    targets: &[Target<'_>],
    kept: &[u32],
    pins: &Pins,
    slots: &mut Slots,
    notes: &mut Vec<String>,
) -> Result<()> {
    let wanted = |ifindex| targets.iter().any(|target| target.ifindex == ifindex);
    let stays = |ifindex| wanted(ifindex) || kept.contains(&ifindex);
    for (ifindex, pin) in pins.all_links()? {
        if !stays(ifindex) {
            xdp::detach(&pin)?;
        }
    }
    for (slot, record) in slots.records()?.into_iter().enumerate() {
        let is_kept = kept.contains(&record.ifindex) && !wanted(record.ifindex);
        let is = |target: &Target<'_>| target.ifindex == record.ifindex && target.plan.name == record.name;
        if record.ifindex == 0 || is_kept || targets.iter().any(is) {
            continue;
        }
        // The configuration may have followed a device to its new name.
        if !wanted(record.ifindex) {
            detach_filters(&record)?;
        }
        // An interface that was removed and made again has a new index; it is attached, not detached.
        if targets.iter().all(|target| target.plan.name != record.name) {
            notes.push(format!("{}: detached", record.name));
        }
        slots.set(slot as u32, &Record { ifindex: 0, fingerprint: [0; 8], ..record })?;
    }
    for folder in pins.layouts()? {
        if folder != pins.maps {
            remove_folder(&folder)?;
            notes.push(format!("removed the maps of another version in {}", folder.display()));
        }
    }
    Ok(())
}

/// Deletes our clsact filters from an interface, if it is still the same one; returns how many.
pub(super) fn detach_filters(record: &Record) -> Result<usize> {
    if netlink::index(&record.name).ok() != Some(record.ifindex) {
        return Ok(0);
    }
    let mut count = 0;
    for side in Side::ALL {
        for filter in side.filters(record.ifindex)? {
            tc::remove_filter(record.ifindex, side, filter)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Whether a link of the interface is pinned.
pub(super) fn is_pinned(pins: &Pins, ifindex: u32) -> bool {
    Hook::ALL.into_iter().any(|hook| exists(&pins.link(ifindex, hook)))
}
