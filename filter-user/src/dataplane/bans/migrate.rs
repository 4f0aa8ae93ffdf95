//! Tables of another size take the bans of the old ones along.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, LpmTrie, MapData};
use filter_common::abi::name;
use tracing::warn;

use super::{BPF_ANY, form::Raw, hint_at, is};
use crate::dataplane::{
    mapping::Mapping,
    pins::{Pins, exists},
    tables,
};

/// Copies bans from tables of another size to those that will take their place, as many as fit.
pub(in crate::dataplane) fn move_over(pins: &Pins) -> Result<()> {
    let replaced = |name| exists(&pins.map(name)) && exists(&pins.staged(name));
    if replaced(name::BANS) {
        let staged = pins.staged(name::BAN_HINTS);
        let hints = MapData::from_pin(if exists(&staged) { staged } else { pins.map(name::BAN_HINTS) });
        let hints = Mapping::writable(&hints.context(name::BAN_HINTS)?).context(name::BAN_HINTS)?;
        move_sources(&pins.map(name::BANS), &pins.staged(name::BANS), &hints)?;
    }
    if replaced(name::BANNED) {
        move_prefixes(&pins.map(name::BANNED), &pins.staged(name::BANNED))?;
    }
    Ok(())
}

fn move_sources(from: &Path, to: &Path, hints: &Mapping) -> Result<()> {
    let from: HashMap<_, u64, Raw> = tables::open(from)?.try_into().context(name::BANS)?;
    let mut to: HashMap<_, u64, Raw> = tables::open(to)?.try_into().context(name::BANS)?;
    for entry in &from {
        let (key, raw) = entry.context(name::BANS)?;
        hint_at(hints, key);
        let moved = to.insert(key, raw, BPF_ANY);
        if is(&moved, libc::E2BIG) {
            warn!("limits.bans has no room for all bans that are in force: the rest has ended");
            break;
        }
        moved.context(name::BANS)?;
    }
    Ok(())
}

fn move_prefixes(from: &Path, to: &Path) -> Result<()> {
    let from: LpmTrie<_, [u32; 4], Raw> = tables::open(from)?.try_into().context(name::BANNED)?;
    let mut to: LpmTrie<_, [u32; 4], Raw> = tables::open(to)?.try_into().context(name::BANNED)?;
    for entry in &from {
        let (key, raw) = entry.context(name::BANNED)?;
        let moved = to.insert(&key, raw, BPF_ANY);
        if is(&moved, libc::ENOSPC) {
            warn!("limits.banned_prefixes has no room for all that are in force: the rest has ended");
            break;
        }
        moved.context(name::BANNED)?;
    }
    Ok(())
}
