//! Each fault: what it answers, what it leaves, how it ends.

use quoit_node::engine::layout::META_FORMAT;

use super::super::state::IN_RESERVE;
use super::super::{BadSectors, Fired};
use super::*;

fn bad(seed: u64, permille: u32) -> Option<BadSectors> {
    Some(BadSectors { seed, permille })
}

/// Which of a thousand keys can be read, and that the others are there all the same.
fn readable(disk: &Disk, engine: &DiskEngine) -> Vec<bool> {
    let contents = disk.contents();
    let reads = (0..1000).map(|number: u32| {
        let key = number.to_be_bytes();
        let there = contents.get(RECORDS, &key).unwrap();
        match engine.get(RECORDS, &key) {
            Ok(found) => {
                assert_eq!(found, there);
                true
            }
            Err(EngineError::Io { .. } | EngineError::Corrupt { .. }) => false,
            Err(other) => panic!("{other:?}"),
        }
    });
    reads.collect()
}

/// A disk with every other one of a thousand keys.
fn every_other_key() -> (Disk, DiskEngine) {
    let disk = Disk::new();
    let engine = disk.open();
    let mut batch = Batch::new();
    for number in (0..1000_u32).step_by(2) {
        batch.insert(RECORDS, number.to_be_bytes().to_vec(), &b"v"[..]);
    }
    engine.commit(batch, Durability::Fsync).unwrap();
    (disk, engine)
}

#[test]
fn an_engine_is_poisoned_by_a_failed_commit_until_it_is_opened_again() {
    let faults: [fn(&Disk); 3] = [
        |disk| disk.set_brim(true),
        |disk| disk.fail_next_commit(true),
        |disk| disk.fail_next_commit(false),
    ];
    for fault in faults {
        let disk = Disk::new();
        let engine = disk.open();
        count_up(&engine, 3, Durability::Fsync);
        let snapshot = engine.snapshot();
        fault(&disk);
        let failed = engine.commit(one("k", "4"), Durability::Fsync).unwrap_err();
        assert!(!failed.surely_not_stored());
        disk.heal();

        poisoned(&engine.get(RECORDS, b"k"));
        poisoned(&engine.commit(Batch::new(), Durability::Buffered));
        poisoned(&engine.persist());
        poisoned(&snapshot.get(RECORDS, b"k"));
        let Err(EngineError::Poisoned { cause: Some(cause) }) = engine.check() else {
            panic!("no cause");
        };
        assert_eq!(cause.to_string(), failed.to_string());

        let next = disk.open();
        count_up(&next, 5, Durability::Fsync);
        assert_eq!(counted(&next), 5);
        poisoned(&engine.get(RECORDS, b"k"));
    }
}

#[test]
fn a_dead_process_does_not_see_its_successors_failure() {
    let disk = Disk::new();
    let (dead, next) = (disk.open(), disk.open());
    disk.fail_next_commit(false);
    assert!(next.commit(one("k", "1"), Durability::Fsync).is_err());
    let seen = dead.check();
    assert!(
        matches!(seen, Err(EngineError::Poisoned { cause: None })),
        "{seen:?}"
    );
}

#[test]
fn a_failed_commit_is_there_afterwards_only_if_it_was_kept() {
    for kept in [false, true] {
        let disk = Disk::new();
        let engine = disk.open();
        count_up(&engine, 3, Durability::Fsync);
        disk.fail_next_commit(kept);
        assert!(engine.commit(one("k", "4"), Durability::Fsync).is_err());

        assert_eq!(disk.unsynced(), usize::from(kept));
        let engine = disk.open();
        assert_eq!(counted(&engine), 3 + usize::from(kept));
        count_up(&engine, 9, Durability::Fsync);
        let fired = Fired {
            commits_lost: u64::from(!kept),
            commits_kept: u64::from(kept),
            ..Fired::default()
        };
        assert_eq!(disk.fired(), fired);
    }
}

#[test]
fn a_commit_on_a_disk_full_to_the_brim_leaves_nothing() {
    let disk = Disk::new();
    let engine = disk.open();
    count_up(&engine, 3, Durability::Fsync);
    disk.set_brim(true);
    assert_eq!(engine.free_space(), None, "it comes without warning");
    for times in 1..=2 {
        let engine = disk.open();
        let full = engine.commit(one("k", "4"), Durability::Fsync);
        assert!(matches!(full, Err(EngineError::NoSpace { .. })), "{full:?}");
        assert_eq!(disk.fired().no_space, times);
        assert_eq!(counted(&disk.open()), 3);
    }

    disk.set_brim(false);
    count_up(&disk.open(), 5, Durability::Fsync);
}

