//! Pins, sysctls, memory, clock.

use std::path::Path;

use filter_common::bucket::{Line, WAYS};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::Check;
use crate::{
    config::{
        Settings,
        host::Sysctls,
        rule::Section as _,
        schema::{Limits, STATE},
    },
    dataplane::{self, NotLoaded},
    store::Folder,
    sys,
};

pub(super) fn checks(pins: &Path, settings: Option<&Settings>) -> Vec<Check> {
    let pins = settings.map_or(pins, |settings| settings.daemon.pins.as_ref());
    let mut checks = vec![bpffs(pins), pinned(pins)];
    checks.push(state(settings));
    checks.extend(memory(settings));
    checks.push(clock(settings));
    checks
}

fn bpffs(pins: &Path) -> Check {
    let mount = pins.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let shown = mount.display();
    match statfs(mount) {
        Ok(found) if found.filesystem_type() == BPF_FS_MAGIC => Check::ok("bpffs", shown.to_string()),
        Ok(_) => {
            Check::fail("bpffs", format!("{shown} is no BPF file system"), "mount -t bpf bpf /sys/fs/bpf")
        }
        Err(error) => Check::fail("bpffs", format!("{shown}: {error}"), "mount -t bpf bpf /sys/fs/bpf"),
    }
}

/// Opening checks what is there: owner, mode, no symlink, all maps.
fn pinned(pins: &Path) -> Check {
    let shown = pins.display();
    match dataplane::open(pins) {
        Ok(_) => Check::ok("pins", format!("{shown}: a filter is loaded")),
        Err(error) if error.downcast_ref::<NotLoaded>().is_some() => {
            Check::ok("pins", format!("{shown}: nothing loaded yet"))
        }
        Err(error) => {
            Check::fail("pins", format!("{error:#}"), "put that right; only root may reach the pins")
        }
    }
}

/// What outlives the daemon: revisions, and an apply that waits.
fn state(settings: Option<&Settings>) -> Check {
    let path = settings.map_or(Path::new(STATE), |settings| settings.daemon.state.as_ref());
    let shown = path.display();
    if path.symlink_metadata().is_err() {
        return Check::ok("state", format!("{shown}: not there yet"));
    }
    let aside = Folder::existing(path).and_then(|folder| folder.aside());
    match aside {
        Ok(aside) if aside.is_empty() => Check::ok("state", format!("{shown}: whole")),
        Ok(aside) => {
            let why =
                format!("{shown}: {} damaged file(s) were put aside: {}", aside.len(), aside.join(", "));
            Check::warn(
                "state",
                why,
                "look at the disk; floodwall history tells what is left; then remove them",
            )
        }
        Err(error) => {
            let why = format!("{error:#}: no apply --confirm, no history over restarts");
            Check::warn("state", why, "put that right, or name another folder in daemon.state")
        }
    }
}

/// The tables' memory; without a configuration that of the defaults.
fn memory(settings: Option<&Settings>) -> Option<Check> {
    let defaults;
    let limits = if let Some(settings) = settings {
        &settings.limits
    } else {
        let mut problems = crate::config::diagnostic::Problems::default();
        defaults = Limits::read(&toml::de::DeTable::new(), 0..0, &mut problems)?;
        &defaults
    };
    let buckets = [&limits.source_buckets, &limits.reply_buckets, &limits.recent];
    let total: u64 = buckets.iter().map(|table| u64::from(*table.as_ref())).sum();
    let needed = (total / WAYS as u64 * size_of::<Line>() as u64) >> 10;
    let available = available_kib();
    let why = format!("tables take {needed} KiB of {available} KiB available");
    Some(if needed > available / 2 {
        Check::warn("memory", why, "make the tables in [limits] smaller")
    } else {
        Check::ok("memory", why)
    })
}

fn available_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Hosts that share a key file share epochs, which follow the wall clock.
fn clock(settings: Option<&Settings>) -> Check {
    let shared = settings.is_some_and(|settings| settings.cookie.key_file.is_some());
    match (sys::clock_is_synchronised(), shared) {
        (true, _) => Check::ok("clock", "synchronised"),
        (false, false) => Check::ok("clock", "not synchronised; only hosts that share a key file need that"),
        (false, true) => Check::warn(
            "clock",
            "not synchronised, but cookie.key_file makes epochs follow it",
            "run chrony or systemd-timesyncd on every host that shares the file",
        ),
    }
}

/// The kernel's connection tracking sees no SYN of a connection that a cookie makes, only its ACK.
pub(super) fn conntrack() -> Option<Check> {
    let loose = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_tcp_loose").ok()?;
    Some(if loose.trim() == "0" {
        Check::warn(
            "nf_conntrack_tcp_loose",
            "0: rules on connection state drop what cookies make",
            "sysctl -w net.netfilter.nf_conntrack_tcp_loose=1",
        )
    } else {
        Check::ok("nf_conntrack_tcp_loose", loose.trim())
    })
}

pub(super) fn sysctls(found: &Sysctls) -> Vec<Check> {
    let set = |name: &str| format!("sysctl -w net.ipv4.{name}=1");
    let mut checks = vec![match found.syncookies {
        0 => Check::warn(
            "tcp_syncookies",
            "0: the kernel resets connections that cookies make",
            set("tcp_syncookies"),
        ),
        value => Check::ok("tcp_syncookies", value.to_string()),
    }];
    for (name, on, lost) in [
        ("tcp_timestamps", found.timestamps, "cookies carry 27 bits of proof instead of 53, and no options"),
        ("tcp_sack", found.sack, "losses cost more"),
        ("tcp_window_scaling", found.window_scaling, "at most 64 KiB in flight"),
    ] {
        checks.push(if on {
            Check::ok(name, "on")
        } else {
            Check::warn(name, format!("off: {lost}"), set(name))
        });
    }
    checks
}
