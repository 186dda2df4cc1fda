//! What is asked of the store: which verb, on which key, with how large a value.
//!
//! ```text
//!   seed --> Generator --next--> Op { verb, key, bytes }         the same seed, the same operations
//!              |-- mix      which verb          get 95 %, put 5 %
//!              |-- keys     which key           0 .. keys, inserts append
//!              '-- sizes    how many bytes
//! ```
//!
//! Keys are numbers here; [`key_name`] makes the bytes that are sent. Invariant: the sequence of operations
//! depends on the seed and on nothing else, but for the keys that inserts have added: those are only used
//! once they are there. Left out: when operations start, which is `run`'s.
//!
//! Source: Cooper et al., *Benchmarking Cloud Serving Systems with YCSB* (2010), and its workload files.

mod keys;
mod mix;
mod named;
mod sizes;
mod values;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use self::keys::Keys;

pub(crate) use self::keys::Distribution;
pub(crate) use self::mix::{Mix, Verb};
pub(crate) use self::named::Named;
pub(crate) use self::sizes::Sizes;
pub(crate) use self::values::{HEADER_BYTES, Values, key_name};

/// One operation to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Op {
    /// What.
    pub(crate) verb: Verb,
    /// To which key.
    pub(crate) key: u64,
    /// How many bytes a value has that it writes.
    pub(crate) bytes: usize,
}

/// Draws operations.
#[derive(Debug)]
pub(crate) struct Generator {
    rng: SmallRng,
    mix: Mix,
    keys: Keys,
    sizes: Sizes,
}

impl Generator {
    /// Operations over `keys` keys that are there already.
    pub(crate) fn new(
        seed: u64,
        mix: Mix,
        keys: u64,
        distribution: Distribution,
        sizes: Sizes,
    ) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            mix,
            keys: Keys::new(distribution, keys),
            sizes,
        }
    }

    /// The next operation. After an insert the caller reports it with [`Generator::inserted`].
    pub(crate) fn next_op(&mut self) -> Op {
        let verb = self.mix.draw(&mut self.rng);
        let key = if verb == Verb::Insert {
            self.keys.insert()
        } else {
            self.keys.draw(&mut self.rng)
        };
        let bytes = if verb.writes_value() {
            self.sizes.draw(&mut self.rng)
        } else {
            0
        };
        Op { verb, key, bytes }
    }

    /// Whether `verb` ever comes.
    pub(crate) const fn has(&self, verb: Verb) -> bool {
        self.mix.has(verb)
    }

    /// An insert is over, well or not; its key may be drawn once those before it are over too.
    pub(crate) fn inserted(&mut self, key: u64) {
        self.keys.inserted(key);
    }

    /// How many keys there are, those that are being inserted included.
    pub(crate) const fn keys(&self) -> u64 {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator(seed: u64) -> Generator {
        let mix = "get=50,put=40,insert=10".parse().unwrap();
        Generator::new(
            seed,
            mix,
            100,
            Distribution::Latest,
            "10..20".parse().unwrap(),
        )
    }

    #[test]
    fn a_seed_decides_every_operation() {
        let draw = |seed| {
            let mut generator = generator(seed);
            (0..1000).map(|_| generator.next_op()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn an_inserted_key_is_only_used_once_it_is_there() {
        let mut generator = generator(1);
        let mut waiting = Vec::new();
        for _ in 0..1000 {
            let op = generator.next_op();
            if op.verb == Verb::Insert {
                waiting.push(op.key);
            } else {
                assert!(op.key < 100, "{op:?} while {waiting:?} are not there yet");
            }
        }
        assert_eq!(generator.keys(), 100 + waiting.len() as u64);
        for key in waiting {
            generator.inserted(key);
        }
        assert!((0..1000).any(|_| generator.next_op().key >= 100));
    }
}
