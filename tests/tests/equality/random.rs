//! Choices that come again with their seed.

use fastrand::Rng;

/// Makes them.
#[derive(Clone, Debug)]
pub(crate) struct Random(Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0.usize(..limit)
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
        self.0.u8(..)
    }

    pub(crate) fn word(&mut self) -> u32 {
        self.0.u32(..)
    }

    pub(crate) fn half(&mut self) -> u16 {
        self.0.u16(..)
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
