//! The bounded queue between connections and the committing thread.
//!
//! ```text
//!   push: those that may wait, in order  -->  [ w w w w w w w ]  -->  take: all that wait, at most a batch
//!   push: the others refused, with how long the wait would be
//!   order: one, if few wait              -->  [ o o ]            -->  take: one, between two batches
//! ```
//!
//! Bounded by count and by bytes: beyond that, a quick refusal is better than a long wait. An eighth of the
//! capacity is for peers and the rest for clients, so neither can shut the other out: repairs and hints must get
//! through to a node overloaded by clients, and clients to one overloaded by peers. Either share, while it is
//! empty, accepts any write: a repair may be larger than the bound, and would never get in.
//!
//! Before it is full it refuses clients whenever it has become a standing one, and anybody whose turn would come
//! too late (`shedding`). Orders for a change of the ring wait beside the writes, within bounds of their own; they take turns
//! with the batches, so neither keeps the other waiting for long. Proposers that have met on a key wait for their turn beside the
//! writes, too (`turns`). Refusing waits for nothing. The lock is held while pointers move, never while anything
//! waits, and the thread is woken only if it sleeps.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quoit_ring::{MerkleKey, Moment};

use super::MAX_BATCH;
use super::load_shedding::LoadShedding;
use super::share::Held;
use super::turns::Turns;
use crate::commit::Order;
use crate::config::WriteQueue;
use crate::reply::{Priority, Reply};
use crate::write::{Step, Write};

/// Most orders that wait; more than peers and operators have under way at a time.
const MAX_ORDERS: usize = 1024;

/// Most bytes of orders that wait, unless it is one alone: configurations and pages.
const MAX_ORDER_BYTES: usize = 16 << 20;

/// Writes and orders that wait for the committing thread.
#[derive(Debug)]
pub struct Queue<R> {
    state: Mutex<State<R>>,
    wake: Condvar,
    bounds: WriteQueue,
}

#[derive(Debug)]
struct State<R> {
    waiting: VecDeque<Write<R>>,
    orders: VecDeque<Order<R>>,
    order_bytes: usize,
    /// An order was handed out last: writes that wait come next.
    was_order: bool,
    held: Held,
    turns: Turns<R>,
    shedding: LoadShedding,
    closed: bool,
    sleeping: bool,
}

/// Why writes were not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// They would wait for too long, or the queue is full.
    Overloaded {
        /// How long a write that came now would wait, as far as that is known, or how long the first one has
        /// waited if that is longer; in milliseconds.
        queue_ms: u32,
    },
    /// The node is stopping, or its storage has failed.
    Closed,
}

/// What [`Queue::take`] came back with.
#[derive(Debug)]
pub enum Taken<R> {
    /// At least one write.
    Some,
    /// An order, and no write.
    Order(Order<R>),
    /// None came within the time.
    Idle,
    /// None will come any more.
    Closed,
}

/// What an abandoned queue held.
#[derive(Debug)]
pub struct Abandoned<R> {
    /// Writes, in order.
    pub writes: Vec<Write<R>>,
    /// Orders, in order.
    pub orders: Vec<Order<R>>,
}

impl<R> Queue<R> {
    /// An empty queue, in a cluster with this key.
    #[must_use]
    pub const fn new(bounds: WriteQueue, key: MerkleKey) -> Self {
        Self::with_batch(bounds, key, MAX_BATCH)
    }

    /// An empty queue from which up to `batch` writes are taken at a time: few in a simulation, so that it comes to
    /// stand.
    #[must_use]
    pub const fn with_batch(bounds: WriteQueue, key: MerkleKey, batch: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            orders: VecDeque::new(),
            order_bytes: 0,
            was_order: false,
            held: Held::new(),
            turns: Turns::new(),
            shedding: LoadShedding::new(key, batch),
            closed: false,
            sleeping: false,
        };
        Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            bounds,
        }
    }
}

impl<R: Reply> Queue<R> {
    /// Moves writes to the end of the queue, in order, those that may wait; the others stay in `writes`, to be
    /// refused. `now` is read once, unless there is nothing to decide.
    ///
    /// # Errors
    /// [`Rejected`] if any may not wait.
    pub fn push(
        &self,
        writes: &mut Vec<Write<R>>,
        now: impl FnOnce() -> Moment,
    ) -> Result<(), Rejected> {
        if writes.is_empty() {
            return Ok(());
        }
        let now = now();

        let mut state = self.lock();
        if state.closed {
            return Err(Rejected::Closed);
        }
        state.admit(writes, &self.bounds, now);

        // Waking costs a system call: only if the committer sleeps, and without the lock.
        let is_awaited = !state.waiting.is_empty() || state.turns.next().is_some();
        let sleeping = state.sleeping && is_awaited;
        let wait = if writes.is_empty() {
            Duration::ZERO
        } else {
            state.wait(now)
        };

        drop(state);
        if sleeping {
            self.wake.notify_one();
        }
        if writes.is_empty() {
            return Ok(());
        }
        Err(Rejected::Overloaded {
            queue_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        })
    }

