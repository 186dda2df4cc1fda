//! What is kept for other nodes: joined like data, bounded, and none of this node's own.

use quoit_ring::wire::{Kept, Refusal, decode_record};
use quoit_ring::{Delta, NodeId};

use super::*;
use crate::engine::layout::hint_key;
use crate::engine::{Batch, Durability};
use crate::hints::{HintScan, HintUsage, Recounted, encode_row, recount, split_row};
use crate::testing::{LIMITS, Unreliable, blind, dot, state_of, unseeing};
use crate::write::Destination;

const AWAY: NodeId = NodeId(2);
const OTHER: NodeId = NodeId(3);

impl World<MemoryEngine> {
    fn keep(&mut self, target: NodeId, key: &str, change: Change) -> Response {
        self.add(key, change);
        self.waiting.last_mut().unwrap().destination = Destination::Hint(target);
        self.commit().pop().unwrap()
    }

    fn hint(&mut self, target: NodeId, key: &str, delta: Delta) -> Response {
        self.keep(target, key, Change::Put(delta))
    }

    fn kept(&self, target: NodeId, key: &str) -> Option<Record> {
        let key = hint_key(target, NAMESPACE, key.as_bytes());
        let row = self.engine.get(Keyspace::Hints, &key).unwrap()?;
        Some(decode_record(&split_row(&row).1).unwrap())
    }

    /// Holds the `hint_usage` against what is stored.
    fn hint_usage(&self) -> Vec<Kept> {
        let (counted, hint_usage) = (HintUsage::default(), &self.state.hints);
        assert_eq!(
            HintScan::new().step(&*self.engine, &counted, 1_000),
            Ok(true)
        );
        assert_eq!(hint_usage.kept(), counted.kept());
        hint_usage.kept().unwrap()
    }
}

/// A world that has counted its hints.
fn world() -> World<MemoryEngine> {
    let world = super::world();
    let counted = HintScan::new().step(&*world.engine, &world.state.hints, 1);
    assert_eq!(counted, Ok(true));
    world
}

/// As its driver last asked it, a node that leaves had no hints; one that came later would go with it for ever.
#[test]
fn a_node_that_leaves_keeps_no_more_hints_and_hands_over_those_that_it_has() {
    let mut world = World::with_state(MemoryEngine::new(), state_of(ring(2)));
    let counted = HintScan::new().step(&*world.engine, &world.state.hints, 1);
    assert_eq!(counted, Ok(true));
    let known = world.state.cluster.newest();
    assert_eq!(
        world.hint(AWAY, "k", blind(dot(1, WALL), "v")),
        Response::Joined
    );
    let mut target = known.configuration().map.clone();
    target.members.retain(|member| member.id != SELF);
    let begun = (known.configuration()).begin(target, Arcs::new(1).unwrap());
    let begun = known.later(begun.unwrap()).unwrap();
    assert!(world.committer.learn(begun, at(WALL)).unwrap());

    let late = world.hint(AWAY, "late", blind(dot(2, WALL), "v"));
    assert_eq!(late, Response::Refused(Refusal::NotReady));
    let record = world.kept(AWAY, "k").unwrap();
    let delivered = world.keep(AWAY, "k", Change::Delivered(record));
    assert_eq!((delivered, world.kept(AWAY, "k")), (Response::Joined, None));
    world.put("own", blind(dot(3, WALL), "v"));
    assert_eq!(world.commit(), [Response::Joined]);
}

#[test]
fn what_is_kept_for_one_node_is_neither_data_nor_kept_for_another() {
    let mut world = world();
    assert_eq!(
        world.hint(AWAY, "k", blind(dot(1, WALL), "v")),
        Response::Joined
    );
    assert_eq!(values(&world.kept(AWAY, "k").unwrap()), [b"v"]);
    assert_eq!(world.kept(OTHER, "k"), None);
    assert_eq!(world.stored("k"), None);
    assert_eq!(world.keys(Keyspace::Leaves), [] as [Bytes; 0]);
    assert_eq!(world.hint_usage().len(), 1);
}

#[test]
fn a_thousand_writes_of_a_key_are_one_hint_and_siblings_stay() {
    let mut world = world();
    for round in 0..1_000 {
        world.hint(AWAY, "k", blind(dot(1, WALL - 1_000 + round), "v"));
    }
    world.hint(AWAY, "k", unseeing(dot(2, WALL), "beside"));
    assert_eq!(world.hint_usage()[0].count, 1);
    assert_eq!(world.kept(AWAY, "k").unwrap().live().len(), 2);
}

#[test]
fn a_hint_that_a_later_write_covers_is_told_so() {
    let mut world = world();
    world.hint(AWAY, "k", blind(dot(1, WALL), "later"));
    let covered = world.hint(AWAY, "k", blind(dot(2, WALL - 5), "earlier"));
    assert!(matches!(covered, Response::Superseded { named: false, .. }));
}

#[test]
fn a_delivered_hint_is_removed_unless_more_was_added_to_it() {
    let mut world = world();
    world.hint(AWAY, "k", blind(dot(1, WALL), "v"));
    let sent = world.kept(AWAY, "k").unwrap();
    world.hint(AWAY, "k", unseeing(dot(2, WALL), "more"));
    world.keep(AWAY, "k", Change::Delivered(sent));
    let grown = world.kept(AWAY, "k").unwrap();
    assert_eq!(grown.live().len(), 2);
    world.keep(AWAY, "k", Change::Delivered(grown));
    assert_eq!(world.kept(AWAY, "k"), None);
    assert_eq!(world.hint_usage(), []);
}

