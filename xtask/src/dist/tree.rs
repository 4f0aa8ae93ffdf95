//! The package's files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Options, elf, epoch, write};
use crate::process::{capture, isolated, workspace};

/// Files of the repository, or all in a folder of it, and the folder or the file that they become.
const FILES: [(&str, &str); 15] = [
    ("packaging/floodwall.service", "usr/lib/systemd/system/floodwall.service"),
    ("packaging/floodwall.sysusers", "usr/lib/sysusers.d/floodwall.conf"),
    ("packaging/debian/lintian-overrides", "usr/share/lintian/overrides/floodwall"),
    ("packaging/debian/copyright", "usr/share/doc/floodwall/copyright"),
    ("packaging/examples", "usr/share/doc/floodwall/examples"),
    ("README.md", "usr/share/doc/floodwall/README.md"),
    ("SECURITY.md", "usr/share/doc/floodwall/SECURITY.md"),
    ("docs/config.md", "usr/share/doc/floodwall/docs/config.md"),
    ("docs/metrics.md", "usr/share/doc/floodwall/docs/metrics.md"),
    ("docs/alerts.md", "usr/share/doc/floodwall/docs/alerts.md"),
    ("docs/notifications.md", "usr/share/doc/floodwall/docs/notifications.md"),
    ("docs/privacy.md", "usr/share/doc/floodwall/docs/privacy.md"),
    ("docs/package.md", "usr/share/doc/floodwall/docs/package.md"),
    ("docs/first-five-minutes.md", "usr/share/doc/floodwall/docs/first-five-minutes.md"),
    ("docs/floodwall.schema.json", "usr/share/floodwall/floodwall.schema.json"),
];

/// Shells, and where their completion scripts go.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/floodwall"),
    ("zsh", "usr/share/zsh/vendor-completions/_floodwall"),
    ("fish", "usr/share/fish/vendor_completions.d/floodwall.fish"),
];

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Where programs go.
const SBIN: &str = "usr/sbin";

/// Where what other programs read goes: `grafana` and `prometheus`.
const SHARE: &str = "usr/share/floodwall";

/// Puts everything that is packed below `root`; `native` is `floodwall` for this machine.
pub(super) fn lay_out(options: &Options, programs: &[PathBuf], native: &Path, root: &Path) -> Result<()> {
    let folder = root.join(SBIN);
    for program in programs {
        copy(program, &folder.join(program.file_name().context("a program without a name")?))?;
    }
    let strip = options.architecture.tool("strip");
    capture(isolated(strip).args(["--strip-unneeded", "--remove-section=.comment"]).args(files(&folder)?))?;
    for (from, to) in FILES {
        copy(&workspace().join(from), &root.join(to))?;
    }
    generate(native, root)?;
    changelogs(options, root)?;
    // Where the configuration goes; `floodwall init` writes it, since no file fits every host's interfaces.
    fs::create_dir_all(root.join("etc/floodwall"))?;
    control(options, &folder.join("floodwall"), root)?;
    permit(root)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return write(to, fs::read(from).with_context(|| format!("read {}", from.display()))?);
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// What the program writes itself: manual pages, completions, dashboards and alert rules.
fn generate(native: &Path, root: &Path) -> Result<()> {
    let pages = root.join("usr/share/man/man1");
    capture(isolated(native).args(["man", "--out"]).arg(&pages))?;
    capture(isolated("gzip").args(["-9", "-n", "-r"]).arg(&pages))?;
    capture(isolated(native).args(["support", "dashboards", "--out"]).arg(root.join(SHARE)))?;
    for (shell, path) in COMPLETIONS {
        write(&root.join(path), capture(isolated(native).args(["completion", shell]))?)?;
    }
    Ok(())
}

fn changelogs(options: &Options, root: &Path) -> Result<()> {
    let folder = root.join("usr/share/doc/floodwall");
    let date = capture(isolated("date").args(["-u", "-R", "-d", &format!("@{}", epoch()?)]))?;
    let entry = format!(
        "floodwall ({}) unstable; urgency=medium\n\n  * What changed in the program: changelog.gz\n\n -- {}  {}\n",
        options.version(),
        MAINTAINER,
        date.trim_end()
    );
    let (debian, upstream) = (folder.join("changelog.Debian"), folder.join("changelog"));
    write(&debian, entry)?;
    copy(&workspace().join("CHANGELOG.md"), &upstream)?;
    capture(isolated("gzip").args(["-9", "-n"]).args([debian, upstream])).map(drop)
}

/// Who answers for the package.
const MAINTAINER: &str = "The Floodwall contributors <floodwall@users.noreply.github.com>";

fn control(options: &Options, program: &Path, root: &Path) -> Result<()> {
    let folder = workspace().join("packaging/debian");
    let template = fs::read_to_string(folder.join("control.in"))?;
    let files = files(root)?;
    let bytes: u64 =
        files.iter().map(|file| Ok(file.metadata()?.len().next_multiple_of(1024))).sum::<Result<u64>>()?;
    let filled = template
        .replace("@VERSION@", &options.version())
        .replace("@ARCHITECTURE@", options.architecture.name())
        .replace("@SIZE@", &(bytes / 1024).to_string())
        .replace("@MAINTAINER@", MAINTAINER)
        .replace("@DEPENDS@", &elf::depends(program)?);
    // `debsums` and `dpkg --verify` go by it.
    let relative: Vec<_> = files.iter().filter_map(|file| file.strip_prefix(root).ok()).collect();
    let sums = capture(isolated("md5sum").args(relative).current_dir(root))?;
    write(&root.join("DEBIAN/control"), filled)?;
    write(&root.join("DEBIAN/md5sums"), sums)?;
    for script in SCRIPTS {
        copy(&folder.join(script), &root.join("DEBIAN").join(script))?;
    }
    Ok(())
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Modes do not depend on the builder's umask.
fn permit(root: &Path) -> Result<()> {
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    for file in files(root)? {
        let runs = file.starts_with(root.join(SBIN))
            || SCRIPTS.iter().any(|script| file.ends_with(Path::new("DEBIAN").join(script)));
        set(&file, if runs { 0o755 } else { 0o644 })?;
        for folder in file.ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
            set(folder, 0o755)?;
        }
    }
    for folder in ["etc", "etc/floodwall"] {
        set(&root.join(folder), 0o755)?;
    }
    Ok(())
}
