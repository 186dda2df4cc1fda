//! What is in the engine after a batch, and what happens when the engine fails.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use quoit_ring::wire::{Fault, Refusal, Response, WarningKind};
use quoit_ring::{Actor, Delta, Millis, NodeId, Record, Seen, Time};

use super::{World, delete, expiring, values, world};
use crate::clock::LEAD_MS;
use crate::engine::layout::{META_CLOCK, NAMESPACE, expiry_key, leaf_key, record_key};
use crate::engine::{Batch, Durability, Engine as _, EngineError, Keyspace};
use crate::hints::HintScan;
use crate::storage::fault_of;
use crate::testing::{Disk, Failing, LIMITS, RESERVE, WALL, at, blind, dot, encoded, ring, write};
use crate::write::{Change, Destination};

#[test]
fn a_put_is_stored_with_its_leaf_entry() {
    let mut world = world();
    assert_eq!(world.only("k", blind(dot(1, WALL), "v")), Response::Joined);
    assert_eq!(values(&world.stored("k").unwrap()), [b"v"]);
    let leaf = ring(1).leaf_bits().leaf_of(ring(1).token_of(b"k"));
    assert_eq!(
        world.keys(Keyspace::Leaves),
        [leaf_key(leaf, NAMESPACE, b"k")]
    );
    assert_eq!(world.keys(Keyspace::Expiry), [] as [Bytes; 0]);
}

#[test]
fn a_write_is_on_the_disk_before_it_is_acknowledged() {
    let mut world = World::over(Disk::default());
    assert_eq!(world.only("k", blind(dot(1, WALL), "v")), Response::Joined);
    assert_eq!(world.engine.durabilities(), [Durability::Fsync]);
}

#[test]
fn encoded_records_read_back_from_the_shared_buffer() {
    let mut world = world();
    for key in ["a", "b", "c"] {
        world.put(key, blind(dot(1, WALL), key));
    }
    world.commit();
    for key in ["a", "b", "c"] {
        let stored = world
            .engine
            .get(Keyspace::Records, &record_key(NAMESPACE, key.as_bytes()));
        assert_eq!(
            stored.unwrap().unwrap(),
            encoded(blind(dot(1, WALL), key).record())
        );
    }
}

#[test]
fn a_refused_write_leaves_nothing_and_its_batch_goes_on() {
    let mut world = world();
    world.put("a", blind(dot(1, WALL + 501), "ahead"));
    world.put("b", blind(dot(1, WALL), "v"));
    let answers = world.commit();
    assert!(matches!(
        answers[0],
        Response::Refused(Refusal::ClockAhead { .. })
    ));
    assert_eq!(answers[1], Response::Joined);
    assert_eq!(world.stored("a"), None);
    assert_eq!(world.keys(Keyspace::Leaves).len(), 1);
}

#[test]
fn expiry_entries_live_and_die_with_their_siblings() {
    let mut world = world();
    let entry = |due| expiry_key(due, NAMESPACE, b"k");
    world.put("k", expiring(dot(1, WALL), "a", 7_000));
    world.put("k", expiring(dot(2, WALL), "b", 7_000));
    world.put("k", expiring(dot(3, WALL), "c", 9_000));
    world.commit();
    assert_eq!(world.keys(Keyspace::Expiry), [entry(7_000), entry(9_000)]);

    let one_dies = {
        let mut seen = Seen::default();
        seen.add(Actor(1), Time::ZERO, dot(1, WALL).time);
        Delta::causal(dot(1, WALL + 1), dot(1, WALL).time, &seen, None)
    };
    world.only("k", one_dies);
    assert_eq!(
        world.keys(Keyspace::Expiry),
        [entry(7_000), entry(9_000)],
        "one still needs it"
    );
    world.only("k", delete(dot(4, WALL + 2)));
    assert_eq!(world.keys(Keyspace::Expiry), [] as [Bytes; 0]);
    assert_eq!(
        world.keys(Keyspace::Leaves).len(),
        1,
        "a tombstone keeps its leaf entry"
    );
}

#[test]
fn an_expired_sibling_in_one_batch_leaves_no_entry_behind() {
    let mut world = world();
    world.put("k", expiring(dot(1, WALL), "a", 7_000));
    world.put("k", delete(dot(2, WALL + 1)));
    world.commit();
    assert_eq!(world.keys(Keyspace::Expiry), [] as [Bytes; 0]);
}

