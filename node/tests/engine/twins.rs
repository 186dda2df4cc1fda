//! The engine on disk against its model.
//!
//! ```text
//!   a seed --> operations --+--> FjallEngine   (reopened at random)
//!                           '--> MemoryEngine
//!                                every answer equal, now and from snapshots taken earlier
//! ```
//!
//! `QUOIT_CASES` is how many operations to run, default 20,000; a thousand of them are one sequence with
//! a directory of its own and two reopenings on average. Run 1,000,000 for every new release of fjall.
//! `QUOIT_SEED` is the first sequence's seed, default 0; a failure names its own.

use std::env;
use std::ops::Bound;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use quoit_node::engine::layout::KeyRange;
use quoit_node::engine::{
    Batch, Durability, Engine, EngineError, FjallEngine, Keyspace, MAX_KEY, MemoryEngine, Snapshot,
};

use crate::{SMALL, entries, tables_in};

/// Operations of one sequence.
const SEQUENCE: u64 = 1000;

#[test]
fn the_engine_on_disk_and_its_model_give_the_same_answers() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let sequences = number("QUOIT_CASES").unwrap_or(20_000).div_ceil(SEQUENCE);
    let first = number("QUOIT_SEED").unwrap_or(0);
    let mut tables = 0;
    for seed in first..first + sequences {
        let mut twins = Twins::new(seed);
        for _ in 0..SEQUENCE {
            twins.step();
        }
        twins.compare_all();
        twins.reopen();
        twins.compare_all();
        tables += tables_in(twins.directory.path()).len();
    }
    assert!(tables > 0, "no sequence got as far as writing a table");
}

type Pair = (
    <FjallEngine as Engine>::Snapshot,
    <MemoryEngine as Engine>::Snapshot,
);

/// Both engines, given the same operations.
struct Twins {
    seed: u64,
    rng: SmallRng,
    earlier: Vec<Pair>,
    real: Option<FjallEngine>,
    model: MemoryEngine,
    directory: tempfile::TempDir,
}

