//! The shipped unit's sandbox around the daemons that tests start (`FLOODWALL_SANDBOX=PATH` of the unit).
//!
//! systemd's directives are translated here for a process that it did not start: capabilities, no new privileges, read-only file
//! systems, and the seccomp filter, whose groups `systemd-analyze` expands. Under systemd itself the package's own test runs.
#![expect(unsafe_code, reason = "mount_setattr(2) and prctl(2) have no safe form")]

use std::{
    collections::BTreeSet,
    env,
    ffi::{CStr, CString},
    fs, io,
    path::Path,
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
};
use seccompiler::{BpfProgram, compile_from_json};
use serde_json::{Value, json};

const BPFFS: &CStr = c"/sys/fs/bpf";
/// include/uapi/linux/capability.h
const NUMBERS: [(&str, u32); 3] = [("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];
/// Capabilities that there may ever be: the kernel refuses to drop more.
const CAPABILITIES: u32 = 64;
/// All that `clone` can make anew (include/uapi/linux/sched.h), `CLONE_NEWTIME` left out: it is no flag of clone.
const NAMESPACES: i32 = 0x7e02_0000;

/// What a daemon may do.
#[derive(Debug)]
pub struct Sandbox {
    filters: Vec<BpfProgram>,
    capabilities: Vec<u32>,
}

impl Sandbox {
    /// That of the unit which the environment names, if it does. Made once: `systemd-analyze` takes longer than a daemon that starts.
    pub fn from_env() -> Result<Option<&'static Self>> {
        static MADE: OnceLock<Sandbox> = OnceLock::new();
        if let Some(made) = MADE.get() {
            return Ok(Some(made));
        }
        let Some(path) = env::var_os("FLOODWALL_SANDBOX").filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let path = Path::new(&path);
        let unit = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let sandbox = Self::of(&unit).with_context(|| format!("the sandbox of {}", path.display()))?;
        Ok(Some(MADE.get_or_init(|| sandbox)))
    }

    fn of(unit: &str) -> Result<Self> {
        for line in [
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "MemoryDenyWriteExecute=yes",
            "RestrictNamespaces=yes",
        ] {
            ensure!(unit.lines().any(|have| have == line), "no {line}");
        }
        let named: Vec<_> = values(unit, "CapabilityBoundingSet").collect();
        let number = |name: &&str| {
            let known = NUMBERS.iter().find(|(known, _)| known == name);
            known.map(|(_, number)| *number).with_context(|| format!("unknown capability {name}"))
        };
        let capabilities = named.iter().map(number).collect::<Result<_>>()?;
        Ok(Self { filters: filters(unit)?, capabilities })
    }

    /// Enters it for good; `writable` folders stay so, `group` is what `Group=` would name. To be called between fork and exec, in a
    /// mount namespace of one's own.
    pub fn enter(&self, writable: &[CString], group: Option<u32>) -> io::Result<()> {
        // SAFETY: the list is live and as long as it says.
        let done =
            unsafe { libc::syscall(libc::SYS_setgroups, group.iter().len(), group.as_slice().as_ptr()) };
        Errno::result(done)?;
        let none = None::<&CStr>;
        for folder in writable {
            mount(Some(folder.as_c_str()), folder.as_c_str(), none, MsFlags::MS_BIND, none)?;
        }
        read_only(c"/", true)?;
        for folder in writable.iter().map(CString::as_c_str).chain([BPFFS]) {
            read_only(folder, false)?;
        }
        for number in (0..CAPABILITIES).filter(|number| !self.capabilities.contains(number)) {
            // SAFETY: takes numbers. An unknown one is refused, which is fine.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
        }
        // SAFETY: takes numbers.
        let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        Errno::result(done)?;
        let refused = |_| io::Error::other("seccomp");
        self.filters.iter().try_for_each(|filter| seccompiler::apply_filter(filter).map_err(refused))
    }
}

/// Makes the mount at `path` read-only with all below it, or it alone writable.
fn read_only(path: &CStr, on: bool) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: if on { libc::MOUNT_ATTR_RDONLY } else { 0 },
        attr_clr: if on { 0 } else { libc::MOUNT_ATTR_RDONLY },
        propagation: 0,
        userns_fd: 0,
    };
    let flags = if on { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: path and attr are live, and attr has the size that is given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    Errno::result(done).map(drop).map_err(Into::into)
}