#[test]
fn a_repair_of_nothing_stores_nothing() {
    let mut world = world();
    world.repair("k", Record::default());
    assert_eq!(world.commit(), [Response::Joined]);
    assert_eq!(world.stored("k"), None);
}

#[test]
fn a_damaged_record_is_an_error_and_not_an_absent_one() {
    let mut world = world();
    let mut batch = Batch::new();
    batch.insert(Keyspace::Records, record_key(NAMESPACE, b"k"), &b"junk"[..]);
    world.engine.commit(batch, Durability::Fsync).unwrap();
    world.put("k", blind(dot(1, WALL), "v"));
    world.put("sound", blind(dot(1, WALL), "v"));
    let answers = world.commit();
    assert_eq!(
        answers[0],
        Response::Refused(Refusal::Storage(Fault::Corrupt))
    );
    assert_eq!(answers[1], Response::Joined);
    let kept = world
        .engine
        .get(Keyspace::Records, &record_key(NAMESPACE, b"k"))
        .unwrap();
    assert_eq!(kept.as_deref(), Some(&b"junk"[..]));
}

#[test]
fn the_clocks_mark_is_stored_ahead_of_use_and_not_with_every_batch() {
    let mut world = world();
    world.only("k", blind(dot(1, WALL + 400), "v"));
    assert_eq!(world.mark(), Some(WALL + 400 + LEAD_MS));
    world.put("k", blind(dot(1, WALL + 500), "v"));
    world.commit_at(at(WALL + 500));
    assert_eq!(
        world.mark(),
        Some(WALL + 400 + LEAD_MS),
        "far enough ahead still"
    );
    world.committer.idle(at(WALL + 2_000)).unwrap();
    assert_eq!(world.mark(), Some(WALL + 2_000 + LEAD_MS));
    let World {
        engine, committer, ..
    } = world;
    committer.finish(at(WALL + 2_100)).unwrap();
    let mark = engine.get(Keyspace::Meta, META_CLOCK).unwrap().unwrap();
    let mark = Time(u64::from_be_bytes(mark[..].try_into().unwrap()));
    assert_eq!(
        mark,
        Time::at(Millis(WALL + 2_000 + LEAD_MS)),
        "a stop in order does not lower it"
    );
}

#[test]
fn a_jump_of_the_wall_clock_before_the_first_commit_does_not_set_the_clocks_mark() {
    let mut world = world();
    let mut wrong = at(WALL + 500);
    wrong.wall.0 += 3_600_000;
    world.committer.idle(wrong).unwrap();
    let furthest = WALL + 500 + LIMITS.max_clock_drift_ms + LEAD_MS;
    assert!(world.mark() <= Some(furthest), "{:?}", world.mark());
}

#[test]
fn a_short_jump_of_the_wall_clock_does_not_move_the_clocks_mark() {
    let mut world = world();
    world.only("k", blind(dot(1, WALL), "v"));
    let mark = world.mark();
    let mut wrong = at(WALL + 1_000);
    wrong.wall.0 += 10 * 365 * 86_400_000;
    world.committer.idle(wrong).unwrap();
    world.put("k", blind(dot(1, wrong.wall.0), "from a wrong clock"));
    assert_eq!(world.commit_at(wrong), [Response::Joined]);
    assert_eq!(world.mark(), mark);
    let World {
        engine, committer, ..
    } = world;
    wrong.mono += std::time::Duration::from_secs(10);
    committer.finish(wrong).unwrap();
    let stored = engine.get(Keyspace::Meta, META_CLOCK).unwrap().unwrap();
    let stored = Time(u64::from_be_bytes(stored[..].try_into().unwrap()));
    assert!(
        stored.millis() <= Millis(WALL + 11_500),
        "{stored:?}: no stop makes it last"
    );
}

#[test]
fn a_failed_commit_is_told_to_every_write_in_it_and_moves_nothing() {
    let mut world = World::over(Failing::with(|| EngineError::NoSpace {
        doing: "testing",
        source: Arc::new(io::ErrorKind::StorageFull.into()),
    }));
    world.put("a", blind(dot(1, WALL + 100), "v"));
    world.put("b", blind(dot(1, WALL + 501), "ahead"));
    world.repair("c", blind(dot(1, WALL), "v").into_record());
    let done = world.committer.run(&mut world.waiting, at(WALL));
    assert!(matches!(done, Err(EngineError::NoSpace { .. })), "{done:?}");
    let answers = world.sink.answers();
    let filled = Refusal::Storage(Fault::Filled);
    assert!(filled.may_be_stored(), "a failed commit may be on the disk");
    let lost = Response::Refused(filled);
    assert_eq!(answers[0].1, lost);
    assert!(matches!(
        answers[1].1,
        Response::Refused(Refusal::ClockAhead { .. })
    ));
    assert_eq!(answers[2].1, lost);
    assert_eq!(
        world.state.clock.reading(at(WALL)),
        Time::at(Millis(WALL)),
        "the clock stays"
    );
}

