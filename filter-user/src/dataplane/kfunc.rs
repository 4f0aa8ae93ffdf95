//! Calls of kernel functions (kfuncs), resolved in the object's bytes before aya reads them.
//!
//! bpf-linker leaves `call -1` and an `R_BPF_64_32` relocation against an undefined symbol; aya 0.14 doesn't
//! resolve it. Where the running kernel's BTF has the function, the call becomes a kfunc call
//! (`BPF_PSEUDO_KFUNC_CALL`, RFC 9669 section 4.3.1, with the BTF id); elsewhere it becomes
//! `r0 = -EOPNOTSUPP`, so that the program still loads and says so at run time.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget,
    SectionKind, elf, read::elf::ElfFile64,
};

use super::btf;

/// Bytes of one instruction.
const INSTRUCTION: usize = 8;
/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;

/// Whether the running kernel has the kfunc `name`.
#[must_use]
pub fn available(name: &str) -> bool {
    id(name).is_some()
}

/// BTF id of the kernel function `name` of the running kernel, modules left out.
pub(super) fn id(name: &str) -> Option<u32> {
    btf::function(&fs::read("/sys/kernel/btf/vmlinux").ok()?, name)
}

/// A copy of `object` in which every kfunc call is resolved by `find`, which knows BTF ids by name.
///
/// Fails on bytes that are no 64-bit ELF file, or whose relocations point anywhere but at a call.
pub fn resolve(object: &[u8], find: impl Fn(&str) -> Option<u32>) -> Result<Vec<u8>> {
    let calls = calls(object)?;
    let mut bytes = object.to_vec();
    for (offset, name) in calls {
        let place = bytes.get_mut(offset..offset + INSTRUCTION).context("call outside of the file")?;
        place.copy_from_slice(&instruction(find(&name)));
    }
    Ok(bytes)
}

/// File offset and callee of every kfunc call.
fn calls(object: &[u8]) -> Result<Vec<(usize, String)>> {
    let elf = ElfFile64::<Endianness>::parse(object).context("not an ELF object")?;
    let mut calls = Vec::new();
    for section in elf.sections().filter(|section| section.kind() == SectionKind::Text) {
        let text = section.data().context("section data")?;
        let Some((start, _)) = section.file_range() else { continue };
        for (at, relocation) in section.relocations() {
            let Some(name) = undefined_callee(&elf, &relocation)? else { continue };
            ensure_call(text, at).with_context(|| format!("call of {name}"))?;
            calls.push((usize::try_from(start + at)?, name));
        }
    }
    Ok(calls)
}

fn undefined_callee(elf: &ElfFile64<'_>, relocation: &object::Relocation) -> Result<Option<String>> {
    let RelocationTarget::Symbol(index) = relocation.target() else { return Ok(None) };
    if relocation.flags() != (RelocationFlags::Elf { r_type: elf::R_BPF_64_32 }) {
        return Ok(None);
    }
    let symbol = elf.symbol_by_index(index).context("relocation without a symbol")?;
    if !symbol.is_undefined() {
        return Ok(None);
    }
    Ok(Some(symbol.name().context("symbol name")?.to_owned()))
}

/// The relocation's place is a whole, aligned call instruction.
fn ensure_call(text: &[u8], at: u64) -> Result<()> {
    let at = usize::try_from(at)?;
    ensure!(at.is_multiple_of(INSTRUCTION), "relocation at {at} is not aligned");
    match text.get(at..).and_then(|rest| rest.first_chunk::<INSTRUCTION>()) {
        Some([CALL, ..]) => Ok(()),
        Some(_) => bail!("no call instruction at {at}"),
        None => bail!("relocation at {at} lies outside of its section"),
    }
}

/// `call kfunc id`, or `r0 = -EOPNOTSUPP` without one.
fn instruction(id: Option<u32>) -> [u8; INSTRUCTION] {
    let (head, immediate) = match id {
        Some(id) => ([CALL, 0x20, 0, 0], id.to_le_bytes()),
        None => ([0xb7, 0, 0, 0], (-libc::EOPNOTSUPP).to_le_bytes()),
    };
    let mut bytes = [0; INSTRUCTION];
    bytes[..4].copy_from_slice(&head);
    bytes[4..].copy_from_slice(&immediate);
    bytes
}

#[cfg(test)]
mod tests;
