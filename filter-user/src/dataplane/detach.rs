//! The way back: everything that an apply has left on the host.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{
    commit::detach_filters,
    object,
    pins::{Hook, Pins, exists, remove_folder},
    schema::Schema,
    slots::{self, Slots},
    xdp,
};

/// Detaches from every interface and removes all pins below `root`, also those of other versions.
///
/// Returns what was done (with `dry`: what would be), one line each; nothing at all the second time.
pub fn detach(root: &Path, dry: bool) -> Result<Vec<String>> {
    if !exists(root) {
        return Ok(Vec::new());
    }
    let schema = Schema::of(object::FILTER)?;
    let pins = Pins::at(root, &schema.layout())?;
    let _lock = pins.lock()?;
    let mut done = Vec::new();
    let layouts = pins.layouts()?;
    let names = names(&layouts)?;
    for (ifindex, pin) in pins.all_links()? {
        if !dry {
            xdp::detach(&pin)?;
        }
        let ends = |hook: &Hook| pin.as_os_str().as_encoded_bytes().ends_with(hook.suffix().as_bytes());
        let hook = Hook::ALL.iter().find(|hook| ends(hook)).map_or("a link", |hook| hook.label());
        let name = names.get(&ifindex).map_or_else(|| format!("interface {ifindex}"), Clone::clone);
        let what = if dry { "would detach" } else { "detached" };
        done.push(format!("{what} {hook} from {name}"));
    }
    if dry {
        done.extend(layouts.iter().map(|layout| format!("would remove {}", layout.display())));
        return Ok(done);
    }
    for layout in layouts {
        remove_filters(&layout, &mut done)?;
        remove_folder(&layout)?;
        done.push(format!("removed {}", layout.display()));
    }
    remove_folder(&pins.links)?;
    // Anything else in there is not ours; the folder then stays.
    let _ = std::fs::remove_dir(&pins.root);
    Ok(done)
}

fn remove_filters(layout: &Path, done: &mut Vec<String>) -> Result<()> {
    let path = layout.join(slots::NAME);
    if !exists(&path) {
        return Ok(());
    }
    for record in Slots::open(&path)?.records()? {
        let count = if record.ifindex == 0 { 0 } else { detach_filters(&record)? };
        done.extend((0..count).map(|_| format!("deleted the clsact filter of {}", record.name)));
    }
    Ok(())
}

/// Names by index as they were when attached: today another interface, or one of another network namespace, may
/// have that index.
fn names(layouts: &[PathBuf]) -> Result<HashMap<u32, String>> {
    let mut names = HashMap::new();
    for path in layouts.iter().map(|layout| layout.join(slots::NAME)).filter(|path| exists(path)) {
        let records = Slots::open(&path)?.records()?;
        names.extend(records.into_iter().map(|record| (record.ifindex, record.name)));
    }
    Ok(names)
}
