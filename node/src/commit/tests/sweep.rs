//! Sweeps: what is due is killed as a delete would have, its entries go, and what comes late is joined as its death.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use quoit_ring::wire::{Fault, Refusal, Response};
use quoit_ring::{Millis, NodeId, Record};

use super::{World, delete, expiring, keys, leaving, values, world};
use crate::commit::Task;
use crate::engine::layout::{NAMESPACE, expiry_key, record_key};
use crate::engine::{Batch, Durability, Engine, Keyspace, MemoryEngine};
use crate::hints::HintScan;
use crate::storage::Sums;
use crate::testing::{Disk, WALL, at, blind, dot, rebuild, ring, state, state_of, unseeing, write};
use crate::write::{Change, Destination};

const DUE: u64 = WALL + 5_000;
const MARK: Millis = Millis(DUE);
const NO_SPACE: Response = Response::Refused(Refusal::Storage(Fault::NoSpace));

fn due(entries: &[(u64, &str)]) -> Vec<(Millis, Bytes)> {
    let bytes = |key: &str| Bytes::copy_from_slice(key.as_bytes());
    entries
        .iter()
        .map(|&(at, key)| (Millis(at), bytes(key)))
        .collect()
}

impl<G: Engine> World<G> {
    fn sweep(&mut self, mark: Millis, entries: &[(u64, &str)]) -> Response {
        let due = due(entries);
        self.order(Task::Sweep { mark, due })
    }
}

fn root(sums: &Sums) -> quoit_ring::Sum {
    sums.root().unwrap()
}

#[test]
fn what_is_due_is_killed_and_the_rest_of_its_record_stays() {
    let mut world = world();
    rebuild(&*world.engine, &world.state);
    let empty = root(&world.state.sums);
    world.put("gone", expiring(dot(1, WALL), "a", DUE));
    world.put("later", expiring(dot(1, WALL), "b", DUE + 1));
    world.put("both", expiring(dot(1, WALL), "c", DUE));
    world.put("both", unseeing(dot(2, WALL), "stays"));
    world.commit();
    let before = world.stored("gone").unwrap();

    let entries = [(DUE, "both"), (DUE, "gone"), (DUE + 1, "later")];
    assert_eq!(world.sweep(MARK, &entries), Response::Joined);
    let gone = world.stored("gone").unwrap();
    assert_eq!(gone, before.at(MARK), "as a delete at that time leaves it");
    assert!(gone.is_tombstone());
    assert_eq!(values(&world.stored("both").unwrap()), [b"stays"]);
    assert_eq!(values(&world.stored("later").unwrap()), [b"b"]);
    let left = [expiry_key(DUE + 1, NAMESPACE, b"later")];
    assert_eq!(world.keys(Keyspace::Expiry), left);
    assert_eq!(world.keys(Keyspace::Leaves).len(), 3, "tombstones have one");
    assert_eq!(world.state.expiry.swept(), 2);

    let again = state(1);
    rebuild(&*world.engine, &again);
    assert_eq!(root(&world.state.sums), root(&again.sums));
    assert_eq!(world.sweep(MARK, &entries), Response::Joined, "once more");
    assert_eq!(world.state.expiry.swept(), 2);
    world.put("both", delete(dot(3, WALL + 1)));
    world.put("later", delete(dot(3, WALL + 1)));
    world.commit();
    assert_eq!(root(&world.state.sums), empty);
}

#[test]
fn an_entry_whose_record_is_gone_or_has_no_such_sibling_is_removed_alone() {
    let mut world = world();
    world.put("k", expiring(dot(1, WALL), "v", DUE + 9));
    world.commit();
    let mut batch = Batch::new();
    for key in ["k", "none"] {
        let stale = expiry_key(DUE, NAMESPACE, key.as_bytes());
        batch.insert(Keyspace::Expiry, stale, &b""[..]);
    }
    world.engine.commit(batch, Durability::Fsync).unwrap();

    let entries = [(DUE, "k"), (DUE, "none")];
    assert_eq!(world.sweep(MARK, &entries), Response::Joined);
    let left = [expiry_key(DUE + 9, NAMESPACE, b"k")];
    assert_eq!(world.keys(Keyspace::Expiry), left);
    assert_eq!(values(&world.stored("k").unwrap()), [b"v"]);
    assert_eq!(world.stored("none"), None);
    assert_eq!(world.state.expiry.swept(), 0);
}

