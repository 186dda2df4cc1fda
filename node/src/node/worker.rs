//! The committing thread: takes waiting writes and commits them, and carries out orders in between, until the queue is
//! closed.
//!
//! ```text
//!   queue closed          the rest is committed, then the thread ends and returns its committer
//!   queue abandoned       the running batch is the last
//!   a commit fails,       the failure is kept; waiting and later writes are refused
//!     or a panic
//! ```
//!
//! Invariant: a thread that ends in any other way than a stop leaves a [`Failure`], so that the node never runs on
//! without its committer.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use quoit_ring::Moment;
use quoit_ring::wire::{Refusal, Response, ResponseFrame, WarningKind};

use crate::admission::{MAX_BATCH, Queue, Taken};
use crate::clock::{Clocks, SharedClock};
use crate::cluster::ClusterView;
use crate::commit::{Asker, Committer, Finished};
use crate::engine::{Engine, EngineError};
use crate::error::StopError;
use crate::failure::{Failure, NodeFailure};
use crate::reply::Reply;
use crate::warnings::{Warnings, chain};

/// How long a thread whose storage failed may take to end.
const STUCK: Duration = Duration::from_secs(1);

/// The state of the committing thread, as a watcher sees it.
#[derive(Debug)]
pub(super) struct Watched<R> {
    /// Start of the running commit, in microseconds plus one; 0 between commits.
    busy_since: Arc<AtomicU64>,
    queue: Arc<Queue<R>>,
    cluster: Arc<ClusterView>,
    finished: Arc<Finished>,
    clock: Arc<SharedClock>,
    clocks: Clocks,
    warnings: Arc<Warnings>,
    pub(super) failure: Failure,
}

impl<R: Reply> Watched<R> {
    /// The duration of the running commit so far.
    pub(super) fn busy_for(&self) -> Duration {
        match self.busy_since.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => self.clocks.now().mono.saturating_since(Moment(since - 1)),
        }
    }

    /// Writes that wait.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    fn busy(&self) {
        let since = self.clocks.now().mono.0.saturating_add(1);
        self.busy_since.store(since, Ordering::Release);
    }

    fn pause(&self) {
        self.busy_since.store(0, Ordering::Release);
    }

    /// Keeps the failure of the storage, and refuses waiting and later writes.
    pub(super) fn fail(&self, error: EngineError) {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "no more writes are accepted"
        );
        let now = self.clocks.now();
        (self.warnings).note(WarningKind::Storage, 1, now.mono, || {
            format!(
                "the storage has failed, restart the node: {}",
                chain(&error)
            )
        });
        let abandoned = self.queue.abandon();
        let (epoch, clock) = (self.cluster.epoch(), self.clock.reading(now));
        let refused = || Response::Refused(Refusal::Draining);
        let writes = abandoned.writes.into_iter();
        let mut waiting: Vec<_> = writes
            .filter_map(|write| Some((write.id, write.reply?)))
            .collect();
        for order in abandoned.orders {
            match order.from {
                Asker::Caller { id, reply } => waiting.push((id, reply)),
                Asker::Node { ticket } => self.finished.push(ticket, refused()),
                Asker::Rounds { .. } => {} // the next one begins after a while
                Asker::Sweep => {}         // there is none any more
            }
        }
        for (id, reply) in waiting {
            reply.send(&ResponseFrame {
                id,
                epoch,
                clock,
                response: refused(),
            });
            reply.flush();
        }
        self.failure.set(error.into());
    }
}

impl<R> Clone for Watched<R> {
    fn clone(&self) -> Self {
        Self {
            busy_since: Arc::clone(&self.busy_since),
            queue: Arc::clone(&self.queue),
            cluster: Arc::clone(&self.cluster),
            finished: Arc::clone(&self.finished),
            clock: Arc::clone(&self.clock),
            clocks: self.clocks,
            warnings: Arc::clone(&self.warnings),
            failure: self.failure.clone(),
        }
    }
}

/// The committing thread.
#[derive(Debug)]
pub(super) struct Worker<G, R: Reply> {
    thread: Option<JoinHandle<Option<Committer<G>>>>,
    ended: mpsc::Receiver<()>,
    watched: Watched<R>,
}

impl<G: Engine, R: Reply> Worker<G, R> {
    pub(super) fn start(
        queue: Arc<Queue<R>>,
        committer: Committer<G>,
        clocks: Clocks,
    ) -> io::Result<Self> {
        let watched = Watched {
            busy_since: Arc::default(),
            queue,
            cluster: Arc::clone(&committer.state().cluster),
            finished: Arc::clone(&committer.state().finished),
            clock: Arc::clone(&committer.state().clock),
            clocks,
            warnings: Arc::clone(&committer.state().warnings),
            failure: Failure::new(),
        };
        let (ending, ended) = mpsc::channel();
        let seen = watched.clone();
        let thread = std::thread::Builder::new()
            .name("quoit-commit".to_owned())
            .spawn(move || {
                let alarm = Alarm {
                    watched: &seen,
                    armed: true,
                };
                let committer = run(committer, &seen);
                alarm.disarm();
                drop(ending);
                committer
            })?;
        Ok(Self {
            thread: Some(thread),
            ended,
            watched,
        })
    }

