//! Whether what runs is what a plan asks for: then a restart adopts it without loading anything.

use aya::maps::MapInfo;
use filter_common::config::Config;
use sha2::{Digest as _, Sha256};

use super::{
    bytes::bytes_of,
    next, object,
    pins::Pins,
    plan::{NextPlan, Plan},
    schema::{LISTS, STATE, Schema},
    slots::Record,
    status,
};

/// A hash of everything that makes an interface's programs, and of the programs' ids.
///
/// The ids are in it so that it can't outlive them: an apply that was killed between a swap and its record, or
/// a program that somebody else put into our link, gives another value.
pub(super) type Fingerprint = [u32; 8];

/// Ids of the pinned maps: programs on maps that are pinned no more are not adopted.
fn maps(pins: &Pins) -> Vec<Option<u32>> {
    STATE
        .iter()
        .chain(&LISTS)
        .map(|name| MapInfo::from_pin(pins.map(name)).ok().map(|info| info.id()))
        .collect()
}

/// Of an interface whose programs were, or would be, made from `config`; zeros if nothing of ours runs there.
pub(super) fn of(
    plan: &Plan,
    config: &Config,
    frags: bool,
    schema: &Schema,
    pins: &Pins,
    record: Record,
) -> Fingerprint {
    let Some(running) = status::interface(pins, config.interface, record) else {
        return Fingerprint::default();
    };
    let next = plan.interfaces.iter().find(|interface| interface.name == running.name);
    let next = next.and_then(|interface| interface.next.as_ref()).map(NextPlan::id);
    let mut hash = Sha256::new();
    hash.update(object::FILTER);
    hash.update([u8::from(frags)]);
    hash.update(bytes_of(config));
    hash.update(bytes_of(&*plan.ports));
    hash.update(bytes_of(&*plan.summary));
    hash.update(plan.lists.digest);
    hash.update(bytes_of(&*plan.rules));
    hash.update(format!("{:?}", plan.words));
    hash.update(format!("{:?} {:?} {:?}", plan.management, schema.sizes(), maps(pins)));
    hash.update(format!("{next:?} {:?}", next::maps(pins, running.ifindex)));
    for id in [running.xdp_program, running.tc_program, running.egress_program] {
        hash.update(id.unwrap_or_default().to_ne_bytes());
    }
    let mut words = Fingerprint::default();
    for (word, bytes) in words.iter_mut().zip(hash.finalize().as_chunks().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    words
}
