//! Whose turn it is: of one client's operations on a register, one at a time has a ballot.
//!
//! ```text
//!   key -> [holder, waits, waits, ...]      in the order of their coming
//! ```
//!
//! Two proposers of one process would outbid each other, and the second one would ask for what the first one knows. In turn each
//! finds what the one before it left (`chosen`), and needs one round.
//!
//! **Whoever gets a mismatch keeps its turn** for a moment, if it writes on what it has read (`if_context`): the next
//! one is a write on just what it got. Else all who read before their turn came would find something else, again and again, while the
//! one that has just written is always right.
//!
//! What other clients do on the key is not known here. A round that was outbid shows it, and then for a while operations on the key
//! wait for their turn at its first owner as well, who has them all.
//!
//! Invariant: whoever is the first of a queue has been woken, or is to be once no turn is kept, and nobody stays in it who has ended.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use quoit_ring::{Epoch, Moment};

use crate::coordinator::slab::Key;
use crate::entry::Context;

/// How long after another client was met on a key operations wait for their turn at an owner, in microseconds. A turn costs a round
/// trip, and conflicts some rounds; long enough for a conflict now and then to keep all of them in order.
const CONTENDED: u64 = 1_000_000;
/// How long a turn is kept for a write on what its caller got, in microseconds: its way to the caller and back. Others wait for that.
const KEPT: u64 = 3_000;
/// Most keys of which that is known; on the others proposers find their way by chance.
const MAX_CONTENDED: usize = 1024;

/// The queues. There are as many places in them as operations under way.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    by_key: BTreeMap<Bytes, VecDeque<Key>>,
    /// Those whose turn has come.
    ready: VecDeque<Key>,
    /// By key: the turn that is kept for somebody who comes back.
    kept: BTreeMap<Bytes, Kept>,
    /// Keys on which other clients were met, and until when that counts.
    contended: BTreeMap<Bytes, Moment>,
}

/// A turn that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    /// What the caller got.
    pub(super) context: Context,
    /// The owner by whose word it has its turn among clients, too.
    pub(super) in_turn_at: Option<usize>,
    /// That was in this epoch.
    pub(super) epoch: Epoch,
    /// When.
    pub(super) since: Moment,
}

impl Kept {
    const fn is_over(&self, now: Moment) -> bool {
        now.since(self.since) >= KEPT
    }
}

/// A place in a queue.
#[derive(Debug)]
pub(super) enum Place {
    /// The first, with a turn that was kept, or without.
    First(Option<Kept>),
    /// Behind others.
    Behind,
}

impl Turns {
    /// Takes a place, for a write on `context` if it is one.
    pub(super) fn take(
        &mut self,
        key: &Bytes,
        operation: Key,
        (context, now): (Option<&Context>, Moment),
    ) -> Place {
        let queue = self.by_key.entry(key.clone()).or_default();
        debug_assert!(!queue.contains(&operation), "one place each");
        match self.kept.get(key) {
            Some(kept) if context == Some(&kept.context) => {
                queue.push_front(operation);
                return Place::First(self.kept.remove(key));
            }
            Some(kept) if !kept.is_over(now) => {
                queue.push_back(operation);
                return Place::Behind;
            }
            // If it is over and others wait, they have not been woken yet.
            Some(_) | None => queue.push_back(operation),
        }
        if queue.len() == 1 {
            self.kept.remove(key);
            return Place::First(None);
        }
        Place::Behind
    }

    /// Leaves the first place, and keeps it: gives back who waits behind, and from when on that is for nothing.
    pub(super) fn keep(
        &mut self,
        key: &Bytes,
        operation: Key,
        kept: Kept,
    ) -> Option<(Moment, Key)> {
        let queue = self.by_key.get_mut(key)?;
        if queue.front() != Some(&operation) {
            self.leave(key, operation);
            return None;
        }
        queue.pop_front();
        let next = queue.front().copied();
        if next.is_none() {
            self.by_key.remove(key);
        }
        let until = kept.since.after(KEPT);
        // A copy: the key may be a slice of something long.
        self.kept.insert(Bytes::copy_from_slice(key), kept);
        next.map(|next| (until, next))
    }

    /// Until when the turn of a key is kept.
    pub(super) fn kept_until(&self, key: &Bytes) -> Option<Moment> {
        self.kept.get(key).map(|kept| kept.since.after(KEPT))
    }

    /// Of how many keys a turn is kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Keeps no turn for longer than a moment: the next one's has come. At each tick too: who waited for that may have ended.
    pub(crate) fn expire(&mut self, now: Moment) {
        let Self {
            kept,
            by_key,
            ready,
            ..
        } = self;
        kept.retain(|key, kept| {
            let is_over = kept.is_over(now);
            if is_over {
                ready.extend(by_key.get(key).and_then(VecDeque::front));
            }
            !is_over
        });
    }

    /// Leaves the queue, from whichever place; the next one's turn has come if it was the first.
    pub(super) fn leave(&mut self, key: &Bytes, operation: Key) {
        let Some(queue) = self.by_key.get_mut(key) else {
            return;
        };
        if queue.front() == Some(&operation) {
            queue.pop_front();
            if !self.kept.contains_key(key) {
                self.ready.extend(queue.front());
            }
        } else {
            queue.retain(|it| *it != operation);
        }
        if queue.is_empty() {
            self.by_key.remove(key);
        }
    }