impl Twins {
    fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            seed,
            rng: SmallRng::seed_from_u64(seed),
            earlier: Vec::new(),
            real: Some(FjallEngine::create_or_open(directory.path(), SMALL).unwrap()),
            model: MemoryEngine::new(),
            directory,
        }
    }

    fn real(&self) -> &FjallEngine {
        self.real.as_ref().unwrap()
    }

    fn step(&mut self) {
        match self.rng.random_range(0..1000) {
            0..550 => self.commit(),
            550..750 => self.compare_get(),
            750..850 => {
                let pair = self.snapshots();
                self.compare_range(&pair);
            }
            850..900 => self.keep_a_snapshot(),
            900..990 => self.compare_an_earlier_snapshot(),
            990..997 => self.commit_what_is_refused(),
            997 => self.real().check().unwrap(),
            998 => self.real().persist().unwrap(),
            _ => self.reopen(),
        }
    }

    fn commit(&mut self) {
        let batch = self.batch();
        let durability = match self.rng.random_range(0..20) {
            0 => Durability::Fsync,
            _ => Durability::Buffered,
        };
        self.real().commit(batch.clone(), durability).unwrap();
        self.model.commit(batch, durability).unwrap();
    }

    /// Up to eight writes, often several of one key.
    fn batch(&mut self) -> Batch {
        let mut batch = Batch::new();
        let mut last = (Keyspace::Records, self.key());
        for _ in 0..self.rng.random_range(0..=8) {
            if self.rng.random_bool(0.8) {
                last = (self.keyspace(), self.key());
            }
            let (keyspace, key) = last.clone();
            if self.rng.random_bool(0.3) {
                batch.remove(keyspace, key);
            } else {
                batch.insert(keyspace, key, self.value());
            }
        }
        batch
    }

    fn commit_what_is_refused(&mut self) {
        let mut batch = self.batch();
        let bad = vec![1; if self.rng.random() { 0 } else { MAX_KEY + 1 }];
        batch.insert(self.keyspace(), bad, &b""[..]);
        let real = self.real().commit(batch.clone(), Durability::Fsync);
        assert!(matches!(real, Err(EngineError::InvalidKey { .. })));
        let model = self.model.commit(batch, Durability::Fsync);
        assert!(matches!(model, Err(EngineError::InvalidKey { .. })));
    }

    fn compare_get(&mut self) {
        let (keyspace, key) = (self.keyspace(), self.key());
        let real = self.real().get(keyspace, &key).unwrap();
        let model = self.model.get(keyspace, &key).unwrap();
        assert_eq!(real, model, "seed {}: {keyspace:?} {key:?}", self.seed);
    }

    fn keep_a_snapshot(&mut self) {
        if self.earlier.len() == 4 {
            let oldest = self.rng.random_range(0..4);
            self.earlier.remove(oldest);
        }
        self.earlier.push(self.snapshots());
    }

    fn compare_an_earlier_snapshot(&mut self) {
        let Some(last) = self.earlier.len().checked_sub(1) else {
            return;
        };
        let chosen = self.rng.random_range(0..=last);
        let pair = self.earlier.swap_remove(chosen);
        let (keyspace, key) = (self.keyspace(), self.key());
        let (real, model) = (pair.0.get(keyspace, &key), pair.1.get(keyspace, &key));
        let (real, model) = (real.unwrap(), model.unwrap());
        assert_eq!(
            real, model,
            "seed {}: earlier {keyspace:?} {key:?}",
            self.seed
        );
        self.compare_range(&pair);
        self.earlier.push(pair);
    }

    fn compare_range(&mut self, pair: &Pair) {
        let keyspace = self.keyspace();
        let range = (self.bound(), self.bound());
        self.assert_same_range(pair, keyspace, range);
    }

    fn assert_same_range(&self, pair: &Pair, keyspace: Keyspace, range: KeyRange) {
        let real = entries(pair.0.range(keyspace, range.clone()));
        let model = entries(pair.1.range(keyspace, range.clone()));
        let back = entries(pair.0.range(keyspace, range.clone()).rev());
        assert!(
            back.iter().rev().eq(&real),
            "seed {}: {keyspace:?} from its end",
            self.seed
        );
        let back = entries(pair.1.range(keyspace, range.clone()).rev());
        assert!(
            back.iter().rev().eq(&model),
            "seed {}: the model",
            self.seed
        );
        let place = real.iter().zip(&model).position(|(a, b)| a != b);
        let seed = self.seed;
        assert!(
            real == model,
            "seed {seed}: {keyspace:?} {range:?} differ at {place:?}"
        );
    }

    fn compare_all(&self) {
        let pair = self.snapshots();
        for keyspace in Keyspace::ALL {
            self.assert_same_range(&pair, keyspace, (Bound::Unbounded, Bound::Unbounded));
        }
    }

    fn reopen(&mut self) {
        self.earlier.clear();
        self.real = None;
        self.real = Some(FjallEngine::create_or_open(self.directory.path(), SMALL).unwrap());
    }

    fn snapshots(&self) -> Pair {
        (self.real().snapshot(), self.model.snapshot())
    }

    fn keyspace(&mut self) -> Keyspace {
        Keyspace::ALL[self.rng.random_range(0..Keyspace::ALL.len())]
    }

    /// One of a few hundred keys, with every kind of order between them.
    fn key(&mut self) -> Bytes {
        let length = self.rng.random_range(1..=4);
        let mut key: Vec<u8> = (0..length).map(|_| self.letter()).collect();
        if self.rng.random_bool(0.01) {
            key.resize(MAX_KEY, b'z');
        }
        key.into()
    }

    fn letter(&mut self) -> u8 {
        [0, 1, b'a', 255][self.rng.random_range(0..4)]
    }

    /// Mostly small, now and then large enough to fill a memtable soon.
    fn value(&mut self) -> Bytes {
        let length = match self.rng.random_range(0..100) {
            0..10 => 0,
            10..98 => self.rng.random_range(1..200),
            _ => self.rng.random_range(10_000..200_000),
        };
        let fill: u8 = self.rng.random();
        vec![fill; length].into()
    }

    fn bound(&mut self) -> Bound<Bytes> {
        match self.rng.random_range(0..5) {
            0 => Bound::Unbounded,
            1 | 2 => Bound::Included(self.key()),
            _ => Bound::Excluded(self.key()),
        }
    }
}
