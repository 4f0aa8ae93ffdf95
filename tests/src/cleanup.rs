//! What must not outlive us, however we end.
//!
//! Namespaces, links and unpinned maps go with the last descriptor, children get SIGKILL when their parent
//! thread ends. Only folders (bpffs pins, temporary files) have to be removed by somebody: by `Drop`, by the
//! panic hook where panics abort, by the signal thread, and if none of these ran, by the next run's [`sweep`].

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static ONCE: Once = Once::new();
static COUNTER: AtomicU32 = AtomicU32::new(0);

const PREFIX: &str = "fwtest-";
const BPFFS: &str = "/sys/fs/bpf";

/// A name that no other process and no other call has: `fwtest-PID-N`.
pub fn unique() -> String {
    format!("{PREFIX}{}-{}", process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A device name that no other namespace on this machine has: kernel threads are found by it.
pub fn unique_device(end: char) -> String {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{end}{}n{number}", process::id())
}

/// A folder that is removed with everything in it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new folder for pins under bpffs, mode 0700.
    pub fn pins() -> Result<Self> {
        let root = Path::new(BPFFS);
        if statfs(root)?.filesystem_type() != BPF_FS_MAGIC {
            eprintln!("mounting a BPF file system at {BPFFS}");
            mount(Some("bpf"), root, Some("bpf"), MsFlags::empty(), None::<&str>).context("mount it")?;
        }
        Self::under(root)
    }

    /// A new folder for files, mode 0700.
    pub fn files() -> Result<Self> {
        Self::under(&std::env::temp_dir())
    }

    fn under(parent: &Path) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        install();
        let path = parent.join(unique());
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("create {}", path.display()))?;
        folders().push(path.clone());
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
        folders().retain(|other| other != &self.0);
    }
}

fn folders() -> MutexGuard<'static, Vec<PathBuf>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every folder now; for ends without `Drop`.
pub fn now() {
    for folder in folders().drain(..) {
        remove(&folder);
    }
}

fn remove(path: &Path) {
    // bpffs counts no links, so a failed removal is all there is to say about an empty folder.
    let _ = fs::remove_dir_all(path);
}

/// Arms the panic hook (for `panic = "abort"`) and the signal thread, and sweeps once.
fn install() {
    ONCE.call_once(|| {
        sweep();
        #[cfg(panic = "abort")]
        {
            let default = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                default(info);
                now();
            }));
        }
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
        thread::spawn(move || {
            if let Some(signal) = signals.ok().and_then(|mut signals| signals.forever().next()) {
                now();
                process::exit(128 + signal);
            }
        });
    });
}

/// Removes what runs left that were killed with SIGKILL: their process is gone.
fn sweep() {
    for parent in [Path::new(BPFFS), &std::env::temp_dir()] {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            if owner(&entry.file_name().to_string_lossy()).is_some_and(|pid| !alive(pid)) {
                remove(&entry.path());
            }
        }
    }
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