#[test]
fn two_due_times_of_one_key_in_one_page_are_one_change() {
    let mut world = world();
    rebuild(&*world.engine, &world.state);
    world.put("k", expiring(dot(1, WALL), "a", DUE - 1));
    world.put("k", expiring(dot(2, WALL), "b", DUE));
    world.commit();
    assert_eq!(
        world.sweep(MARK, &[(DUE - 1, "k"), (DUE, "k")]),
        Response::Joined
    );
    assert!(world.stored("k").unwrap().is_tombstone());
    assert_eq!(world.keys(Keyspace::Expiry), [] as [Bytes; 0]);
    assert_eq!(world.state.expiry.swept(), 2);
    let again = state(1);
    rebuild(&*world.engine, &again);
    assert_eq!(root(&world.state.sums), root(&again.sums));
}

#[test]
fn what_has_expired_by_a_sweep_is_joined_as_its_death_whoever_brings_it() {
    let mut world = world();
    let late = expiring(dot(1, WALL), "late", DUE);
    let longer = expiring(dot(2, WALL), "longer", DUE + 1);
    world.put("before", late.clone());
    assert_eq!(world.commit(), [Response::Joined]);
    assert!(world.stored("before").unwrap().live().len() == 1);

    assert_eq!(
        world.sweep(MARK, &[]),
        Response::Joined,
        "it adopts the mark"
    );
    world.put("put", late.clone());
    world.repair("repair", late.record().clone());
    world.put("longer", longer);
    world.repair("before", unseeing(dot(3, WALL), "more").into_record());
    assert_eq!(world.commit(), [const { Response::Joined }; 4]);
    for key in ["put", "repair"] {
        assert_eq!(world.stored(key).unwrap(), late.record().at(MARK), "{key}");
    }
    assert_eq!(values(&world.stored("longer").unwrap()), [b"longer"]);
    assert_eq!(values(&world.stored("before").unwrap()), [b"more"]);
    let left = [expiry_key(DUE + 1, NAMESPACE, b"longer")];
    assert_eq!(world.keys(Keyspace::Expiry), left);

    // A retry finds that it was seen, under its name.
    let answer = world.only("put", late);
    assert!(matches!(answer, Response::Superseded { named: true, .. }));
    world.sweep(Millis(DUE - 1), &[]);
    world.repair("lower", expiring(dot(5, WALL), "late", DUE).into_record());
    world.commit();
    assert!(
        world.stored("lower").unwrap().is_tombstone(),
        "it never falls"
    );
}

#[test]
fn a_hint_is_kept_as_it_was_written_and_removed_once_it_is_delivered() {
    let mut world = world();
    let counted = HintScan::new().step(&*world.engine, &world.state.hints, 1);
    assert_eq!(counted, Ok(true));
    world.sweep(MARK, &[]);
    let late = expiring(dot(1, WALL), "late", DUE);
    let of_hint = |change| {
        let sink = crate::testing::Sink::default();
        let mut write = write(0, &sink, "k", change, at(WALL));
        write.destination = Destination::Hint(NodeId(2));
        write
    };
    world.waiting.push(of_hint(Change::Put(late.clone())));
    world.commit();
    assert_eq!(world.keys(Keyspace::Hints).len(), 1);
    let delivered = Change::Delivered(late.into_record());
    world.waiting.push(of_hint(delivered));
    world.commit();
    assert_eq!(world.keys(Keyspace::Hints), [] as [Bytes; 0]);
}

#[test]
fn a_record_that_cannot_be_read_is_passed_over_and_the_others_are_swept() {
    let mut world = world();
    for key in ["a", "junk", "z"] {
        world.put(key, expiring(dot(1, WALL), key, DUE));
    }
    world.commit();
    let mut batch = Batch::new();
    let stored = record_key(NAMESPACE, b"junk");
    batch.insert(Keyspace::Records, stored, &b"junk"[..]);
    world.engine.commit(batch, Durability::Fsync).unwrap();
    let entries = [(DUE, "a"), (DUE, "junk"), (DUE, "z")];
    assert_eq!(world.sweep(MARK, &entries), Response::Joined);
    let left = [expiry_key(DUE, NAMESPACE, b"junk")];
    assert_eq!(world.keys(Keyspace::Expiry), left);
    assert_eq!(world.state.expiry.swept(), 2);
    assert!(world.state.expiry.take_passed_over());
}

