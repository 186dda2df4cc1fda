//! Whose turn it is: of one client's operations on a register, one at a time has a ballot.
//!
//! ```text
//!   key -> [holder, waits, waits, ...]      in the order of their coming
//! ```
//!
//! Two proposers of one process would outbid each other, and the second one would ask for what the first one knows. In turn each
//! finds what the one before it left (`chosen`), and needs one round.
//!
//! What other clients do on the key is not known here. A round that was outbid shows it, and then for a while operations on the key
//! wait for their turn at its first owner as well, who has them all.
//!
//! Invariant: whoever is the first of a queue has been told so, and nobody stays in it who has ended.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use quoit_ring::Moment;

use crate::coordinator::slab::Key;

/// How long after another client was met on a key operations wait for their turn at an owner, in microseconds. A turn costs a round
/// trip, and conflicts some rounds; long enough for a conflict now and then to keep all of them in order.
const CONTENDED: u64 = 1_000_000;
/// Most keys of which that is known; on the others proposers find their way by chance.
const MAX_CONTENDED: usize = 1024;

/// The queues. There are as many places in them as operations under way.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    by_key: BTreeMap<Bytes, VecDeque<Key>>,
    /// Those whose turn has come.
    ready: VecDeque<Key>,
    /// Keys on which other clients were met, and until when that counts.
    contended: BTreeMap<Bytes, Moment>,
}

impl Turns {
    /// Takes a place; true if it is the first.
    pub(super) fn take(&mut self, key: &Bytes, operation: Key) -> bool {
        let queue = self.by_key.entry(key.clone()).or_default();
        debug_assert!(!queue.contains(&operation), "one place each");
        queue.push_back(operation);
        queue.len() == 1
    }

    /// Leaves the queue, from whichever place; the next one's turn has come if it was the first.
    pub(super) fn leave(&mut self, key: &Bytes, operation: Key) {
        let Some(queue) = self.by_key.get_mut(key) else {
            return;
        };
        if queue.front() == Some(&operation) {
            queue.pop_front();
            self.ready.extend(queue.front());
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
    use super::*;

    const fn operation(slot: u32) -> Key {
        Key {
            slot,
            generation: 0,
        }
    }

    #[test]
    fn operations_of_one_key_go_in_the_order_of_their_coming_and_of_others_at_once() {
        let (mut turns, a, b) = (Turns::default(), "a".into(), "b".into());
        assert!(turns.take(&a, operation(1)) && turns.take(&b, operation(2)));
        assert!(!turns.take(&a, operation(3)) && !turns.take(&a, operation(4)));
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
            turns.take(&key, operation(slot));
        }
        turns.leave(&key, operation(2));
        assert_eq!(turns.poll_ready(), None);
        turns.leave(&key, operation(1));
        assert_eq!(turns.poll_ready(), Some(operation(3)));
    }
}
