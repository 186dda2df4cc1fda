//! The cache against an engine that the test steps, and against the model.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};

use proptest::prelude::*;

use super::*;
use crate::engine::{MemoryEngine, MemorySnapshot};

const KEY: &[u8] = b"key";

fn write(key: &'static [u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.insert(Keyspace::Records, key, value.to_vec());
    batch
}

fn get<G: Engine>(engine: &G, key: &[u8]) -> Option<Bytes> {
    engine.get(Keyspace::Records, key).expect("readable")
}

/// An engine that the test steps.
#[derive(Debug, Default)]
struct Stepped {
    inner: MemoryEngine,
    /// A read reports that it has read, then waits for permission to return.
    gate: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
    broken: AtomicBool,
    unreadable: AtomicBool,
}

impl Engine for Stepped {
    type Snapshot = MemorySnapshot;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        if self.unreadable.load(Ordering::Relaxed) {
            return Err(EngineError::Poisoned { cause: None });
        }
        let row = self.inner.get(keyspace, key);
        let gate = self.gate.lock().expect("whole").take();
        if let Some((has_read, go_on)) = gate {
            has_read.send(()).expect("heard");
            go_on.recv().expect("released");
        }
        row
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        self.inner.commit(batch, durability)?;
        if self.broken.load(Ordering::Relaxed) {
            return Err(EngineError::Poisoned { cause: None });
        }
        Ok(())
    }

    fn snapshot(&self) -> MemorySnapshot {
        self.inner.snapshot()
    }

    fn persist(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn check(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }
}

fn cached() -> RowCache<Stepped> {
    RowCache::new(Stepped::default(), 1 << 20, [1; 16])
}

/// Whether the engine is left out when `key` is read.
fn is_resident(cache: &RowCache<Stepped>, key: &[u8]) -> bool {
    cache.engine.unreadable.store(true, Ordering::Relaxed);
    let row = cache.get(Keyspace::Records, key);
    cache.engine.unreadable.store(false, Ordering::Relaxed);
    row.is_ok()
}

#[test]
fn a_row_is_read_from_the_engine_once() {
    let cache = cached();
    cache
        .engine
        .inner
        .commit(write(KEY, b"v"), Durability::Fsync)
        .expect("stored");
    assert!(!is_resident(&cache, KEY));
    assert_eq!(get(&cache, KEY).as_deref(), Some(&b"v"[..]));
    assert!(is_resident(&cache, KEY));
}

#[test]
fn a_committed_row_replaces_the_one_that_was_read_before() {
    let cache = cached();
    for value in [b"1", b"2"] {
        cache
            .commit(write(KEY, value), Durability::Buffered)
            .expect("stored");
        assert!(is_resident(&cache, KEY));
        assert_eq!(get(&cache, KEY).as_deref(), Some(&value[..]));
    }
    let mut batch = Batch::new();
    batch.remove(Keyspace::Records, KEY);
    cache.commit(batch, Durability::Buffered).expect("removed");
    assert_eq!(get(&cache, KEY), None);
}

#[test]
fn a_row_read_before_a_commit_is_not_cached_after_it() {
    let cache = Arc::new(cached());
    cache
        .engine
        .inner
        .commit(write(KEY, b"old"), Durability::Fsync)
        .expect("stored");
    let (has_read, wait) = mpsc::channel();
    let (go_on, released) = mpsc::channel();
    *cache.engine.gate.lock().expect("whole") = Some((has_read, released));
    let reader = {
        let cache = Arc::clone(&cache);
        std::thread::spawn(move || get(&*cache, KEY))
    };
    wait.recv().expect("it has read");
    cache
        .commit(write(KEY, b"new"), Durability::Fsync)
        .expect("stored");
    go_on.send(()).expect("it waits");
    assert_eq!(
        reader.join().expect("no panic").as_deref(),
        Some(&b"old"[..]),
        "both overlap"
    );
    assert_eq!(get(&*cache, KEY).as_deref(), Some(&b"new"[..]));
}

#[test]
fn a_row_read_while_a_commit_is_under_way_is_not_cached() {
    let cache = cached();
    cache
        .engine
        .inner
        .commit(write(KEY, b"old"), Durability::Fsync)
        .expect("stored");
    let hash = cache.keyed.hash(KEY);
    cache.shard(hash).begin();
    assert_eq!(get(&cache, KEY).as_deref(), Some(&b"old"[..]));
    assert!(
        !is_resident(&cache, KEY),
        "the engine may show the new one to somebody by now"
    );
    cache
        .shard(hash)
        .end(KEY, hash, Some(&Bytes::from_static(b"new")));
    assert_eq!(get(&cache, KEY).as_deref(), Some(&b"new"[..]));
}