#[test]
fn writes_are_refused_by_name_while_the_disk_is_full_and_taken_again_once_there_is_room() {
    let mut world = World::over(Disk::default());
    assert_eq!(world.only("k", blind(dot(1, WALL), "v")), Response::Joined);
    world.engine.set_free(0);
    let full = Refusal::Storage(Fault::NoSpace);
    assert!(!full.may_be_stored(), "the engine was left alone");
    let full = Response::Refused(full);
    for second in 1..4 {
        let now = at(WALL + second * 1_000);
        world.committer.idle(now).unwrap();
        let change = Change::Put(blind(dot(2, now.wall.0), "w"));
        world.waiting.push(write(1, &world.sink, "k", change, now));
        assert_eq!(world.commit_at(now).first(), Some(&full));
        assert_eq!(values(&world.stored("k").unwrap()), [b"v"], "reads go on");
    }
    world.engine.set_free(1 << 40);
    let now = at(WALL + 4_500);
    let change = Change::Put(blind(dot(2, now.wall.0), "w"));
    world.waiting.push(write(1, &world.sink, "k", change, now));
    assert_eq!(world.commit_at(now), [Response::Joined]);
    assert_eq!(values(&world.stored("k").unwrap()), [b"w"]);
}

#[test]
fn an_engine_that_only_reads_is_left_alone_and_writes_are_refused_by_name() {
    let mut world = World::over(Disk::default());
    assert_eq!(world.only("k", blind(dot(1, WALL), "v")), Response::Joined);
    world.engine.set_read_only();
    let damaged = Refusal::Storage(Fault::Corrupt);
    assert!(!damaged.may_be_stored(), "no write was begun");
    for second in 1..4 {
        let now = at(WALL + second * 1_000);
        world.committer.idle(now).unwrap();
        let change = Change::Put(blind(dot(2, now.wall.0), "w"));
        world.waiting.push(write(1, &world.sink, "k", change, now));
        let answers = world.commit_at(now);
        assert_eq!(answers, [Response::Refused(damaged)]);
        assert_eq!(values(&world.stored("k").unwrap()), [b"v"], "reads go on");
    }
    world.committer.finish(at(WALL + 9_000)).unwrap();
}

#[test]
fn many_bytes_within_a_second_do_not_outrun_the_look_at_the_disk() {
    let mut world = World::over(Disk::default());
    assert_eq!(world.only("k", blind(dot(1, WALL), "v")), Response::Joined);
    world.engine.set_free(0);
    world.put("k", blind(dot(2, WALL), "w"));
    world.waiting[0].bytes = 4 << 20;
    let full = Response::Refused(Refusal::Storage(Fault::NoSpace));
    assert_eq!(world.commit(), [full]);
}

#[test]
fn an_engine_that_stopped_for_want_of_space_says_so_ever_after() {
    let full = EngineError::NoSpace {
        doing: "testing",
        source: Arc::new(io::ErrorKind::StorageFull.into()),
    };
    let cause = Some(Arc::new(full));
    assert_eq!(fault_of(&EngineError::Poisoned { cause }), Fault::Filled);
    let unknown = EngineError::Poisoned { cause: None };
    assert_eq!(fault_of(&unknown), Fault::Failed);
}

/// A world over a disk whose space the test sets, with its hints counted.
fn small_disk() -> World<Disk> {
    let world = World::over(Disk::default());
    let counted = HintScan::new().step(&*world.engine, &world.state.hints, 10);
    assert_eq!(counted, Ok(true));
    world
}

