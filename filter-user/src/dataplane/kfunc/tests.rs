use object::{
    Architecture, BinaryFormat, SymbolFlags, SymbolKind, SymbolScope,
    write::{Object, Relocation, StandardSection, Symbol, SymbolSection},
};
use proptest::prelude::*;

use super::*;

const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
const CALL_MINUS_1: [u8; 8] = [0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff];

/// An object whose text calls `name` by a relocation at `at`.
fn sample(text: &[[u8; 8]], name: &str, at: u64, section: SymbolSection) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let code = object.section_id(StandardSection::Text);
    object.append_section_data(code, &text.concat(), 8);
    let symbol = object.add_symbol(Symbol {
        name: name.into(),
        value: 0,
        size: 0,
        kind: SymbolKind::Text,
        scope: if section == SymbolSection::Undefined { SymbolScope::Unknown } else { SymbolScope::Linkage },
        weak: false,
        section,
        flags: SymbolFlags::None,
    });
    let flags = RelocationFlags::Elf { r_type: elf::R_BPF_64_32 };
    object.add_relocation(code, Relocation { offset: at, symbol, addend: 0, flags }).expect("relocation");
    object.write().expect("object")
}

fn text(object: &[u8]) -> Vec<u8> {
    let elf = ElfFile64::<Endianness>::parse(object).expect("elf");
    elf.section_by_name(".text").expect("text").data().expect("data").to_vec()
}

#[test]
fn a_known_kfunc_becomes_its_btf_id() {
    let object = sample(&[EXIT, CALL_MINUS_1, EXIT], "bpf_sk_assign_tcp_reqsk", 8, SymbolSection::Undefined);
    let find = |name: &str| (name == "bpf_sk_assign_tcp_reqsk").then_some(0x0001_0203);
    let text = text(&resolve(&object, find).expect("resolved"));
    assert_eq!(text[8..16], [0x85, 0x20, 0, 0, 3, 2, 1, 0]);
    assert_eq!((&text[..8], &text[16..]), (&EXIT[..], &EXIT[..]));
}

#[test]
fn an_unknown_kfunc_becomes_an_error_at_run_time() {
    let object = sample(&[CALL_MINUS_1, EXIT], "bpf_nothing", 0, SymbolSection::Undefined);
    let text = text(&resolve(&object, |_| None).expect("resolved"));
    assert_eq!(text[..8], [0xb7, 0, 0, 0, 0xa1, 0xff, 0xff, 0xff]);
}

#[test]
fn calls_inside_the_object_are_left_alone() {
    let object = sample(&[CALL_MINUS_1, EXIT], "helper", 0, SymbolSection::Absolute);
    assert_eq!(resolve(&object, |_| Some(7)).expect("resolved"), object);
}

#[test]
fn relocations_elsewhere_are_refused() {
    for at in [0, 4, 9, 16, u64::MAX - 7] {
        let object = sample(&[EXIT, CALL_MINUS_1], "f", at, SymbolSection::Undefined);
        assert!(resolve(&object, |_| Some(7)).is_err(), "at {at}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_resolved(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let _ = resolve(&bytes, |_| Some(7));
    }

    #[test]
    fn a_damaged_object_keeps_its_length(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..32),
    ) {
        let mut object = sample(&[EXIT, CALL_MINUS_1, EXIT], "f", 8, SymbolSection::Undefined);
        for (index, byte) in changes {
            let at = index.index(object.len());
            object[at] = byte;
        }
        if let Ok(resolved) = resolve(&object, |_| Some(7)) {
            prop_assert_eq!(resolved.len(), object.len());
        }
    }
}