    pub(super) const fn failure(&self) -> &Failure {
        &self.watched.failure
    }

    pub(super) fn watched(&self) -> Watched<R> {
        self.watched.clone()
    }

    /// Accepts no more writes, commits those that wait, and returns the committer.
    pub(super) fn finish(&mut self, grace: Duration) -> Result<Committer<G>, StopError> {
        self.watched.queue.close();
        // The channel only ever disconnects: at the thread's end.
        if matches!(
            self.ended.recv_timeout(grace),
            Err(mpsc::RecvTimeoutError::Timeout)
        ) {
            self.watched.queue.abandon();
            self.thread = None; // it may be stuck in the engine for ever: do not join it
            return Err(match self.failure().get() {
                Some(NodeFailure::Storage(error)) => StopError::Storage(error),
                Some(NodeFailure::Thread(_) | NodeFailure::Removed) | None => StopError::Overran,
            });
        }

        let committer = self
            .thread
            .take()
            .and_then(|thread| thread.join().ok().flatten());
        committer.ok_or_else(|| match self.failure().get() {
            Some(NodeFailure::Storage(error)) => StopError::Storage(error),
            Some(NodeFailure::Thread(_) | NodeFailure::Removed) | None => {
                StopError::Storage(EngineError::Poisoned { cause: None })
            }
        })
    }
}

impl<G, R: Reply> Worker<G, R> {
    /// Whether the thread ends within `timeout`.
    fn ends_within(&self, timeout: Duration) -> bool {
        // The channel only ever disconnects: at the thread's end.
        !matches!(
            self.ended.recv_timeout(timeout),
            Err(mpsc::RecvTimeoutError::Timeout)
        )
    }
}

impl<G, R: Reply> Drop for Worker<G, R> {
    fn drop(&mut self) {
        drop(self.watched.queue.abandon());
        // After a failure it may be stuck in the engine for ever: then do not join it.
        let stuck = self.watched.failure.get().is_some() && !self.ends_within(STUCK);
        if let Some(thread) = self.thread.take()
            && !stuck
            && thread.join().is_err()
        {
            tracing::error!("the committing thread had panicked");
        }
    }
}

/// Raises a failure if the thread ends by a panic.
struct Alarm<'a, R: Reply> {
    watched: &'a Watched<R>,
    armed: bool,
}

impl<R: Reply> Alarm<'_, R> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl<R: Reply> Drop for Alarm<'_, R> {
    fn drop(&mut self) {
        if self.armed {
            self.watched.fail(EngineError::Poisoned { cause: None });
        }
    }
}