#[test]
fn a_delete_that_was_added_to_a_delivered_delete_is_kept() {
    let mut world = world();
    world.hint(AWAY, "k", delete(dot(1, WALL)));
    let sent = world.kept(AWAY, "k").unwrap();
    world.hint(AWAY, "k", delete(dot(2, WALL + 1)));
    world.keep(AWAY, "k", Change::Delivered(sent));
    let grown = world.kept(AWAY, "k").unwrap();
    assert!(
        grown.seen().contains(dot(2, WALL + 1)),
        "no sibling tells them apart"
    );
    world.keep(AWAY, "k", Change::Delivered(grown));
    assert_eq!(world.kept(AWAY, "k"), None);
}

#[test]
fn removing_and_keeping_in_one_batch_see_each_other() {
    let mut world = world();
    world.hint(AWAY, "k", blind(dot(1, WALL), "v"));
    let sent = world.kept(AWAY, "k").unwrap();
    world.add("k", Change::Delivered(sent));
    world.put("k", blind(dot(1, WALL + 1), "w"));
    for write in &mut world.waiting {
        write.destination = Destination::Hint(AWAY);
    }
    world.commit();
    assert_eq!(values(&world.kept(AWAY, "k").unwrap()), [b"w"]);
    assert_eq!(world.hint_usage()[0].count, 1);
}

#[test]
fn what_goes_beyond_a_bound_is_refused_and_what_does_not_grow_passes() {
    let mut world = world();
    let value = "v".repeat(500);
    let fill = |world: &mut World<MemoryEngine>, target: NodeId| {
        let keys = (0..).map(|n: u32| n.to_string());
        let mut fits = keys.map(|key| world.hint(target, &key, blind(dot(1, WALL), &value)));
        fits.find(|answer| *answer != Response::Joined).unwrap()
    };
    let of_one = fill(&mut world, AWAY);
    let max = LIMITS.max_hint_bytes_per_node;
    assert!(matches!(of_one, Response::Refused(Refusal::HintsFull { max: of, .. }) if of == max));
    assert_eq!(
        world.hint(AWAY, "0", blind(dot(1, WALL + 1), &value)),
        Response::Joined,
        "it is no longer than before"
    );
    fill(&mut world, OTHER);
    let of_all = fill(&mut world, NodeId(4));
    let max = LIMITS.max_hint_bytes;
    assert!(matches!(of_all, Response::Refused(Refusal::HintsFull { max: of, .. }) if of == max));
    let bytes: u64 = world.hint_usage().iter().map(|kept| kept.bytes).sum();
    assert!(bytes <= max);
}

#[test]
fn the_hints_of_one_batch_do_not_pass_the_bound_together() {
    let value = "v".repeat(300);
    for long_keys in [false, true] {
        let mut world = world();
        for n in 0..20 {
            let (key, value) = if long_keys {
                (format!("{value}{n}"), "v")
            } else {
                (n.to_string(), &*value)
            };
            world.put(&key, blind(dot(1, WALL), value));
            world.waiting.last_mut().unwrap().destination = Destination::Hint(AWAY);
        }
        let answers = world.commit();
        let max = LIMITS.max_hint_bytes_per_node;
        let full =
            |answer: &&Response| matches!(answer, Response::Refused(Refusal::HintsFull { .. }));
        assert!(
            (10..20).contains(&answers.iter().filter(full).count()),
            "{answers:?}"
        );
        let kept = world.hint_usage()[0];
        assert!(kept.bytes <= max && kept.bytes > max / 2, "{kept:?}");
    }
}

#[test]
fn nothing_is_kept_before_what_is_kept_already_is_counted() {
    let mut world = super::world();
    let refused = world.hint(AWAY, "k", blind(dot(1, WALL), "v"));
    assert_eq!(refused, Response::Refused(Refusal::NotReady));
}

#[test]
fn nothing_changes_in_a_place_that_is_not_counted_yet() {
    let mut world = super::world();
    world.put("k", blind(dot(1, WALL), "v"));
    let stored = |key: &str| hint_key(AWAY, NAMESPACE, key.as_bytes());
    let mut row = bytes::BytesMut::new();
    let delta = blind(dot(1, WALL), "v");
    encode_row(delta.dot().time, delta.record(), &mut row);
    let row = row.freeze();
    let mut batch = Batch::new();
    for key in ["a", "b", "c"] {
        batch.insert(Keyspace::Hints, stored(key), row.clone());
    }
    world
        .engine
        .commit(batch.clone(), Durability::Fsync)
        .unwrap();
    let bad = Unreliable::new(MemoryEngine::new(), Keyspace::Hints, [stored("b")]);
    bad.engine.commit(batch, Durability::Fsync).unwrap();
    let mut scan = HintScan::new();
    while !scan.step(&bad, &world.state.hints, 1).unwrap() {}
    assert_eq!(world.state.hints.kept().unwrap()[0].count, 2);

    let delivered = || Change::Delivered(blind(dot(1, WALL), "v").into_record());
    let not_ready = Response::Refused(Refusal::NotReady);
    assert_eq!(world.hint(AWAY, "b", blind(dot(2, WALL), "w")), not_ready);
    assert_eq!(world.keep(AWAY, "b", delivered()), not_ready);
    assert!(world.kept(AWAY, "b").is_some());
    assert_eq!(world.keep(AWAY, "a", delivered()), Response::Joined);
    assert_eq!(world.state.hints.kept().unwrap()[0].count, 1);

    assert_eq!(
        recount(&*world.engine, &world.state.hints, 9),
        Ok(Recounted::All)
    );
    assert_eq!(world.hint_usage()[0].count, 2);
    assert_eq!(world.keep(AWAY, "b", delivered()), Response::Joined);
    assert_eq!(world.hint_usage()[0].count, 1);
}
