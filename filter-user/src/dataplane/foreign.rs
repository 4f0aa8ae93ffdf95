//! Somebody else's XDP program on an interface: whose it is, and how it gives way.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{look, netlink, pins::entries, sys};
use crate::{
    cmd::failure::{Failure, Kind},
    config::source::printable,
};

/// Where programs and links are pinned, and how much of it is looked at.
const BPFFS: &str = "/sys/fs/bpf";
const DEPTH: usize = 5;
const PINS: usize = 4096;
/// Descriptors of other processes that are looked at.
const DESCRIPTORS: usize = 200_000;
/// Processes and pins that are named.
const NAMED: usize = 3;

/// What is told about it.
pub(super) fn refusal(interface: &str, found: netlink::Xdp) -> Failure {
    let id = found.program;
    let mut text = format!(
        "{interface} already runs the XDP program {} (id {id}, {} mode), which is not ours and is left alone",
        program_name(id),
        found.mode.label(),
    );
    for (words, whose) in [("pinned at", pinned(id)), ("held by", holders(id))] {
        if !whose.is_empty() {
            let _ = write!(text, "; {words} {}", whose.join(", "));
        }
    }
    let hint = format!(
        "remove it with its own tool, or with: ip link set dev {interface} xdp off; or take its place with: \
         floodwall run --replace"
    );
    Failure::new(Kind::GuardRail, text, hint)
}

/// Takes it off.
pub(super) fn evict(interface: &str, ifindex: u32, found: netlink::Xdp) -> Result<String> {
    let words = format!("the XDP program {} (id {})", program_name(found.program), found.program);
    let by_link = sys::detach_xdp_link_of(ifindex, found.program);
    let removed = match by_link {
        Ok(true) => Ok(()),
        _ => netlink::xdp_off(ifindex, found.mode),
    };
    removed.with_context(|| format!("take {words} off {interface}"))?;
    Ok(format!("{interface}: replaced {words}"))
}

/// Name of a loaded program.
fn program_name(id: u32) -> String {
    let name = cut(&look::program_name(id));
    if name.is_empty() { "without a name".to_owned() } else { name }
}

/// Somebody else's words on our terminal, not too many.
fn cut(text: &str) -> String {
    printable(text.trim_end()).chars().take(64).collect()
}

/// Pins of the program, or of a link that runs it.
fn pinned(id: u32) -> Vec<String> {
    let (mut folders, mut left, mut found) = (vec![(PathBuf::from(BPFFS), 0)], PINS, Vec::new());
    while let Some((folder, depth)) = folders.pop() {
        for path in entries(&folder).unwrap_or_default() {
            let Some(rest) = left.checked_sub(1).filter(|_| found.len() < NAMED) else { return found };
            left = rest;
            let Ok(kind) = path.symlink_metadata().map(|found| found.file_type()) else { continue };
            if kind.is_dir() && depth < DEPTH {
                folders.push((path, depth + 1));
            } else if kind.is_file() && sys::pinned_program(&path).is_ok_and(|program| program == Some(id)) {
                found.push(printable(&path.to_string_lossy()));
            }
        }
    }
    found
}

/// Processes with a descriptor of the program, or of a link that runs it.
fn holders(id: u32) -> Vec<String> {
    let (mut left, mut found) = (DESCRIPTORS, Vec::new());
    let own = std::process::id();
    let processes = entries(Path::new("/proc")).unwrap_or_default();
    let pids = processes.iter().filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
    for pid in pids.filter(|pid| *pid != own) {
        let infos = entries(Path::new(&format!("/proc/{pid}/fdinfo"))).unwrap_or_default();
        left = left.saturating_sub(infos.len());
        let names =
            |path: &PathBuf| fs::read_to_string(path).is_ok_and(|info| sys::program_of(&info) == Some(id));
        if infos.iter().any(names) {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            found.push(format!("{} (pid {pid})", printable(&comm)));
        }
        if left == 0 || found.len() == NAMED {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_names_its_program() {
        let link = "pos:\t0\nflags:\t02000000\nlink_type:\txdp\nlink_id:\t7\nprog_tag:\tab\nprog_id:\t41\nifindex:\t2\n";
        assert_eq!(sys::program_of(link), Some(41));
        assert_eq!(sys::program_of("pos:\t0\nmap_id:\t3\n"), None);
    }

    #[test]
    fn names_are_no_escape_sequences() {
        assert_eq!(cut("evil\x1b[31m\n"), "evil\u{fffd}[31m");
        assert_eq!(cut(&"x".repeat(99)).len(), 64);
    }
}
