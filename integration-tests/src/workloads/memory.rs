//! What a task remembers of keys: the last few results for each, the newest last.
//!
//! ```text
//!   key 3   read ago | receipt | read        newest: what a fresh write builds on
//!   key 4   read ago                         any:    a stale one, as a browser tab left open sends it
//! ```
//!
//! At most four of a key; a new one takes the place of one drawn at random, so that some grow very old.

use std::collections::BTreeMap;

use rand::Rng as _;
use rand::rngs::SmallRng;

use crate::sim::session::KnownContext;

/// Things remembered of one key.
const KEPT: usize = 4;

/// What one task remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    keys: BTreeMap<u64, Vec<KnownContext>>,
}

impl Memory {
    /// Remembers what an operation on `key` gave out, if it did.
    pub(super) fn keep(&mut self, rng: &mut SmallRng, key: u64, known: Option<KnownContext>) {
        let Some(known) = known else { return };
        let kept = self.keys.entry(key).or_default();
        if kept.len() == KEPT {
            kept.remove(rng.random_range(0..KEPT));
        }
        kept.push(known);
    }

    /// The newest thing known of `key`.
    pub(super) fn newest(&self, key: u64) -> Option<KnownContext> {
        self.keys.get(&key)?.last().cloned()
    }

    /// Anything known of `key`.
    pub(super) fn any(&self, rng: &mut SmallRng, key: u64) -> Option<KnownContext> {
        let kept = self.keys.get(&key)?;
        kept.get(rng.random_range(0..kept.len())).cloned()
    }

    /// Two things known of `key`, joined; they may be the same.
    pub(super) fn joined(&self, rng: &mut SmallRng, key: u64) -> Option<KnownContext> {
        let mut both = self.any(rng, key)?;
        both.join(&self.any(rng, key)?);
        Some(both)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn a_few_things_are_kept_of_each_key_and_nothing_of_others() {
        let (mut memory, mut rng) = (Memory::default(), SmallRng::seed_from_u64(1));
        for _ in 0..9 {
            memory.keep(&mut rng, 3, Some(KnownContext::default()));
        }
        memory.keep(&mut rng, 4, None);
        assert_eq!(memory.keys[&3].len(), KEPT);
        assert!(memory.newest(3).is_some() && memory.joined(&mut rng, 3).is_some());
        assert!(memory.newest(4).is_none() && memory.any(&mut rng, 4).is_none());
    }
}
