//! Which of the distribution's packages hold a kernel, and where another of its releases is: pure choice, as in
//! [`crate::packages`].

use std::collections::BTreeSet;

/// The kernels of a series such as 6.1 among package names, newest first: those made for virtual machines, which
/// have few drivers. The series' own package has no kernel and comes last.
pub(crate) fn kernels_among<'a>(names: &'a str, series: &str) -> Vec<&'a str> {
    let release = |name: &'a str| {
        let release = name.strip_prefix("linux-image-")?.strip_suffix("-cloud-amd64")?;
        release.strip_prefix(series).filter(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+']))
    };
    let mut found: Vec<&str> = names.lines().filter(|name| release(name).is_some()).collect();
    found.sort_by_key(|name| std::cmp::Reverse(numbers(name)));
    found
}

/// The numbers in a name, by which releases are compared.
fn numbers(name: &str) -> Vec<u64> {
    let release = name.split("-cloud").next().unwrap_or_default();
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// One-line sources of another release of Debian, by lines of `site release component origin` for the present one:
/// `bookworm-security` for `trixie-security`, from the same mirror, signed by a key in the file `keys`.
pub(crate) fn sources_of(targets: &str, release: &str, keys: Option<&str>) -> String {
    let signed = keys.map_or(String::new(), |keys| format!("[signed-by={keys}] "));
    let mut sources = BTreeSet::new();
    for target in targets.lines() {
        if let [site, suite, component, "Debian"] = target.split(' ').collect::<Vec<_>>()[..] {
            let pocket = suite.split_once('-').map_or("", |(_, pocket)| pocket);
            if matches!(pocket, "" | "security" | "updates") {
                let dash = if pocket.is_empty() { "" } else { "-" };
                sources.insert(format!("deb {signed}{site} {release}{dash}{pocket} {component}\n"));
            }
        }
    }
    sources.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_a_series_come_newest_first() {
        let names = "linux-image-6.1.0-9-cloud-amd64\nlinux-image-6.12-cloud-amd64\n\
            linux-image-6.1.0-10-cloud-amd64\nlinux-image-6.1.0-11-cloud-amd64-unsigned\n\
            linux-image-6.1.0-12-amd64\nlinux-image-6.12.9+deb12-cloud-amd64\nlinux-image-cloud-amd64\n";
        let short = |series| {
            let found = kernels_among(names, series).into_iter();
            found.map(|name| name.trim_start_matches("linux-image-").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(short("6.1"), ["6.1.0-10-cloud-amd64", "6.1.0-9-cloud-amd64"]);
        assert_eq!(short("6.12"), ["6.12.9+deb12-cloud-amd64", "6.12-cloud-amd64"]);
        assert!(short("6.2").is_empty());
    }

    #[test]
    fn another_release_comes_from_the_same_mirrors() {
        let targets = "http://m/debian trixie main Debian\nhttp://m/debian trixie-updates main Debian\n\
            http://s/security trixie-security main Debian\nhttp://other stable main Other\n";
        let expected = "deb http://m/debian bookworm main\ndeb http://m/debian bookworm-updates main\n\
            deb http://s/security bookworm-security main\n";
        assert_eq!(sources_of(targets, "bookworm", None), expected);
        assert_eq!(sources_of("http://m/ubuntu noble main Ubuntu\n", "bookworm", None), "");
        let signed = sources_of("http://m/debian sid main Debian\n", "bookworm", Some("/k.gpg"));
        assert_eq!(signed, "deb [signed-by=/k.gpg] http://m/debian bookworm main\n");
    }
}
