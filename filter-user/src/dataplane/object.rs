//! The eBPF objects that are built into this binary.

use std::sync::OnceLock;

use anyhow::{Context as _, Result};

use super::kfunc;

/// The filter: XDP and tc programs with their maps.
pub static FILTER: &[u8] = aya::include_bytes_aligned!(env!("FLOODWALL_FILTER_OBJECT"));

/// What `floodwall bench` measures with; empty if this binary was built around a compiled filter alone.
pub static BENCH: &[u8] = aya::include_bytes_aligned!(env!("FLOODWALL_BENCH_OBJECT"));

/// Programs of the demo and the tests.
pub static LAB: &[u8] = aya::include_bytes_aligned!(env!("FLOODWALL_LAB_OBJECT"));

/// [`FILTER`] with its kfunc calls resolved for the running kernel.
pub fn filter() -> Result<&'static [u8]> {
    static RESOLVED: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(bytes) = RESOLVED.get() {
        return Ok(bytes);
    }
    let bytes = kfunc::resolve(FILTER, kfunc::id).context("the built-in eBPF object")?;
    Ok(RESOLVED.get_or_init(|| bytes))
}

/// [`filter`] with an XDP program that takes only frames in one buffer.
///
/// In generic mode the kernel copies packets for a program that takes several, and tc ingress then sees no hand-over (found by trying on
/// Linux 6.18). The section's name is all that tells the loader: it is cut behind `xdp`, also where relocations and BTF name it.
pub fn filter_of_one_buffer() -> Result<&'static [u8]> {
    static CUT: OnceLock<Vec<u8>> = OnceLock::new();
    let whole = filter()?;
    Ok(CUT.get_or_init(|| cut(whole)))
}

const SECTION: &[u8] = b"xdp.frags\0";

fn cut(object: &[u8]) -> Vec<u8> {
    let mut cut = object.to_vec();
    let places: Vec<_> =
        object.windows(SECTION.len()).enumerate().filter(|(_, bytes)| *bytes == SECTION).collect();
    for (at, _) in places {
        cut[at + 3] = 0;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_one_buffer_is_the_same_program() {
        let frags = |object: &[u8]| {
            let object = aya_obj::Object::parse(object).unwrap();
            matches!(
                object.programs[filter_common::abi::name::XDP].section,
                aya_obj::ProgramSection::Xdp { frags: true, .. }
            )
        };
        assert!(frags(FILTER));
        assert!(!frags(&cut(FILTER)));
    }
}
