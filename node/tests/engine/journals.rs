//! Damage in a journal: found before the engine opens, and never taken for the journal's end.
//!
//! ```text
//!   1,000 pairs --> closed in order, or ended as in a crash --> one change to a copy of the directory --> opened
//!                                                                refused by name, or nothing is lost <--'
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

use quoit_node::engine::{Engine as _, EngineError, FjallEngine, Keyspace};

use super::{SMALL, put};

const PAIRS: u32 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    InOrder,
    Crash,
}

/// A store with so many pairs, each written by a batch of its own, and the bytes of its journal.
fn filled(end: End) -> (TempDir, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    engine.close().unwrap();
    // Opened again, the journal has lost the zeros it was made with; its copies are small.
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    for key in 0..PAIRS {
        put(&engine, key.to_be_bytes().to_vec(), value(key));
    }
    match end {
        End::InOrder => engine.close().unwrap(),
        End::Crash => drop(engine),
    }
    let journal = fs::read(journal(directory.path())).unwrap();
    assert!(journal.len() < 200_000);
    (directory, journal)
}

fn value(key: u32) -> Vec<u8> {
    key.to_be_bytes().repeat(10)
}

fn journal(directory: &Path) -> PathBuf {
    directory.join("store/0.jnl")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// How long it takes, in milliseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement, of which only the print depends on time"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, u128) {
    let begin = std::time::Instant::now();
    let done = work();
    (done, begin.elapsed().as_millis())
}

/// How many of the pairs a copy of `directory` with this journal serves; `None` if it refuses by name.
#[expect(clippy::panic, reason = "a test stops at the first surprise")]
fn serves(directory: &Path, bytes: &[u8]) -> Option<u32> {
    let changed = tempfile::tempdir().unwrap();
    copy(directory, changed.path());
    fs::write(journal(changed.path()), bytes).unwrap();
    let engine = match FjallEngine::create_or_open(changed.path(), SMALL) {
        Ok(engine) => engine,
        Err(EngineError::JournalDamaged { file, offset, .. }) => {
            assert_eq!(file, journal(changed.path()));
            assert!(offset <= bytes.len() as u64);
            assert_eq!(fs::read(file).unwrap(), bytes, "nothing was changed");
            return None;
        }
        Err(other) => panic!("{other:?}"),
    };
    let found = |key: &u32| {
        let found = engine.get(Keyspace::Records, &key.to_be_bytes()).unwrap();
        found.is_some_and(|found| found == value(*key))
    };
    Some((0..PAIRS).filter(found).map(|_key| 1).sum())
}

#[test]
fn a_page_of_zeros_or_a_few_random_bytes_in_a_journal_are_refused_by_name() {
    for end in [End::InOrder, End::Crash] {
        let (directory, bytes) = filled(end);
        assert_eq!(serves(directory.path(), &bytes), Some(PAIRS));
        let middle = bytes.len() / 2 / 4096 * 4096;

        let mut zeroed = bytes.clone();
        zeroed[middle..middle + 4096].fill(0);
        assert_eq!(serves(directory.path(), &zeroed), None, "{end:?}");

        let mut noise = bytes.clone();
        SmallRng::seed_from_u64(1).fill(&mut noise[middle..middle + 64]);
        assert_eq!(serves(directory.path(), &noise), None, "{end:?}");
    }
}

#[test]
fn of_two_hundred_flipped_bits_each_is_refused_by_name_or_costs_nothing() {
    for end in [End::InOrder, End::Crash] {
        let (directory, bytes) = filled(end);
        let mut rng = SmallRng::seed_from_u64(7);
        let mut refused = 0;
        for _ in 0..200 {
            let bit = rng.random_range(0..bytes.len() * 8);
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match serves(directory.path(), &flipped) {
                None => refused += 1,
                Some(pairs) => {
                    // Nothing tells the last batch, damaged, from a last batch that a crash has torn.
                    let last = end == End::Crash && bit / 8 + 120 >= bytes.len();
                    assert!(
                        pairs == PAIRS || (last && pairs == PAIRS - 1),
                        "{bit}: {pairs}"
                    );
                }
            }
        }
        println!("{end:?}: {refused} of 200 refused");
        assert!(refused >= 190, "{refused}");
    }
}

#[test]
fn a_journal_that_ends_early_is_torn_after_a_crash_and_damaged_after_an_orderly_stop() {
    for end in [End::InOrder, End::Crash] {
        let (directory, bytes) = filled(end);
        for short in [1, 13, 60] {
            for zeros in [0, 5_000] {
                let torn = [&bytes[..bytes.len() - short], &vec![0; zeros]].concat();
                let expected = (end == End::Crash).then_some(PAIRS - 1);
                assert_eq!(
                    serves(directory.path(), &torn),
                    expected,
                    "{end:?} {short} {zeros}"
                );
            }
        }
        let zeros = [&bytes[..], &[0; 5_000]].concat();
        assert_eq!(serves(directory.path(), &zeros), Some(PAIRS), "{end:?}");
    }
}

#[test]
fn after_a_crash_that_followed_an_orderly_stop_nothing_of_the_stop_counts() {
    let (directory, _bytes) = filled(End::InOrder);
    assert!(directory.path().join("stopped").exists());
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    assert!(!directory.path().join("stopped").exists());
    put(&engine, "after", "1");
    drop(engine);
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    let found = engine.get(Keyspace::Records, b"after").unwrap();
    assert_eq!(found.as_deref(), Some(&b"1"[..]));

    let snapshot = engine.snapshot();
    let closed = engine.close();
    assert!(
        matches!(closed, Err(EngineError::InUse { .. })),
        "{closed:?}"
    );
    drop(snapshot);
    assert!(!directory.path().join("stopped").exists());
}

#[test]
fn a_full_journal_is_checked_in_a_fraction_of_the_time_that_its_replay_takes() {
    let directory = tempfile::tempdir().unwrap();
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    // Several journals, the sealed ones included: tables are written meanwhile.
    for key in 0..100_000_u32 {
        put(
            &engine,
            key.to_be_bytes().to_vec(),
            key.to_be_bytes().repeat(250),
        );
    }
    drop(engine);
    let journals = fs::read_dir(directory.path().join("store")).unwrap();
    let journals = journals.filter_map(|entry| {
        let entry = entry.unwrap();
        let journal = entry.path().extension().is_some_and(|end| end == "jnl");
        journal.then(|| entry.metadata().unwrap().len())
    });
    let bytes: u64 = journals.sum();
    assert!(bytes >= 64 << 20, "{bytes}");

    let (engine, opened) = timed(|| FjallEngine::create_or_open(directory.path(), SMALL).unwrap());
    let ((), closed) = timed(|| engine.close().unwrap());
    println!(
        "{bytes} bytes of journals: opened in {opened} ms, read back and closed in {closed} ms"
    );
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    for key in [0, 50_000, 99_999_u32] {
        let found = engine.get(Keyspace::Records, &key.to_be_bytes()).unwrap();
        assert_eq!(found.unwrap(), key.to_be_bytes().repeat(250));
    }
}
