//! The promises of registers: by key, and bounded.
//!
//! ```text
//!   young   keys of the last while        full: it becomes the old one
//!   old     those before                  dropped then: its highest ballot is promised for all keys
//! ```
//!
//! Invariant: what was promised stays so.

use std::collections::BTreeMap;

use bytes::Bytes;
use quoit_ring::register::Ballot;

/// Most bytes of the keys in one half of the table, each with what it costs beside.
const BYTES: usize = 2 << 20;
/// What a key costs beside its bytes.
const BESIDE: usize = 96;

/// Below which ballot nothing is taken, key by key.
#[derive(Debug)]
pub(super) struct Promises {
    young: Half,
    old: Half,
    /// Of every key.
    floor: Ballot,
}

#[derive(Debug, Default)]
struct Half {
    ballots: BTreeMap<Bytes, Ballot>,
    bytes: usize,
}

impl Promises {
    /// None but this one, for all keys.
    pub(super) fn new(floor: Ballot) -> Self {
        Self {
            young: Half::default(),
            old: Half::default(),
            floor,
        }
    }

    /// That of a key.
    pub(super) fn get(&self, key: &[u8]) -> Ballot {
        let halves = [&self.young, &self.old];
        let of_key = halves.iter().filter_map(|half| half.ballots.get(key));
        of_key.copied().max().unwrap_or_default().max(self.floor)
    }

    /// Raises that of a key.
    pub(super) fn raise(&mut self, key: &[u8], ballot: Ballot) {
        if ballot <= self.get(key) {
            return;
        }
        let bytes = key.len() + BESIDE;
        // A copy: the key may be a slice of a frame.
        if (self.young.ballots)
            .insert(Bytes::copy_from_slice(key), ballot)
            .is_none()
        {
            self.young.bytes += bytes;
        }
        if self.young.bytes > BYTES {
            let dropped = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            let highest = dropped.ballots.into_values().max().unwrap_or_default();
            self.floor = self.floor.max(highest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quoit_ring::Time;

    use super::*;

    proptest! {
        #[test]
        fn what_was_promised_stays_so_and_the_table_is_bounded(
            keys in proptest::collection::vec(0_u16..400, 1..600),
        ) {
            let mut promises = Promises::new(Ballot::ZERO);
            let mut promised = BTreeMap::new();
            for (time, number) in keys.into_iter().enumerate() {
                // Long, so that few fill the table.
                let key = Bytes::from(format!("{number:>16384}"));
                let ballot = Ballot { time: Time(time as u64), unique: 1 };
                promises.raise(&key, ballot);
                promised.insert(key, ballot);
                for (key, ballot) in promised.iter().rev().take(3) {
                    prop_assert!(promises.get(key) >= *ballot);
                }
            }
            for (key, ballot) in &promised {
                prop_assert!(promises.get(key) >= *ballot);
            }
            let bytes: usize = [&promises.young, &promises.old].iter()
                .flat_map(|half| half.ballots.keys()).map(Bytes::len).sum();
            prop_assert!(bytes <= 2 * (BYTES + 32_768));
        }
    }
}
