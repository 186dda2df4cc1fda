//! Which worker begins the next operation, and when: leaders and followers.
//!
//! ```text
//!   followers  [ w4 w2 w7 ]  wait in line for the lead
//!   leader     w1            waits until the next start is due, draws the operation, hands over the lead,
//!                            carries the operation out, records it, and stands in line again
//! ```
//!
//! One worker at a time looks at the clock, so operations begin in order and a worker costs no task of its
//! own per operation. Workers are added when the leader leaves and no worker is in line, up to the bound on
//! operations in flight; beyond it the lead stays free until one ends. Starts that became due meanwhile are
//! then taken at once, each with the time it *should* have begun: that is the queue of an open loop, and it
//! takes no memory. In a closed loop a start is due whenever a worker takes it.
//!
//! Invariants: never more than `most` operations in flight; none begins after the time is out; every one
//! that began is recorded. Source: Schmidt et al., *Leader/Followers* (2000).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Mutex as Line, Notify};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::executor::Executor;
use super::lateness::Lateness;
use super::recorder::{Recorder, Times};
use super::schedule::Schedule;
use crate::os::Timer;
use crate::workload::Op;

/// How operations follow each other.
#[derive(Debug)]
pub(crate) enum Pace {
    /// As a schedule says.
    Open(Schedule, Timer),
    /// As soon as another one has ended.
    Closed,
}

/// A load that lasts for some time.
#[derive(Debug)]
pub(crate) struct LoadDriver {
    executor: Arc<Executor>,
    begin: Instant,
    end: Instant,
    most: usize,
    lead: Line<Pace>,
    /// Workers that stand in line.
    waiting: AtomicUsize,
    in_flight: AtomicUsize,
    /// Whether all workers are busy, so that what is due has to wait for the store.
    full: AtomicBool,
    another: Notify,
    over: AtomicBool,
    recorder: Mutex<Recorder>,
    lateness: Mutex<Lateness>,
}

/// An operation that is to begin.
struct Start {
    op: Op,
    intended: Instant,
}

impl LoadDriver {
    /// A load of `time` from now on, with `most` operations in flight at most.
    ///
    /// # Errors
    /// If there is no histogram.
    pub(crate) fn new(
        executor: Arc<Executor>,
        pace: Pace,
        most: usize,
        recorder: Recorder,
    ) -> anyhow::Result<Arc<Self>> {
        let (begin, end) = recorder.span();
        Ok(Arc::new(Self {
            executor,
            begin,
            end,
            most,
            lead: Line::new(pace),
            waiting: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            another: Notify::new(),
            over: AtomicBool::new(false),
            recorder: Mutex::new(recorder),
            lateness: Mutex::new(Lateness::new()?),
        }))
    }

    /// Runs the load to its end, and waits for what is still in flight then.
    ///
    /// # Errors
    /// If a worker panicked.
    pub(crate) async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        let mut workers = JoinSet::new();
        let first = if self.is_closed().await { self.most } else { 1 };
        for caller in 0..first {
            workers.spawn(Arc::clone(&self).work(caller));
        }
        loop {
            tokio::select! {
                biased;
                ended = workers.join_next() => match ended {
                    None => return Ok(()),
                    Some(ended) => ended.context("a worker of the load failed")?,
                },
                () = self.another.notified() => {
                    if workers.len() < self.most && !self.over.load(Ordering::Relaxed) {
                        // Before the end no worker ends, so no two have one number.
                        workers.spawn(Arc::clone(&self).work(workers.len()));
                    }
                }
            }
        }
    }

    async fn is_closed(&self) -> bool {
        matches!(*self.lead.lock().await, Pace::Closed)
    }

    /// What was recorded so far.
    pub(crate) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How late operations began.
    pub(crate) fn lateness(&self) -> MutexGuard<'_, Lateness> {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations in flight now.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// When measuring began.
    pub(crate) const fn begin(&self) -> Instant {
        self.begin
    }

    /// When it is over.
    pub(crate) const fn end(&self) -> Instant {
        self.end
    }

    async fn work(self: Arc<Self>, caller: usize) {
        while let Some(Start { op, intended }) = self.next().await {
            let started = Instant::now();
            let outcome = self.executor.perform(op, caller).await;
            let ended = Instant::now();
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            let times = Times {
                intended: intended.min(started),
                started,
                ended,
            };
            self.recorder().record(op.verb, times, outcome);
        }
    }

    /// Stands in line, waits for the next start and takes it.
    async fn next(&self) -> Option<Start> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let mut lead = self.lead.lock().await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        if self.over.load(Ordering::Relaxed) {
            return None;
        }
        let intended = self.due(&mut lead).await;
        let Some(intended) = intended else {
            self.over.store(true, Ordering::Relaxed);
            return None;
        };
        let op = self.executor.generator().next_op();
        let busy = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.full.store(busy == self.most, Ordering::Relaxed);
        if self.waiting.load(Ordering::Relaxed) == 0 && busy < self.most {
            self.another.notify_one();
        }
        Some(Start { op, intended })
    }

    /// Waits until the next operation is due; `None` when the time is out.
    async fn due(&self, lead: &mut Pace) -> Option<Instant> {
        let Pace::Open(schedule, timer) = lead else {
            if Instant::now() < self.begin {
                tokio::time::sleep_until(self.begin).await;
            }
            let now = Instant::now();
            return (now < self.end).then_some(now);
        };
        let intended = schedule
            .next_start()
            .map(|at| self.begin + Duration::from_secs_f64(at));
        let Some(intended) = intended else {
            timer.until(self.end).await;
            return None;
        };
        let mut now = Instant::now();
        if now < intended {
            timer.until(intended).await;
            now = Instant::now();
        }
        if now >= self.end {
            // This one and all behind it were due in time.
            let left = std::iter::from_fn(|| schedule.next_start()).fold(1, |sum, _| sum + 1);
            self.lateness().never = left;
            return None;
        }
        let full = self.full.load(Ordering::Relaxed);
        self.lateness().note(now - intended, full);
        Some(intended)
    }
}

#[cfg(test)]
mod tests;
