//! The kernel and what we may ask of it.

use std::{fs, path::Path};

use aya::util::KernelVersion;

use super::Check;
use crate::dataplane::{HAND_OVER_KFUNC, kfunc_available};

/// Capabilities by bit (Linux, include/uapi/linux/capability.h).
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];
const SYS_ADMIN: u32 = 21;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![version(), btf(), takes_cookies(), tcx(), jit(), capabilities()];
    checks.extend(memlock());
    checks
}

fn at_least(major: u8, minor: u8, patch: u16) -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(major, minor, patch))
}

/// TCX came with Linux 6.6.
pub(super) fn has_tcx() -> bool {
    at_least(6, 6, 0)
}

fn version() -> Check {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    if at_least(5, 10, 0) {
        Check::ok("kernel", release)
    } else {
        Check::fail("kernel", format!("{release} is older than 5.10"), "use a newer kernel")
    }
}

fn btf() -> Check {
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Check::ok("BTF", "/sys/kernel/btf/vmlinux");
    }
    Check::fail(
        "BTF",
        "no /sys/kernel/btf/vmlinux",
        "use a kernel with CONFIG_DEBUG_INFO_BTF=y, and mount sysfs",
    )
}

fn takes_cookies() -> Check {
    if kfunc_available() {
        return Check::ok("kfunc", HAND_OVER_KFUNC);
    }
    Check::warn(
        "kfunc",
        format!("no {HAND_OVER_KFUNC}: SYNs are challenged instead of getting cookies"),
        "Linux 6.9 or later has it",
    )
}

fn tcx() -> Check {
    if has_tcx() {
        return Check::ok("TCX", "Linux 6.6 or later");
    }
    Check::warn("TCX", "needs Linux 6.6", "nothing: tc = \"auto\" falls back to clsact")
}

fn jit() -> Check {
    match fs::read_to_string("/proc/sys/net/core/bpf_jit_enable") {
        Ok(text) if text.trim() == "0" => {
            Check::warn("BPF JIT", "off: every packet is interpreted", "sysctl -w net.core.bpf_jit_enable=1")
        }
        Ok(_) => Check::ok("BPF JIT", "on"),
        // Shown in the first network namespace only, or compiled in (CONFIG_BPF_JIT_ALWAYS_ON).
        Err(_) => Check::ok("BPF JIT", "not told here, on in all common kernels"),
    }
}

fn capabilities() -> Check {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let has = |bit: u32| effective >> bit & 1 == 1 || (bit > 12 && effective >> SYS_ADMIN & 1 == 1);
    let missing: Vec<_> = NEEDED.iter().filter(|(bit, _)| !has(*bit)).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        return Check::ok("capabilities", "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON");
    }
    Check::fail("capabilities", format!("missing: {}", missing.join(", ")), "run it as root, or grant them")
}

/// Since 5.11 maps count against the memory cgroup instead.
fn memlock() -> Option<Check> {
    if at_least(5, 11, 0) {
        return None;
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    let soft = line.split_whitespace().next()?;
    Some(if soft == "unlimited" {
        Check::ok("RLIMIT_MEMLOCK", "unlimited")
    } else {
        Check::warn(
            "RLIMIT_MEMLOCK",
            format!("{soft} bytes"),
            "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
        )
    })
}
