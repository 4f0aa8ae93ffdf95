//! A toolchain that the user has: a nightly with the source of core, and a bpf-linker that can read its bitcode.

use std::fs;
use std::path::{Path, PathBuf};

use super::wrappers::Origin;
use super::{Sources, has_core_source, llvm_major};
use crate::process::{capture, find as find_program, isolated};

/// The nightly, unless a part is missing or too old.
pub(super) fn find() -> Option<Sources> {
    let rustc = which("rustc")?;
    let cargo = which("cargo")?;
    let sysroot = capture(isolated(&rustc).args(["--print", "sysroot"])).ok()?;
    if !has_core_source(Path::new(sysroot.trim_end())) {
        return None;
    }
    let linker = find_program("bpf-linker")?;
    let version = capture(isolated(&rustc).arg("-vV")).ok()?;
    if linker_llvm(&fs::read(&linker).ok()?)? < llvm_major(&version)? {
        eprintln!("note: {} is built with an LLVM older than the nightly's; not used", linker.display());
        return None;
    }
    let what = format!("the nightly with {}", linker.display());
    Some(Sources { origin: Origin::Installed { rustc, linker, cargo }, what })
}

fn which(program: &str) -> Option<PathBuf> {
    let path = capture(isolated("rustup").args(["which", "--toolchain", "nightly", program])).ok()?;
    Some(path.trim_end().into())
}

/// The LLVM major in a bpf-linker's bytes (it has no option to ask for it): the shared library's name, or the
/// version with which a static LLVM signs its bitcode (`LLVM22.1.4`).
fn linker_llvm(binary: &[u8]) -> Option<u32> {
    const MARKS: [&[u8]; 3] = [b"libLLVM.so.", b"libLLVM-", b"LLVM"];
    MARKS.iter().find_map(|mark| majors_after(binary, mark).max())
}

/// Two-digit numbers right after `mark` that a dot follows.
fn majors_after<'a>(binary: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
    binary.windows(mark.len() + 3).filter_map(move |window| match window.strip_prefix(mark)? {
        [tens, ones, b'.'] if tens.is_ascii_digit() && ones.is_ascii_digit() => {
            Some(u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linkers_llvm_is_read_from_its_bytes() {
        assert_eq!(linker_llvm(b"\0libLLVM.so.22.1\0"), Some(22));
        assert_eq!(linker_llvm(b"\0libLLVM-21.so.1\0"), Some(21));
        assert_eq!(linker_llvm(b"LLVM0700\0LLVM22.1.4-rust-1.97\0"), Some(22));
        assert_eq!(linker_llvm(b"LLVM 22.1"), None);
    }
}