/// Commits until the queue ends or the engine fails.
fn run<G: Engine, R: Reply>(
    mut committer: Committer<G>,
    watched: &Watched<R>,
) -> Option<Committer<G>> {
    let (mut writes, rest) = (Vec::with_capacity(MAX_BATCH), committer.rest());
    loop {
        let clock = || watched.clocks.now().mono;
        let taken = watched.queue.take(&mut writes, MAX_BATCH, rest, clock);
        watched.busy();
        let now = watched.clocks.now();
        let done = match taken {
            Taken::Some => {
                let metrics = Arc::clone(&committer.state().metrics);
                for write in &writes {
                    let waited = now.mono.saturating_since(write.arrived);
                    metrics.queueing.add(waited, 1);
                }
                metrics.committed(writes.len());
                let done = committer.run(&mut writes, now);
                let took = watched.clocks.now().mono.saturating_since(now.mono);
                metrics.commit.add(took, 1);
                done
            }
            Taken::Order(order) => committer.carry_out(order, now),
            Taken::Idle => committer.idle(now),
            Taken::Closed => return Some(committer),
        };
        watched.pause();
        if let Err(error) = done {
            watched.fail(error);
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use quoit_ring::consensus::Ballot;
    use quoit_ring::wire::Fault;
    use quoit_ring::{Epoch, NodeId};

    use super::*;

    use crate::commit::{Order, Task};
    use crate::config::WriteQueue;
    use crate::engine::MemoryEngine;
    use crate::env::Rejected;
    use crate::testing::{Failing, Sink, blind, dot, state, write};
    use crate::write::{Change, Write};

    const LIMIT: Duration = Duration::from_secs(20);

    struct Bench<G: Engine> {
        worker: Worker<G, Sink>,
        queue: Arc<Queue<Sink>>,
        clocks: Clocks,
        sink: Sink,
    }

    fn bench<G: Engine>(engine: G) -> Bench<G> {
        let (clocks, queue) = (
            Clocks::start(),
            Arc::new(Queue::new(
                WriteQueue::default(),
                quoit_ring::MerkleKey([7; 16]),
            )),
        );
        let committer = Committer::new(Arc::new(engine), &state(1), clocks.now());
        let worker = Worker::start(Arc::clone(&queue), committer, clocks).unwrap();
        Bench {
            worker,
            queue,
            clocks,
            sink: Sink::default(),
        }
    }

    impl<G: Engine> Bench<G> {
        /// A put made just now; it may wait for long.
        fn fresh(&self, id: u64) -> Write<Sink> {
            let now = self.clocks.now();
            let change = Change::Put(blind(dot(1, now.wall.0), "v"));
            let mut made = write(id, &self.sink, "k", change, now);
            made.deadline = now.mono + LIMIT;
            made
        }

        fn push(&self, id: u64) -> Result<(), Rejected> {
            self.queue.push(&mut vec![self.fresh(id)], || Moment(0))
        }

        fn failure(&self) -> EngineError {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            let failing = async { tokio::time::timeout(LIMIT, self.worker.failure().wait()).await };
            match runtime.unwrap().block_on(failing).unwrap() {
                NodeFailure::Storage(error) => error,
                other => panic!("not of the storage: {other}"),
            }
        }
    }

    #[test]
    fn what_waits_at_the_end_is_committed_and_answered() {
        let mut bench = bench(MemoryEngine::new());
        for id in 0..2000 {
            bench.push(id).unwrap();
        }
        bench.worker.finish(LIMIT).unwrap();
        let answers = bench.sink.answers();
        assert_eq!(answers.len(), 2000);
        assert!(
            answers
                .iter()
                .all(|(_, answer)| *answer == Response::Joined)
        );
        assert_eq!(bench.push(1), Err(Rejected::Closed));
    }

    fn prepare(ticket: u64) -> Order<Sink> {
        let from = Asker::Node { ticket };
        let (after, ballot) = (Epoch(2), Ballot::ZERO.next(NodeId(ticket)));
        let task = Task::Prepare { after, ballot };
        Order { from, task }
    }

    #[test]
    fn orders_are_carried_out_beside_writes_and_those_that_wait_at_the_end_too() {
        let mut bench = bench(MemoryEngine::new());
        for id in 1..=100 {
            bench.push(id).unwrap();
            bench.queue.order(prepare(id)).unwrap();
        }
        bench.worker.finish(LIMIT).unwrap();
        assert_eq!(bench.sink.answers().len(), 100);
        let finished = bench.worker.watched.finished.take();
        assert!(finished.iter().map(|(ticket, _)| *ticket).eq(1..=100));
        assert!(bench.queue.order(prepare(101)).is_err());
    }

    #[test]
    fn an_order_that_the_engine_fails_is_answered_and_the_last() {
        let poisoned = || EngineError::Poisoned { cause: None };
        let bench = bench(Failing::with(poisoned));
        bench.queue.order(prepare(1)).unwrap();
        assert!(matches!(bench.failure(), EngineError::Poisoned { .. }));
        let finished = bench.worker.watched.finished.take();
        let failed = Response::Refused(Refusal::Storage(Fault::Failed));
        assert_eq!(finished, [(1, failed)]);
        assert!(bench.queue.order(prepare(2)).is_err());
    }

    #[test]
    fn a_failed_commit_is_reported_and_no_more_writes_are_accepted() {
        let full = || EngineError::NoSpace {
            doing: "testing",
            source: Arc::new(io::ErrorKind::StorageFull.into()),
        };
        let mut bench = bench(Failing::with(full));
        bench.push(1).unwrap();
        assert!(matches!(bench.failure(), EngineError::NoSpace { .. }));
        assert_eq!(bench.push(2), Err(Rejected::Closed));
        let stopped = bench.worker.finish(LIMIT);
        assert!(matches!(
            stopped,
            Err(StopError::Storage(EngineError::NoSpace { .. }))
        ));
        let answers = bench.sink.answers();
        assert!(
            matches!(answers[..], [(1, Response::Refused(Refusal::Storage(_)))]),
            "{answers:?}"
        );
    }

    #[test]
    fn a_panic_while_committing_is_reported_as_a_failure() {
        let bench = bench(Failing::with(|| panic!("a defect")));
        bench.push(1).unwrap();
        assert!(matches!(
            bench.failure(),
            EngineError::Poisoned { cause: None }
        ));
        assert_eq!(bench.push(2), Err(Rejected::Closed));
    }
}
