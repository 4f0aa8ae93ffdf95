//! Prefixes to the tables of the lists.

use super::{BITS, Class, KEYS, Listed, Lists, Node, Page, RECORDS, Record, SPLIT, bit_v6};

/// An IP address as a number.
pub trait Number: Copy + Ord {
    /// All ones.
    const MAX: Self;
    /// The next one; of the last one itself.
    #[must_use]
    fn next(self) -> Self;
    /// The one before; of 0 itself.
    #[must_use]
    fn before(self) -> Self;
}

macro_rules! numbers {
    ($($name:ident)*) => {$(
        impl Number for $name {
            const MAX: Self = Self::MAX;
            fn next(self) -> Self {
                self.saturating_add(1)
            }
            fn before(self) -> Self {
                self.saturating_sub(1)
            }
        }
    )*};
}
numbers! { u32 u128 }

/// Neighbouring addresses of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<A> {
    /// The first.
    pub first: A,
    /// The last.
    pub last: A,
    /// Allow or block.
    pub class: Class,
}

/// Ranges (first, last) in any order to disjoint spans, ascending; what both lists hold is allowed.
#[must_use]
pub fn resolve<A: Number>(allow: Vec<(A, A)>, block: Vec<(A, A)>) -> Vec<Span<A>> {
    let (allow, block) = (merged(allow), merged(block));
    let mut spans = Vec::with_capacity(allow.len() + block.len());
    let mut from = 0;
    for (mut first, last) in block {
        while allow.get(from).is_some_and(|hole| hole.1 < first) {
            from += 1;
        }
        let mut rest = true;
        for &(hole_first, hole_last) in allow[from..].iter().take_while(|hole| hole.0 <= last) {
            if first < hole_first {
                spans.push(Span { first, last: hole_first.before(), class: Class::Block });
            }
            rest = hole_last < last;
            first = hole_last.next();
        }
        if rest {
            spans.push(Span { first, last, class: Class::Block });
        }
    }
    spans.extend(allow.into_iter().map(|(first, last)| Span { first, last, class: Class::Allow }));
    // Two runs, each in order: one merge.
    spans.sort_by_key(|span| span.first);
    spans
}

