//! The XDP program that goes on with what passes: `interface.next`.
//!
//! Our program tail-calls what lies in its array `NEXT`. The kernel empties an array of programs when the last descriptor and the last
//! pin of it are gone, so that it is pinned as `NEXT-<ifindex>-<map id>`: the number tells the new program's array from the old one's,
//! which goes when the link has been swapped.

use std::{
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf,
    maps::{Map, MapData},
    programs::ProgramInfo,
};
use filter_common::abi::name;

use super::{
    apply::Target,
    pins::{Pins, check_ancestors, entries, make_owner_only, unpin},
    plan::Plan,
    sys,
};

/// A pinned XDP program, held open: it stays although its pin may go.
#[derive(Clone, Debug)]
pub struct Next {
    program: Arc<OwnedFd>,
    /// Its id.
    pub id: u32,
    /// Its name, cut by the kernel at 15 bytes.
    pub name: String,
    /// It takes frames in several buffers; who calls it must, too.
    pub frags: bool,
}

impl Next {
    /// The XDP program that is pinned at `path`; `None` if nothing is there.
    ///
    /// Fails if anything but root's own XDP program is there, or our own, which would be a loop.
    pub fn look(path: &Path) -> Result<Option<Self>> {
        check_ancestors(path)?;
        let found = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.context("stat")?,
        };
        ensure!(found.is_file(), "{} is not a pinned program", path.display());
        ensure!(found.uid() == 0, "{} is not owned by root", path.display());
        let program = sys::open(path).with_context(|| format!("open {}", path.display()))?;
        let info = sys::fdinfo(&program).with_context(|| format!("look at {}", path.display()))?;
        let id = is_xdp(&info).with_context(|| path.display().to_string())?;
        let name = ProgramInfo::from_pin(path).ok().filter(|info| info.id() == id);
        let name = name.and_then(|info| info.name_as_str().map(str::to_owned)).unwrap_or_default();
        ensure!(name != name::XDP, "{} is Floodwall's own program: packets would go round", path.display());
        let frags = takes_frags(program.as_fd()).with_context(|| path.display().to_string())?;
        Ok(Some(Self { program: Arc::new(program), id, name, frags }))
    }

    /// Lets a loaded program of ours go on to it, and keeps that.
    pub(super) fn follow(&self, programs: &Ebpf, ifindex: u32, pins: &Pins) -> Result<()> {
        let array = array(programs)?;
        sys::programs::set(array.fd().as_fd(), self.program.as_fd()).context("the next XDP program")?;
        let pin = pins.staged(&format!("{}-{ifindex}-{}", name::NEXT, array.info()?.id()));
        array.pin(&pin).with_context(|| format!("pin {}", pin.display()))?;
        make_owner_only(&pin)
    }
}

/// The id, if what the kernel tells about a descriptor is that it is an XDP program.
fn is_xdp(fdinfo: &str) -> Result<u32> {
    let number =
        |key: &str| fdinfo.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u32>().ok());
    match number("prog_type:") {
        Some(sys::programs::XDP) => number("prog_id:").context("a program without an id"),
        Some(_) => bail!("a pinned program, but not an XDP program"),
        None if fdinfo.contains("link_type:") => bail!("a pinned link: pin the program itself"),
        None => bail!("not a pinned program"),
    }
}

/// Whether it takes frames in several buffers: the kernel tells only who may share an array with it.
fn takes_frags(program: BorrowedFd<'_>) -> Result<bool> {
    let array = sys::programs::array().context("make an array of programs")?;
    sys::programs::set(array.as_fd(), program).context("this kernel lets nobody go on to it")?;
    for frags in [false, true] {
        // Before Linux 5.18 there are no programs of the second kind.
        let Ok(pass) = sys::programs::pass(frags) else { continue };
        if sys::programs::set(array.as_fd(), pass.as_fd()).is_ok() {
            return Ok(frags);
        }
    }
    bail!("loaded for something else than an interface: load it with expected_attach_type BPF_XDP")
}

/// The array of a loaded object.
fn array(programs: &Ebpf) -> Result<&MapData> {
    match programs.map(name::NEXT) {
        Some(Map::ProgramArray(map)) => Ok(map),
        _ => bail!("no map {}", name::NEXT),
    }
}

