//! The bounded queue between connections and the committing thread.
//!
//! ```text
//!   push: all that fit, in order  -->  [ w w w w w w w ]  -->  take: all that wait, at most a batch
//!   push when full: refused, with how long the head has waited
//! ```
//!
//! Bounded by count and by bytes: beyond that, waiting is worse than being told. But an empty queue takes any
//! write: a repair may be larger than the bound, and would never get in. The lock is held while
//! pointers move, never while anything waits, and the thread is woken only if it sleeps.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Write;
use crate::config::WriteQueue;
use crate::env::Rejected;

/// Writes that wait for their commit.
#[derive(Debug)]
pub struct Queue<R> {
    state: Mutex<State<R>>,
    wake: Condvar,
    bounds: WriteQueue,
}

#[derive(Debug)]
struct State<R> {
    waiting: VecDeque<Write<R>>,
    bytes: usize,
    closed: bool,
    sleeping: bool,
}

/// What [`Queue::take`] came back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// At least one write.
    Some,
    /// None came within the time.
    Idle,
    /// None will come any more.
    Closed,
}

impl<R> Queue<R> {
    /// An empty queue.
    #[must_use]
    pub const fn new(bounds: WriteQueue) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            bytes: 0,
            closed: false,
            sleeping: false,
        };
        Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            bounds,
        }
    }

    /// Moves writes to the end of the queue, in order, as many as fit; the others stay in `writes`. `now`
    /// is read only to tell how long the queue is.
    ///
    /// # Errors
    /// [`Rejected`] if not all fitted.
    pub fn push(
        &self,
        writes: &mut Vec<Write<R>>,
        now: impl FnOnce() -> Duration,
    ) -> Result<(), Rejected> {
        let mut state = self.lock();
        if state.closed {
            return Err(Rejected::Closed);
        }
        let fitting = self.fitting(&state, writes);
        for write in writes.drain(..fitting) {
            state.bytes += write.bytes;
            state.waiting.push_back(write);
        }
        let sleeping = state.sleeping && !state.waiting.is_empty();
        let head = state.waiting.front().map(|head| head.arrived);
        drop(state);
        if sleeping {
            self.wake.notify_one();
        }
        if writes.is_empty() {
            return Ok(());
        }
        let waited = head.map_or(Duration::ZERO, |head| now().saturating_sub(head));
        Err(Rejected::Overloaded {
            queue_ms: u32::try_from(waited.as_millis()).unwrap_or(u32::MAX),
        })
    }

    /// How many of `writes`, from the first, fit behind what waits.
    fn fitting(&self, state: &State<R>, writes: &[Write<R>]) -> usize {
        let (mut count, mut bytes) = (state.waiting.len(), state.bytes);
        let fits = |write: &&Write<R>| {
            count += 1;
            bytes += write.bytes;
            count == 1 || (count <= self.bounds.requests && bytes <= self.bounds.bytes)
        };
        writes.iter().take_while(fits).count()
    }

    /// Waits for writes, at most `patience`, and moves up to `most` of them into `into`.
    ///
    /// After [`Queue::close`] it hands out what still waits, then says [`Taken::Closed`].
    pub fn take(&self, into: &mut Vec<Write<R>>, most: usize, patience: Duration) -> Taken {
        let mut state = self.lock();
        if state.waiting.is_empty() && !state.closed {
            state.sleeping = true;
            let waited = self.wake.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.sleeping = false;
        }
        if state.waiting.is_empty() {
            return if state.closed {
                Taken::Closed
            } else {
                Taken::Idle
            };
        }
        let count = most.min(state.waiting.len());
        into.extend(state.waiting.drain(..count));
        state.bytes -= into
            .iter()
            .rev()
            .take(count)
            .map(|write| write.bytes)
            .sum::<usize>();
        Taken::Some
    }

    /// Takes no more writes; those that wait are still handed out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Takes no more writes, and gives back those that wait: they will not be handed out.
    pub fn abandon(&self) -> Vec<Write<R>> {
        let mut state = self.lock();
        state.closed = true;
        state.bytes = 0;
        let abandoned = state.waiting.drain(..).collect();
        drop(state);
        self.wake.notify_one();
        abandoned
    }

    /// How many writes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether none wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::Record;

    use super::*;
    use crate::commit::Change;
    use crate::testing::{Sink, WALL, at, write};

    #[test]
    fn a_full_queue_takes_what_fits_and_says_how_long_it_is() {
        let sink = Sink::default();
        let bounds = WriteQueue {
            requests: 2,
            bytes: 100,
        };
        let queue = Queue::new(bounds);
        let one = |id| write(id, &sink, "k", Change::Repair(Record::default()), at(WALL));
        let mut writes = vec![one(0), one(1), one(2)];
        let later = || at(WALL + 30).mono;
        let full = queue.push(&mut writes, later);
        assert_eq!(full, Err(Rejected::Overloaded { queue_ms: 30 }));
        assert_eq!(writes.len(), 1);

        let mut taken = Vec::new();
        assert_eq!(queue.take(&mut taken, 1, Duration::ZERO), Taken::Some);
        assert_eq!(queue.push(&mut writes, later), Ok(()));
        queue.close();
        let closed = queue.push(&mut vec![one(3)], later);
        assert_eq!(closed, Err(Rejected::Closed));
        assert_eq!(queue.take(&mut taken, 512, Duration::ZERO), Taken::Some);
        assert_eq!(
            taken.iter().map(|write| write.id).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        assert_eq!(queue.take(&mut taken, 512, Duration::ZERO), Taken::Closed);
    }

    /// Writes of so many bytes each.
    fn of(sink: &Sink, bytes: &[usize]) -> Vec<Write<Sink>> {
        let one = |&bytes: &usize| Write {
            bytes,
            ..write(0, sink, "k", Change::Repair(Record::default()), at(WALL))
        };
        bytes.iter().map(one).collect()
    }

    const BOUNDS: WriteQueue = WriteQueue {
        requests: 9,
        bytes: 100,
    };

    #[test]
    fn bytes_bound_the_queue_as_well() {
        let sink = Sink::default();
        let queue = Queue::new(BOUNDS);
        let mut heavy = of(&sink, &[60, 41]);
        assert!(queue.push(&mut heavy, || at(WALL).mono).is_err());
        assert_eq!(heavy.len(), 1);
        let mut taken = Vec::new();
        queue.take(&mut taken, 9, Duration::ZERO);
        assert!(
            queue.push(&mut heavy, || at(WALL).mono).is_ok(),
            "what is taken counts no more"
        );
    }

    #[test]
    fn a_write_larger_than_the_queue_gets_in_alone() {
        let sink = Sink::default();
        let queue = Queue::new(BOUNDS);
        let mut writes = of(&sink, &[101, 1]);
        assert!(queue.push(&mut writes, || at(WALL).mono).is_err());
        assert_eq!((queue.len(), writes.len()), (1, 1), "nothing beside it");
        let mut taken = Vec::new();
        queue.take(&mut taken, 9, Duration::ZERO);
        assert!(queue.push(&mut writes, || at(WALL).mono).is_ok());
        let mut large = of(&sink, &[101]);
        assert!(
            queue.push(&mut large, || at(WALL).mono).is_err(),
            "not behind others"
        );
    }
}
