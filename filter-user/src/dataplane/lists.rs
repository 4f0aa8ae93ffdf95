//! Fills the tables of the allow and block lists, before any program runs on them.

use std::{sync::atomic::Ordering::Relaxed, time::Instant};

use anyhow::{Context as _, Result, ensure};
use aya::{Ebpf, maps::Map};
use filter_common::{
    abi::name,
    list::{
        Page,
        build::{bits_of, build_v4, build_v6},
    },
};
use tracing::info;

use super::{mapping::Mapping, plan::Lists};

/// Writes the tables of a freshly loaded object.
pub(super) fn fill(programs: &Ebpf, lists: &Lists) -> Result<()> {
    let start = Instant::now();
    if !lists.v4.is_empty() {
        fill_v4(programs, lists)?;
    }
    if !lists.v6.is_empty() {
        fill_v6(programs, lists)?;
    }
    let [allow, block] = lists.prefixes;
    if lists.v4.len() + lists.v6.len() > 0 {
        info!(
            allow = allow.v4 + allow.v6,
            block = block.v4 + block.v6,
            "lists: tables written in {} ms",
            start.elapsed().as_millis()
        );
    }
    Ok(())
}

fn fill_v4(programs: &Ebpf, lists: &Lists) -> Result<()> {
    let [bits, records, pages] =
        [name::LIST_BITS, name::LIST_RECORDS, name::LIST_PAGES].map(|name| mapping(programs, name));
    let (bits, records, pages) = (bits?, records?, pages?);
    let (mut written, room) = (0, pages.words().len() / Page::default().0.len());
    build_v4(
        &lists.v4,
        |index, record| {
            let (word, more) = bits_of(index, record.codes);
            bits.words()[word as usize].fetch_or(more, Relaxed);
            set(&records, index, &[record.codes, u64::from(record.base)]);
        },
        |index, page| {
            written = index as usize + 1;
            if written <= room {
                set(&pages, index, &page.0);
            }
        },
    );
    ensure!(written <= room, "{written} pages of the IPv4 lists, room for {room}");
    Ok(())
}

fn fill_v6(programs: &Ebpf, lists: &Lists) -> Result<()> {
    let nodes = mapping(programs, name::LIST_NODES)?;
    for (index, node) in (0..).zip(build_v6(&lists.v6)) {
        let mut words = [0; 16];
        words[..14].copy_from_slice(node.keys.as_flattened());
        words[14..].copy_from_slice(&[node.codes, node.first]);
        set(&nodes, index, &words);
    }
    Ok(())
}

fn set(mapping: &Mapping, index: u32, words: &[u64]) {
    let start = index as usize * words.len();
    for (place, word) in mapping.words()[start..].iter().zip(words) {
        place.store(*word, Relaxed);
    }
}

fn mapping(programs: &Ebpf, name: &str) -> Result<Mapping> {
    match programs.map(name) {
        Some(Map::Array(map)) => Mapping::writable(map).context(name.to_owned()),
        _ => anyhow::bail!("no array {name}"),
    }
}
