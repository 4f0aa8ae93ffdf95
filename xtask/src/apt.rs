//! The distribution's package lists and downloads. Nothing here installs, so nothing here needs root.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::cache::Cache;
use crate::packages::{self, Compiler, Deb};
use crate::process::{self, capture, isolated};
use crate::progress::Step;
use crate::releases;

/// The keys of all of Debian's releases.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with the system's package lists, or with private ones that anybody may refresh.
pub(crate) struct Apt {
    options: Vec<OsString>,
}

impl Apt {
    /// Whether this system has packages at all.
    pub(crate) fn is_here() -> bool {
        ["apt-get", "apt-cache", "dpkg-query", "dpkg-deb", "tar"]
            .iter()
            .all(|tool| process::find(tool).is_some())
    }

    /// The system's lists, as they are.
    pub(crate) fn system(cache: &Cache) -> Result<Self> {
        let dir = cache.apt();
        fs::create_dir_all(&dir)?;
        // Root's downloads need not change user: they go to root's own cache folder.
        let mut apt = Self { options: ["-o", "APT::Sandbox::User=root"].map(OsString::from).to_vec() };
        // Every call would read all lists again where the system keeps no such files, as container images do.
        apt.set("Dir::Cache::pkgcache", &dir.join("pkgcache.bin"));
        apt.set("Dir::Cache::srcpkgcache", &dir.join("srcpkgcache.bin"));
        Ok(apt)
    }

    /// Lists of our own in the cache folder, refreshed now. Sources that fail are left out, as apt does it: what
    /// counts is whether the wanted package is found afterwards.
    pub(crate) fn refreshed(cache: &Cache, step: &Step<'_>) -> Result<Self> {
        let apt = Self::private(cache)?;
        apt.refresh(step);
        Ok(apt)
    }

    /// Fresh lists of another release of Debian, from the mirrors that the system uses for its own; nothing else.
    pub(crate) fn of_release(cache: &Cache, step: &Step<'_>, release: &str) -> Result<Self> {
        const FIELDS: &str = "$(SITE) $(RELEASE) $(COMPONENT) $(ORIGIN)";
        let mut query = Self::system(cache)?.command("apt-get");
        let targets = capture(query.args(["indextargets", "--format", FIELDS, "Created-By: Packages"]))?;
        let keys = Some(KEYRING).filter(|path| Path::new(path).is_file());
        let mut apt = Self::private(cache)?;
        let list = cache.apt().join("sources.list");
        fs::write(&list, releases::sources_of(&targets, release, keys))?;
        apt.set("Dir::Etc::SourceList", &list);
        apt.set("Dir::Etc::SourceParts", Path::new("/dev/null"));
        apt.refresh(step);
        Ok(apt)
    }

    /// Empty lists of our own.
    fn private(cache: &Cache) -> Result<Self> {
        let dir = cache.apt();
        fs::create_dir_all(dir.join("lists/partial"))?;
        fs::create_dir_all(dir.join("cache/archives/partial"))?;
        let mut apt = Self::system(cache)?;
        apt.set("Dir::State::Lists", &dir.join("lists"));
        apt.set("Dir::Cache", &dir.join("cache"));
        Ok(apt)
    }

    fn refresh(&self, step: &Step<'_>) {
        let mut update = self.command("apt-get");
        if let Err(error) = step.run(update.arg("update"), || "reading package lists".to_owned()) {
            step.say(&format!("note: {error:#}"));
        }
    }

    fn set(&mut self, key: &str, value: &Path) {
        let mut option = OsString::from(key);
        option.push("=");
        option.push(value);
        self.options.extend(["-o".into(), option]);
    }

    fn command(&self, program: &str) -> Command {
        let mut command = isolated(process::find(program).unwrap_or_else(|| PathBuf::from(program)));
        command.args(&self.options);
        command
    }

    /// The best compiler in the lists; `oldest` is the Y of the oldest usable version 1.Y.
    pub(crate) fn compiler(&self, oldest: u32) -> Result<Option<Compiler>> {
        let names = self.names("rustc")?;
        let mut offers = Vec::new();
        for name in packages::compilers_among(&names) {
            offers.extend(Compiler::new(name, &self.depends(name)?));
        }
        Ok(packages::best(offers, oldest))
    }

    /// The newest package with a kernel of that series for virtual machines, such as 6.1.
    pub(crate) fn kernel(&self, series: &str) -> Result<Option<String>> {
        let names = self.names("linux-image-")?;
        let offered = |name: &&str| self.debs(&[(*name).to_owned()]).is_ok_and(|debs| debs.len() == 1);
        Ok(releases::kernels_among(&names, series).into_iter().find(offered).map(str::to_owned))
    }

    /// The package, and what it needs that is not installed.
    pub(crate) fn with_needs(&self, package: &str) -> Result<Vec<String>> {
        let installed = installed()?;
        let needs = packages::needs(package, &self.depends(package)?);
        Ok(needs.into_iter().filter(|name| name == package || !installed.contains(name)).collect())
    }

    /// Names of packages that start so, one a line; names that are only mentioned are among them.
    fn names(&self, start: &str) -> Result<String> {
        capture(self.command("apt-cache").args(["pkgnames", start]))
    }

    fn depends(&self, package: &str) -> Result<String> {
        const ONLY_NEEDED: [&str; 6] =
            ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
        let mut query = self.command("apt-cache");
        query
            .args(["depends", "--recurse"])
            .args(ONLY_NEEDED.map(|kind| format!("--no-{kind}")))
            .arg(package);
        capture(&mut query)
    }

    /// File names and sizes of what [`Self::download`] would fetch.
    pub(crate) fn debs(&self, names: &[String]) -> Result<Vec<Deb>> {
        // In a folder without packages: apt prints no line for a file that is there already.
        let mut query = self.command("apt-get");
        query.args(["download", "--print-uris"]).args(names).current_dir("/");
        Ok(packages::debs(&capture(&mut query)?))
    }

    /// Downloads packages into `dir`; apt checks their hashes and goes on where it was interrupted.
    pub(crate) fn download(&self, names: &[String], total: u64, dir: &Path, step: &Step<'_>) -> Result<()> {
        fs::create_dir_all(dir)?;
        let mut fetch = self.command("apt-get");
        fetch.args(["-q", "download"]).args(names).current_dir(dir);
        step.run(&mut fetch, || format!("{} of {}", megabytes(size_of_files(dir)), megabytes(total)))
    }
}

/// Names of the packages that are installed.
pub(crate) fn installed() -> Result<BTreeSet<String>> {
    let status = capture(isolated("dpkg-query").args(["-W", "-f", "${db:Status-Abbrev} ${Package}\n"]))?;
    Ok(packages::installed(&status))
}

fn size_of_files(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

/// Bytes as megabytes, rounded up.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}
