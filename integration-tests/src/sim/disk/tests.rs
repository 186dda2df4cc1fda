//! The disk against a naive model, then its faults one by one.

mod faults;
mod model;

use bytes::Bytes;
use quoit_node::engine::{Batch, Durability, Engine, EngineError, Keyspace, Snapshot as _};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng as _};

use super::{Disk, DiskEngine, MOST_UNSYNCED};

const RECORDS: Keyspace = Keyspace::Records;

fn one(key: &str, value: &str) -> Batch {
    let mut batch = Batch::new();
    batch.insert(RECORDS, key.to_owned(), value.to_owned());
    batch
}

/// Commits `count` batches that each set the key `k` to their number, counted from 1.
fn count_up(engine: &DiskEngine, count: usize, durability: Durability) {
    for number in 1..=count {
        engine
            .commit(one("k", &number.to_string()), durability)
            .unwrap();
    }
}

/// The number that [`count_up`] left, 0 if none.
fn counted(engine: &DiskEngine) -> usize {
    let value = engine.get(RECORDS, b"k").unwrap();
    value.map_or(0, |value| str::from_utf8(&value).unwrap().parse().unwrap())
}

fn poisoned<T: std::fmt::Debug>(answer: &Result<T, EngineError>) {
    assert!(
        matches!(answer, Err(EngineError::Poisoned { .. })),
        "{answer:?}"
    );
}

#[test]
fn a_power_loss_takes_any_suffix_of_the_unsynced_batches() {
    let mut lengths = [0_u32; 6];
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..600 {
        let disk = Disk::new();
        let engine = disk.open();
        count_up(&engine, 5, Durability::Buffered);
        let lost = disk.power_loss(&mut rng);
        assert_eq!(counted(&disk.open()), 5 - lost);
        lengths[lost] += 1;
    }

    // 100 expected of each; 60 is four standard deviations off.
    assert!(lengths.iter().all(|&times| times > 60), "{lengths:?}");
}

#[test]
fn a_power_loss_never_takes_what_was_synced() {
    let ways: [fn(&DiskEngine); 3] = [
        |engine| engine.commit(one("k", "7"), Durability::Fsync).unwrap(),
        |engine| engine.commit(Batch::new(), Durability::Fsync).unwrap(),
        |engine| engine.persist().unwrap(),
    ];
    for (seed, sync) in (0..60).flat_map(|seed| ways.map(|way| (seed, way))) {
        let disk = Disk::new();
        let engine = disk.open();
        count_up(&engine, 7, Durability::Buffered);
        sync(&engine);
        assert_eq!(disk.unsynced(), 0);
        engine
            .commit(one("other", "x"), Durability::Buffered)
            .unwrap();
        assert_eq!(disk.unsynced(), 1);
        disk.power_loss(&mut StdRng::seed_from_u64(seed));
        assert_eq!(counted(&disk.open()), 7);
    }
}

#[test]
fn what_was_unsynced_before_a_kill_can_be_lost_after_it() {
    let lost = |seed| {
        let disk = Disk::new();
        count_up(&disk.open(), 3, Durability::Buffered);
        disk.kill();
        assert_eq!(counted(&disk.open()), 3);
        disk.power_loss(&mut StdRng::seed_from_u64(seed))
    };
    assert_eq!((0..50).map(lost).max(), Some(3));
    assert_eq!((0..50).map(lost).min(), Some(0));
}

