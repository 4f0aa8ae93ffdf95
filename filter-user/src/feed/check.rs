//! Whether what was read may take the place of what is in force.

use super::{
    Counts, Fault, Limits, Packed,
    entries::{Entries, Ranges},
    spared::{PUBLIC_V4, PUBLIC_V6, not_public},
};

/// Of so many entries one may make no sense.
const TOLERATED: u64 = 100;

/// The entries as they are kept, if nothing about them is odd. `before` are those of the last good copy; with `force` it may lose as much as
/// it likes.
pub fn checked(
    entries: Entries,
    limits: &Limits,
    before: Option<&Counts>,
    force: bool,
) -> Result<(Packed, Counts), Fault> {
    let Entries { ranges, holes, counts, whole } = entries;
    let all = counts.all() + counts.bad;
    if counts.bad > all / TOLERATED {
        let first = counts.first_bad.unwrap_or_default();
        return Err(Fault::Garbage { bad: counts.bad, all, first });
    }
    if counts.all() == 0 && !(whole && counts.wide == 0) {
        return Err(Fault::Empty);
    }
    let (before, now) = (before.map_or(0, Counts::all), counts.all());
    if !force && now * 100 < before * u64::from(100 - limits.shrink.min(100)) {
        return Err(Fault::Shrunk { before, now, most: limits.shrink });
    }
    let ranges = ranges.without(holes);
    covers(&ranges, limits.cover)?;
    Ok((Packed::new(&ranges), counts))
}

/// A /0 in pieces is as bad as a whole one.
fn covers(ranges: &Ranges, most: u32) -> Result<(), Fault> {
    let public = ranges.clone().without(not_public());
    let v4: u64 = public.v4.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
    // In /64s; smaller ones are as good as nothing.
    let v6 = public.v6.iter().map(|(first, last)| ((last - first) >> 64) as u64);
    let v6 = v6.fold(0_u64, u64::saturating_add);
    for (family, found, all) in [("IPv4", v4, PUBLIC_V4), ("IPv6", v6, PUBLIC_V6)] {
        let found = u128::from(found) * 100;
        if found > u128::from(all) * u128::from(most) {
            return Err(Fault::Cover { family, percent: found.div_ceil(all.into()) as u64, most });
        }
    }
    Ok(())
}
