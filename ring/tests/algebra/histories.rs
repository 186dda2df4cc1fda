//! Random histories against the oracle: what lives at a replica is what no other write there has seen.
//!
//! ```text
//!   script   up to 60 steps of three or four writers over three replicas; compared after every step
//!   orders   every order in which up to four deltas can be joined; compared after every join
//! ```

use bytes::Bytes;
use quoit_ring::{Actor, Delta, Dot, Seen, Time};

use crate::cluster::Cluster;
use crate::joined;
use crate::oracle::State;
use crate::support::property;

#[test]
fn siblings_are_exactly_the_writes_that_no_other_has_in_its_history() {
    let reaches = [
        ("two or more siblings", 70),
        ("a stale context", 60),
        ("a delete", 60),
        ("a blind write", 60),
        ("a re-minted write", 40),
        ("a tie of two actors", 25),
    ];
    property("oracle", reaches, |rng| {
        let mut cluster = Cluster::new(rng, false);
        for _ in 0..=rng.below(60) {
            cluster.step(rng);
            cluster.check();
        }
        let r = cluster.reached;
        [r.siblings, r.stale, r.delete, r.blind, r.minted_anew, r.tie]
    });
}

/// Calls `visit` with every order of the numbers below `order.len()`.
fn permute(order: &mut [usize], from: usize, visit: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        visit(order);
        return;
    }
    for i in from..order.len() {
        order.swap(from, i);
        permute(order, from + 1, visit);
        order.swap(from, i);
    }
}

#[test]
fn a_dot_minted_twice_keeps_both_contents_in_every_order_until_it_is_overwritten() {
    let reaches = [
        ("two or more siblings", 70),
        ("a stale context", 20),
        ("a delete", 30),
        ("both contents live", 60),
        ("an overwrite of both contents", 30),
    ];
    property("collision", reaches, |rng| {
        let mut cluster = Cluster::new(rng, true);
        for _ in 0..rng.below(4) {
            cluster.step(rng);
        }
        let first = cluster.deltas.len();
        cluster.write_causal(rng, 0);
        for _ in 0..1 + rng.below(6) / 5 {
            cluster.mint_twice(rng, 0);
        }
        while cluster.deltas.len() < first + 3
            || rng.percent(50) && cluster.deltas.len() < first + 4
        {
            cluster.write_over(rng);
        }
        let deltas = cluster.deltas.split_off(first);
        let twice = cluster.dot_of(&deltas[0]);
        let mut overwritten = false;
        let mut order: Vec<usize> = (0..deltas.len()).collect();
        permute(&mut order, 0, &mut |order| {
            let mut state = State::default();
            for &i in order {
                state.join(&deltas[i]);
                cluster.check_state(&state);
            }
            overwritten |= state.record.variants(twice).next().is_none();
        });
        let r = cluster.reached;
        [r.siblings, r.stale, r.delete, r.collision, overwritten]
    });
}

/// One actor's write under way when another of its writes goes out: the first is then re-minted.
#[test]
fn a_write_minted_anew_spares_a_later_one_of_its_actor_only_if_it_builds_on_its_first_attempt() {
    let write = |time, prev, context: &Seen| {
        let dot = Dot {
            time: Time(time),
            actor: Actor(1),
        };
        let value = Some((Bytes::from_static(b"v"), None));
        Delta::causal(dot, Time(prev), context, value)
    };
    let nothing = Seen::default();
    let first = write(10, 0, &nothing);
    let meanwhile = write(20, 10, &nothing);
    let reminted = write(30, 20, first.record().seen());
    let all = joined(&[first.record(), meanwhile.record(), reminted.record()]);
    assert_eq!(all.live().len(), 2, "neither saw the other");
    assert!(all.variants(first.dot()).next().is_none());
    // The original `prev` is enough only while the actor wrote nothing since: its interval covers all.
    let original = write(30, 0, &nothing);
    assert!(original.record().seen().contains(meanwhile.dot()));
    let alone = joined(&[first.record(), original.record()]);
    assert_eq!(
        alone,
        joined(&[write(30, 10, first.record().seen()).record()])
    );
}
