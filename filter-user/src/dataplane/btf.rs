//! Looks a function up in raw BTF, without a parse of the other 150,000 types.
//!
//! A daemon that starts during an attack has no 0.15 s of a busy core to spare for a whole parse. Layout:
//! Linux, Documentation/bpf/btf.rst.

/// `BTF_KIND_FUNC`.
const FUNC: u32 = 12;
const MAGIC: u32 = 0xeb9f;

/// The id of the function `name`; `None` as well for bytes that are no BTF or hold a kind that is not known.
pub(super) fn function(btf: &[u8], name: &str) -> Option<u32> {
    if word(btf, 0)? & 0xffff != MAGIC {
        return None;
    }
    let header = word(btf, 4)?;
    let types = section(btf, header, word(btf, 8)?, word(btf, 12)?)?;
    let strings = section(btf, header, word(btf, 16)?, word(btf, 20)?)?;
    let (mut at, mut id) = (0, 1);
    while at < types.len() {
        let info = word(types, at + 4)?;
        let (kind, members) = (info >> 24 & 0x1f, info & 0xffff);
        if kind == FUNC && has_name(strings, word(types, at)?, name) {
            return Some(id);
        }
        at += 12 + extra(kind)? + per_member(kind) * members as usize;
        id += 1;
    }
    None
}

/// Bytes of a type beyond the common 12, members left out.
fn extra(kind: u32) -> Option<usize> {
    match kind {
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => Some(4),
        // ARRAY
        3 => Some(12),
        2 | 4..=13 | 15 | 16 | 18 | 19 => Some(0),
        _ => None,
    }
}

/// Bytes of each member.
const fn per_member(kind: u32) -> usize {
    match kind {
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => 12,
        // ENUM, FUNC_PROTO
        6 | 13 => 8,
        _ => 0,
    }
}

fn section(btf: &[u8], header: u32, offset: u32, length: u32) -> Option<&[u8]> {
    let start = (header as usize).checked_add(offset as usize)?;
    btf.get(start..start.checked_add(length as usize)?)
}

fn has_name(strings: &[u8], offset: u32, name: &str) -> bool {
    let rest = strings.get(offset as usize..).and_then(|rest| rest.strip_prefix(name.as_bytes()));
    rest.is_some_and(|rest| rest.first() == Some(&0))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use aya_obj::btf::{Btf, BtfKind};
    use proptest::prelude::*;

    use super::*;

    const NAMES: &str = "\0int\0first\0second_of\0second\0alias\0";

    fn name(name: &str) -> u32 {
        NAMES.find(&format!("\0{name}\0")).map_or(0, |at| at as u32 + 1)
    }

    /// A type's common words, its kind and number of members in one, then the rest.
    fn sample() -> Vec<u8> {
        let types: [&[u32]; 8] = [
            &[name("int"), 1 << 24, 4, 32],
            &[0, 3 << 24, 0, 1, 1, 7],
            &[0, 4 << 24 | 2, 8, 0, 1, 0, 0, 1, 32],
            &[0, 13 << 24 | 1, 1, 0, 1],
            &[name("first"), FUNC << 24, 4],
            &[name("alias"), 8 << 24, 1],
            &[name("second_of"), FUNC << 24, 4],
            &[name("second"), FUNC << 24 | 1, 4],
        ];
        let types = types.concat();
        let (length, names) = (types.len() as u32 * 4, NAMES.len() as u32);
        let head = [MAGIC | 1 << 16, 24, 0, length, length, names];
        let words = head.into_iter().chain(types).flat_map(u32::to_ne_bytes);
        words.chain(NAMES.bytes()).collect()
    }

    #[test]
    fn finds_functions_and_nothing_else() {
        let btf = sample();
        assert!(Btf::parse(&btf, object::Endianness::default()).is_ok(), "aya reads the sample, too");
        assert_eq!(function(&btf, "first"), Some(5));
        assert_eq!(function(&btf, "second"), Some(8));
        for name in ["alias", "int", "sec", "third", ""] {
            assert_eq!(function(&btf, name), None, "{name}");
        }
    }

    #[test]
    fn agrees_with_a_whole_parse_of_the_running_kernel() {
        let Ok(raw) = std::fs::read("/sys/kernel/btf/vmlinux") else { return };
        let parsed = Btf::from_sys_fs().expect("kernel BTF");
        for name in ["bpf_sk_assign_tcp_reqsk", "tcp_v4_rcv", "no_such_function_at_all"] {
            assert_eq!(function(&raw, name), parsed.id_by_type_name_kind(name, BtfKind::Func).ok(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
            cut: prop::sample::Index,
        ) {
            let mut btf = sample();
            for (index, value) in damage {
                let at = index.index(btf.len());
                btf[at] = value;
            }
            btf.truncate(cut.index(btf.len() + 1));
            let _ = function(&btf, "second");
        }
    }
}
