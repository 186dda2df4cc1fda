//! Causal histories of hand-made runs.

use quoit_ring::{Actor, Dot, Moment, Seen, Time};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::history::Minted;
use crate::invariants::testing::world::{Script, run};
use crate::invariants::testing::{Hand, over};

fn scripts() -> impl Iterator<Item = History> {
    (0..50).map(|seed| {
        run(Script {
            bug: None,
            seed,
            replicas: 3,
            keys: 2,
            steps: 150,
        })
    })
}

#[test]
fn the_events_of_a_region_are_those_whose_dots_it_contains() {
    let mut rng = SmallRng::seed_from_u64(1);
    for _ in 0..500 {
        let count = rng.random_range(0..100);
        let minted = |op| Minted {
            op: OpId(op),
            dot: Dot {
                time: Time(rng.random_range(1..40)),
                actor: Actor(rng.random_range(0..4)),
            },
            at: Moment(u64::from(op)),
        };
        let events = Events::of(&(0..count).map(minted).collect::<Vec<_>>());
        let mut seen = Seen::up_to(Time(rng.random_range(0..20)));
        for _ in 0..rng.random_range(0..4) {
            let (lo, actor) = (rng.random_range(0..40), Actor(rng.random_range(0..4)));
            seen.add(actor, Time(lo), Time(lo + rng.random_range(0..10)));
        }
        let set = events.seen(&seen);
        for (number, event) in events.list().iter().enumerate() {
            assert_eq!(set.has(number), seen.contains(event.dot), "{event:?}");
        }
    }
}

#[test]
fn histories_are_transitive_and_lie_before_their_events() {
    for history in scripts() {
        for keyed in Keyed::all(&history) {
            let causal = Causal::of(&history, &keyed);
            let events = causal.events().list();
            for (number, event) in events.iter().enumerate() {
                let before = causal.before(number);
                assert!(before.iter().all(|e| events[e].dot < event.dot));
                assert_eq!(causal.replaced(before).beyond(before), None);
            }
        }
    }
}

#[test]
fn what_an_operation_had_seen_is_what_its_context_holds() {
    let mut compared = 0;
    for history in scripts() {
        for keyed in Keyed::all(&history) {
            let causal = Causal::of(&history, &keyed);
            for &id in &keyed.ops {
                let op = history.op(id);
                if let Some(seen) = op.seen() {
                    assert_eq!(causal.known(op), causal.events().seen(seen), "{id:?}");
                    compared += 1;
                }
            }
        }
    }

    assert!(compared > 2_000, "{compared}");
}

#[test]
fn a_later_dot_of_a_write_has_seen_its_earlier_one_and_nothing_of_its_actor_in_between() {
    let mut hand = Hand::new(Family::Siblings);
    let a = hand.put(1, 10, over(&[]), "a");
    let between = hand.acked_put(1, 11, over(&[]), "between");
    hand.mint_anew(a, 20);
    let history = hand.finish();
    let keyed = Keyed::all(&history).remove(0);
    let causal = Causal::of(&history, &keyed);
    let ops: Vec<_> = causal.events().list().iter().map(|e| e.op).collect();
    assert_eq!(ops, [a, between, a]);
    assert_eq!(causal.before(2).iter().collect::<Vec<_>>(), [0]);
    assert_eq!(causal.before(1).iter().count(), 0);
}

#[test]
fn keys_are_taken_apart() {
    for history in scripts().take(3) {
        let keys = Keyed::all(&history);
        assert_eq!(keys.len(), 2);
        let ops: usize = keys.iter().map(|k| k.ops.len()).sum();
        let minted: usize = keys.iter().map(|k| k.minted.len()).sum();
        assert_eq!((ops, minted), (history.ops.len(), history.minted.len()));
        for keyed in keys {
            let op = |id: &OpId| history.op(*id).key == keyed.key;
            assert!(keyed.ops.iter().all(op));
            assert!(keyed.minted.iter().all(|m| op(&m.op)));
        }
    }
}
