//! A blind write never comes back over a later one of its client, and one that its caller left gets no newer dot.
//!
//! ```text
//!   c1: put x    dot 5 ............ superseded: 5 -> 9    x is back, though c1 went on to y: never
//!   c1: put y          dot 7, acknowledged
//! ```
//!
//! The dots on the wire show it, whether or not a read came in between: of the writes of one key that one client started,
//! in the order of their first dots, no dot of a blind one lies above the first dot of the next. Dots are compared within
//! one actor, since a client whose clock was far ahead goes on as another one, with earlier dots.
//!
//! A causal write may get a dot above a later write of its client: it stands beside that and replaces nothing of it. Once
//! its caller has left it may not either.
//!
//! Source: an aborted upload, and the delete after it, which it undid.

use std::collections::{BTreeMap, BTreeSet};

use quoit_ring::{Actor, Time};

use super::{Invariant, Violation, describe};
use crate::history::causal::Keyed;
use crate::history::{Basis, ClientId, History, Minted, OpId};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "own-order",
    says: "a blind write stays below the later writes of its client, and a write that its caller left gets no newer dot",
    source: "aborted uploads",
    check,
};

fn check(history: &History) -> Result<(), Violation> {
    for keyed in Keyed::all(history) {
        let mut sent = BTreeSet::new();
        for minted in &keyed.minted {
            // The first one may come late: a client that is paused has not even begun what it was handed.
            if !sent.insert(minted.op) {
                left(history, minted)?;
            }
        }
        for (_, writes) in writes(history, &keyed) {
            for two in writes.windows(2) {
                ordered(history, &two[0], &two[1])?;
            }
        }
    }
    Ok(())
}

/// A write with its dots under its first actor.
struct Dots {
    op: OpId,
    first: Time,
    last: Time,
}

/// The writes of one key by client and actor, in the order of their first dots.
fn writes(history: &History, keyed: &Keyed) -> BTreeMap<(ClientId, Actor), Vec<Dots>> {
    let mut by_op: BTreeMap<OpId, (Actor, Dots)> = BTreeMap::new();
    for &Minted { op, dot, .. } in &keyed.minted {
        let (first, last) = (dot.time, dot.time);
        let new = (dot.actor, Dots { op, first, last });
        let (actor, dots) = by_op.entry(op).or_insert(new);
        if *actor == dot.actor {
            dots.last = dots.last.max(dot.time);
        }
    }

    let mut writes: BTreeMap<_, Vec<Dots>> = BTreeMap::new();
    for (op, (actor, dots)) in by_op {
        let place = (history.op(op).client, actor);
        writes.entry(place).or_default().push(dots);
    }
    for writes in writes.values_mut() {
        writes.sort_by_key(|dots| (dots.first, dots.op));
    }
    writes
}

fn ordered(history: &History, earlier: &Dots, later: &Dots) -> Result<(), Violation> {
    let is_blind = history.op(earlier.op).call.basis() == Some(&Basis::Blind);
    if !is_blind || earlier.last <= later.first {
        return Ok(());
    }
    let what = format!(
        "{} was minted again at {:?}, above {}, which its client started later, at {:?}",
        describe::op(history, earlier.op),
        earlier.last,
        describe::op(history, later.op),
        later.first,
    );
    Err(violation(history, vec![earlier.op, later.op], &what))
}

fn left(history: &History, minted: &Minted) -> Result<(), Violation> {
    match history.left.get(&minted.op) {
        Some(&at) if at < minted.at => {
            let write = describe::op(history, minted.op);
            let what = format!(
                "{write}, which its caller left at {at}, was minted again as {} at {}",
                minted.dot, minted.at
            );
            Err(violation(history, vec![minted.op], &what))
        }
        _ => Ok(()),
    }
}

fn violation(history: &History, ops: Vec<OpId>, what: &str) -> Violation {
    let key = history.op(ops[0]).key;
    Violation {
        invariant: INVARIANT.name,
        key: Some(key),
        ops,
        what: format!("{}: {what}", describe::key(history, key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Family;
    use crate::invariants::testing::{Hand, assert_fails, assert_holds, over};

    #[test]
    fn a_blind_put_minted_again_above_a_later_write_of_its_client_is_a_violation() {
        let mut hand = Hand::new(Family::Deleted);
        let put = hand.put(1, 5, Basis::Blind, "x");
        hand.acked_delete(1, 7, Basis::Blind);
        hand.mint_anew(put, 9);
        assert_fails(&INVARIANT, &hand.finish(), "minted again");
    }

    #[test]
    fn minted_again_before_the_later_one_began_or_over_another_clients_write_it_is_none() {
        let mut hand = Hand::new(Family::Deleted);
        let put = hand.put(1, 5, Basis::Blind, "x");
        hand.acked_delete(2, 6, Basis::Blind);
        hand.mint_anew(put, 7);
        let delete = hand.acked_delete(1, 8, Basis::Blind);
        hand.mint_anew(delete, 11);
        assert_holds(&INVARIANT, &hand.finish());
    }

    #[test]
    fn a_causal_put_may_stand_beside_a_later_write_of_its_client_until_it_is_left() {
        let mut hand = Hand::new(Family::Siblings);
        let put = hand.put(1, 5, over(&[]), "x");
        hand.acked_put(1, 7, Basis::Blind, "y");
        hand.mint_anew(put, 9);
        let now = hand.recorder.history().minted.last().unwrap().at;
        hand.recorder.history_mut().left.insert(put, now);
        assert_holds(&INVARIANT, hand.recorder.history());
        hand.get(2);
        hand.mint_anew(put, 11);
        assert_fails(&INVARIANT, &hand.finish(), "its caller left");
    }
}
