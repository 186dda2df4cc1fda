//! Virtual time: what is to happen, in order.
//!
//! ```text
//!   now ---> (at, number) (at, number) (at, number) ...     events of one moment in the order they were planned
//! ```
//!
//! Time moves only by taking the next event, so a minute of waiting costs nothing. Ties are broken by the
//! order of planning, never by anything that differs between two runs of one seed.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use quoit_ring::Moment;

/// Events to come.
#[derive(Debug)]
pub struct Schedule<E> {
    heap: BinaryHeap<Entry<E>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Moment,
    number: u64,
    event: E,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            planned: 0,
        }
    }
}

impl<E> Schedule<E> {
    /// Plans `event` for `at`, behind all that is planned for that moment already.
    pub fn at(&mut self, at: Moment, event: E) {
        self.planned += 1;
        let number = self.planned;
        self.heap.push(Entry { at, number, event });
    }

    /// When the next event is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Moment> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<(Moment, E)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}

impl<E> Ord for Entry<E> {
    /// The heap gives the greatest first: the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_those_of_one_moment_as_they_were_planned() {
        let mut schedule = Schedule::default();
        for (at, event) in [(5, "c"), (1, "a"), (5, "d"), (2, "b")] {
            schedule.at(Moment(at), event);
        }
        assert_eq!(schedule.next_at(), Some(Moment(1)));
        let order: Vec<_> = std::iter::from_fn(|| schedule.pop()).collect();
        let expected = [(1, "a"), (2, "b"), (5, "c"), (5, "d")];
        assert_eq!(order, expected.map(|(at, event)| (Moment(at), event)));
    }
}
