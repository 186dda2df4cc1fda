//! The tasks of the simulated callers: ordinary futures, polled in a fixed order.
//!
//! ```text
//!   wake --> ready list --poll in order--> more wakes ...        until nothing is ready: then time may move
//!   sleep --> timers                                             the world takes the earliest
//! ```
//!
//! An executor of a screenful, since the order of polling must be a matter of the seed: a task is polled once
//! for any number of wakes before that, tasks in the order in which they were first woken. Nothing in it knows real
//! time or other threads.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use quoit_ring::Moment;

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// All tasks of one world. `O` says whose a task is.
pub struct Tasks<O> {
    slots: Vec<Option<(O, Work, Arc<Flag>)>>,
    ready: Arc<Ready>,
    alive: usize,
}

/// Which tasks were woken.
#[derive(Debug, Default)]
struct Ready(Mutex<VecDeque<usize>>);

impl Ready {
    fn lock(&self) -> MutexGuard<'_, VecDeque<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task's way into the ready list.
#[derive(Debug)]
struct Flag {
    slot: usize,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().push_back(self.slot);
        }
    }
}

impl<O> fmt::Debug for Tasks<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("alive", &self.alive)
            .finish_non_exhaustive()
    }
}

impl<O> Default for Tasks<O> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            ready: Arc::default(),
            alive: 0,
        }
    }
}

impl<O: Copy + PartialEq> Tasks<O> {
    /// Starts a task; it is polled with the next [`Tasks::poll_next`].
    pub fn spawn(&mut self, owner: O, work: impl Future<Output = ()> + 'static) {
        let flag = Arc::new(Flag {
            slot: self.slots.len(),
            queued: AtomicBool::new(false),
            ready: Arc::clone(&self.ready),
        });
        flag.wake_by_ref();
        // Slots are not used again: a late wake of a dead task must not reach another.
        self.slots.push(Some((owner, Box::pin(work), flag)));
        self.alive += 1;
    }

    /// Polls the task that was woken first; `None` once none is awake. Gives back whose it was.
    pub fn poll_next(&mut self) -> Option<O> {
        loop {
            let slot = self.ready.lock().pop_front()?;
            let Some(Some((owner, work, flag))) = self.slots.get_mut(slot) else {
                continue;
            };
            flag.queued.store(false, Ordering::Relaxed);
            let (owner, waker) = (*owner, Waker::from(Arc::clone(flag)));
            if let Poll::Ready(()) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.slots[slot] = None;
                self.alive -= 1;
            }
            return Some(owner);
        }
    }

    /// Drops every task of `owner`, wherever it waits.
    pub fn cancel(&mut self, owner: O) {
        for slot in &mut self.slots {
            if slot.as_ref().is_some_and(|(whose, ..)| *whose == owner) {
                *slot = None;
                self.alive -= 1;
            }
        }
    }

    /// How many have not ended.
    #[must_use]
    pub const fn alive(&self) -> usize {
        self.alive
    }
}

/// The time that tasks see, and the sleeping tasks.
#[derive(Debug, Default)]
pub struct Timeline {
    now: Cell<Moment>,
    sleepers: RefCell<Sleepers>,
}

#[derive(Debug, Default)]
struct Sleepers {
    heap: BinaryHeap<Reverse<(Moment, u64)>>,
    wakers: std::collections::BTreeMap<u64, Waker>,
    numbers: u64,
}

impl Timeline {
    /// The present.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.now.get()
    }

    /// When the next sleeper is to be woken.
    #[must_use]
    pub fn next_at(&self) -> Option<Moment> {
        let sleepers = self.sleepers.borrow();
        sleepers.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Moves the time forward and wakes the tasks whose time has come.
    pub fn advance(&self, to: Moment) {
        debug_assert!(self.now.get() <= to, "time never goes back");
        self.now.set(to);

        let mut sleepers = self.sleepers.borrow_mut();
        while let Some(&Reverse((at, number))) = sleepers.heap.peek() {
            if at > to {
                break;
            }
            sleepers.heap.pop();
            if let Some(waker) = sleepers.wakers.remove(&number) {
                waker.wake();
            }
        }
    }

    /// Sleeps for so many microseconds of virtual time.
    pub fn sleep(self: &Rc<Self>, micros: u64) -> Sleep {
        Sleep {
            until: self.now().after(micros),
            timeline: Rc::clone(self),
            asleep: false,
        }
    }
}

/// A pause; made by [`Timeline::sleep`].
#[derive(Debug)]
pub struct Sleep {
    timeline: Rc<Timeline>,
    until: Moment,
    asleep: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.timeline.now() >= self.until {
            return Poll::Ready(());
        }
        if !self.asleep {
            let mut sleepers = self.timeline.sleepers.borrow_mut();
            sleepers.numbers += 1;
            let number = sleepers.numbers;
            sleepers.heap.push(Reverse((self.until, number)));
            sleepers.wakers.insert(number, cx.waker().clone());
            drop(sleepers);
            self.asleep = true;
        }

        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_polled_in_the_order_they_were_woken_and_sleep_in_virtual_time() {
        let (mut tasks, timeline) = (Tasks::default(), Rc::new(Timeline::default()));
        let woken = Rc::new(RefCell::new(Vec::new()));
        for (name, pause) in [(1, 30), (2, 10), (3, 10)] {
            let (timeline, woken) = (Rc::clone(&timeline), Rc::clone(&woken));
            tasks.spawn(name, async move {
                timeline.sleep(pause).await;
                woken.borrow_mut().push((name, timeline.now().0));
            });
        }

        while tasks.alive() > 0 {
            while tasks.poll_next().is_some() {}
            if let Some(at) = timeline.next_at() {
                timeline.advance(at);
            }
        }

        assert_eq!(*woken.borrow(), [(2, 10), (3, 10), (1, 30)]);
    }

    #[test]
    fn a_cancelled_owner_has_no_tasks_left_and_late_wakes_have_no_effect() {
        let (mut tasks, timeline) = (Tasks::default(), Rc::new(Timeline::default()));
        tasks.spawn(1, timeline.sleep(5));
        assert_eq!(tasks.poll_next(), Some(1));
        tasks.cancel(1);
        timeline.advance(Moment(5));
        assert_eq!((tasks.alive(), tasks.poll_next()), (0, None));
    }
}
