//! Every choice of a world, from its seed.

use orca_api::id::SeededIds;

/// The choices.
pub struct Rng(SeededIds);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededIds(seed))
    }

    /// Ids from the same seed.
    pub(crate) fn ids(&mut self) -> &mut SeededIds {
        &mut self.0
    }

    /// From 0 up to, and without, `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n.max(1)
    }

    /// From `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// True so often in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.below(1000) < per_mille
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}