/// Overlapping and neighbouring ranges become one.
fn merged<A: Number>(mut ranges: Vec<(A, A)>) -> Vec<(A, A)> {
    ranges.sort_unstable();
    let mut merged: Vec<(A, A)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1.next() => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// The IPv4 table, written piece by piece: 4 MiB of codes are all that lies in memory.
///
/// # Panics
/// If the spans are not ascending and disjoint.
pub fn build_v4(spans: &[Span<u32>], mut record: impl FnMut(u32, Record), mut page: impl FnMut(u32, &Page)) {
    let mut codes = vec![0_u64; RECORDS as usize];
    let mut split: Option<(u32, Page)> = None;
    let mut pages = 0;
    let mut end = |split: &mut Option<(u32, Page)>| {
        if let Some((_, last)) = split.take() {
            page(pages, &last);
            pages += 1;
        }
    };
    for span in spans {
        for block in span.first >> 8..=span.last >> 8 {
            let from = span.first.max(block << 8) & 255;
            let to = span.last.min(block << 8 | 255) & 255;
            let code = if (from, to) == (0, 255) {
                span.class as u64
            } else {
                if split.as_ref().is_none_or(|(open, _)| *open != block) {
                    end(&mut split);
                    split = Some((block, Page::default()));
                }
                let (_, open) = split.as_mut().expect("just made");
                (from..=to).for_each(|host| {
                    open.0[(host >> 5) as usize] |= (span.class as u64) << ((host & 31) * 2);
                });
                SPLIT
            };
            codes[(block >> 5) as usize] |= code << ((block & 31) * 2);
        }
    }
    end(&mut split);
    let mut base = 0;
    for (index, codes) in (0..).zip(codes) {
        if codes != 0 {
            record(index, Record { codes, base, reserved: 0 });
            base += super::splits(codes);
        }
    }
}

/// What a record adds to the bits of its /16: the word's number, and a bit for each /22 with anything listed.
#[must_use]
pub const fn bits_of(index: u32, codes: u64) -> (u32, u64) {
    let mut bits = 0;
    let mut quad = 0;
    while quad < 8 {
        bits |= ((codes >> (quad * 8) & 0xff != 0) as u64) << quad;
        quad += 1;
    }
    (index >> 3, bits << ((index & 7) * 8))
}

/// How many pages [`build_v4`] writes.
#[must_use]
pub fn pages(spans: &[Span<u32>]) -> u32 {
    let (mut pages, mut last) = (0, None);
    let mut split = |block| {
        if last != Some(block) {
            (pages, last) = (pages + 1, Some(block));
        }
    };
    for &Span { first, last, .. } in spans {
        let ends = (first >> 8, last >> 8);
        if first & 255 != 0 || (ends.0 == ends.1 && last & 255 != 255) {
            split(ends.0);
        }
        if ends.0 != ends.1 && last & 255 != 255 {
            split(ends.1);
        }
    }
    pages
}

/// The IPv6 tree, the root first; empty if there are no spans.
#[must_use]
pub fn build_v6(spans: &[Span<u128>]) -> Vec<Node> {
    if spans.is_empty() {
        return Vec::new();
    }
    let boundaries = boundaries(spans);
    // From the leaves up: keys of each level, and what they stand for.
    let mut levels: Vec<Vec<Node>> = vec![boundaries.chunks(KEYS).map(leaf).collect()];
    while let Some(below) = levels.last().filter(|level| level.len() > 1) {
        let firsts: Vec<_> = below.iter().map(|node| node.keys[0]).collect();
        levels
            .push(firsts.chunks(KEYS).map(|keys| Node { keys: padded(keys), codes: 0, first: 0 }).collect());
    }
    levels.reverse();
    let mut start = 0;
    for depth in 0..levels.len() - 1 {
        start += levels[depth].len() as u64;
        for (number, node) in (0..).zip(&mut levels[depth]) {
            node.first = start + number * KEYS as u64;
        }
    }
    levels.concat()
}

/// How many nodes [`build_v6`] makes.
#[must_use]
pub fn nodes(spans: &[Span<u128>]) -> u32 {
    let mut level = if spans.is_empty() { 0 } else { boundaries(spans).len().div_ceil(KEYS) };
    let mut nodes = level;
    while level > 1 {
        level = level.div_ceil(KEYS);
        nodes += level;
    }
    nodes as u32
}

/// Where a class begins, from 0 on.
fn boundaries(spans: &[Span<u128>]) -> Vec<(u128, Class)> {
    let mut boundaries = vec![(0, Class::None)];
    let mut begin = |at, class| match boundaries.last_mut() {
        Some(last) if last.0 == at => last.1 = class,
        _ => boundaries.push((at, class)),
    };
    for span in spans {
        begin(span.first, span.class);
        if span.last != u128::MAX {
            begin(span.last + 1, Class::None);
        }
    }
    boundaries
}

fn leaf(boundaries: &[(u128, Class)]) -> Node {
    let keys: Vec<_> = boundaries.iter().map(|(at, _)| [(at >> 64) as u64, *at as u64]).collect();
    let codes = boundaries.iter().rev().fold(0, |codes, (_, class)| codes << 2 | *class as u64);
    Node { keys: padded(&keys), codes, first: 0 }
}

fn padded(keys: &[[u64; 2]]) -> [[u64; 2]; KEYS] {
    std::array::from_fn(|i| keys.get(i).copied().unwrap_or([u64::MAX; 2]))
}

/// Most /32s that are set one by one; above, the whole summary is.
const MOST: u64 = 1 << 22;

/// Sets the bits of everything that is listed.
pub fn summarise(v4: &[Span<u32>], v6: &[Span<u128>], listed: &mut Listed) {
    for span in v4 {
        for bit in span.first >> 16..=span.last >> 16 {
            listed.v4[(bit >> 6) as usize] |= 1 << (bit & 63);
        }
    }
    let ends = |span: &Span<u128>| ((span.first >> 96) as u32, (span.last >> 96) as u32);
    let all: u64 = v6.iter().map(|span| u64::from(ends(span).1 - ends(span).0) + 1).sum();
    if all > MOST {
        listed.v6.fill(u64::MAX);
        return;
    }
    for (first, last) in v6.iter().map(ends) {
        for first_32 in first..=last {
            let bit = bit_v6(first_32);
            listed.v6[(bit >> 6) as usize] |= 1 << (bit & 63);
        }
    }
}

/// The tables in memory.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The summary.
    pub listed: Box<Listed>,
    /// IPv4; empty if there are no IPv4 spans.
    pub bits: Vec<u64>,
    /// As above.
    pub records: Vec<Record>,
    /// IPv4.
    pub pages: Vec<Page>,
    /// IPv6.
    pub nodes: Vec<Node>,
}

impl Tables {
    /// The tables of these spans.
    #[must_use]
    pub fn new(v4: &[Span<u32>], v6: &[Span<u128>]) -> Self {
        let mut tables = Self {
            listed: Box::new(Listed::EMPTY),
            bits: vec![],
            records: vec![],
            pages: vec![],
            nodes: build_v6(v6),
        };
        if !v4.is_empty() {
            tables.bits = vec![0; BITS as usize];
            tables.records = vec![Record::default(); RECORDS as usize];
        }
        let Self { bits, records, pages, .. } = &mut tables;
        let record = |index: u32, record: Record| {
            let (word, more) = bits_of(index, record.codes);
            bits[word as usize] |= more;
            records[index as usize] = record;
        };
        build_v4(v4, record, |_, page| pages.push(*page));
        summarise(v4, v6, &mut tables.listed);
        tables
    }
}

impl Lists for Tables {
    fn listed(&self) -> &Listed {
        &self.listed
    }

    fn bits(&self, index: u32) -> Option<u64> {
        self.bits.get(index as usize).copied()
    }

    fn record(&self, index: u32) -> Option<&Record> {
        self.records.get(index as usize)
    }

    fn page(&self, index: u32) -> Option<&Page> {
        self.pages.get(index as usize)
    }

    fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }
}
