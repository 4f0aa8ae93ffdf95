//! The machine's file system: busybox, the programs with their libraries, the modules, and what starts them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::cpio::{Archive, Kind};
use super::image::{Kernel, Machine};
use super::{DAEMON, qemu};
use crate::cache::Cache;
use crate::process::{self, capture, isolated};

/// An archive on disk; removed at the end.
pub(super) struct Image(PathBuf);

impl Image {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Packs the archive; `programs` are the daemon and the tests, `args` go to the latter.
pub(super) fn write(
    cache: &Cache,
    machine: &Machine,
    kernel: &Kernel,
    programs: &[PathBuf],
    args: &[OsString],
) -> Result<Image> {
    let ip = process::find("ip").context("the tests need ip: install iproute2")?;
    let mut files = BTreeMap::from([("bin/busybox".to_owned(), machine.busybox.clone())]);
    for program in programs.iter().chain([&ip]) {
        files.extend(libraries(program)?.into_iter().map(|path| (inside(&path), path)));
    }
    files.insert("usr/sbin/ip".to_owned(), ip);
    let mut tests = Vec::new();
    for program in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let is_test = name != DAEMON;
        let path = if is_test { format!("tests/{name}") } else { format!("bin/{name}") };
        tests.extend(is_test.then(|| format!("/{path}")));
        files.insert(path, program.clone());
    }
    for module in fs::read_dir(&kernel.modules)? {
        let module = module?;
        files.insert(format!("modules/{}", module.file_name().to_string_lossy()), module.path());
    }
    let image = Image(cache.kernels().join(format!("initramfs-{}-{}", kernel.release, std::process::id())));
    pack(&image.0, &files, &init(&tests, args)).with_context(|| format!("write {}", image.0.display()))?;
    Ok(image)
}

fn pack(image: &Path, files: &BTreeMap<String, PathBuf>, init: &str) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(image)?));
    for folder in folders(files.keys().map(String::as_str)) {
        archive.add(folder, Kind::Folder, &[])?;
    }
    archive.add("init", Kind::Program, init.as_bytes())?;
    for (name, path) in files {
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        archive.add(name, Kind::Program, &bytes)?;
    }
    Ok(archive.finish()?)
}

/// Mount points, and every folder of the files, each behind the one that it is in.
fn folders<'a>(files: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut folders = vec!["dev", "proc", "sys", "tmp"];
    for file in files {
        folders.extend(file.match_indices('/').map(|(at, _)| &file[..at]));
    }
    folders.sort_unstable();
    folders.dedup();
    folders
}

/// A path without the slash in front.
fn inside(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

/// The libraries of a program, where it looks for them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    Ok(loaded(&capture(isolated("ldd").arg(program))?))
}

/// Reads ldd(1): `name => path (address)`, `path (address)`, and what the kernel itself provides.
fn loaded(ldd: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let path = line.split_once(" (0x")?.0.trim();
        let path = path.split_once(" => ").map_or(path, |(_, path)| path);
        path.starts_with('/').then(|| path.into())
    };
    ldd.lines().filter_map(path).collect()
}

/// The first program in the machine.
fn init(tests: &[String], args: &[OsString]) -> String {
    let mut words = String::new();
    for arg in args {
        words.extend([" ", &quoted(&arg.to_string_lossy())]);
    }
    let mut runs = String::new();
    for test in tests {
        runs.extend([test, " --test-threads=1 --show-output", &words, " || rc=1\n"]);
    }
    format!(
        "\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/bin HOME=/ NO_COLOR=1 FLOODWALL_BIN=/bin/{DAEMON} FLOODWALL_EMULATED=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmp /tmp
for module in /modules/*; do insmod $module; done
# busybox's shell prefers its own ip.
/usr/sbin/ip link set lo up
# Whoever started the machine may be gone.
(sleep {limit}; poweroff -f) &
rc=0
{DAEMON} doctor
{runs}echo \"{exit}$rc\"
poweroff -f
",
        limit = qemu::LIMIT.as_secs(),
        exit = qemu::EXIT,
    )
}

/// A word of the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_comes_behind_the_one_that_it_is_in() {
        let files = ["bin/busybox", "usr/lib/a.so", "usr/sbin/ip"];
        let expected = ["bin", "dev", "proc", "sys", "tmp", "usr", "usr/lib", "usr/sbin"];
        assert_eq!(folders(files.into_iter()), expected);
    }

    #[test]
    fn libraries_are_read_from_ldd() {
        let ldd =
            "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x7f)\n\t/lib64/ld.so.2 (0x7f)\n";
        assert_eq!(loaded(ldd), [PathBuf::from("/lib/x/libc.so.6"), "/lib64/ld.so.2".into()]);
        assert!(loaded("\tstatically linked\n").is_empty());
    }

    #[test]
    fn arguments_reach_the_tests_as_they_are() {
        let init = init(&["/tests/a".to_owned()], &["it's".into(), "x y".into()]);
        assert!(
            init.contains("\n/tests/a --test-threads=1 --show-output 'it'\\''s' 'x y' || rc=1\n"),
            "{init}"
        );
    }
}
