//! Which of the distribution's packages make an eBPF compiler: pure choice, by what `apt-cache` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The LLVM releases that the bpf-linker of this project can be built against.
pub(crate) const LLVM: RangeInclusive<u32> = 21..=23;

/// Direct dependencies by package.
type Graph = BTreeMap<String, Vec<String>>;

/// A compiler that the distribution offers, with the source of its core library.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// The package with the compiler, such as `rustc-web`.
    pub rustc: String,
    /// The package with the library's source, such as `rust-web-src`.
    pub source: String,
    /// Y of the compiler's version 1.Y.
    pub minor: u32,
    /// Major version of its LLVM.
    pub llvm: u32,
    /// What the compiler needs, itself included, without the C tool chain and libc.
    needs: BTreeSet<String>,
}

impl Compiler {
    /// Reads `apt-cache depends --recurse` of the package `rustc`.
    pub(crate) fn new(rustc: &str, depends: &str) -> Option<Self> {
        let needs = closure(rustc, &graph(depends));
        let minor = needs
            .iter()
            .find_map(|name| name.strip_prefix("libstd-rust-")?.rsplit_once("1.")?.1.parse().ok())?;
        let llvm = needs.iter().find_map(|name| name.strip_prefix("libllvm")?.parse().ok())?;
        let source = format!("{}-src", rustc.replacen("rustc", "rust", 1));
        Some(Self { rustc: rustc.to_owned(), source, minor, llvm, needs })
    }

    /// Whether the workspace and bpf-linker can use it; `oldest` is the Y of the workspace's rust-version 1.Y.
    pub(crate) fn fits(&self, oldest: u32) -> bool {
        self.minor >= oldest && LLVM.contains(&self.llvm)
    }

    /// The packages to unpack: all of the compiler, and of its libraries those that the system does not have.
    pub(crate) fn to_unpack(&self, installed: &BTreeSet<String>) -> Vec<String> {
        let own =
            |name: &str| name == self.rustc || name.starts_with("libstd-rust") || name.starts_with("libllvm");
        let needed = self.needs.iter().filter(|name| own(name) || !installed.contains(*name)).cloned();
        needed.chain([self.source.clone()]).collect()
    }
}

/// The newest compiler that fits.
pub(crate) fn best(compilers: impl IntoIterator<Item = Compiler>, oldest: u32) -> Option<Compiler> {
    compilers.into_iter().filter(|compiler| compiler.fits(oldest)).max_by_key(|compiler| compiler.minor)
}

/// The compilers among package names: `rustc`, `rustc-web`, `rustc-1.95`.
pub(crate) fn compilers_among(names: &str) -> Vec<&str> {
    let versioned =
        |name: &str| name.strip_prefix("rustc-1.").is_some_and(|minor| minor.parse::<u32>().is_ok());
    let mut found: Vec<&str> =
        names.lines().filter(|name| matches!(*name, "rustc" | "rustc-web") || versioned(name)).collect();
    found.sort_unstable();
    found
}

/// The package and everything that it needs, by `apt-cache depends --recurse`; see [`closure`].
pub(crate) fn needs(package: &str, depends: &str) -> BTreeSet<String> {
    closure(package, &graph(depends))
}

/// Y of a version `1.Y` or `1.Y.Z`.
pub(crate) fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

/// Names of installed packages, by `dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n'`.
pub(crate) fn installed(status: &str) -> BTreeSet<String> {
    status.lines().filter_map(|line| line.strip_prefix("ii ")).map(|name| name.trim().to_owned()).collect()
}

/// A package file that apt would download.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Deb {
    /// Its file name, which holds package, version and architecture.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Reads `apt-get download --print-uris`: lines of `'uri' file size hash`.
pub(crate) fn debs(uris: &str) -> Vec<Deb> {
    let deb = |line: &str| {
        let mut fields = line.split(' ');
        let (file, size) = (fields.nth(1)?, fields.next()?);
        Some(Deb { file: file.to_owned(), size: size.parse().ok()? })
    };
    uris.lines().filter(|line| line.starts_with('\'')).filter_map(deb).collect()
}