    /// Another client was met on a key.
    pub(crate) fn contend(&mut self, key: &Bytes, now: Moment) {
        if self.contended.len() >= MAX_CONTENDED && !self.contended.contains_key(key) {
            self.contended.retain(|_, until| *until > now);
        }
        if self.contended.len() < MAX_CONTENDED || self.contended.contains_key(key) {
            // A copy: the key may be a slice of something long.
            let key = Bytes::copy_from_slice(key);
            self.contended.insert(key, now.after(CONTENDED));
        }
    }

    /// Whether one was met lately.
    pub(super) fn is_contended(&self, key: &Bytes, now: Moment) -> bool {
        self.contended.get(key).is_some_and(|until| *until > now)
    }

    /// Whose turn has come.
    pub(crate) fn poll_ready(&mut self) -> Option<Key> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Delta, Dot, Time};

    use super::*;

    const fn operation(slot: u32) -> Key {
        Key {
            slot,
            generation: 0,
        }
    }

    fn is_first(turns: &mut Turns, key: &Bytes, slot: u32) -> bool {
        let place = turns.take(key, operation(slot), (None, Moment(5)));
        matches!(place, Place::First(None))
    }

    fn context(time: u64) -> Context {
        let dot = Dot {
            time: Time(time),
            actor: Actor(1),
        };
        Context::of(Delta::blind(dot, None).record())
    }

    fn kept() -> Kept {
        Kept {
            context: context(7),
            in_turn_at: Some(1),
            epoch: Epoch(3),
            since: Moment(5),
        }
    }

    #[test]
    fn a_turn_is_kept_for_a_write_on_what_its_caller_was_told() {
        let (mut turns, key, now) = (Turns::default(), Bytes::from("a"), Moment(6));
        assert!(is_first(&mut turns, &key, 1) && !is_first(&mut turns, &key, 2));
        turns.keep(&key, operation(1), kept());
        let other = turns.take(&key, operation(3), (Some(&context(8)), now));
        assert!(matches!(other, Place::Behind));
        turns.leave(&key, operation(2));
        assert_eq!(turns.poll_ready(), None, "the turn is kept");
        let back = turns.take(&key, operation(4), (Some(&context(7)), now));
        assert!(matches!(
            back,
            Place::First(Some(Kept {
                in_turn_at: Some(1),
                ..
            }))
        ));
        turns.leave(&key, operation(4));
        assert_eq!(turns.poll_ready(), Some(operation(3)));
        turns.leave(&key, operation(3));
        assert!(turns.by_key.is_empty() && turns.kept.is_empty());
    }

    #[test]
    fn a_turn_is_kept_for_a_moment_only() {
        let (mut turns, key) = (Turns::default(), Bytes::from("a"));
        assert!(is_first(&mut turns, &key, 1) && !is_first(&mut turns, &key, 2));
        turns.keep(&key, operation(1), kept());
        turns.expire(Moment(5 + KEPT - 1));
        assert_eq!(turns.poll_ready(), None);
        turns.expire(Moment(5 + KEPT));
        assert_eq!(turns.poll_ready(), Some(operation(2)));
        turns.keep(&key, operation(2), kept());
        // Nobody waits: whoever comes later needs no word.
        let late = turns.take(&key, operation(3), (None, Moment(5 + KEPT)));
        assert!(matches!(late, Place::First(None)) && turns.kept.is_empty());
    }

    #[test]
    fn operations_of_one_key_go_in_the_order_of_their_coming_and_of_others_at_once() {
        let (mut turns, a, b) = (Turns::default(), "a".into(), "b".into());
        assert!(is_first(&mut turns, &a, 1) && is_first(&mut turns, &b, 2));
        assert!(!is_first(&mut turns, &a, 3) && !is_first(&mut turns, &a, 4));
        assert_eq!(turns.poll_ready(), None);
        turns.leave(&a, operation(1));
        assert_eq!(turns.poll_ready(), Some(operation(3)));
        turns.leave(&a, operation(3));
        assert_eq!(turns.poll_ready(), Some(operation(4)));
        turns.leave(&a, operation(4));
        turns.leave(&b, operation(2));
        assert_eq!(turns.poll_ready(), None);
        assert!(turns.by_key.is_empty());
    }

    #[test]
    fn a_key_is_contended_for_a_while_and_few_keys_are_remembered() {
        let (mut turns, now) = (Turns::default(), Moment(5));
        let key = |number: usize| Bytes::from(format!("{number}"));
        for number in 0..=MAX_CONTENDED {
            turns.contend(&key(number), now);
        }
        assert!(turns.is_contended(&key(0), now.after(CONTENDED - 1)));
        assert!(!turns.is_contended(&key(0), now.after(CONTENDED)));
        assert!(!turns.is_contended(&key(MAX_CONTENDED), now));
        turns.contend(&key(MAX_CONTENDED), now.after(CONTENDED));
        assert!(turns.is_contended(&key(MAX_CONTENDED), now.after(CONTENDED)));
        assert_eq!(turns.contended.len(), 1);
    }

    #[test]
    fn one_that_gives_up_waiting_holds_nobody_up() {
        let (mut turns, key) = (Turns::default(), "a".into());
        for slot in 1..=3 {
            is_first(&mut turns, &key, slot);
        }
        turns.leave(&key, operation(2));
        assert_eq!(turns.poll_ready(), None);
        turns.leave(&key, operation(1));
        assert_eq!(turns.poll_ready(), Some(operation(3)));
    }
}
