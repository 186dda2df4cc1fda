//! Turns: proposers that have met on a key, let in one at a time. Pure.
//!
//! ```text
//!   key -> until when the first has its turn, and who waits behind it, in the order of their coming
//!
//!   AwaitTurn --nobody has the turn--> goes on to the committer, which answers it
//!      '--------another one has------> waits here until a commit of the key, an EndTurn, or the end of that turn
//! ```
//!
//! Proposers that try again by chance get through just as often, but some of them wait many times as long. A turn decides
//! nothing: whoever comes without one is served as always, and one that dies holds the others up for some milliseconds.
//!
//! Invariant: what waits is bounded, and whoever waits is let in: at the latest when all before it have had their time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::Moment;

use crate::write::{Change, Step, Write};

/// How long a turn lasts at most. Two rounds take about one on a quiet machine; one that dies is not waited for much longer.
const TURN: Duration = Duration::from_millis(3);
/// Most that wait; whoever comes then goes on without a turn.
const MAX_WAITING: usize = 1024;
/// Most keys in turn; the others' proposers go on without.
const MAX_KEYS: usize = 1024;

/// Who has its turn, and who waits.
#[derive(Debug)]
pub(super) struct Turns<R> {
    by_key: BTreeMap<Bytes, Turn<R>>,
    waiting: usize,
}

#[derive(Debug)]
struct Turn<R> {
    until: Moment,
    behind: VecDeque<Write<R>>,
}

impl<R> Turns<R> {
    /// Nobody's.
    pub(super) const fn new() -> Self {
        Self {
            by_key: BTreeMap::new(),
            waiting: 0,
        }
    }

    /// Gives a request for a turn back if it goes on now; else it waits.
    pub(super) fn take(&mut self, write: Write<R>, now: Moment) -> Option<Write<R>> {
        let until = now + TURN;
        if let Some(turn) = self.by_key.get_mut(&write.key) {
            if turn.until <= now && turn.behind.is_empty() {
                turn.until = until;
                return Some(write);
            }
            if self.waiting >= MAX_WAITING {
                return Some(contended(write));
            }
            turn.behind.push_back(write);
            self.waiting += 1;
            return None;
        }
        if self.by_key.len() >= MAX_KEYS {
            self.by_key
                .retain(|_, turn| turn.until > now || !turn.behind.is_empty());
        }
        if self.by_key.len() < MAX_KEYS {
            let behind = VecDeque::new();
            // A copy: the key may be a slice of a frame.
            let key = Bytes::copy_from_slice(&write.key);
            self.by_key.insert(key, Turn { until, behind });
        }
        Some(write)
    }

    /// The turn of a key is over: adds whoever goes on now.
    pub(super) fn leave(&mut self, key: &[u8], now: Moment, into: &mut VecDeque<Write<R>>) {
        let Some(turn) = self.by_key.get_mut(key) else {
            return;
        };
        self.waiting -= turn.pass_on(now, into);
        if turn.until <= now {
            self.by_key.remove(key);
        }
    }

    /// Adds those who go on since the turn before theirs has lasted too long.
    pub(super) fn expire(&mut self, now: Moment, into: &mut VecDeque<Write<R>>) {
        let waiting = &mut self.waiting;
        self.by_key.retain(|_, turn| {
            if turn.until <= now {
                *waiting -= turn.pass_on(now, into);
            }
            turn.until > now
        });
    }

    /// When somebody who waits goes on, whatever comes.
    pub(super) fn next(&self) -> Option<Moment> {
        if self.waiting == 0 {
            return None;
        }
        let turns = self.by_key.values();
        let awaited = turns.filter(|turn| !turn.behind.is_empty());
        awaited.map(|turn| turn.until).min()
    }

    /// Nobody waits any more: adds them all.
    pub(super) fn end(&mut self, into: &mut VecDeque<Write<R>>) {
        for (_, turn) in std::mem::take(&mut self.by_key) {
            into.extend(turn.behind);
        }
        self.waiting = 0;
    }
}

