//! For tests: generated files.

use std::{env, ffi::OsString, fs, path::Path, process::Command};

/// Asserts that `docs/{name}` is `text`, or makes it so with `FLOODWALL_BLESS=1`.
pub(crate) fn is_current(name: &str, text: &str) {
    is_current_at(&format!("docs/{name}"), text);
}

/// The same for a path from the workspace's folder on.
pub(crate) fn is_current_at(place: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(place);
    if env::var_os("FLOODWALL_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{place} is out of date: FLOODWALL_BLESS=1 cargo test -p filter-user");
}

/// Prometheus' own tool: `PROMTOOL`, which `cargo xtask` sets, or what is in the path; `None` where there is none.
pub(crate) fn promtool() -> Option<OsString> {
    let named = env::var_os("PROMTOOL");
    let is_there = |tool: &OsString| Command::new(tool).arg("--version").output().is_ok();
    let found = Some(named.clone().unwrap_or_else(|| "promtool".into())).filter(is_there);
    assert!(found.is_some() || named.is_none(), "PROMTOOL names no promtool: {named:?}");
    found
}