    /// Lets an order wait for its turn.
    ///
    /// # Errors
    /// The order, if the queue is closed or too many wait already.
    pub fn order(&self, order: Order<R>) -> Result<(), Order<R>> {
        let bytes = order.task.bytes();
        let mut state = self.lock();
        let fits = state.order_bytes.saturating_add(bytes) <= MAX_ORDER_BYTES;
        let has_capacity = state.orders.len() < MAX_ORDERS && (fits || state.orders.is_empty());
        if state.closed || !has_capacity {
            return Err(order);
        }
        state.order_bytes += bytes;
        state.orders.push_back(order);

        let sleeping = state.sleeping;
        drop(state);
        if sleeping {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for writes or an order, at most `timeout`, and moves up to `most` writes into `into`, or gives back an order.
    /// `now` is read only while somebody waits for a turn.
    ///
    /// After [`Queue::close`] it hands out what still waits, then says [`Taken::Closed`].
    pub fn take(
        &self,
        into: &mut Vec<Write<R>>,
        most: usize,
        timeout: Duration,
        now: impl Fn() -> Moment,
    ) -> Taken<R> {
        let mut state = self.lock();
        let mut left = timeout;
        state.expire_turns(&now);
        while state.is_empty() && !state.closed && !left.is_zero() {
            let turn = state.turns.next().map(|next| next.saturating_since(now()));
            let nap = turn.map_or(left, |turn| left.min(turn));
            state.sleeping = true;
            let waited = self.wake.wait_timeout(state, nap);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.sleeping = false;
            left = left.saturating_sub(nap);
            state.expire_turns(&now);
        }

        if let Some(order) = state.next_order() {
            return Taken::Order(order);
        }
        if state.waiting.is_empty() {
            return if state.closed {
                Taken::Closed
            } else {
                Taken::Idle
            };
        }
        state.hand_out(into, most);
        Taken::Some
    }

    /// Takes no more writes and orders; those that wait are still handed out.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.end_turns();
        drop(state);
        self.wake.notify_one();
    }

    /// Takes no more, and gives back what waits: it will not be handed out.
    pub fn abandon(&self) -> Abandoned<R> {
        let mut state = self.lock();
        state.closed = true;
        state.end_turns();
        state.held = Held::new();
        state.order_bytes = 0;
        let abandoned = Abandoned {
            writes: state.waiting.drain(..).collect(),
            orders: state.orders.drain(..).collect(),
        };
        drop(state);
        self.wake.notify_one();
        abandoned
    }

    /// How many writes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether nothing waits, neither write nor order.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> State<R> {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.orders.is_empty()
    }

    /// The first order, if it is its turn.
    fn next_order(&mut self) -> Option<Order<R>> {
        if std::mem::take(&mut self.was_order) && !self.waiting.is_empty() {
            return None;
        }
        let order = self.orders.pop_front()?;
        self.order_bytes -= order.task.bytes();
        self.was_order = true;
        Some(order)
    }
}

impl<R: Reply> State<R> {
    /// Takes in those of `writes` that may wait.
    fn admit(&mut self, writes: &mut Vec<Write<R>>, bounds: &WriteQueue, now: Moment) {
        let Self {
            waiting,
            held,
            shedding,
            ..
        } = self;
        let of_clients = |write: &&Write<R>| write.priority() == Priority::Client;
        let offered = writes.iter().filter(of_clients).count();
        shedding.look(held.clients(), offered, now);
        let may_wait = |write: &mut Write<R>| held.admit(write, shedding, bounds, now);
        let (before, mut in_turn) = (waiting.len(), false);
        waiting.extend(writes.extract_if(.., may_wait).inspect(|write| {
            in_turn |= write.change.step().is_some_and(Step::is_about_turns);
        }));
        if in_turn {
            self.take_turns(before, now);
        }
    }

    /// Of those from `before` on, takes out who waits for a turn, and lets in whose turn has come.
    fn take_turns(&mut self, before: usize, now: Moment) {
        for write in self.waiting.split_off(before) {
            let (priority, bytes) = (write.priority(), write.bytes);
            match write.change.step() {
                Some(Step::AwaitTurn { .. }) => match self.turns.take(write, now) {
                    Some(write) => self.waiting.push_back(write),
                    None => self.held.release(priority, bytes),
                },
                Some(step) if step.is_about_turns() => {
                    let (key, mut on) = (write.key.clone(), VecDeque::new());
                    self.waiting.push_back(write);
                    self.turns.leave(&key, now, &mut on);
                    self.let_in(on);
                }
                _ => self.waiting.push_back(write),
            }
        }
    }

    /// Lets in whoever has waited for a turn that has lasted too long.
    fn expire_turns(&mut self, now: impl Fn() -> Moment) {
        if self.turns.next().is_some() {
            let mut on = VecDeque::new();
            self.turns.expire(now(), &mut on);
            self.let_in(on);
        }
    }

    fn end_turns(&mut self) {
        let mut on = VecDeque::new();
        self.turns.end(&mut on);
        self.let_in(on);
    }

    fn let_in(&mut self, on: VecDeque<Write<R>>) {
        for write in &on {
            self.held.readmit(write.priority(), write.bytes);
        }
        self.waiting.extend(on);
    }

    /// Moves up to `most` writes into `into`.
    fn hand_out(&mut self, into: &mut Vec<Write<R>>, most: usize) {
        let (count, clients) = (most.min(self.waiting.len()), self.held.clients());
        for write in self.waiting.drain(..count) {
            self.held.release(write.priority(), write.bytes);
            into.push(write);
        }
        let of_clients = clients - self.held.clients();
        self.shedding.took(count, of_clients, self.waiting.len());
    }

    /// How long a write that came now would wait, or the first one has waited, if that is longer.
    fn wait(&self, now: Moment) -> Duration {
        let first = self.waiting.front();
        let waited = first.map_or(Duration::ZERO, |first| now.saturating_since(first.arrived));
        waited.max(self.shedding.wait(self.waiting.len(), now))
    }
}
