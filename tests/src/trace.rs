//! A process that is killed at its n-th change of BPF objects or pins (`ptrace(2)`).

use std::{
    io,
    os::unix::net::UnixDatagram,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::{
        ptrace,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// Calls that change something that outlives the process.
const CHANGES: [libc::c_long; 8] = [
    libc::SYS_bpf,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
];

/// The process; it dies with this value.
#[derive(Debug)]
pub struct Traced(Child);

impl Traced {
    /// What the process has to do before anything else.
    pub fn begin() -> io::Result<()> {
        Ok(ptrace::traceme()?)
    }

    /// Starts a command that does [`Traced::begin`], to be run by the calling thread.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let child = command.spawn().context("start the command")?;
        let traced = Self(child);
        ensure!(matches!(waitpid(traced.pid(), None)?, WaitStatus::Stopped(..)), "stopped at exec");
        ptrace::setoptions(
            traced.pid(),
            ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL,
        )?;
        Ok(traced)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    /// Lets it run until its change number `step` is about to be made, or until it tells `notify` that it is ready: then the answer
    /// is the number of changes up to there. It is dead in any case.
    pub fn run_to(mut self, step: u64, notify: &UnixDatagram) -> Result<Option<u64>> {
        notify.set_nonblocking(true)?;
        let (pid, mut changes, mut entering) = (self.pid(), 0, true);
        let deadline = Instant::now() + Duration::from_mins(1);
        let mut signal = None;
        let ready = loop {
            ensure!(Instant::now() < deadline, "neither ready nor at step {step} after a minute");
            ptrace::syscall(pid, signal.take())?;
            match waitpid(pid, None)? {
                WaitStatus::PtraceSyscall(_) if entering => {
                    entering = false;
                    let call = ptrace::getregs(pid)?.orig_rax.cast_signed();
                    changes += u64::from(CHANGES.contains(&call));
                    if changes >= step {
                        break None;
                    }
                }
                WaitStatus::PtraceSyscall(_) => {
                    entering = true;
                    let mut message = [0; 512];
                    let said = notify.recv(&mut message).unwrap_or(0);
                    if message[..said].starts_with(b"READY=1") {
                        break Some(changes);
                    }
                }
                WaitStatus::Stopped(_, other) => signal = Some(other),
                ended => bail!("it ended: {ended:?}"),
            }
        };
        self.0.kill()?;
        self.0.wait()?;
        Ok(ready)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
