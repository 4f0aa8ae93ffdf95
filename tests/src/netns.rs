//! Network namespaces without names: the kernel removes them when their last descriptor is closed, so a
//! process that is killed leaves nothing behind.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::process::CommandExt as _,
    },
    process::{self, Command, Stdio},
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sched::{CloneFlags, setns, unshare},
    sys::{prctl::set_pdeathsig, signal::Signal},
};

/// Buckets of a namespace's connection table (Linux 6.1 on): what a host with 2 GiB gives itself. The shared one of a
/// large machine would be out of every cache.
const CONNECTIONS: &str = "16384";

/// A network namespace, held by its descriptor.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<File>);

impl Namespace {
    /// A new one with the loopback device up.
    pub fn new() -> Result<Self> {
        require_root()?;
        let file = thread::spawn(|| -> Result<File> {
            // A child's table is made as its parent namespace says; the outer one is gone with this thread.
            unshare(CloneFlags::CLONE_NEWNET).context("unshare a network namespace")?;
            let _ = fs::write("/proc/sys/net/ipv4/tcp_child_ehash_entries", CONNECTIONS);
            unshare(CloneFlags::CLONE_NEWNET).context("unshare a network namespace")?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        });
        let file = file.join().map_err(|_| anyhow::anyhow!("the namespace's thread panicked"))??;
        let namespace = Self(Arc::new(file));
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// A path that stands for the namespace as long as this process lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.0.as_raw_fd())
    }

    /// Moves the calling thread into the namespace.
    pub fn enter(&self) -> Result<()> {
        setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET).context("enter a network namespace")
    }

    /// Runs `work` inside and returns what it returns; sockets that it makes stay inside for good.
    ///
    /// # Panics
    /// If `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter().expect("our own namespace can be entered");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command that will run inside and dies with the calling *thread*.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let file = Arc::clone(&self.0);
        let mut command = Command::new(program);
        // SAFETY: both calls are single system calls, which may be made between fork and exec.
        unsafe {
            command.pre_exec(move || {
                set_pdeathsig(Signal::SIGKILL)?;
                setns(file.as_fd(), CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
            })
        };
        command
    }

    /// Runs a program and returns its output; an error holds what it said.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("start {program}: is it installed?"))?;
        if !output.status.success() {
            bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs one `ip` command, given as one line.
    pub fn ip(&self, line: &str) -> Result<String> {
        self.output("ip", &line.split_whitespace().collect::<Vec<_>>())
    }

    /// Sets `net.*` variables of this namespace.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            for (name, value) in settings {
                let path = format!("/proc/sys/{}", name.replace('.', "/"));
                fs::write(&path, value).with_context(|| format!("{name}={value}"))?;
            }
            Ok(())
        })
    }
}

/// The tests make namespaces and load programs: nothing is skipped silently without root.
pub fn require_root() -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "this needs root: it makes network namespaces and loads BPF programs"
    );
    Ok(())
}