/// A package's line starts in the first column; `  Depends: name` and `  PreDepends: name` follow it. Alternatives
/// (` |Depends:`), virtual packages (`<name>`) and their providers are not followed: no compiler needs them.
fn graph(depends: &str) -> Graph {
    let mut graph = Graph::new();
    let mut package = String::new();
    for line in depends.lines() {
        if !line.starts_with(' ') {
            line.clone_into(&mut package);
        } else if let Some(name) =
            line.trim_start().strip_prefix("Depends: ").or_else(|| line.strip_prefix("  PreDepends: "))
        {
            graph.entry(package.clone()).or_default().push(name.to_owned());
        }
    }
    graph
}

/// Everything that `start` needs, not going into the C tool chain and libc: whoever runs cargo has them.
fn closure(start: &str, graph: &Graph) -> BTreeSet<String> {
    let given =
        |name: &str| name.starts_with('<') || matches!(name, "gcc" | "binutils" | "libc6" | "libgcc-s1");
    let mut found = BTreeSet::new();
    let mut open = vec![start];
    while let Some(name) = open.pop() {
        if !given(name) && found.insert(name.to_owned()) {
            open.extend(graph.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDS: &str = "\
rustc-web
  Depends: libc6
  Depends: libstd-rust-web-dev
  Depends: gcc
  Depends: <libc-dev>
    libc6-dev
libc6
  Depends: libgcc-s1
libstd-rust-web-dev
  Depends: libstd-rust-web-1.96
gcc
  Depends: cpp
<libc-dev>
libstd-rust-web-1.96
  Depends: libllvm22
libllvm22
  Depends: libxml2
  Depends: libz3-4
libxml2
  Depends: libicu72
";

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn compiler() -> Compiler {
        Compiler::new("rustc-web", DEPENDS).unwrap()
    }

    #[test]
    fn version_source_and_llvm_follow_from_the_dependencies() {
        let compiler = compiler();
        assert_eq!((compiler.source.as_str(), compiler.minor, compiler.llvm), ("rust-web-src", 96, 22));
    }

    #[test]
    fn only_missing_libraries_are_unpacked_but_always_the_whole_compiler() {
        let own = ["libllvm22", "libstd-rust-web-1.96", "libstd-rust-web-dev", "rustc-web", "rust-web-src"];
        assert_eq!(compiler().to_unpack(&set(&["libxml2", "libicu72", "libz3-4", "libllvm22"])), own);
        let bare = compiler().to_unpack(&set(&[]));
        assert_eq!(bare.len(), own.len() + 3);
        assert!(!bare.iter().any(|name| matches!(name.as_str(), "gcc" | "libc6" | "cpp" | "libc6-dev")));
    }

    #[test]
    fn the_newest_compiler_with_a_usable_llvm_wins() {
        let with = |minor, llvm| Compiler { minor, llvm, ..compiler() };
        let best = best([with(95, 21), with(96, 22), with(99, *LLVM.end() + 1), with(94, 21)], 95).unwrap();
        assert_eq!(best.minor, 96);
        assert!(!with(96, 20).fits(95) && !with(94, 22).fits(95));
    }

    #[test]
    fn a_package_that_apt_does_not_know_is_no_compiler() {
        assert_eq!(Compiler::new("rustc-web", ""), None);
    }

    #[test]
    fn compilers_are_told_from_their_neighbours() {
        let names = "rustc-web\nrustc\nrustc-1.95-doc\nrustc-1.95\nrustcode\nrustc-web-dbgsym\n";
        assert_eq!(compilers_among(names), ["rustc", "rustc-1.95", "rustc-web"]);
    }

    #[test]
    fn versioned_packages_have_versioned_sources() {
        let depends = DEPENDS.replace("rustc-web", "rustc-1.96").replace("rust-web", "rust");
        assert_eq!(Compiler::new("rustc-1.96", &depends).unwrap().source, "rust-1.96-src");
    }

    #[test]
    fn minors_are_read_from_versions() {
        assert_eq!(minor("1.95"), Some(95));
        assert_eq!(minor("1.95.2"), Some(95));
        assert_eq!(minor("2.0"), None);
    }

    #[test]
    fn half_installed_packages_do_not_count() {
        assert_eq!(installed("ii  libxml2\nrc  libz3-4\nun  curl\n"), set(&["libxml2"]));
    }

    #[test]
    fn debs_are_read_from_uris() {
        let uris = "Reading..\n'http://mirror/pool/l/libllvm22_22.1%7edeb.deb' libllvm22_1%3a22.1_amd64.deb 29378692 SHA256:72\n";
        assert_eq!(debs(uris), [Deb { file: "libllvm22_1%3a22.1_amd64.deb".to_owned(), size: 29_378_692 }]);
    }
}