impl World<Disk> {
    /// Commits a put, a repair with a value, a delete, a repaired tombstone, a hint and the removal of the hint `old`,
    /// each of a key of its own; which of them were stored.
    fn one_of_each(&mut self, second: u64) -> [bool; 6] {
        let now = at(WALL + second * 1_000);
        let named = |kind: &str| format!("{kind}-{second}");
        let value = || blind(dot(2, now.wall.0), "v");
        let nothing = || delete(dot(3, now.wall.0));
        let old = blind(dot(1, WALL), "v").into_record();
        let kept_for_other = Destination::Hint(NodeId(2));
        let writes = [
            (named("put"), Change::Put(value()), Destination::Record),
            (
                named("repair"),
                Change::Repair(value().into_record()),
                Destination::Record,
            ),
            (named("delete"), Change::Put(nothing()), Destination::Record),
            (
                named("dead"),
                Change::Repair(nothing().into_record()),
                Destination::Record,
            ),
            (named("hint"), Change::Put(value()), kept_for_other),
            ("old".to_owned(), Change::Delivered(old), kept_for_other),
        ];
        for (id, (key, change, destination)) in (0..).zip(writes) {
            let mut made = write(id, &self.sink, &key, change, now);
            made.destination = destination;
            self.waiting.push(made);
        }
        let answers = self.commit_at(now);
        let full = Response::Refused(Refusal::Storage(Fault::NoSpace));
        answers
            .into_iter()
            .map(|answer| {
                assert!(answer == Response::Joined || answer == full, "{answer:?}");
                answer == Response::Joined
            })
            .collect::<Vec<_>>()
            .try_into()
            .unwrap()
    }
}

#[test]
fn a_disk_that_fills_up_refuses_hints_first_then_values_and_takes_removals_to_the_end() {
    let mut world = small_disk();
    let old = Change::Put(blind(dot(1, WALL), "v"));
    let mut hint = write(9, &world.sink, "old", old, at(WALL));
    hint.destination = Destination::Hint(NodeId(2));
    world.waiting.push(hint);
    assert_eq!(world.commit(), [Response::Joined]);

    // In the order of `one_of_each`; the engine itself needs one byte.
    let steps = [
        (
            2 * RESERVE + 1_000,
            [true, true, true, true, true, true],
            "ample",
        ),
        (2 * RESERVE, [true, true, true, true, false, true], "low"),
        (RESERVE, [false, false, true, true, false, true], "reserve"),
        (
            RESERVE + 1_000,
            [false, false, true, true, false, true],
            "no flapping",
        ),
        (0, [false; 6], "full"),
        (1 << 40, [true; 6], "space again"),
    ];
    let mut refused = 0;
    for (second, (free, taken, why)) in (2..).zip(steps) {
        world.engine.set_free(free);
        assert_eq!(world.one_of_each(second), taken, "{why}");

        refused += taken.iter().filter(|taken| !**taken).count() as u64;
        let shown = world.state.warnings.list(at(WALL + second * 1_000).mono);
        match why {
            "ample" | "space again" => assert_eq!(shown, []),
            _ => assert_eq!(
                (shown[0].kind, shown[0].count),
                (WarningKind::DiskSpace, refused)
            ),
        }
    }
    let kept = world.state.hints.kept().unwrap();
    assert_eq!(kept[0].count, 2, "the old one is gone: {kept:?}");
}

#[test]
fn hints_are_removed_while_the_disk_has_only_its_reserve() {
    let mut world = small_disk();
    let change = Change::Put(blind(dot(1, WALL), "v"));
    let mut hint = write(9, &world.sink, "old", change, at(WALL));
    hint.destination = Destination::Hint(NodeId(2));
    world.waiting.push(hint);
    assert_eq!(world.commit(), [Response::Joined]);
    world.engine.set_free(RESERVE);
    assert!(world.one_of_each(2)[5]);
    assert_eq!(world.state.hints.kept().unwrap(), []);
    assert_eq!(world.keys(Keyspace::Hints), [] as [Bytes; 0]);
}

#[test]
fn the_clocks_mark_is_stored_out_of_the_reserve_and_not_on_a_full_disk() {
    let mut world = small_disk();
    world.only("k", blind(dot(1, WALL), "v"));
    world.engine.set_free(RESERVE);
    world.committer.idle(at(WALL + 4_000)).unwrap();
    let stored = Some(WALL + 4_000 + LEAD_MS);
    assert_eq!(world.mark(), stored);

    world.engine.set_free(0);
    world.committer.idle(at(WALL + 9_000)).unwrap();
    assert_eq!(world.mark(), stored, "the engine is left alone");
    let World {
        engine, committer, ..
    } = world;
    // `Disk` panics at a commit without space.
    committer.finish(at(WALL + 9_500)).unwrap();
    assert!(engine.get(Keyspace::Meta, META_CLOCK).unwrap().is_some());
}
