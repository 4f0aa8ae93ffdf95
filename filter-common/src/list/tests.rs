//! The tables say what a naive look through all prefixes says.

use proptest::{collection::vec, prelude::*};

use super::{
    build::{Number, Span, Tables, nodes, pages, resolve},
    *,
};

/// First and last address of a prefix.
fn range4((address, length): (u32, u32)) -> (u32, u32) {
    let hosts = u32::MAX.checked_shr(length).unwrap_or(0);
    (address & !hosts, address | hosts)
}

fn range6((address, length): (u128, u32)) -> (u128, u128) {
    let hosts = u128::MAX.checked_shr(length).unwrap_or(0);
    (address & !hosts, address | hosts)
}

fn naive<A: Number>(address: A, allow: &[(A, A)], block: &[(A, A)]) -> Class {
    let holds = |list: &[(A, A)]| list.iter().any(|(first, last)| (*first..=*last).contains(&address));
    if holds(allow) {
        Class::Allow
    } else if holds(block) {
        Class::Block
    } else {
        Class::None
    }
}

/// The addresses at which something may change.
fn edges<A: Number>(lists: [&[(A, A)]; 2]) -> Vec<A> {
    let ends = lists.into_iter().flatten().flat_map(|(first, last)| [*first, *last]);
    ends.flat_map(|end| [end.before(), end, end.next()]).collect()
}

fn halves(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}

fn check4(allow: &[(u32, u32)], block: &[(u32, u32)], more: &[u32]) {
    let spans = resolve(allow.to_vec(), block.to_vec());
    let tables = Tables::new(&spans, &[]);
    assert_eq!(pages(&spans) as usize, tables.pages.len());
    for address in edges([allow, block]).iter().chain(more) {
        assert_eq!(class_v4(*address, &tables), naive(*address, allow, block), "{address:#x}");
    }
}

fn check6(allow: &[(u128, u128)], block: &[(u128, u128)], more: &[u128]) {
    let spans = resolve(allow.to_vec(), block.to_vec());
    let tables = Tables::new(&[], &spans);
    assert_eq!(nodes(&spans) as usize, tables.nodes.len());
    for address in edges([allow, block]).iter().chain(more) {
        if address >> 64 != u64::MAX.into() {
            assert_eq!(class_v6(halves(*address), &tables), naive(*address, allow, block), "{address:#x}");
        }
    }
}

#[test]
fn nothing_is_in_empty_lists() {
    let tables = Tables::new(&[], &[]);
    assert!(tables.records.is_empty() && tables.pages.is_empty() && tables.nodes.is_empty());
    assert_eq!(class_v4(0x0808_0808, &tables), Class::None);
    assert_eq!(class_v6([0x2a00 << 48, 0], &tables), Class::None);
    check4(&[], &[], &[0, u32::MAX]);
    check6(&[], &[], &[0]);
}

#[test]
fn allow_wins_over_block() {
    let tables = |allow: &[(u32, u32)], block: &[(u32, u32)]| {
        let spans = resolve(allow.to_vec(), block.to_vec());
        Tables::new(&spans, &[])
    };
    let (wide, narrow) = (range4((0x0808_0000, 16)), range4((0x0808_0801, 32)));
    let inside = tables(&[narrow], &[wide]);
    assert_eq!(class_v4(0x0808_0801, &inside), Class::Allow);
    assert_eq!(class_v4(0x0808_0802, &inside), Class::Block);
    let around = tables(&[wide], &[narrow]);
    assert_eq!(class_v4(0x0808_0801, &around), Class::Allow);
    let both = tables(&[narrow], &[narrow]);
    assert_eq!(class_v4(0x0808_0801, &both), Class::Allow);
}

#[test]
fn the_ends_of_the_address_space_are_listed_too() {
    check4(&[(0, 0)], &[(u32::MAX, u32::MAX)], &[1, u32::MAX - 1]);
    check4(&[(0, u32::MAX)], &[], &[7]);
    check4(&[], &[(0, u32::MAX)], &[7]);
    check6(&[(0, 0)], &[(u128::MAX, u128::MAX)], &[1]);
    check6(&[], &[(0, u128::MAX)], &[7, 1 << 100]);
}

/// As many levels as there may be, and one node that is not full on each.
#[test]
fn a_deep_tree_finds_every_leaf() {
    let block: Vec<_> = (0..120_000_u128).map(|i| range6(((0x2a00 << 112) + (i << 65), 64))).collect();
    let spans = resolve(vec![], block.clone());
    let tables = Tables::new(&[], &spans);
    assert_eq!(nodes(&spans) as usize, tables.nodes.len());
    for (first, last) in block {
        assert_eq!(class_v6(halves(first), &tables), Class::Block);
        assert_eq!(class_v6(halves(last), &tables), Class::Block);
        assert_eq!(class_v6(halves(last + 1), &tables), Class::None);
    }
}

/// Room for the most that the configuration takes: 2^18 prefixes with a gap behind each.
#[test]
fn the_largest_list_fits_the_levels() {
    assert!(KEYS.pow(LEVELS as u32) > 2 << 18);
}

#[test]
fn neighbours_become_one_span() {
    let spans = resolve(vec![], vec![range4((0x0808_0900, 24)), range4((0x0808_0800, 24))]);
    assert_eq!(spans, [Span { first: 0x0808_0800, last: 0x0808_09ff, class: Class::Block }]);
    assert_eq!(pages(&spans), 0);
}

/// Prefixes that crowd together, so that they overlap and share pages.
fn prefixes4() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let near = (0x0a00_0000_u32..0x0a02_0000, 12_u32..=32);
    let anywhere = (any::<u32>(), 10_u32..=32);
    vec(prop_oneof![4 => near, 1 => anywhere].prop_map(range4), 0..40)
}

fn prefixes6() -> impl Strategy<Value = Vec<(u128, u128)>> {
    let near = (0_u128..1 << 72, 50_u32..=128).prop_map(|(low, length)| ((0x2a00_u128 << 112) + low, length));
    let anywhere = (any::<u128>(), 0_u32..=128);
    vec(prop_oneof![4 => near, 1 => anywhere].prop_map(range6), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn ipv4_is_what_a_model_says(allow in prefixes4(), block in prefixes4(), more in vec(any::<u32>(), 50)) {
        check4(&allow, &block, &more);
    }

    #[test]
    fn ipv6_is_what_a_model_says(allow in prefixes6(), block in prefixes6(), more in vec(any::<u128>(), 50)) {
        check6(&allow, &block, &more);
    }
}