#[test]
fn the_same_random_source_loses_the_same_batches() {
    let run = |seed| {
        let disk = Disk::new();
        let mut rng = StdRng::seed_from_u64(seed);
        let losses: Vec<_> = (0..20)
            .map(|_| {
                count_up(&disk.open(), 9, Durability::Buffered);
                disk.power_loss(&mut rng)
            })
            .collect();
        (losses, rng.random::<u64>())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn what_is_left_by_a_power_loss_is_durable() {
    let disk = Disk::new();
    count_up(&disk.open(), 9, Durability::Buffered);
    let left = 9 - disk.power_loss(&mut StdRng::seed_from_u64(3));
    for seed in 0..20 {
        assert_eq!(disk.power_loss(&mut StdRng::seed_from_u64(seed)), 0);
        assert_eq!(counted(&disk.open()), left);
    }
}

#[test]
fn a_batch_is_never_half_there() {
    let whole = |number: u8| {
        let mut batch = Batch::new();
        batch.insert(RECORDS, &b"k"[..], vec![number]);
        batch.insert(Keyspace::Leaves, vec![number], Bytes::new());
        batch.remove(Keyspace::Leaves, vec![number - 1]);
        batch.insert(Keyspace::Hints, &b"k"[..], vec![number]);
        batch
    };
    let mut rng = StdRng::seed_from_u64(2);
    let mut lost = 0;

    for _ in 0..100 {
        let disk = Disk::new();
        let engine = disk.open();
        for number in 1..=20 {
            let synced = rng.random_ratio(1, 10);
            let durability = [Durability::Buffered, Durability::Fsync][usize::from(synced)];
            engine.commit(whole(number), durability).unwrap();
        }
        lost += disk.power_loss(&mut rng);
        let engine = disk.open();
        let number = engine.get(RECORDS, b"k").unwrap();
        assert_eq!(engine.get(Keyspace::Hints, b"k").unwrap(), number);
        let leaves: Vec<_> = (engine.snapshot().range(Keyspace::Leaves, ..))
            .map(|entry| entry.unwrap().0)
            .collect();
        assert_eq!(leaves, Vec::from_iter(number));
    }

    assert!(lost > 0);
}

#[test]
fn the_oldest_unsynced_batch_is_written_back_when_too_many_have_come() {
    let disk = Disk::new();
    count_up(&disk.open(), MOST_UNSYNCED + 10, Durability::Buffered);
    assert_eq!(disk.unsynced(), MOST_UNSYNCED);
    let lost = disk.power_loss(&mut StdRng::seed_from_u64(4));
    assert_eq!(counted(&disk.open()), MOST_UNSYNCED + 10 - lost);
}

#[test]
fn a_dead_process_neither_reads_nor_writes() {
    let disk = Disk::new();
    let deaths: [fn(&Disk); 3] = [
        Disk::kill,
        |disk| assert_eq!(disk.power_loss(&mut StdRng::seed_from_u64(0)), 0),
        |disk| drop(disk.open()),
    ];
    for die in deaths {
        let engine = disk.open();
        count_up(&engine, 1, Durability::Fsync);
        let snapshot = engine.snapshot();
        let mut walk = snapshot.range(RECORDS, ..);
        die(&disk);
        for _ in 0..2 {
            poisoned(&engine.get(RECORDS, b"k"));
            poisoned(&engine.commit(one("k", "2"), Durability::Fsync));
            poisoned(&engine.persist());
            poisoned(&engine.check());
            poisoned(&snapshot.get(RECORDS, b"k"));
            let next = disk.open(); // a successor does not bring it back
            assert_eq!(counted(&next), 1);
        }
        poisoned(&walk.next().unwrap());
        assert!(walk.next().is_none());
    }

    assert_eq!((disk.fired().kills, disk.fired().power_losses), (1, 1));
}

#[test]
fn a_snapshot_is_not_touched_by_what_comes_after_it() {
    let disk = Disk::new();
    let engine = disk.open();
    count_up(&engine, 3, Durability::Buffered);
    let (snapshot, contents) = (engine.snapshot(), disk.contents());
    let mut walk = snapshot.range(RECORDS, ..);
    count_up(&engine, 9, Durability::Buffered);
    engine.commit(one("j", "new"), Durability::Fsync).unwrap();

    let three = Some(Bytes::from("3"));
    assert_eq!(snapshot.get(RECORDS, b"k").unwrap(), three);
    assert_eq!(snapshot.get(RECORDS, b"j").unwrap(), None);
    assert_eq!(walk.next().unwrap().unwrap().1, "3");
    assert!(walk.next().is_none());
    assert_eq!(contents.get(RECORDS, b"k").unwrap(), three);
    assert_eq!(counted(&engine), 9);
}

#[test]
fn all_work_is_counted() {
    let disk = Disk::new();
    let engine = disk.open();
    let mut batch = one("k", "value");
    batch.remove(Keyspace::Hints, &b"h"[..]);
    engine.commit(batch, Durability::Buffered).unwrap();
    engine.commit(one("l", "v"), Durability::Fsync).unwrap();
    engine.persist().unwrap();
    for key in ["k", "l", "absent"] {
        engine.get(RECORDS, key.as_bytes()).unwrap();
    }

    let counters = disk.counters();
    assert_eq!((counters.commits, counters.writes), (2, 3));
    assert_eq!((counters.syncs, counters.gets), (2, 3));
    assert_eq!(counters.bytes_read, 6);
    assert_eq!(engine.usage().records, 2);
}
