//! Which XDP program an interface runs, whoever attached it.

use anyhow::Result;
use aya::programs::loaded_programs;
use filter_common::abi::name;

use super::{Mode, netlink};

/// An XDP program at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// How it runs.
    pub mode: Mode,
    /// Its id.
    pub id: u32,
    /// Its name, cut by the kernel at 15 bytes; empty where that cannot be read.
    pub name: String,
}

impl Attached {
    /// Whether it looks like ours.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.name == name::XDP
    }
}

/// The XDP program on `interface`, if there is one.
pub fn attached(interface: &str) -> Result<Option<Attached>> {
    let Some(found) = netlink::xdp(netlink::index(interface)?)? else { return Ok(None) };
    Ok(Some(Attached { mode: found.mode, id: found.program, name: program_name(found.program) }))
}

/// The name of a loaded program; empty where that cannot be read.
#[must_use]
pub fn program_name(id: u32) -> String {
    let mut programs = loaded_programs().filter_map(Result::ok);
    let program = programs.find(|program| program.id() == id);
    program.and_then(|program| program.name_as_str().map(str::to_owned)).unwrap_or_default()
}
