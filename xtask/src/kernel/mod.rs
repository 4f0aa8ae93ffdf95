//! `cargo xtask test --kernel VERSION`: the verdicts and a handshake on another Linux, in a virtual machine.
//!
//! The machine is qemu without hardware help, so this works where virtual machines can't be nested; neither it nor
//! the tests in it need root here. [`image`] fetches (by [`fetch`]), [`initramfs`] packs, [`qemu`] boots.

mod cpio;
mod fetch;
mod image;
mod initramfs;
mod modules;
mod qemu;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;
use crate::test::{PROFILE, Tally};
use crate::{Handover, process, toolchain};

/// The kernels that every release runs on, besides the one that CI itself runs on.
pub(crate) const SERIES: [&str; 2] = ["6.1", "6.12"];
const DAEMON: &str = "floodwall";
/// The integration tests of package filter-tests that run in the machine.
const TESTS: [&str; 3] = ["verdicts", "kernels", "verifier"];

/// Reads `--kernel VERSION` and `--kernel=VERSION` at the start; returns the versions and the other arguments.
pub(crate) fn wanted(args: &[OsString]) -> Result<(Vec<&'static str>, &[OsString])> {
    let (mut found, mut rest) = (Vec::new(), args);
    while let Some((first, others)) = rest.split_first() {
        let Some(value) = first.to_str().and_then(|arg| arg.strip_prefix("--kernel")) else { break };
        if let Some(value) = value.strip_prefix('=') {
            found.push(series(value)?);
            rest = others;
        } else if value.is_empty() {
            let value = others.first().and_then(|value| value.to_str()).unwrap_or_default();
            found.push(series(value)?);
            rest = &others[1..];
        } else {
            break;
        }
    }
    Ok((found, rest))
}

fn series(value: &str) -> Result<&'static str> {
    let known = SERIES.into_iter().find(|series| *series == value);
    known.ok_or_else(|| {
        Handover(format!("--kernel {value:?}: the tests know Linux {}", SERIES.join(" and "))).into()
    })
}

/// Boots each kernel and runs the tests there; `args` go to the test binaries.
pub(crate) fn run(kernels: &[&str], args: &[OsString]) -> Result<()> {
    let began = Instant::now();
    let cache = Cache::open()?;
    toolchain::ensure(&cache)?;
    let programs = programs()?;
    let machine = image::machine(&cache)?;
    let mut total = Tally::default();
    for series in kernels {
        let kernel = image::kernel(&cache, &machine, series)?;
        let image = initramfs::write(&cache, &machine, &kernel, &programs, args)?;
        eprintln!("==> Linux {series} ({})", kernel.release);
        total += qemu::boot(&machine, &kernel, image.path())?;
    }
    total.report(&format!("xtask test on Linux {}", kernels.join(" and ")), began)
}

/// Builds what runs in the machine: the daemon first, then the tests.
fn programs() -> Result<Vec<PathBuf>> {
    let mut built = executables(&["build", "--package", "filter-user", "--bin", DAEMON], &[DAEMON])?;
    let mut args = vec!["test", "--no-run", "--package", "filter-tests"];
    args.extend(TESTS.iter().flat_map(|test| ["--test", test]));
    built.extend(executables(&args, &TESTS)?);
    Ok(built)
}

/// Runs cargo and returns the paths of the executables of these names.
fn executables(args: &[&str], names: &[&str]) -> Result<Vec<PathBuf>> {
    let mut cargo = process::cargo();
    cargo.args(args).args(["--profile", PROFILE, "--message-format=json-render-diagnostics"]);
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{} ended with {}", process::name(&cargo), output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let path = |name: &&str| executable(&messages, name).with_context(|| format!("cargo built no {name}"));
    names.iter().map(path).collect()
}

/// The executable of the target `name` in cargo's JSON messages, one a line.
pub(crate) fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let named = format!("\"name\":\"{name}\"");
    let of_name = messages.lines().filter(|line| line.contains(&named));
    let mut paths = of_name.filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    paths.next_back().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[&str]) -> Vec<OsString> {
        list.iter().map(OsString::from).collect()
    }

    #[test]
    fn kernels_are_named_in_two_ways_and_more_than_once() {
        let both = args(&["--kernel", "6.12", "--kernel=6.1", "--", "bogons"]);
        assert_eq!(wanted(&both).unwrap(), (vec!["6.12", "6.1"], &both[3..]));
        let none = args(&["--", "--kernel", "6.1"]);
        assert_eq!(wanted(&none).unwrap(), (vec![], &none[..]));
    }

    #[test]
    fn an_unknown_kernel_is_handed_back_with_the_list() {
        for list in [&["--kernel", "6.2"][..], &["--kernel"], &["--kernel="]] {
            let error = wanted(&args(list)).unwrap_err();
            assert!(error.is::<Handover>() && error.to_string().ends_with("6.1 and 6.12"), "{error}");
        }
    }

    #[test]
    fn executables_are_found_by_their_targets_names() {
        let messages = "{\"target\":{\"name\":\"verdicts\"},\"executable\":null}\n\
            {\"target\":{\"name\":\"demo\"},\"executable\":\"/t/demo\"}\n\
            {\"target\":{\"name\":\"verdicts\"},\"executable\":\"/t/verdicts-1\",\"fresh\":true}\n";
        assert_eq!(executable(messages, "verdicts"), Some("/t/verdicts-1".into()));
        assert_eq!(executable(messages, "kernels"), None);
    }
}