#[test]
fn a_nearly_full_disk_says_so_and_still_commits() {
    let disk = Disk::new();
    let engine = disk.open();
    let free = || engine.free_space().map(|space| space.free);
    for (times, left) in [(1, IN_RESERVE), (2, 0), (3, IN_RESERVE)] {
        disk.set_full(true);
        assert_eq!(free(), Some(left));
        count_up(&engine, 1, Durability::Fsync);
        disk.set_full(false);
        assert_eq!(free(), None);
        assert_eq!(disk.fired().no_room, times);
    }
}

#[test]
fn a_batch_that_no_engine_takes_spends_no_fault_and_poisons_nothing() {
    let mut invalid = one("k", "v");
    invalid.insert(Keyspace::Hints, Bytes::new(), Bytes::new());
    for durability in [Durability::Fsync, Durability::Buffered] {
        for fault in [None, Some(true), Some(false)] {
            let disk = Disk::new();
            let engine = disk.open();
            if let Some(kept) = fault {
                disk.fail_next_commit(kept);
            }
            let refused = engine.commit(invalid.clone(), durability);
            assert!(
                matches!(refused, Err(EngineError::InvalidKey { .. })),
                "{refused:?}"
            );
            assert_eq!(counted(&engine), 0);
            assert_eq!((disk.unsynced(), disk.fired()), (0, Fired::default()));
            let next = engine.commit(one("k", "1"), durability);
            assert_eq!(next.is_err(), fault.is_some());
        }
    }
}

#[test]
fn an_unreadable_key_is_an_error_and_not_an_absence() {
    let (disk, engine) = every_other_key();
    disk.set_unreadable(bad(1, 250));
    let first = readable(&disk, &engine);
    let unreadable = first.iter().filter(|&&readable| !readable).count();
    assert!((190..310).contains(&unreadable), "{unreadable}");
    assert_eq!(disk.fired().unreadable, u64::try_from(unreadable).unwrap());
    for parity in [0, 1] {
        let mut keys = first.iter().skip(parity).step_by(2);
        assert!(keys.any(|&readable| !readable), "present and absent ones");
    }

    disk.kill();
    let engine = disk.open();
    assert_eq!(readable(&disk, &engine), first, "the same in every process");
    disk.set_unreadable(bad(2, 250));
    assert_ne!(readable(&disk, &engine), first, "another seed, other keys");
    disk.set_unreadable(None);
    assert!(
        readable(&disk, &engine)
            .into_iter()
            .all(|readable| readable)
    );
}

#[test]
fn all_keys_can_be_bad_or_none_but_never_those_in_meta() {
    let (disk, engine) = every_other_key();
    disk.set_unreadable(bad(1, 1000));
    assert_eq!(readable(&disk, &engine), [false; 1000]);
    assert!(engine.get(Keyspace::Meta, META_FORMAT).unwrap().is_some());
    disk.set_unreadable(bad(1, 0));
    assert_eq!(readable(&disk, &engine), [true; 1000]);
}

#[test]
fn some_bad_sectors_fail_and_others_are_damaged() {
    let (disk, engine) = every_other_key();
    disk.set_unreadable(bad(1, 1000));
    let failing = (0..1000_u32)
        .filter(|number| {
            let read = engine.get(RECORDS, &number.to_be_bytes());
            matches!(read, Err(EngineError::Io { .. }))
        })
        .count();
    assert!((430..570).contains(&failing), "{failing}");
}

#[test]
fn a_walk_ends_with_an_error_at_the_first_bad_sector() {
    let (disk, engine) = every_other_key();
    disk.set_unreadable(bad(1, 20));
    let good = readable(&disk, &engine);
    let before = good.iter().step_by(2).take_while(|&&good| good).count();
    assert!(before < 500, "a bad key that is there");

    let mut walk = engine.snapshot().range(RECORDS, ..);
    assert!(walk.by_ref().take(before).all(|entry| entry.is_ok()));
    assert!(walk.next().unwrap().is_err());
    assert!(walk.next().is_none());
    let all = disk.contents().range(RECORDS, ..);
    assert_eq!(all.count(), 500, "the truth is there for checks");
}
