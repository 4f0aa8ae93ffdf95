//! `floodwall-panic` takes the filter off where there is nothing but the kernel.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{cleanup::Folder, config::Config, daemon::binary, stand::Stand};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::Signal,
    unistd::{chdir, chroot},
};

const BPFFS: &str = "/sys/fs/bpf";

/// An empty root, with the program and a place for the BPF file system.
fn bare_root() -> Result<Folder> {
    let program = binary()?.with_file_name("floodwall-panic");
    ensure!(program.is_file(), "no {}: cargo xtask test builds it", program.display());
    let root = Folder::files()?;
    fs::create_dir_all(root.path().join(&BPFFS[1..]))?;
    fs::copy(&program, root.path().join("floodwall-panic")).context("copy it")?;
    Ok(root)
}

/// What it says, run in that root: without libraries, loader, daemon, configuration, `/proc` and `/dev`.
fn panic(stand: &Stand, root: &Path, more: &[&str]) -> Result<String> {
    let mut command = stand.pair.server.namespace.command("/floodwall-panic");
    command
        .args(["--pins".as_ref(), stand.floodwall.pins().as_os_str()])
        .args(["--runtime", "/run"])
        .args(more);
    let root = root.to_owned();
    let bpffs = root.join(&BPFFS[1..]);
    let enter = move || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
        mount(Some(BPFFS), &bpffs, none, MsFlags::MS_BIND, none)?;
        chroot(&root)?;
        Ok(chdir("/")?)
    };
    // SAFETY: system calls only, which may be made between fork and exec.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, enter) };
    let output = command.output().context("run it: is it linked statically (cargo xtask test)?")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn it_needs_nothing_but_the_kernel() -> Result<()> {
    let mut stand = Stand::new(&Config::default())?;
    let root = bare_root()?;
    stand.floodwall.end(Signal::SIGKILL)?;
    let device = stand.pair.server.device.clone();
    let attached = |stand: &Stand| -> Result<bool> {
        Ok(stand.pair.server.namespace.ip(&format!("link show {device}"))?.contains("prog/xdp"))
    };
    let would = panic(&stand, root.path(), &["--dry-run"])?;
    ensure!(would.contains("would detach") && attached(&stand)?, "{would}");
    let done = panic(&stand, root.path(), &[])?;
    ensure!(done.contains("detached") && !attached(&stand)?, "{done}");
    ensure!(!stand.floodwall.pins().exists(), "pins are left: {done}");
    let again = panic(&stand, root.path(), &["--json"])?;
    ensure!(serde_json::from_str::<serde_json::Value>(&again)?["done"] == serde_json::json!([]), "{again}");
    stand.visit_well(5)
}
