//! Who runs where: with few cores the flood must starve neither the client nor the victim.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::{Pid, gettid},
};

/// A core for the attacker and the client, and one for the victim.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// The generator's and the client's.
    pub attacker: usize,
    /// The receive thread's and the server's.
    pub victim: usize,
}

impl Cores {
    /// The first two that this process may use; one and the same if there is only one.
    pub fn pick() -> Result<Self> {
        let allowed = nix::sched::sched_getaffinity(Pid::from_raw(0))?;
        let mut cores = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false));
        let attacker = cores.next().context("no core to run on")?;
        Ok(Self { attacker, victim: cores.next().unwrap_or(attacker) })
    }
}

/// How eagerly a thread runs.
#[derive(Clone, Copy, Debug)]
pub enum Priority {
    /// Nice value, -20 to 19.
    Nice(i32),
    /// `SCHED_FIFO`: before every ordinary thread.
    RealTime,
}

/// Pins the calling thread and gives it a priority.
pub fn place(core: usize, priority: Priority) -> Result<()> {
    place_thread(gettid(), core, priority)
}

/// The same for another thread.
pub fn place_thread(thread: Pid, core: usize, priority: Priority) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(thread, &set).with_context(|| format!("pin thread {thread} to core {core}"))?;
    prioritise(thread, priority).with_context(|| format!("{priority:?} for thread {thread}"))
}

fn prioritise(thread: Pid, priority: Priority) -> Result<()> {
    let result = match priority {
        // SAFETY: plain numbers.
        Priority::Nice(nice) => unsafe {
            libc::setpriority(libc::PRIO_PROCESS, thread.as_raw().unsigned_abs(), nice)
        },
        Priority::RealTime => {
            let parameters = libc::sched_param { sched_priority: 5 };
            // SAFETY: the kernel reads one struct that lives until the call returns.
            unsafe { libc::sched_setscheduler(thread.as_raw(), libc::SCHED_FIFO, &raw const parameters) }
        }
    };
    Ok(nix::errno::Errno::result(result).map(drop)?)
}

/// Ticks that the hypervisor took from a core, and ticks in all, since boot (proc_stat(5)).
pub fn stolen(core: usize) -> Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).context("no such core")?;
    // user nice system idle iowait irq softirq steal; what guests get is in user already
    let ticks: Vec<u64> = line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>()?;
    Ok((ticks.get(7).copied().unwrap_or(0), ticks.iter().sum()))
}

/// What a process has used of all cores so far: proc_pid_stat(5), utime and stime, in hundredths of a second.
pub fn used(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    // The name before may hold anything.
    let fields: Vec<_> = stat.rsplit(')').next().context("stat")?.split_whitespace().collect();
    let ticks = |field: usize| -> Result<u64> { Ok(fields.get(field).context("stat")?.parse()?) };
    Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

/// The kernel threads `napi/DEVICE-N`, which exist once the device's NAPI is threaded.
#[must_use]
pub fn napi_threads(device: &str) -> Vec<Pid> {
    let prefix = format!("napi/{device}-");
    for _ in 0..100 {
        let found = threads_named(&prefix);
        if !found.is_empty() {
            return found;
        }
        thread::sleep(Duration::from_millis(10));
    }
    Vec::new()
}

fn threads_named(prefix: &str) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let name = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"));
        name.is_ok_and(|name| name.starts_with(prefix))
    })
    .map(Pid::from_raw)
    .collect()
}
