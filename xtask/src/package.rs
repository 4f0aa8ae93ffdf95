//! `cargo xtask test --package`: the Debian package on a fresh system, under the real systemd.
//!
//! A minimal Debian is fetched once, copied, and booted in a container (systemd-nspawn) with a network and a bpffs of its own.
//! `packaging/test/inside.sh` does the rest there. It needs root and, the first time, the distribution's mirror.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cache::{Cache, remove_dir};
use crate::dist::{self, Options};
use crate::process::{self, capture, isolated};
use crate::progress::Steps;
use crate::{Handover, test, tools};

const TOOLS: [(&str, &str); 3] =
    [("systemd-nspawn", "systemd-container"), ("debootstrap", "debootstrap"), ("lintian", "lintian")];
/// Beside debootstrap's minbase: what every host has that the package is for.
const INCLUDE: &str = "--include=systemd,systemd-sysv,iproute2,iputils-ping,procps,init-system-helpers";
/// Seconds that the container may take.
const PATIENCE: &str = "600";
/// What a container may not do unless told: load and attach programs, as the daemon does.
const MAY: [&str; 2] =
    ["--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN", "--system-call-filter=bpf perf_event_open"];
const UNIT: &str = "\
[Unit]
After=multi-user.target
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
ExecStart=/test/inside.sh /test/older.deb /test/newer.deb
StandardOutput=file:/test/result
StandardError=file:/test/result
[Install]
WantedBy=default.target
";

/// Whether the arguments of `test` ask for this, and the rest of them.
pub(crate) fn wanted(args: &[OsString]) -> Option<&[OsString]> {
    args.split_first().filter(|(first, _)| *first == "--package").map(|(_, rest)| rest)
}

/// Builds two packages (`--profile checked` by default: it is what other tests have built) and tries them out.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let profile = match args {
        [] => test::PROFILE,
        [option, value] if option == "--profile" => value.to_str().context("--profile")?,
        _ => return Err(Handover(crate::USAGE.to_owned()).into()),
    };
    test::require_root("test --package")?;
    tools::ensure(&TOOLS)?;
    let options = |revision| {
        Ok::<_, anyhow::Error>(Options { profile: profile.to_owned(), revision, ..Options::new()? })
    };
    let (older, newer) = (dist::build(&options(0)?)?, dist::build(&options(1)?)?);
    lint(&newer)?;
    let cache = Cache::open()?;
    let base = base(&cache)?;
    let work = cache.root().join("package-test");
    let root = work.join("root");
    remove_dir(&work)?;
    fs::create_dir_all(&work)?;
    capture(isolated("cp").args(["-a", "--reflink=auto"]).args([&base, &root]))?;
    let result =
        furnish(&root, &older, &newer).and_then(|()| as_an_image(&root)).and_then(|()| boot(&work, &root));
    remove_dir(&work)?;
    result
}

fn lint(deb: &Path) -> Result<()> {
    let mut lintian = isolated("lintian");
    lintian.args([
        "--allow-root",
        "--profile",
        "debian",
        "--display-info",
        "--pedantic",
        "--fail-on",
        "error,warning",
    ]);
    let said = capture(lintian.arg(deb))?;
    println!("lintian: {}", if said.is_empty() { "clean" } else { said.trim_end() });
    Ok(())
}

/// A Debian of the release that runs here, as fresh as it was fetched.
fn base(cache: &Cache) -> Result<PathBuf> {
    let base = cache.root().join("debian");
    if base.is_dir() {
        return Ok(base);
    }
    let release = capture(isolated("sh").args(["-c", ". /etc/os-release; echo $VERSION_CODENAME"]))?;
    let partial = cache.root().join("debian.partial");
    remove_dir(&partial)?;
    Steps::new(1, cache.log())?.step("fetch a minimal Debian, once", |step| {
        let mut fetch = isolated("debootstrap");
        fetch.args(["--variant=minbase", INCLUDE, release.trim_end()]).arg(&partial);
        step.run(&mut fetch, || step.last_log_line())
    })?;
    fs::rename(&partial, &base)?;
    Ok(base)
}

/// Puts the packages and the test into the copy.
fn furnish(root: &Path, older: &Path, newer: &Path) -> Result<()> {
    let test = root.join("test");
    fs::create_dir_all(&test)?;
    fs::copy(older, test.join("older.deb"))?;
    fs::copy(newer, test.join("newer.deb"))?;
    fs::copy(process::workspace().join("packaging/test/inside.sh"), test.join("inside.sh"))?;
    let units = root.join("etc/systemd/system");
    fs::write(units.join("package-test.service"), UNIT)?;
    let wants = units.join("default.target.wants");
    fs::create_dir_all(&wants)?;
    Ok(std::os::unix::fs::symlink(
        "/etc/systemd/system/package-test.service",
        wants.join("package-test.service"),
    )?)
}

/// In a chroot, as images are built: no configuration for the wrong host, nothing is started, nothing taken off.
fn as_an_image(root: &Path) -> Result<()> {
    const STEPS: &str = "set -e; dpkg -i /test/newer.deb; test ! -e /etc/floodwall/floodwall.toml; \
         test -e /etc/systemd/system/multi-user.target.wants/floodwall.service; dpkg --purge floodwall; test ! -e /etc/floodwall";
    let mut chroot = isolated("unshare");
    chroot.args(["--net", "chroot"]).arg(root).args(["/bin/sh", "-c", STEPS]);
    let said = capture(chroot.env("DEBIAN_FRONTEND", "noninteractive")).context("in a chroot")?;
    if said.contains("may still be attached") {
        bail!("removing the package in a chroot looked for the host's filter");
    }
    println!("ok    installed into an image and purged");
    Ok(())
}

/// Boots the copy, waits for its end, shows what it found.
fn boot(work: &Path, root: &Path) -> Result<()> {
    let bpffs = work.join("bpffs");
    fs::create_dir_all(&bpffs)?;
    capture(isolated("mount").args(["-t", "bpf", "-o", "mode=700", "bpf"]).arg(&bpffs))?;
    let mut bind = OsString::from("--bind=");
    bind.push(&bpffs);
    bind.push(":/sys/fs/bpf");
    let mut container = Command::new("timeout");
    container.args(["--kill-after=10", PATIENCE, "systemd-nspawn", "--quiet", "--boot", "--private-network"]);
    container
        .args(["--register=no", "--keep-unit", "--console=pipe"])
        .args(MAY)
        .arg(bind)
        .arg("--directory")
        .arg(root);
    let booted = container.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let unmounted = capture(isolated("umount").arg(&bpffs));
    booted.context("systemd-nspawn")?;
    unmounted?;
    let result = fs::read_to_string(root.join("test/result")).context("the container said nothing")?;
    print!("{result}");
    if !result.lines().last().is_some_and(|line| line.starts_with("package: ") && line.ends_with(" 0 failed"))
    {
        bail!("the package's test failed");
    }
    Ok(())
}
