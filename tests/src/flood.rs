//! The attacker: a BPF program in live-frame mode on one core, bounded in time and in number.
//!
//! It refuses every device that is not a veth in a namespace of our own: nothing can leave this machine.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions};
use nix::{
    errno::Errno,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    unistd::{Pid, gettid},
};

use crate::{
    device,
    lab::{Lab, Tally},
    pair::{End, Family},
    sched::{self, Cores, Priority},
    testrun::XdpMd,
};

mod template;
pub use template::{Order, Segment, Source};

/// A flood that is running; dropped, it ends.
#[derive(Debug)]
pub struct Flood {
    shared: Arc<Shared>,
    generator: Option<JoinHandle<Result<()>>>,
    started: Instant,
}

#[derive(Debug)]
struct Shared {
    lab: Lab,
    stop: AtomicBool,
}

/// A flood from all over the world, beside clients on the generator's core, who come first.
pub fn flood_of(segment: Segment, family: Family, pps: u64) -> Result<Order> {
    let core = Cores::pick()?.attacker;
    Ok(Order { segment, pps, nice: 5, ..Order::syns(family.into(), core) })
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// In that time.
    pub time: Duration,
}

impl Sent {
    /// Frames a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub fn pps(&self) -> f64 {
        self.frames as f64 / self.time.as_secs_f64().max(1e-9)
    }

    /// What was sent since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self { frames: self.frames - earlier.frames, time: self.time.saturating_sub(earlier.time) }
    }
}

impl Flood {
    /// Starts sending out of `end`'s device.
    pub fn start(end: &End, order: &Order) -> Result<Self> {
        let (ifindex, name) = end.namespace.run(|| checked(&end.device))?;
        let (generate, frame) = order.template(ifindex);
        let shared = Arc::new(Shared { lab: Lab::generator(&generate)?, stop: AtomicBool::new(false) });
        let (tell, told) = std::sync::mpsc::channel();
        let started = Instant::now();
        let (namespace, ours) = (end.namespace.clone(), Arc::clone(&shared));
        let (core, nice) = (order.core, order.nice);
        let generator = thread::Builder::new().name(name).spawn(move || {
            namespace.enter()?;
            sched::place(core, Priority::Nice(nice))?;
            tell.send(gettid())?;
            ours.generate(&frame, ifindex)
        })?;
        if let Ok(thread) = told.recv() {
            keep(Arc::clone(&shared), thread, started + order.at_most, order.frames);
        }
        Ok(Self { shared, generator: Some(generator), started })
    }

    /// Starts several that take turns on their core: each sends at its full rate while it has the core, and all of them
    /// together leave to others what one would (three nice values halve a thread's share).
    pub fn start_all(end: &End, orders: &[Order]) -> Result<Vec<Self>> {
        let less = 3 * orders.len().max(1).ilog2().cast_signed();
        let start =
            |order: &Order| Self::start(end, &Order { nice: (order.nice + less).min(19), ..order.clone() });
        orders.iter().map(start).collect()
    }

    /// What was sent up to now.
    pub fn sent(&self) -> Result<Sent> {
        let frames = self.shared.lab.tally(Tally::Sent)?;
        Ok(Sent { frames, time: self.started.elapsed() })
    }

    /// Ends it now.
    pub fn stop(self) -> Result<Sent> {
        self.shared.stop.store(true, SeqCst);
        self.wait()
    }

    /// Waits until it ends by itself: by its number of frames or its time.
    pub fn wait(mut self) -> Result<Sent> {
        if let Some(generator) = self.generator.take() {
            generator.join().map_err(|_| anyhow!("the generator panicked"))??;
        }
        self.sent()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        if let Some(generator) = self.generator.take() {
            let _ = generator.join();
        }
    }
}

impl Shared {
    /// One long call after the other: around each call the kernel changes its XDP dispatcher, which takes
    /// about 20 ms. A signal ends it.
    fn generate(&self, frame: &[u8], ifindex: u32) -> Result<()> {
        let context = XdpMd::new(frame.len(), ifindex);
        while !self.stop.load(SeqCst) {
            let options = TestRunOptions {
                data_in: Some(frame),
                ctx_in: Some(context.bytes()),
                repeat: 1 << 30,
                attrs: TestRunAttrs::new().xdp_live_frames(64),
                ..TestRunOptions::new()
            };
            match self.lab.generate()?.test_run(options) {
                Err(error) if !interrupted(&error) => return Err(error).context("generate live frames"),
                _ => {}
            }
        }
        Ok(())
    }
}

fn interrupted(error: &aya::programs::ProgramError) -> bool {
    let aya::programs::ProgramError::SyscallError(error) = error else { return false };
    error.io_error.kind() == std::io::ErrorKind::Interrupted
}

/// Watches the clock and the count, and signals the generator until it has ended.
fn keep(shared: Arc<Shared>, generator: Pid, deadline: Instant, frames: u64) {
    extern "C" fn nothing(_: i32) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing; its only purpose is that the system call returns.
    let _ = unsafe { sigaction(Signal::SIGUSR1, &action) };
    thread::spawn(move || {
        // The generator's half of the Arc goes when its thread ends.
        while Arc::strong_count(&shared) > 1 {
            let done =
                Instant::now() > deadline || shared.lab.tally(Tally::Sent).is_ok_and(|sent| sent >= frames);
            if done || shared.stop.load(SeqCst) {
                shared.stop.store(true, SeqCst);
                interrupt(generator);
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
}

fn interrupt(thread: Pid) {
    // SAFETY: plain numbers; a thread that is gone is an error and nothing more.
    let _ = Errno::result(unsafe {
        libc::syscall(libc::SYS_tgkill, nix::unistd::getpid().as_raw(), thread.as_raw(), libc::SIGUSR1)
    });
}

/// The device's number and a thread's name, if it is a veth outside of the initial namespace.
fn checked(device: &str) -> Result<(u32, String)> {
    // linux/proc_ns.h: PROC_NET_INIT_INO, fixed on current kernels.
    const INITIAL: u64 = 0xefff_fff9;
    let ours = fs::metadata("/proc/thread-self/ns/net")?.ino();
    let process = fs::metadata("/proc/self/ns/net")?.ino();
    ensure!(ours != process && ours != INITIAL, "no flood in a network namespace that is not our own");
    // Devices without a driver (loopback) have no answer at all.
    let driver = filter_user::sys::driver(device).unwrap_or_default();
    ensure!(driver == "veth", "no flood out of {device}: it is no veth device");
    Ok((device::index(device)?, format!("flood-{device}")))
}
