//! The engine on disk keeps its promises.
//!
//! `twins.rs` compares it with its model. Here are the cases without a model: two openings, refused keys, damaged
//! files, a failing disk, a crash at the first start. Nothing is mocked: each test makes the real thing happen.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::env;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use quoit_node::engine::layout;
use quoit_node::engine::{
    Batch, Durability, Engine, EngineError, EngineOptions, FjallEngine, Keyspace, LEAST_MEMORY,
    MAX_KEY, MemoryEngine, Snapshot,
};

mod journals;
mod manifests;
mod twins;

/// The least memory has the smallest memtables, so that a sequence writes tables too.
const SMALL: EngineOptions = EngineOptions {
    memory: LEAST_MEMORY,
    workers: 2,
    phase: 0,
};

#[test]
fn a_directory_is_open_once_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let in_use = || {
        let second = FjallEngine::create_or_open(directory.path(), SMALL);
        assert!(
            matches!(second, Err(EngineError::InUse { .. })),
            "{second:?}"
        );
    };
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    in_use();
    let snapshot = engine.snapshot();
    drop(engine);
    in_use();
    let walk = snapshot.range(Keyspace::Meta, ..);
    drop(snapshot);
    in_use();
    assert_eq!(entries(walk).len(), 1);
    FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
}

#[test]
fn a_key_too_long_or_empty_is_refused_and_the_engine_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    refuses_bad_keys(&FjallEngine::create_or_open(directory.path(), SMALL).unwrap());
    refuses_bad_keys(&MemoryEngine::new());
}

fn refuses_bad_keys(engine: &impl Engine) {
    for length in [0, MAX_KEY + 1] {
        let bad = vec![7; length];
        let mut batch = Batch::new();
        batch.insert(Keyspace::Records, &b"whole or not at all"[..], &b""[..]);
        batch.remove(Keyspace::Hints, bad.clone());
        let refused = [
            engine.commit(batch, Durability::Fsync),
            engine.get(Keyspace::Hints, &bad).map(drop),
            engine.snapshot().get(Keyspace::Hints, &bad).map(drop),
        ];
        for refused in refused.map(Result::unwrap_err) {
            assert!(refused.surely_not_stored());
            assert!(
                refused.to_string().contains(&format!("{length} bytes")),
                "{refused}"
            );
        }
    }
    assert!(entries(engine.snapshot().range(Keyspace::Records, ..)).is_empty());
    put(engine, vec![7; MAX_KEY], "the longest key");
    assert!(
        engine
            .get(Keyspace::Records, &[7; MAX_KEY])
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_snapshot_never_shows_half_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    shows_whole_batches(&FjallEngine::create_or_open(directory.path(), SMALL).unwrap());
    shows_whole_batches(&MemoryEngine::new());
}

fn shows_whole_batches(engine: &impl Engine) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..5_000_u32 {
                let value = Bytes::copy_from_slice(&round.to_be_bytes());
                let mut batch = Batch::new();
                for keyspace in Keyspace::ALL {
                    batch.insert(keyspace, &b"round"[..], value.clone());
                }
                engine.commit(batch, Durability::Buffered).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let snapshot = engine.snapshot();
            let seen = Keyspace::ALL.map(|keyspace| snapshot.get(keyspace, b"round").unwrap());
            assert!(seen.iter().all(|value| *value == seen[0]), "{seen:?}");
        }
    });
}

#[test]
fn a_reader_never_sees_a_key_go_back_within_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    put(&engine, "count", 0_u32.to_be_bytes().to_vec());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..20_000_u32 {
                let mut batch = Batch::new();
                for step in 1..=4 {
                    let count = (round * 4 + step).to_be_bytes().to_vec();
                    batch.insert(Keyspace::Records, &b"count"[..], count);
                }
                engine.commit(batch, Durability::Buffered).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        let mut last = Bytes::new();
        while !done.load(Ordering::Acquire) {
            let count = engine.get(Keyspace::Records, b"count").unwrap().unwrap();
            assert!(last <= count, "{last:?}, then {count:?}");
            last = count;
        }
    });
}

