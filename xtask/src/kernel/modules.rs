//! Which kernel modules the machine loads, and in which order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What the laboratory uses: the wire, the qdisc and filter of tc programs.
pub(super) const WANTED: [&str; 4] = ["veth", "sch_ingress", "cls_bpf", "act_bpf"];

/// Module files by name, as below `lib/modules`.
pub(super) fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if let Some(name) = name(&entry.file_name().to_string_lossy()) {
                found.insert(name, entry.path());
            }
        }
    }
    Ok(found)
}

/// `cls_bpf` of `cls_bpf.ko.xz`; a hyphen in a file's name stands for an underscore.
fn name(file: &str) -> Option<String> {
    let stem = file.split_once(".ko").filter(|(_, end)| matches!(*end, "" | ".xz"))?.0;
    Some(stem.replace('-', "_"))
}

/// The wanted modules and all that they depend on, each behind what it depends on. `read` returns a module's bytes;
/// `None` stands for what is built in.
pub(super) fn ordered(
    wanted: &[&str],
    mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<(String, Vec<u8>)>> {
    let mut loaded = Vec::new();
    for name in wanted {
        place(name, &mut loaded, &mut read)?;
    }
    Ok(loaded)
}

fn place(
    name: &str,
    loaded: &mut Vec<(String, Vec<u8>)>,
    read: &mut impl FnMut(&str) -> Result<Option<Vec<u8>>>,
) -> Result<()> {
    if loaded.iter().any(|(other, _)| other == name) {
        return Ok(());
    }
    let Some(bytes) = read(name)? else { return Ok(()) };
    for other in depends(&bytes) {
        place(&other, loaded, read)?;
    }
    loaded.push((name.to_owned(), bytes));
    Ok(())
}

/// `depends=a,b` in a module's `.modinfo` section, whose strings end in a zero; the kernel's build allows no cycles.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str) -> Option<Vec<u8>> {
        let depends = match name {
            "conntrack" => "defrag4,defrag6,crc",
            "defrag6" => "crc",
            "built_in" => return None,
            _ => "",
        };
        Some(format!("\x7fELF\0license=GPL\0depends={depends}\0name={name}\0").into_bytes())
    }

    fn names(wanted: &[&str]) -> Vec<String> {
        ordered(wanted, |name| Ok(module(name))).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_module_comes_behind_what_it_depends_on_and_once() {
        assert_eq!(names(&["veth", "conntrack", "crc"]), ["veth", "defrag4", "crc", "defrag6", "conntrack"]);
        assert_eq!(names(&["built_in"]), [""; 0]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        assert!(ordered(&["veth"], |_| anyhow::bail!("gone")).is_err());
    }

    #[test]
    fn modules_are_known_by_the_kernels_names() {
        assert_eq!(name("act_bpf.ko").as_deref(), Some("act_bpf"));
        assert_eq!(name("virtio-net.ko.xz").as_deref(), Some("virtio_net"));
        assert_eq!(name("modules.builtin"), None);
        assert_eq!(name("a.ko.sig"), None);
    }
}
