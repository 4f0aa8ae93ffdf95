//! The scripts in the toolchain's `bin`. They find their neighbours by their own path, so that the folder may move.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Where the real programs are.
pub(super) enum Origin {
    /// Inside the toolchain's folder: the compiler in `root/usr`, with its libraries in `root/usr/lib/<triplet>` and
    /// `root/lib/<triplet>`; the linker in `libexec`.
    Private { triplet: String, cargo: PathBuf },
    /// Installed by the user.
    Installed { rustc: PathBuf, linker: PathBuf, cargo: PathBuf },
}

/// Writes `rustc`, `cargo` and `bpf-linker` into the toolchain's `bin`.
pub(super) fn write(toolchain: &Path, origin: &Origin) -> Result<()> {
    let bin = &toolchain.join("bin");
    fs::create_dir_all(bin)?;
    // rustup takes no folder for a toolchain that has no `lib`.
    fs::create_dir_all(toolchain.join("lib"))?;
    let (rustc, linker, cargo) = match origin {
        Origin::Private { triplet, cargo } => {
            let libraries =
                format!("LD_LIBRARY_PATH=$here/../root/usr/lib/{triplet}:$here/../root/lib/{triplet} ");
            let program = |path: &str| format!("{libraries}exec \"$here/../{path}\" \"$@\"");
            (program("root/usr/bin/rustc"), program("libexec/bpf-linker"), cargo)
        }
        Origin::Installed { rustc, linker, cargo } => {
            let program = |path: &Path| format!("exec {} \"$@\"", quoted(path));
            (program(rustc), program(linker), cargo)
        }
    };
    // The compiler looks for its linker in PATH.
    script(bin, "rustc", &format!("export RUSTC_BOOTSTRAP=1 PATH=\"$here:$PATH\"\n{rustc}"))?;
    script(bin, "bpf-linker", &linker)?;
    script(bin, "cargo", &cargo_script(cargo))
}

/// A script whose `$here` is the folder that it lies in.
fn script(bin: &Path, name: &str, body: &str) -> Result<()> {
    let file = bin.join(name);
    fs::write(&file, format!("#!/bin/sh\nhere=${{0%/*}}\n{body}\n"))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Cargo set up for the kernel: core is built from source (no BPF target comes compiled), for the instruction set of
/// Linux 5.1 and later (`v3`: 32-bit operations and jumps), quietly since a build script listens. What would steer
/// the compiler from outside is cleared.
fn cargo_script(cargo: &Path) -> String {
    let cargo = quoted(cargo);
    [
        // Without the toolchain's name, or a rustup proxy would come back here.
        "unset RUSTUP_TOOLCHAIN RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_TARGET CARGO_BUILD_RUSTC_WRAPPER",
        "export RUSTC=\"$here/rustc\" RUSTC_WRAPPER= RUSTC_BOOTSTRAP=1",
        "export CARGO_UNSTABLE_BUILD_STD=core CARGO_TERM_QUIET=true",
        "flags=$CARGO_ENCODED_RUSTFLAGS",
        "export CARGO_ENCODED_RUSTFLAGS=\"${flags:+$flags$(printf '\\037')}-Ctarget-cpu=v3\"",
        &format!("cargo={cargo}"),
        "[ -x \"$cargo\" ] || cargo=$(command -v cargo)",
        "exec \"$cargo\" \"$@\"",
    ]
    .join("\n")
}

/// A path as one word of the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{capture, isolated};

    /// A folder with a quote and a space in its name, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("xtask it's {name} {}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Wraps a program that prints its arguments and the compiler's environment.
    fn wrapped(name: &str) -> Folder {
        let folder = Folder::new(name);
        let real = folder.0.join("real");
        script(&folder.0, "real", "echo \"$*|$RUSTC|$RUSTC_BOOTSTRAP|$CARGO_ENCODED_RUSTFLAGS|${PATH%%:*}\"")
            .unwrap();
        let origin = Origin::Installed { rustc: real.clone(), linker: real.clone(), cargo: real };
        write(&folder.0, &origin).unwrap();
        folder
    }

    #[test]
    fn arguments_pass_through_from_a_folder_with_a_quote_and_a_space() {
        let folder = wrapped("args");
        let said = capture(isolated(folder.0.join("bin/rustc")).args(["a b", "c"])).unwrap();
        assert_eq!(said, format!("a b c||1||{}\n", folder.0.join("bin").display()));
    }

    #[test]
    fn cargo_adds_the_instruction_set_and_takes_the_compiler_beside_it() {
        let folder = wrapped("cargo");
        let bin = folder.0.join("bin").display().to_string();
        let say = |flags: &str| {
            let mut cargo = isolated(folder.0.join("bin/cargo"));
            capture(cargo.env("CARGO_ENCODED_RUSTFLAGS", flags).env("PATH", "/usr/bin:/bin")).unwrap()
        };
        assert_eq!(say(""), format!("|{bin}/rustc|1|-Ctarget-cpu=v3|/usr/bin\n"));
        assert_eq!(say("-Cx"), format!("|{bin}/rustc|1|-Cx\x1f-Ctarget-cpu=v3|/usr/bin\n"));
    }
}