#[test]
fn rows_that_the_node_does_not_own_are_left_to_be_handed_over() {
    let held = keys(true).next().unwrap();
    let mut world = World::with_state(MemoryEngine::new(), state_of(ring(2)));
    world.put(&held, expiring(dot(1, WALL), "left", DUE));
    world.commit();
    assert!(world.committer.learn(leaving(), at(WALL)).unwrap());
    assert_eq!(world.sweep(MARK, &[(DUE, &held)]), Response::Joined);
    assert_eq!(values(&world.stored(&held).unwrap()), [b"left"]);
    assert_eq!(world.keys(Keyspace::Expiry).len(), 1);
}

#[test]
fn nothing_is_swept_while_the_node_is_incomplete_or_has_no_space() {
    let mut world = World::over(Disk::default());
    world.put("k", expiring(dot(1, WALL), "v", DUE));
    world.commit();
    world.state.completeness.lose();
    let incomplete = Response::Refused(Refusal::Incomplete);
    assert_eq!(world.sweep(MARK, &[(DUE, "k")]), incomplete);
    assert_eq!(world.state.expiry.mark(), Millis(0));
    world.state.completeness.complete();

    world.engine.set_free(0);
    world.committer.idle(at(WALL + 5_000)).unwrap(); // it looks at the disk now and then
    assert_eq!(world.sweep(MARK, &[(DUE, "k")]), NO_SPACE);
    assert_eq!(values(&world.stored("k").unwrap()), [b"v"]);
    assert_eq!(world.state.expiry.swept(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Replicas that get the same writes in different orders, and sweep at different times, hold the same in the end.
    #[test]
    fn whenever_each_replica_sweeps_they_hold_the_same_in_the_end(
        writes in vec((0_u8..3, 1_u64..4, 0_u64..30, 0_u64..9), 1..12), at_write in (0_usize..12, 0_usize..12),
        marks in (0_u64..9, 0_u64..9),
    ) {
        // A dot that was minted twice is dead once one of its contents has expired: which one is seen first decides until then.
        let mut dots = BTreeSet::new();
        let writes: Vec<_> = writes.into_iter().filter(|&(key, actor, ms, _)| dots.insert((key, actor, ms))).collect();
        let mut ends = Vec::new();
        for (reversed, at_write, mark) in [(false, at_write.0, marks.0), (true, at_write.1, marks.1)] {
            let mut world = World::over(MemoryEngine::new());
            rebuild(&*world.engine, &world.state);
            let mut order: Vec<_> = writes.clone();
            if reversed {
                order.reverse();
            }
            for (number, (key, actor, ms, due)) in order.into_iter().enumerate() {
                if number == at_write {
                    sweep_all(&mut world, DUE + mark);
                }
                let written = dot(actor, WALL - 40 + ms);
                let record = match due {
                    0 => blind(written, "for ever"),
                    due => expiring(written, "v", DUE + due),
                };
                world.repair(&format!("k{key}"), record.into_record());
                world.commit();
            }
            sweep_all(&mut world, DUE + 5);
            let records: BTreeMap<String, Option<Record>> =
                (0..3).map(|key| format!("k{key}")).map(|key| (key.clone(), world.stored(&key))).collect();
            let again = state(1);
            rebuild(&*world.engine, &again);
            prop_assert_eq!(world.state.sums.root(), again.sums.root());
            ends.push((records, world.keys(Keyspace::Expiry), world.state.expiry.mark()));
        }
        // A replica that has swept further lacks what that has killed; sums agree once both have come as far.
        if ends[0].2 == ends[1].2 {
            prop_assert_eq!(&ends[0], &ends[1]);
        }
    }
}

/// Sweeps every entry that is due by then, and looks that nothing else is live.
fn sweep_all(world: &mut World<MemoryEngine>, mark: u64) {
    let entries = world.keys(Keyspace::Expiry);
    let parsed = entries.iter().map(|stored| {
        let (due, _, key) = crate::engine::layout::parse_expiry_key(stored).unwrap();
        (Millis(due), Bytes::copy_from_slice(key))
    });
    let due = parsed.filter(|(due, _)| due.0 <= mark).collect();
    let mark = Millis(mark);
    assert_eq!(world.order(Task::Sweep { mark, due }), Response::Joined);
    let left = world.keys(Keyspace::Expiry);
    assert!(
        left.iter()
            .all(|stored| stored[..8] > mark.0.to_be_bytes()[..])
    );
}