impl Plan {
    /// Whether another program is pinned where packets go on to; one that is there no more goes on all the same.
    #[must_use]
    pub fn next_has_changed(&self) -> bool {
        self.interfaces.iter().filter_map(|interface| interface.next.as_ref()).any(|next| {
            let pinned = sys::pinned_program(&next.path).ok().flatten();
            pinned.is_some() && pinned != next.id()
        })
    }

    /// Takes over the programs of an older plan whose pins are gone.
    pub fn keep_next(&mut self, old: &Self) {
        for interface in &mut self.interfaces {
            let before = old.interfaces.iter().find(|old| old.name == interface.name);
            let before = before.and_then(|old| old.next.as_ref());
            if let (Some(next), Some(before)) = (&mut interface.next, before)
                && next.program.is_none()
                && next.path == before.path
            {
                next.program.clone_from(&before.program);
            }
        }
    }
}

/// Every pinned array: interface index, map id, place.
fn pinned(pins: &Pins) -> Result<Vec<(u32, u32, PathBuf)>> {
    let all = entries(&pins.maps)?.into_iter();
    Ok(all.filter_map(|path| numbers(&path).map(|(ifindex, map)| (ifindex, map, path))).collect())
}

fn numbers(path: &Path) -> Option<(u32, u32)> {
    let (ifindex, map) =
        path.file_name()?.to_str()?.strip_prefix(name::NEXT)?.strip_prefix('-')?.split_once('-')?;
    Some((ifindex.parse().ok()?, map.parse().ok()?))
}

/// Ids of an interface's arrays: one, unless an apply was cut short.
pub(super) fn maps(pins: &Pins, ifindex: u32) -> Vec<u32> {
    let all = pinned(pins).unwrap_or_default();
    all.into_iter().filter(|(index, ..)| *index == ifindex).map(|(_, map, _)| map).collect()
}

/// Id of the program that an interface's packets go on to.
pub(super) fn running(pins: &Pins, ifindex: u32) -> Option<u32> {
    let all = pinned(pins).ok()?;
    let (.., path) = all.into_iter().rfind(|(index, ..)| *index == ifindex)?;
    sys::programs::get(sys::open(&path).ok()?.as_fd()).ok()?
}

/// Removes the arrays of programs that run no more.
pub(super) fn tidy(targets: &[Target<'_>], kept: &[u32], pins: &Pins) -> Result<()> {
    for (ifindex, map, path) in pinned(pins)? {
        let stays = match targets.iter().find(|target| target.ifindex == ifindex) {
            None => kept.contains(&ifindex),
            Some(Target { programs: Some(programs), plan, .. }) => {
                plan.next.as_ref().is_some_and(|next| next.program.is_some())
                    && array(programs)?.info()?.id() == map
            }
            // What runs has been adopted.
            Some(_) => true,
        };
        if !stays {
            unpin(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_for_interfaces_will_do() {
        let said = |info| is_xdp(info).map_err(|error| error.to_string());
        assert_eq!(said("pos:\t0\nprog_type:\t6\nprog_jited:\t1\nprog_id:\t41\n"), Ok(41));
        let refused = |info| said(info).unwrap_err();
        assert!(refused("prog_type:\t3\nprog_id:\t41\n").contains("not an XDP program"));
        assert!(refused("link_type:\txdp\nlink_id:\t7\nprog_id:\t41\n").contains("pin the program"));
        assert!(refused("map_type:\t2\nmap_id:\t3\n").contains("not a pinned program"));
    }

    #[test]
    fn a_place_that_is_not_on_bpffs_is_refused() {
        assert!(Next::look(Path::new("/nonexistent/next")).is_err());
    }

    #[test]
    fn pins_tell_interface_and_map() {
        assert_eq!(numbers(Path::new("/x/NEXT-2-17")), Some((2, 17)));
        for other in ["NEXT", "NEXT-2", "KEYS", "NEXT-2-x", "NEXTS-2-3"] {
            assert_eq!(numbers(Path::new(other)), None, "{other}");
        }
    }
}
