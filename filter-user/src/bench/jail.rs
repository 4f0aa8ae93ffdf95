//! Where private filters live: a bpffs and network namespaces that nobody else sees and that end with this process.

use std::{
    fs::File,
    net::{Ipv4Addr, Ipv6Addr, TcpListener},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare},
    unistd::Pid,
};

use crate::cmd::failure::{Failure, Kind};

/// The private bpffs: it hides the host's own from this process.
pub const PINS: &str = "/sys/fs/bpf";

/// Network namespaces that this thread was in: what is attached there stays as long as this does.
#[derive(Debug, Default)]
pub struct Jail(Vec<File>);

impl Jail {
    /// Moves this thread in.
    pub fn enter() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(refused)?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("make mounts private")?;
        let none = MsFlags::empty();
        mount(Some("bpf"), PINS, Some("bpf"), none, None::<&str>).with_context(|| format!("mount {PINS}"))?;
        let mut jail = Self::default();
        jail.change_network()?;
        Ok(jail)
    }

    /// Moves this thread to a new network namespace; a loopback device is all that is in it.
    pub fn change_network(&mut self) -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(refused)?;
        self.0.push(File::open("/proc/thread-self/ns/net").context("the network namespace")?);
        Ok(())
    }
}

fn refused(error: Errno) -> anyhow::Error {
    let hint =
        "run it as root: it makes namespaces of its own (CAP_SYS_ADMIN) and loads the filter into them";
    Failure::new(Kind::Permission, format!("no private namespace: {error}"), hint).into()
}

/// Listens at a TCP port of all addresses.
pub fn listen(port: u16) -> Result<TcpListener> {
    // Both families, where there is IPv6.
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
        .with_context(|| format!("listen at port {port}"))
}

/// Keeps this thread on one CPU: that one, or the last that it may use. Returns its number.
pub fn pin(cpu: Option<usize>) -> Result<usize> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).context("CPUs")?;
    let last = (0..CpuSet::count()).rev().find(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let cpu = cpu.or(last).context("no CPU")?;
    let mut one = CpuSet::new();
    one.set(cpu).with_context(|| format!("CPU {cpu}"))?;
    sched_setaffinity(this, &one).with_context(|| format!("CPU {cpu}"))?;
    Ok(cpu)
}
