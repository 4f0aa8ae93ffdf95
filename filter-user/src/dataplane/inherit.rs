//! An upgrade takes along what has not changed: maps of another layout that are defined as ours are.
//!
//! Keys, bans, proofs, counters live on when an upgrade changes something else. The maps are pinned in the new folder as well; the
//! old programs go on with them until their links are swapped, so that an upgrade which is killed at any step has lost nothing.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, MapInfo};
use filter_common::abi::VERSION;
use tracing::info;

use super::{
    apply::SEED,
    pins::{Pins, exists},
    schema::{Fate, STATE, Schema},
    slots,
};

/// What tables and counters can't be understood without.
const GROUND: [(&str, usize); 2] = [(SEED, 16), (slots::NAME, size_of::<slots::Raw>())];

/// Stages the maps of another layout with the same ABI number that we don't have and can use.
pub(super) fn inherit(pins: &Pins, schema: &Schema) -> Result<()> {
    for folder in pins.layouts()? {
        let number = format!("v{VERSION}-");
        let same = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&number));
        if folder == pins.maps || !same || !GROUND.iter().all(|(name, size)| fits(pins, &folder, name, *size))
        {
            continue;
        }
        let usable =
            |name: &&str| schema.fate(name, &folder.join(name)).is_ok_and(|fate| fate == Fate::Adopt);
        let state = STATE.into_iter().filter(usable);
        let mut count = 0;
        for name in GROUND.into_iter().map(|(name, _)| name).chain(state) {
            count += usize::from(take(pins, &folder, name)?);
        }
        if count > 0 {
            info!("{count} tables of the version before, in {}, are used on", folder.display());
        }
    }
    Ok(())
}

/// Whether the folder has a map of that size, and we none but that one: an upgrade may have been cut short.
fn fits(pins: &Pins, folder: &Path, name: &str, size: usize) -> bool {
    let Ok(theirs) = MapInfo::from_pin(folder.join(name)) else { return false };
    let ours = MapInfo::from_pin(pins.map(name)).ok();
    theirs.value_size() as usize == size && ours.is_none_or(|ours| ours.id() == theirs.id())
}

fn take(pins: &Pins, folder: &Path, name: &str) -> Result<bool> {
    let staged = pins.staged(name);
    if exists(&pins.map(name)) || exists(&staged) {
        return Ok(false);
    }
    let map =
        MapData::from_pin(folder.join(name)).with_context(|| format!("open {name} of another version"))?;
    map.pin(&staged).with_context(|| format!("pin {}", staged.display()))?;
    super::pins::make_owner_only(&staged)?;
    Ok(true)
}
