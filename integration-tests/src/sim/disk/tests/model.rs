//! The disk against a list of all batches ever committed.
//!
//! ```text
//!   [ batch batch batch | batch batch ]      contents: replay all of it
//!                       ^ synced             power loss: cut the list somewhere right of the mark
//! ```

use std::collections::BTreeMap;

use super::*;

type Writes = Vec<(Keyspace, Bytes, Option<Bytes>)>;
type Contents = BTreeMap<(Keyspace, Bytes), Bytes>;

struct Model {
    batches: Vec<Writes>,
    synced: usize,
}

impl Model {
    fn contents(&self) -> Contents {
        let mut contents = Contents::new();
        for (keyspace, key, value) in self.batches.iter().flatten().cloned() {
            match value {
                Some(value) => contents.insert((keyspace, key), value),
                None => contents.remove(&(keyspace, key)),
            };
        }
        contents
    }
}

fn contents_of(engine: &DiskEngine) -> Contents {
    let snapshot = engine.snapshot();
    let entries_of = |keyspace| {
        let entries = snapshot.range(keyspace, ..).map(Result::unwrap);
        entries.map(move |(key, value)| ((keyspace, key), value))
    };
    Keyspace::ALL.into_iter().flat_map(entries_of).collect()
}

/// Up to five writes to twelve keys, the format version's among them.
fn random_writes(rng: &mut StdRng) -> Writes {
    let write = |rng: &mut StdRng| {
        let keyspace = Keyspace::ALL[rng.random_range(0..7)];
        let key = ["a", "b", "format"][rng.random_range(0..3)];
        let value = rng.random_bool(0.7).then(|| rng.random::<[u8; 4]>());
        let value = value.map(|bytes| Bytes::copy_from_slice(&bytes));
        (keyspace, Bytes::from(key), value)
    };
    (0..rng.random_range(0..=5)).map(|_| write(rng)).collect()
}

fn batch_of(writes: &Writes) -> Batch {
    let mut batch = Batch::with_capacity(writes.len());
    for (keyspace, key, value) in writes.iter().cloned() {
        match value {
            Some(value) => batch.insert(keyspace, key, value),
            None => batch.remove(keyspace, key),
        }
    }
    batch
}

/// A disk and its model, with the newest engine.
struct Pair {
    disk: Disk,
    engine: DiskEngine,
    model: Model,
    /// How often a commit is synced.
    sync: f64,
}

impl Pair {
    fn new(sync: f64) -> Self {
        let disk = Disk::new();
        let engine = disk.open();
        let first = contents_of(&engine).into_iter();
        let first = first.map(|((keyspace, key), value)| (keyspace, key, Some(value)));
        let model = Model {
            batches: vec![first.collect()],
            synced: 1,
        };
        Self {
            disk,
            engine,
            model,
            sync,
        }
    }

    fn commit(&mut self, rng: &mut StdRng) {
        let writes = random_writes(rng);
        let synced = rng.random_bool(self.sync);
        let durability = [Durability::Buffered, Durability::Fsync][usize::from(synced)];
        let batch = batch_of(&writes);
        if rng.random_bool(0.05) {
            return self.fail(writes, durability, rng.random());
        }

        self.engine.commit(batch, durability).unwrap();
        self.model.batches.push(writes);
        if synced {
            self.model.synced = self.model.batches.len();
        }
    }

    fn fail(&mut self, writes: Writes, durability: Durability, kept: bool) {
        self.disk.fail_next_commit(kept);
        let failed = self.engine.commit(batch_of(&writes), durability);
        assert!(matches!(failed, Err(EngineError::Io { .. })), "{failed:?}");
        self.model.batches.extend(kept.then_some(writes));
        self.engine = self.disk.open();
    }

    /// The loss of power; empty batches leave nothing to lose, on the disk or in its model.
    fn lose(&mut self, rng: &mut StdRng) {
        let mut unsynced = self.model.batches.split_off(self.model.synced);
        unsynced.retain(|writes| !writes.is_empty());
        assert_eq!(self.disk.unsynced(), unsynced.len());
        let lost = self.disk.power_loss(rng);
        unsynced.truncate(unsynced.len() - lost);
        self.model.batches.append(&mut unsynced);
        self.model.synced = self.model.batches.len();
        self.engine = self.disk.open();
    }

    fn check(&self, rng: &mut StdRng) {
        let expected = self.model.contents();
        let keyspace = Keyspace::ALL[rng.random_range(0..7)];
        for key in ["a", "b", "format", "absent"] {
            let found = self.engine.get(keyspace, key.as_bytes()).unwrap();
            let expected = expected.get(&(keyspace, Bytes::from(key)));
            assert_eq!(found.as_ref(), expected);
        }
        assert_eq!(contents_of(&self.engine), expected);
    }
}

#[test]
fn it_holds_what_a_list_of_all_batches_says() {
    for seed in 0..120 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pair = Pair::new([0.0, 0.1, 0.9, 1.0][usize::try_from(seed % 4).unwrap()]);
        for _ in 0..60 {
            match rng.random_range(0..20) {
                0 => {
                    pair.disk.kill();
                    pair.engine = pair.disk.open();
                }
                1 => pair.lose(&mut rng),
                2 => {
                    pair.engine.persist().unwrap();
                    pair.model.synced = pair.model.batches.len();
                }
                _ => pair.commit(&mut rng),
            }
            pair.check(&mut rng);
        }
    }
}
