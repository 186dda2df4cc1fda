//! When a write may first have been replaced, derived from what the other writes build on.
//!
//! ```text
//!   blind put        replaces every dot of an earlier time
//!   causal put       replaces what the operations that it builds on had seen
//!   clone's put      may replace any earlier dot of its actor: it does not know the other's previous one
//! ```
//!
//! This is no oracle of what is replaced, only of what surely is not yet: what is lost too early, before the
//! first write was asked for that might replace it. Left out: expiry.

use quoit_ring::{Dot, Moment};

use crate::history::{Basis, History, Minted};

/// When the first write was asked for that may replace `dot`; `None` if there is none. `minted` are the dots
/// of its key; `cloned` if its actor may be two clients.
pub(super) fn replaced_from(
    history: &History,
    minted: &[Minted],
    dot: Dot,
    cloned: bool,
) -> Option<Moment> {
    let own = minted.iter().filter(|m| m.dot == dot).map(|m| m.op);
    let own: Vec<_> = own.collect();
    let later = minted.iter().filter(|m| m.dot.time > dot.time);
    let over = later.filter(|m| {
        let same_actor = cloned && m.dot.actor == dot.actor;
        same_actor || own.contains(&m.op) || builds_on(history, m, dot)
    });
    over.map(|m| history.op(m.op).invoked).min()
}

fn builds_on(history: &History, over: &Minted, dot: Dot) -> bool {
    match history.op(over.op).call.basis() {
        Some(Basis::Blind) => true,
        Some(Basis::Seen(ops)) => {
            let mut seen = ops.iter().filter_map(|&op| history.op(op).seen());
            seen.any(|seen| seen.contains(dot))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Family, OpId};
    use crate::invariants::testing::{Hand, over};

    /// When the first of these writes is replaced.
    fn from(hand: Hand, cloned: bool) -> Option<Moment> {
        let history = hand.finish();
        let dot = history.minted[0].dot;
        replaced_from(&history, &history.minted, dot, cloned)
    }

    /// A put of client 1, and whatever comes after it.
    fn replaced(cloned: bool, then: impl Fn(&mut Hand, OpId) -> Option<OpId>) {
        let mut hand = Hand::new(Family::Siblings);
        let put = hand.acked_put(1, 10, over(&[]), "a");
        let by = then(&mut hand, put);
        let at = by.map(|by| hand.recorder.history().op(by).invoked);
        assert_eq!(from(hand, cloned), at);
    }

    #[test]
    fn a_blind_write_replaces_what_is_older() {
        replaced(false, |hand, _| Some(hand.put(2, 20, Basis::Blind, "b")));
        replaced(false, |hand, _| Some(hand.delete(2, 20, Basis::Blind)));
        replaced(false, |hand, _| {
            hand.put(2, 9, Basis::Blind, "older");
            None
        });
    }

    #[test]
    fn a_causal_write_replaces_what_it_builds_on() {
        replaced(false, |hand, put| Some(hand.put(2, 20, over(&[put]), "b")));
        replaced(false, |hand, _| {
            hand.put(2, 20, over(&[]), "beside");
            None
        });
    }

    #[test]
    fn a_clone_may_replace_what_it_does_not_know() {
        let beside = |hand: &mut Hand, _| Some(hand.put(1, 20, over(&[]), "beside"));
        replaced(true, beside);
        replaced(false, |hand, put| {
            beside(hand, put);
            None
        });
    }

    #[test]
    fn a_write_minted_anew_replaces_its_first_attempt() {
        let mut hand = Hand::new(Family::Siblings);
        let put = hand.put(1, 10, over(&[]), "a");
        hand.mint_anew(put, 20);
        let asked = hand.recorder.history().op(put).invoked;
        assert_eq!(from(hand, false), Some(asked));
    }
}