impl<R> Turn<R> {
    /// Ends the turn and begins the next one, of the first that is still waited for; says how many go on.
    fn pass_on(&mut self, now: Moment, into: &mut VecDeque<Write<R>>) -> usize {
        self.until = now;
        let before = self.behind.len();
        while let Some(write) = self.behind.pop_front() {
            let is_awaited = write.deadline > now;
            into.push_back(Write {
                arrived: now, // the queue is not to blame for its wait
                ..contended(write)
            });
            if is_awaited {
                self.until = now + TURN;
                break;
            }
        }
        before - self.behind.len()
    }
}

fn contended<R>(write: Write<R>) -> Write<R> {
    let change = Change::Register(Box::new(Step::AwaitTurn { contended: true }));
    Write { change, ..write }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Sink, WALL, at, write};

    fn ask(id: u64, key: &'static str) -> Write<Sink> {
        let step = Step::AwaitTurn { contended: false };
        let change = Change::Register(Box::new(step));
        write(id, &Sink::default(), key, change, at(WALL))
    }

    fn ids(writes: &VecDeque<Write<Sink>>) -> Vec<u64> {
        writes.iter().map(|write| write.id).collect()
    }

    #[test]
    fn one_of_a_key_goes_on_at_a_time_in_the_order_of_their_coming() {
        let (mut turns, now) = (Turns::new(), at(WALL).mono);
        assert!(turns.take(ask(1, "a"), now).is_some());
        assert!(turns.take(ask(2, "b"), now).is_some());
        assert!(turns.take(ask(3, "a"), now).is_none() && turns.take(ask(4, "a"), now).is_none());

        let mut on = VecDeque::new();
        turns.leave(b"c", now, &mut on);
        turns.leave(b"a", now, &mut on);
        assert_eq!(ids(&on), [3]);
        let contended = Step::AwaitTurn { contended: true };
        assert_eq!(on[0].change.step(), Some(&contended));
        turns.leave(b"a", now, &mut on);
        assert_eq!((ids(&on), turns.waiting), (vec![3, 4], 0));
        turns.leave(b"a", now, &mut on);
        turns.leave(b"b", now, &mut on);
        assert!(turns.by_key.is_empty());
    }

    #[test]
    fn a_proposer_that_dies_holds_the_next_one_up_for_as_long_as_a_turn() {
        let (mut turns, now) = (Turns::new(), at(WALL).mono);
        turns.take(ask(1, "a"), now);
        assert_eq!(turns.next(), None);
        turns.take(ask(2, "a"), now);
        assert_eq!(turns.next(), Some(now + TURN));

        let mut on = VecDeque::new();
        turns.expire(now + TURN / 2, &mut on);
        assert!(on.is_empty());
        turns.expire(now + TURN, &mut on);
        assert_eq!((ids(&on), turns.next()), (vec![2], None));
        assert!(turns.take(ask(3, "a"), now + TURN).is_none());
        turns.expire(now + 2 * TURN, &mut on);
        assert_eq!(ids(&on), [2, 3]);
        // Nobody waits: the turn of one that is gone is the next one's.
        assert!(turns.take(ask(4, "a"), now + 4 * TURN).is_some());
    }

    #[test]
    fn one_whose_caller_has_gone_has_no_turn() {
        let (mut turns, now) = (Turns::new(), at(WALL).mono);
        turns.take(ask(1, "a"), now);
        turns.take(
            Write {
                deadline: now,
                ..ask(2, "a")
            },
            now,
        );
        turns.take(ask(3, "a"), now);
        let mut on = VecDeque::new();
        turns.leave(b"a", now, &mut on);
        assert_eq!(ids(&on), [2, 3]);
    }

    #[test]
    fn what_waits_and_the_keys_are_bounded_and_all_are_let_in_at_the_end() {
        let (mut turns, now) = (Turns::new(), at(WALL).mono);
        for id in 0..=MAX_WAITING as u64 {
            assert_eq!(turns.take(ask(id, "a"), now).is_some(), id == 0);
        }
        assert!(turns.take(ask(9, "a"), now).is_some());
        for number in 0..2 * MAX_KEYS {
            let key = format!("{number}");
            let write = Write {
                key: key.into(),
                ..ask(0, "b")
            };
            assert!(turns.take(write, now).is_some());
        }
        assert_eq!(turns.by_key.len(), MAX_KEYS);
        let mut on = VecDeque::new();
        turns.end(&mut on);
        assert_eq!((on.len(), turns.waiting), (MAX_WAITING, 0));
    }
}
