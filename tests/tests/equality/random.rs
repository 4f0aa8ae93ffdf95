//! A reproducible stream of numbers (SplitMix64: Steele, Lea, Flood 2014).

/// The state.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    /// True so often, percent.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    pub(crate) fn half(&mut self) -> u16 {
        self.next() as u16
    }

    /// So many.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// `right`, but now and then a neighbour of it, a boundary or anything.
    pub(crate) fn nearly(&mut self, right: u16) -> u16 {
        match self.below(40) {
            0 => right.wrapping_sub(1),
            1 => right.wrapping_add(1),
            2 => self.pick(&[0, 1, 7, 8, 19, 20, 39, 40, 0x7fff, 0x8000, 0xffff]),
            3 => self.half(),
            _ => right,
        }
    }
}
