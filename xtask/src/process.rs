//! Child processes: which environment they get, and where programs are.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The workspace's root folder.
pub(crate) fn workspace() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The folder that cargo builds into.
pub(crate) fn target() -> PathBuf {
    let given = env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty());
    workspace().join(given.unwrap_or_else(|| "target".into()))
}

/// The cargo that runs this task, or would run it, without the rustup proxy in between.
pub(crate) fn cargo_path() -> PathBuf {
    if let Some(cargo) = env::var_os("CARGO") {
        return cargo.into();
    }
    let which = capture(Command::new("rustup").args(["which", "cargo"]).current_dir(workspace()));
    which.map_or_else(|_| "cargo".into(), |path| path.trim_end().into())
}

/// Cargo for this workspace: keeps the caller's settings, drops what cargo told this task about itself.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(cargo_path());
    command.current_dir(workspace()).stdin(Stdio::null());
    remove(&mut command, is_about_this_task);
    command
}

/// `cargo install` of one release into `work/bin`, with the compiler that belongs to the running cargo; what it
/// compiles stays in `work` too, so that an interrupted run is gone on with.
pub(crate) fn cargo_install(name: &str, version: &str, work: &Path) -> Command {
    let cargo = cargo_path();
    let mut command = isolated(&cargo);
    let rustc = cargo.with_file_name("rustc");
    if rustc.is_file() {
        command.env("RUSTC", rustc);
    }
    command.args(["install", name, "--version", version, "--locked", "--force", "--root"]).arg(work);
    command.env("CARGO_TARGET_DIR", work.join("target")).env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    // Away from the workspace, whose toolchain file and cargo configuration are not meant for other programs.
    command.current_dir("/");
    command
}

/// A command whose result must not depend on the caller's compiler settings or language.
pub(crate) fn isolated(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    remove(&mut command, harms_a_foreign_build);
    command.env("LC_ALL", "C").env("RUST_BACKTRACE", "0");
    command
}

fn remove(command: &mut Command, unwanted: fn(&str) -> bool) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(unwanted) {
            command.env_remove(name);
        }
    }
}

/// Variables with which `cargo run` describes the package that it runs.
fn is_about_this_task(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || matches!(name, "CARGO" | "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH" | "CARGO_MANIFEST_LINKS")
}

/// Variables that would steer another compiler: all of rustc's and cargo's, except where cargo keeps its files and
/// how it reaches the network.
fn harms_a_foreign_build(name: &str) -> bool {
    const WANTED: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "CARGO_BUILD_JOBS",
    ];
    const UNWANTED: [&str; 8] = [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "LLVM_",
    ];
    UNWANTED.iter().any(|start| name.starts_with(start))
        && !WANTED.iter().any(|start| name.starts_with(start))
}

/// Runs a command to its end and returns what it wrote to stdout.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", name(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", name(command), String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Program and arguments as one would type them.
pub(crate) fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let args = command.get_args().map(OsStr::to_string_lossy);
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

/// The program's path, by PATH and then by the folders of administration that PATH lacks for most users.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let admin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(admin).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether the effective user is root (it owns the process's own folder in /proc).
pub(crate) fn is_root() -> bool {
    Path::new("/proc/self").metadata().is_ok_and(|meta| meta.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_build_does_not_see_the_callers_compiler() {
        for name in [
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_UNSTABLE_BUILD_STD",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "RUSTUP_TOOLCHAIN",
            "LD_LIBRARY_PATH",
            "LLVM_PREFIX",
            "LLVM_SYS_221_PREFIX",
        ] {
            assert!(harms_a_foreign_build(name), "{name}");
        }
    }

    #[test]
    fn a_foreign_build_keeps_homes_and_network() {
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "RUSTUP_HOME",
            "CARGO_HTTP_PROXY",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
            "https_proxy",
            "FLOODWALL_CACHE",
        ] {
            assert!(!harms_a_foreign_build(name), "{name}");
        }
    }

    #[test]
    fn the_projects_own_cargo_keeps_the_callers_settings() {
        assert!(is_about_this_task("CARGO_PKG_NAME") && is_about_this_task("CARGO_MANIFEST_DIR"));
        assert!(!is_about_this_task("CARGO_TARGET_DIR") && !is_about_this_task("RUSTUP_TOOLCHAIN"));
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some_and(|path| path.ends_with("sh")));
        assert_eq!(find("no-such-program"), None);
    }

    #[test]
    fn a_failing_command_reports_its_stderr() {
        let error = capture(isolated("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().ends_with("why"), "{error}");
    }
}
