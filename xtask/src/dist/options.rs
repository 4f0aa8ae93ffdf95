//! What to build.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Result, anyhow, bail};

use crate::process;
use crate::{Handover, USAGE};

/// A machine that packages are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// x86-64
    Amd64,
    /// 64-bit ARM
    Arm64,
}

impl Architecture {
    /// The one that this runs on.
    pub(crate) fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Amd64, Self::Arm64].into_iter().find(|one| one.name() == name)
    }

    /// Debian's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Rust's name.
    pub(super) const fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    const fn gnu(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// The GNU tool for it, such as `aarch64-linux-gnu-gcc`.
    pub(super) fn tool(self, name: &str) -> String {
        if Self::host() == Some(self) { name.to_owned() } else { format!("{}-{name}", self.gnu()) }
    }

    /// Has cargo build for it.
    pub(crate) fn aim(self, cargo: &mut Command) -> Result<()> {
        if Self::host() != Some(self) {
            let triple = self.triple();
            self.ensure_toolchain()?;
            let linker = format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_"));
            cargo.args(["--target", triple]).env(linker, self.tool("gcc"));
        }
        Ok(())
    }

    /// Hands over what is missing to build for it on another machine.
    fn ensure_toolchain(self) -> Result<()> {
        let (gcc, triple) = (self.tool("gcc"), self.triple());
        let mut missing = Vec::new();
        if process::find(&gcc).is_none() {
            missing.push(format!(
                "apt-get install --no-install-recommends gcc-{} libc6-dev-{}-cross",
                self.gnu(),
                self.name()
            ));
        }
        let mut rustc = process::isolated("rustup");
        rustc.args(["target", "list", "--installed"]).current_dir(process::workspace());
        if !process::capture(&mut rustc).is_ok_and(|list| list.lines().any(|line| line == triple)) {
            missing.push(format!("rustup target add {triple}"));
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Handover(format!("building for {} needs\n    {}", self.name(), missing.join("\n    "))).into())
    }
}

/// The command line of the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) architecture: Architecture,
    /// Cargo's profile.
    pub(crate) profile: String,
    /// Number of this package among those of the same version.
    pub(crate) revision: u32,
}

impl Options {
    /// The usual package.
    pub(crate) fn new() -> Result<Self> {
        let host = Architecture::host().ok_or_else(|| anyhow!("name the machine: --arch amd64|arm64"))?;
        Ok(Self { architecture: host, profile: "release".to_owned(), revision: 1 })
    }

    pub(super) fn read(args: &[OsString]) -> Result<Self> {
        let mut options = Self::new()?;
        for pair in args.chunks(2) {
            let [option, value] = pair else { return Err(Handover(USAGE.to_owned()).into()) };
            let value = value.to_str().ok_or_else(|| anyhow!("{} is no text", value.display()))?;
            match option.to_str() {
                Some("--arch") => {
                    let Some(found) = Architecture::from_name(value) else {
                        bail!("--arch {value}: amd64 or arm64")
                    };
                    options.architecture = found;
                }
                Some("--profile") => value.clone_into(&mut options.profile),
                Some("--revision") => {
                    options.revision = value.parse().map_err(|_| anyhow!("--revision {value}: a number"))?;
                }
                _ => return Err(Handover(USAGE.to_owned()).into()),
            }
        }
        Ok(options)
    }

    /// Debian's version: ours and the package's.
    pub(crate) fn version(&self) -> String {
        format!("{}-{}", env!("CARGO_PKG_VERSION"), self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options> {
        Options::read(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = read("--arch arm64 --profile checked --revision 7").unwrap();
        assert_eq!((options.architecture, options.profile.as_str()), (Architecture::Arm64, "checked"));
        assert!(options.version().ends_with("-7"));
        assert_eq!(read("").unwrap(), Options::new().unwrap());
    }

    #[test]
    fn others_are_refused() {
        for line in ["--arch", "--arch mips", "--revision x", "--speed high"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