/// The words of all lines `key=..`.
fn values<'a>(unit: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = unit.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='));
    lines.flat_map(str::split_whitespace)
}

/// System calls by what `SystemCallFilter=` says, line by line as systemd does it.
fn calls(unit: &str) -> Result<BTreeSet<String>> {
    let mut calls = expand("@default")?;
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (deny, words) = line.strip_prefix('~').map_or((false, line), |words| (true, words));
        for word in words.split_whitespace() {
            for call in expand(word)? {
                if deny {
                    calls.remove(&call)
                } else {
                    calls.insert(call)
                };
            }
        }
    }
    ensure!(calls.len() > 50, "no SystemCallFilter");
    Ok(calls)
}

/// What a group stands for, groups in it included; a call for itself.
fn expand(word: &str) -> Result<BTreeSet<String>> {
    if !word.starts_with('@') {
        return Ok([word.to_owned()].into());
    }
    let output =
        Command::new("systemd-analyze").args(["syscall-filter", word]).output().context("systemd-analyze")?;
    if !output.status.success() {
        bail!("systemd-analyze does not know {word}");
    }
    let text = String::from_utf8(output.stdout)?;
    let mut calls = BTreeSet::new();
    for word in text.lines().skip(1).map(str::trim).filter(|word| !word.is_empty() && !word.starts_with('#'))
    {
        calls.extend(expand(word)?);
    }
    Ok(calls)
}

/// The filters: one for clone3, one for all other calls.
fn filters(unit: &str) -> Result<Vec<BpfProgram>> {
    // As systemd does where namespaces are restricted: libc then calls clone, whose flags can be looked at.
    let no_clone3 =
        compile(&json!("allow"), &json!({ "errno": libc::ENOSYS }), &[json!({ "syscall": "clone3" })])?;
    let known =
        |call: &String| compile(&json!("trap"), &json!("allow"), &[json!({ "syscall": call })]).is_ok();
    let mut rules = vec![json!({ "syscall": "clone3" })];
    for call in calls(unit)?.into_iter().filter(known) {
        let when = |index, mask, value| {
            let condition =
                json!({ "index": index, "type": "dword", "op": { "masked_eq": mask }, "val": value });
            json!({ "syscall": call, "args": [condition] })
        };
        match call.as_str() {
            "unshare" | "setns" | "personality" | "clone3" => {}
            "clone" => rules.push(when(0, NAMESPACES, 0)),
            "mmap" => rules.extend([when(2, libc::PROT_WRITE, 0), when(2, libc::PROT_EXEC, 0)]),
            "mprotect" | "pkey_mprotect" => rules.push(when(2, libc::PROT_EXEC, 0)),
            "socket" => rules.extend(families(unit)?.into_iter().map(|family| when(0, i32::MAX, family))),
            _ => rules.push(json!({ "syscall": call })),
        }
    }
    let allowed = compile(&json!({ "errno": libc::EPERM }), &json!("allow"), &rules)?;
    Ok(vec![no_clone3, allowed])
}

fn compile(otherwise: &Value, then: &Value, rules: &[Value]) -> Result<BpfProgram> {
    let text = json!({ "filter": { "mismatch_action": otherwise, "match_action": then, "filter": rules } });
    let mut programs = compile_from_json(text.to_string().as_bytes(), env::consts::ARCH.try_into()?)?;
    programs.remove("filter").context("no filter")
}

fn families(unit: &str) -> Result<Vec<i32>> {
    let family = |name| match name {
        "AF_UNIX" => Ok(libc::AF_UNIX),
        "AF_INET" => Ok(libc::AF_INET),
        "AF_INET6" => Ok(libc::AF_INET6),
        "AF_NETLINK" => Ok(libc::AF_NETLINK),
        other => bail!("unknown family {other}"),
    };
    values(unit, "RestrictAddressFamilies").map(family).collect()
}