#[test]
fn a_store_of_a_newer_node_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    let mut batch = Batch::new();
    let newer = layout::FORMAT + 1;
    batch.insert(
        Keyspace::Meta,
        layout::META_FORMAT,
        newer.to_be_bytes().to_vec(),
    );
    engine.commit(batch, Durability::Fsync).unwrap();
    drop(engine);
    for _ in 0..2 {
        match FjallEngine::create_or_open(directory.path(), SMALL) {
            Err(EngineError::NewerFormat { found, .. }) => assert_eq!(found, newer),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_store_without_its_format_or_a_keyspace_is_damaged_not_new() {
    let directory = tempfile::tempdir().unwrap();
    let is_damaged = || {
        let opened = FjallEngine::create_or_open(directory.path(), SMALL);
        assert!(
            matches!(
                opened,
                Err(EngineError::Corrupt { .. } | EngineError::ManifestDamaged { .. })
            ),
            "{opened:?}"
        );
    };
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    let mut batch = Batch::new();
    batch.remove(Keyspace::Meta, layout::META_FORMAT);
    engine.commit(batch, Durability::Fsync).unwrap();
    drop(engine);
    is_damaged();

    let database = fjall::Database::builder(directory.path().join("store"))
        .open()
        .unwrap();
    let keyspace = |name| database.keyspace(name, Default::default).unwrap();
    keyspace("meta")
        .insert(layout::META_FORMAT, layout::FORMAT.to_be_bytes())
        .unwrap();
    database.delete_keyspace(keyspace("records")).unwrap();
    drop(database);
    is_damaged();
}

#[test]
fn a_crash_while_the_store_is_made_leaves_nothing_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let unfinished = directory.path().join("store.new");
    fs::create_dir_all(unfinished.join("keyspaces")).unwrap();
    fs::write(unfinished.join("0.jnl"), b"half a journal").unwrap();
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    put(&engine, "k", "v");
    assert!(!unfinished.exists());
}

#[test]
fn too_little_memory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        memory: LEAST_MEMORY - 1,
        ..SMALL
    };
    let opened = FjallEngine::create_or_open(directory.path(), options);
    assert!(
        matches!(opened, Err(EngineError::Memory { .. })),
        "{opened:?}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_damaged_table_is_an_error_and_never_not_found() {
    const KEYS: u32 = 300;
    let directory = tempfile::tempdir().unwrap();
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    let value = |key: u32| -> Bytes { key.to_be_bytes().repeat(4000).into() };
    for key in 0..KEYS {
        put(&engine, key.to_be_bytes().to_vec(), value(key));
    }
    for _ in 0..1000 {
        if !tables_in(directory.path()).is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    drop(engine);
    let tables = tables_in(directory.path());
    assert!(!tables.is_empty());
    for table in tables {
        let mut bytes = fs::read(&table).unwrap();
        bytes[100] ^= 1;
        fs::write(table, bytes).unwrap();
    }
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    let mut damaged = 0;
    for key in 0..KEYS {
        match engine.get(Keyspace::Records, &key.to_be_bytes()) {
            Ok(found) => assert_eq!(found, Some(value(key))),
            Err(EngineError::Corrupt { .. }) => damaged += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(damaged > 0);
    let walked: Vec<_> = engine.snapshot().range(Keyspace::Records, ..).collect();
    assert!(matches!(
        walked.last(),
        Some(Err(EngineError::Corrupt { .. }))
    ));
}

/// Waits for the first two tables, which are written in the background.
fn await_tables(directory: &Path) {
    for _ in 0..1_000 {
        if tables_in(directory).len() > 1 {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_damaged_table_ends_writes_by_name_and_no_further_start_fails() {
    const KEYS: u32 = 600;
    let directory = tempfile::tempdir().unwrap();
    let value = |key: u32| -> Bytes {
        let mut bytes = vec![0; 16_000];
        SmallRng::seed_from_u64(key.into()).fill(&mut bytes[..]);
        bytes.into()
    };
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    for key in 0..KEYS {
        put(&engine, key.to_be_bytes().to_vec(), value(key));
    }
    await_tables(directory.path());
    engine.close().unwrap();
    let tables = tables_in(directory.path());
    assert!(tables.len() > 1);
    for table in &tables {
        let mut bytes = fs::read(table).unwrap();
        bytes[1_000] ^= 1;
        fs::write(table, bytes).unwrap();
    }

    // Every tenth key again and again: tables that overlap the damaged ones, so that they are merged.
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    let failed = (0..3_000).find_map(|round: u32| {
        let key = round * 10 % KEYS;
        let mut batch = Batch::new();
        batch.insert(Keyspace::Records, key.to_be_bytes().to_vec(), value(key));
        if round > 500 {
            thread::sleep(Duration::from_millis(20));
        }
        engine.commit(batch, Durability::Buffered).err()
    });
    let failed = failed.expect("a merge meets the damage");
    let named = |error: &EngineError| match error {
        EngineError::TableDamaged { keyspace, file, .. } => {
            *keyspace == Keyspace::Records && tables.contains(file)
        }
        _ => false,
    };
    let EngineError::Poisoned { cause: Some(cause) } = &failed else {
        panic!("{failed:?}")
    };
    assert!(named(cause), "{failed:?}");
    drop(engine);

    // No start fails any more: what is undamaged is served, the rest and all writes are refused by name.
    for _ in 0..3 {
        let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
        assert!(named(&engine.takes_writes().unwrap_err()));
        let mut batch = Batch::new();
        batch.insert(Keyspace::Records, &b"more"[..], &b""[..]);
        assert!(named(&engine.commit(batch, Durability::Fsync).unwrap_err()));
        let mut damaged = 0;
        for key in 0..KEYS {
            match engine.get(Keyspace::Records, &key.to_be_bytes()) {
                Ok(found) => assert_eq!(found, Some(value(key))),
                Err(EngineError::Corrupt { .. }) => damaged += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(0 < damaged && damaged < KEYS / 4, "{damaged}");
        engine.check().unwrap();
        engine.close().unwrap();
    }

    for table in &tables {
        let mut bytes = fs::read(table).unwrap();
        bytes[1_000] ^= 1;
        fs::write(table, bytes).unwrap();
    }
    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    engine.takes_writes().unwrap();
    put(&engine, "more", "");
}

const LIMITED: &str = "QUOIT_TEST_LIMITED_DIRECTORY";

#[test]
fn after_a_failed_commit_everything_is_refused_until_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    put(
        &FjallEngine::create_or_open(directory.path(), SMALL).unwrap(),
        "before",
        "1",
    );

    // A limit on file sizes is a disk that fails for this one process. The shell makes the excess an error,
    // where by default it would be a deadly signal.
    let limited = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 64; exec "$0" "$@""#])
        .arg(env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "in_a_process_that_may_not_write_much",
        ])
        .env(LIMITED, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&limited.stdout);
    assert!(
        limited.status.success() && said.contains("1 passed"),
        "{said}"
    );

    let engine = FjallEngine::create_or_open(directory.path(), SMALL).unwrap();
    let found = |key: &str| engine.get(Keyspace::Records, key.as_bytes()).unwrap();
    assert_eq!(found("before").as_deref(), Some(&b"1"[..]));
    assert_eq!(found("small").is_some(), found("large").is_some());
    assert_eq!(found("after"), None);
    put(&engine, "again", "2");
}

#[test]
#[ignore = "only makes sense under a limit of file sizes, which another test sets"]
fn in_a_process_that_may_not_write_much() {
    let directory = env::var_os(LIMITED).expect("is run by another test");
    let engine = FjallEngine::create_or_open(Path::new(&directory), SMALL).unwrap();
    let snapshot = engine.snapshot();
    let walk = snapshot.range(Keyspace::Records, ..);
    let one = |key: &'static str, value: Vec<u8>| {
        let mut batch = Batch::new();
        batch.insert(Keyspace::Records, key, value);
        batch
    };
    let mut batch = one("small", vec![]);
    batch.insert(Keyspace::Records, "large", noise(1 << 20));
    let first = engine.commit(batch, Durability::Fsync).unwrap_err();
    assert!(matches!(first, EngineError::Io { .. }), "{first:?}");
    assert!(!first.surely_not_stored());

    let refused = [
        engine.commit(one("after", vec![]), Durability::Buffered),
        engine.commit(Batch::new(), Durability::Fsync),
        engine.persist(),
        engine.check(),
        engine.get(Keyspace::Records, b"before").map(drop),
        snapshot.get(Keyspace::Records, b"before").map(drop),
        walk.take(1).try_for_each(|entry| entry.map(drop)),
    ];
    for refused in refused.map(Result::unwrap_err) {
        assert!(
            matches!(refused, EngineError::Poisoned { .. }),
            "{refused:?}"
        );
        assert!(refused.surely_not_stored());
        assert_eq!(refused.source().unwrap().to_string(), first.to_string());
    }
}

fn put(engine: &impl Engine, key: impl Into<Bytes>, value: impl Into<Bytes>) {
    let mut batch = Batch::new();
    batch.insert(Keyspace::Records, key, value);
    engine.commit(batch, Durability::Buffered).unwrap();
}

/// Bytes that no compression makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SmallRng::seed_from_u64(1).fill(&mut bytes[..]);
    bytes
}

fn entries(walk: impl Iterator<Item = Result<(Bytes, Bytes), EngineError>>) -> Vec<(Bytes, Bytes)> {
    walk.map(Result::unwrap).collect()
}

/// The files of tables, of all keyspaces but the library's own.
fn tables_in(directory: &Path) -> Vec<PathBuf> {
    let keyspaces = fs::read_dir(directory.join("store/keyspaces")).unwrap();
    let ours = keyspaces
        .map(Result::unwrap)
        .filter(|keyspace| keyspace.file_name() != "0");
    ours.flat_map(|keyspace| fs::read_dir(keyspace.path().join("tables")).unwrap())
        .map(|table| table.unwrap().path())
        .collect()
}