#[test]
fn after_a_failed_commit_the_cache_is_bypassed() {
    let cache = cached();
    cache
        .commit(write(KEY, b"1"), Durability::Fsync)
        .expect("stored");
    cache.engine.broken.store(true, Ordering::Relaxed);
    assert!(cache.commit(write(KEY, b"2"), Durability::Fsync).is_err());
    assert_eq!(
        get(&cache, KEY).as_deref(),
        Some(&b"2"[..]),
        "what this engine holds"
    );
    assert!(!is_resident(&cache, KEY));
}

#[test]
fn a_refused_batch_changes_nothing() {
    let cache = cached();
    cache
        .commit(write(KEY, b"1"), Durability::Fsync)
        .expect("stored");
    let mut batch = write(KEY, b"2");
    batch.remove(Keyspace::Meta, &b""[..]);
    assert!(cache.commit(batch, Durability::Fsync).is_err());
    assert_eq!(get(&cache, KEY).as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_large_row_is_not_cached_and_evicts_its_predecessor() {
    let cache = cached();
    cache
        .commit(write(KEY, b"small"), Durability::Fsync)
        .expect("stored");
    cache
        .commit(write(KEY, &[7; LARGEST + 1]), Durability::Fsync)
        .expect("stored");
    assert!(!is_resident(&cache, KEY));
    assert_eq!(get(&cache, KEY).map(|row| row.len()), Some(LARGEST + 1));
}

#[test]
fn the_rows_stay_within_their_memory() {
    let cache = RowCache::new(MemoryEngine::new(), 1 << 20, [1; 16]);
    for round in 0..3_u32 {
        for index in 0..20_000_u32 {
            let mut batch = Batch::new();
            let key = Bytes::from(format!("key-{index}"));
            batch.insert(Keyspace::Records, key, vec![0; 100 + round as usize]);
            cache.commit(batch, Durability::Buffered).expect("stored");
        }
    }
    let bytes = cache.usage().cache_bytes;
    assert!(bytes <= 1 << 20, "{bytes}");
    assert!(bytes > 1 << 19, "{bytes}");
}

#[test]
fn a_full_cache_is_not_emptied_by_rows_that_are_asked_for_once() {
    let cache = RowCache::new(Stepped::default(), 64 << 10, [1; 16]);
    let key = |name: &str, index: u32| Bytes::from(format!("{name}-{index}"));
    let put = |key| {
        let mut batch = Batch::new();
        batch.insert(Keyspace::Records, key, vec![0; 100]);
        cache
            .engine
            .inner
            .commit(batch, Durability::Buffered)
            .expect("stored");
    };
    (0..100).for_each(|index| put(key("wanted", index)));
    (0..10_000).for_each(|index| put(key("walked", index)));
    for _ in 0..20 {
        (0..100).for_each(|index| drop(get(&cache, &key("wanted", index))));
    }
    (0..10_000).for_each(|index| drop(get(&cache, &key("walked", index))));
    let left = (0..100).filter(|&index| is_resident(&cache, &key("wanted", index)));
    let left = left.count();
    assert!(left > 90, "{left} of 100");
}

proptest! {
    #[test]
    fn it_reads_as_the_engine_does(
        steps in prop::collection::vec((0_u8..12, prop::option::of(0_usize..400), any::<bool>()), 1..300),
        bytes in 0_u64..8_192,
    ) {
        let cache = RowCache::new(MemoryEngine::new(), bytes, [2; 16]);
        let mut model = BTreeMap::new();
        for (step, (key, value, commit)) in steps.into_iter().enumerate() {
            if commit {
                let value = value.map(|length| vec![step.to_le_bytes()[0]; length]);
                let mut batch = Batch::new();
                match &value {
                    Some(value) => batch.insert(Keyspace::Records, vec![key + 1], value.clone()),
                    None => batch.remove(Keyspace::Records, vec![key + 1]),
                }
                cache.commit(batch, Durability::Buffered).expect("stored");
                model.insert(key, value);
            }
            let wanted = model.get(&key).cloned().flatten();
            prop_assert_eq!(get(&cache, &[key + 1]), wanted.map(Bytes::from));
        }
    }
}
