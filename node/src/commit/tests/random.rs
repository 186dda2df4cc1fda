//! Whatever is written: sums, leaf entries and expiry entries are those of the records.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use quoit_ring::wire::{Refusal, Response, decode_record};
use quoit_ring::{Delta, MerkleTree, Millis, Record, Seen, Time};

use super::{World, world};
use crate::engine::layout::{NAMESPACE, expiry_key, leaf_key, parse_record_key};
use crate::engine::{Engine as _, Keyspace, MemoryEngine, Snapshot as _};
use crate::storage::{Rebuild, Sums, Walked};
use crate::testing::{WALL, dot, rebuild, ring, state};
use crate::write::Change;

/// One write of the random runs.
#[derive(Debug, Clone)]
struct Step {
    key: u8,
    actor: u64,
    ms: u64,
    kind: u8,
    due: Option<u64>,
}

fn step() -> impl Strategy<Value = Step> {
    let due = proptest::option::of(1_000..1_004_u64);
    (0..5_u8, 1..4_u64, 0..40_u64, 0..4_u8, due).prop_map(|(key, actor, ms, kind, due)| Step {
        key,
        actor,
        ms,
        kind,
        due,
    })
}

fn change(step: &Step, stored: Option<&Record>) -> Change {
    let dot = dot(step.actor, WALL - 20 + step.ms);
    let text = format!("{}-{}", step.kind, step.due.unwrap_or(0));
    let value = (step.kind != 3).then(|| (Bytes::from(text), step.due.map(Millis)));
    let delta = match (step.kind, stored) {
        (0, _) => Delta::blind(dot, value),
        (_, Some(record)) if record.max_time() < dot.time => {
            Delta::causal(dot, Time::ZERO, record.seen(), value)
        }
        _ => Delta::causal(dot, Time::ZERO, &Seen::default(), value),
    };
    if step.kind == 2 {
        Change::Repair(delta.into_record())
    } else {
        Change::Put(delta)
    }
}

/// Lets a walk do one step; whether it is over.
fn is_over(walk: &mut Rebuild<MemoryEngine>, world: &World<MemoryEngine>, rows: usize) -> bool {
    let (sums, cluster) = (&world.state.sums, &world.state.cluster);
    walk.step(&world.engine, sums, cluster, rows).unwrap() == Walked::Over
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn sums_leaves_and_expiry_entries_are_those_of_the_records(
        batches in vec(vec(step(), 1..12), 1..8),
    ) {
        let mut world = world();
        rebuild(&*world.engine, &world.state);
        let ring = ring(1);
        let mut model: BTreeMap<String, Record> = BTreeMap::new();
        for batch in &batches {
            let mut asked = Vec::new();
            for step in batch {
                let key = format!("key-{}", step.key);
                let change = change(step, world.stored(&key).as_ref());
                asked.push((key.clone(), change.record().cloned().unwrap_or_default()));
                world.add(&key, change);
            }
            for ((key, record), answer) in asked.into_iter().zip(world.commit()) {
                match answer {
                    Response::Joined => model.entry(key).or_default().join(&record),
                    Response::Superseded { .. } => {
                        let before = model[&key].clone();
                        let mut joined = before.clone();
                        joined.join(&record);
                        // A dead dot stays dead; what it saw of others is lost with it, as told.
                        prop_assert!(joined.live().len() <= before.live().len());
                    }
                    Response::Refused(refusal) => {
                        prop_assert!(matches!(refusal, Refusal::TooManySiblings { .. }), "{refusal:?}");
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
        model.retain(|_, record| !record.is_absent());

        let mut tree = MerkleTree::new(ring.leaf_bits());
        let (mut leaves, mut dues) = (Vec::new(), Vec::new());
        let mut stored = BTreeMap::new();
        for entry in world.engine.snapshot().range(Keyspace::Records, ..) {
            let (stored_key, bytes) = entry.unwrap();
            let (_, key) = parse_record_key(&stored_key).unwrap();
            let record = decode_record(&bytes).unwrap();
            let leaf = ring.leaf_bits().leaf_of(ring.token_of(key));
            tree.add(leaf, world.state.sums.key().sum_of(key, &record));
            leaves.push(leaf_key(leaf, NAMESPACE, key));
            dues.extend(record.live().iter().filter_map(|s| s.expiry).map(|due| expiry_key(due.0, NAMESPACE, key)));
            stored.insert(String::from_utf8(key.to_vec()).unwrap(), record);
        }
        prop_assert_eq!(stored, model);
        leaves.sort();
        dues.sort();
        dues.dedup();
        prop_assert_eq!(world.keys(Keyspace::Leaves), leaves);
        prop_assert_eq!(world.keys(Keyspace::Expiry), dues);

        prop_assert_eq!(world.state.sums.root(), Some(tree.root()));
    }

    #[test]
    fn sums_come_back_from_a_walk_that_writes_overtake(
        before in vec(step(), 0..20), during in vec(vec(step(), 1..6), 0..12),
        rows in 1..5_usize,
    ) {
        let mut first = world();
        for step in &before {
            first.add(&format!("key-{}", step.key), change(step, None));
        }
        first.commit();
        // A restart: the same engine, new sums.
        let World { engine, committer, .. } = first;
        drop(committer);
        let mut world = World::over(Arc::into_inner(engine).unwrap());
        let mut walk = Rebuild::new();
        let mut over = false;
        for batch in &during {
            for step in batch {
                world.add(&format!("key-{}", step.key), change(step, None));
            }
            world.commit();
            over = over || is_over(&mut walk, &world, rows);
        }
        prop_assert_eq!(world.state.sums.root().is_some(), over, "not shown before it is ready");
        while !over {
            over = is_over(&mut walk, &world, rows);
        }
        let again = state(1);
        rebuild(&*world.engine, &again);
        prop_assert_eq!(world.state.sums.root(), again.sums.root());
        let children = |sums: &Sums| (0..4).map(|level| sums.children(level, 0)).collect::<Vec<_>>();
        prop_assert_eq!(children(&world.state.sums), children(&again.sums));
    }
}
