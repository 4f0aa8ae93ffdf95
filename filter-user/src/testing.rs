//! For tests: generated files.

use std::{fs, path::Path};

/// Asserts that `docs/{name}` is `text`, or makes it so with `FLOODWALL_BLESS=1`.
pub(crate) fn is_current(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("FLOODWALL_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/{name} is out of date: FLOODWALL_BLESS=1 cargo test -p filter-user");
}
