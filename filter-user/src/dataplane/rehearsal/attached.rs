//! What the attached program is: its constants, read back from the kernel.
//!
//! The daemon's file may have changed since; the program has not.

use std::ops::Range;

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    maps::{MapData, MapInfo},
    programs::{ProgramInfo, loaded_programs},
};
use filter_common::abi::name;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, read::elf::ElfFile64};

use crate::dataplane::{
    Interface, NotLoaded,
    fingerprint::Fingerprint,
    load::Globals,
    object as built_in,
    pins::{Pins, exists},
    slots::{self, Slots},
    status, sys,
};

/// The section of all globals, and the name of its map.
const SECTION: &str = ".rodata";

/// A loaded program of ours.
pub(super) struct Program {
    /// Of its instructions (`bpf_prog_calc_tag`, Linux kernel/bpf/core.c): maps and the values of globals are not in it.
    pub(super) tag: u64,
    /// Ids of its maps.
    pub(super) maps: Vec<u32>,
    constants: Vec<u8>,
}

impl Program {
    /// The one with that id. Needs `CAP_SYS_ADMIN`, as the kernel wants it for ids.
    pub(super) fn read(id: u32) -> Result<Self> {
        let is_it = |info: &ProgramInfo| info.id() == id;
        let info = loaded_programs().filter_map(Result::ok).find(is_it);
        let info = info.with_context(|| format!("program {id} is gone: try again"))?;
        let maps = info.map_ids()?.context("the kernel does not tell a program's maps")?;
        let mut constants = None;
        for map in &maps {
            if MapInfo::from_id(*map)?.name_as_str() == Some(SECTION) {
                constants = Some(sys::lookup(&MapData::from_id(*map)?, 0).context("its constants")?);
            }
        }
        let constants = constants.with_context(|| format!("program {id} has no constants"))?;
        Ok(Self { tag: info.tag(), maps, constants })
    }

    /// Whether these maps of its are what is pinned.
    pub(super) fn owns(&self, names: &[&str], pins: &Pins) -> Result<()> {
        for name in names {
            let path = pins.map(name);
            let info = MapInfo::from_pin(&path).with_context(|| format!("open {}", path.display()))?;
            ensure!(self.maps.contains(&info.id()), "{name} is not the attached program's: try again");
        }
        Ok(())
    }

    /// Its globals, if this binary's object lays them out in the same way.
    pub(super) fn globals(&self) -> Result<Globals<'_>> {
        let elf: ElfFile64<'_> = ElfFile64::parse(built_in::FILTER).context("the built-in eBPF object")?;
        let section = elf.section_by_name(SECTION).context("no constants in the built-in eBPF object")?;
        ensure!(section.size() == self.constants.len() as u64, super::ANOTHER_VERSION);
        let global = |wanted: &str| {
            let symbol =
                elf.symbols().find(|symbol| symbol.name() == Ok(wanted)).context("no such global")?;
            let place = range(symbol.address(), symbol.size())?;
            self.constants.get(place).with_context(|| format!("{wanted} lies outside of {SECTION}"))
        };
        Ok(Globals {
            config: global(name::CONFIG)?,
            ports: global(name::PORTS)?,
            summary: global(name::SUMMARY)?,
            listed: global(name::LISTED)?,
            rules: global(name::RULES)?,
        })
    }
}

/// The interface of that name that runs our program (`None`: the first), and what that was made from.
pub(super) fn find(pins: &Pins, wanted: Option<&str>) -> Result<(Interface, Fingerprint)> {
    let path = pins.map(slots::NAME);
    if !exists(&path) {
        return Err(NotLoaded.into());
    }
    let mut names = Vec::new();
    for (slot, record) in (0..).zip(Slots::open(&path)?.records()?) {
        let fingerprint = record.fingerprint;
        let attached = if record.ifindex == 0 { None } else { status::interface(pins, slot, record) };
        let Some(interface) = attached.filter(|interface| interface.xdp_program.is_some()) else { continue };
        if wanted.is_none_or(|wanted| wanted == interface.name) {
            return Ok((interface, fingerprint));
        }
        names.push(interface.name);
    }
    match wanted {
        Some(wanted) => bail!("{wanted} runs no program of ours, only these do: {}", names.join(", ")),
        None => Err(NotLoaded.into()),
    }
}

fn range(start: u64, length: u64) -> Result<Range<usize>> {
    Ok(usize::try_from(start)?..usize::try_from(start + length)?)
}
