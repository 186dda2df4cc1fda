//! The background thread: rebuilds derived state after a start, and watches the committer.
//!
//! ```text
//!   walks     a piece, a pause as long as the piece took, ...     at most half a core
//!   watch     commit running for long?  ask the engine whether it has failed
//!             certificate about to end?  say so
//! ```
//!
//! It watches from the start, between the pieces: rebuilding the sums of a large store takes minutes.
//!
//! If it panics the node fails: without it the sums stay unready and a stuck commit is never noticed.
//!
//! The engine makes a commit wait while its own background work catches up, for ever if that work has failed. The
//! committing thread cannot notice that itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, park_timeout};
use std::time::Duration;

use super::worker::Watched;
use crate::clock::Clocks;
use crate::engine::Engine;
use crate::failure::Alarm;
use crate::reply::Reply;
use crate::tls::ExpiryWatch;
use crate::walks::{NextStep, Walks};
use crate::warnings::Warnings;

const NAME: &str = "quoit-background";
/// Records summed up at a time: about a millisecond.
pub(super) const PIECE: usize = 1024;
/// How often the committer is checked.
const LOOK: Duration = Duration::from_secs(1);
/// How long a commit may run before the engine is checked.
const LONG: Duration = Duration::from_secs(5);

/// The background thread of one node.
#[derive(Debug)]
pub(super) struct Background {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Background {
    pub(super) fn start<G: Engine, R: Reply>(
        mut walks: Walks<G>,
        engine: &Arc<G>,
        watched: Watched<R>,
        (mut expiry, warnings): (ExpiryWatch, Arc<Warnings>),
        clocks: Clocks,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, engine) = (Arc::clone(&stop), Arc::clone(engine));
        let alarm = Alarm::new(NAME, watched.failure.clone());
        let work = move || {
            while !stopped.load(Ordering::Acquire) && watched.failure.get().is_none() {
                watch(&*engine, &watched);
                expiry.look(clocks.now(), &warnings);
                park_timeout(walk(&mut walks, &*engine, clocks));
            }
            alarm.disarm();
        };
        let thread = std::thread::Builder::new()
            .name(NAME.to_owned())
            .spawn(work)?;
        Ok(Self {
            thread: Some(thread),
            stop,
        })
    }

    /// Ends the thread.
    pub(super) fn stop(self) {
        drop(self);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the background thread had panicked");
            }
        }
    }
}

/// Does one piece of the walks; returns how long to pause.
fn walk<G: Engine>(walks: &mut Walks<G>, engine: &G, clocks: Clocks) -> Duration {
    let began = clocks.now().mono;
    match walks.step(engine, began) {
        NextStep::Soon => clocks.now().mono.saturating_since(began).min(LOOK),
        NextStep::At(_) | NextStep::Never => LOOK,
    }
}

/// Fails the node if a commit waits for an engine that has failed.
fn watch<G: Engine, R: Reply>(engine: &G, watched: &Watched<R>) {
    if watched.busy_for() > LONG
        && let Err(error) = engine.check()
    {
        watched.fail(error);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeBounds;

    use bytes::Bytes;
    use quoit_ring::{Millis, Moment};

    use super::super::worker::Worker;
    use super::*;
    use crate::admission::Queue;
    use crate::commit::Committer;
    use crate::config::WriteQueue;
    use crate::engine::layout::{NAMESPACE, record_key};
    use crate::engine::{Batch, Durability, EngineError, Keyspace, Snapshot, Usage};
    use crate::failure::NodeFailure;
    use crate::testing::{Sink, blind, dot, encoded, state, write};
    use crate::write::Change;

    const LIMIT: Moment = Moment(30_000_000);

    /// An engine whose walks never end and whose commits wait until it is checked; or whose check panics.
    #[derive(Debug, Default)]
    struct Stuck {
        asked: AtomicBool,
        panics: bool,
    }

    #[derive(Debug)]
    struct Endless;

    impl Snapshot for Endless {
        type Range = std::iter::Repeat<Result<(Bytes, Bytes), EngineError>>;

        fn get(&self, _keyspace: Keyspace, _key: &[u8]) -> Result<Option<Bytes>, EngineError> {
            Ok(None)
        }

        fn range(&self, _keyspace: Keyspace, _range: impl RangeBounds<Bytes>) -> Self::Range {
            let record = encoded(blind(dot(1, 1), "v").record());
            std::iter::repeat(Ok((record_key(NAMESPACE, b"k"), record)))
        }
    }

    impl Engine for Stuck {
        type Snapshot = Endless;

        fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
            Endless.get(keyspace, key)
        }

        fn commit(&self, _batch: Batch, _durability: Durability) -> Result<(), EngineError> {
            while !self.asked.load(Ordering::Acquire) {
                park_timeout(Duration::from_millis(20));
            }
            self.persist()
        }

        fn snapshot(&self) -> Endless {
            Endless
        }

        fn persist(&self) -> Result<(), EngineError> {
            Err(EngineError::Poisoned { cause: None })
        }

        fn check(&self) -> Result<(), EngineError> {
            assert!(!self.panics, "on purpose");
            self.asked.store(true, Ordering::Release);
            self.persist()
        }

        fn usage(&self) -> Usage {
            Usage::default()
        }
    }

    #[test]
    fn a_stuck_commit_is_noticed_while_the_sums_are_still_being_rebuilt() {
        let failure = failure_of(Stuck::default());
        assert!(matches!(failure, NodeFailure::Storage(_)), "{failure}");
    }

    #[test]
    fn a_panic_of_the_background_thread_fails_the_node() {
        let failure = failure_of(Stuck {
            panics: true,
            ..Stuck::default()
        });
        let thread = matches!(failure, NodeFailure::Thread("quoit-background"));
        assert!(thread, "{failure}");
    }

    /// What comes of a commit to this engine.
    fn failure_of(engine: Stuck) -> NodeFailure {
        let (engine, state, clocks) = (Arc::new(engine), state(1), Clocks::start());
        let queue = Arc::new(Queue::new(
            WriteQueue::default(),
            quoit_ring::MerkleKey([7; 16]),
        ));
        let committer = Committer::new(Arc::clone(&engine), &state, clocks.now());
        let worker = Worker::start(Arc::clone(&queue), committer, clocks).unwrap();
        let walks = Walks::begin(&*engine, &state, PIECE);
        let expiry = ExpiryWatch::new("node.pem".into(), Millis(u64::MAX));
        let watched = worker.watched();
        let background = Background::start(
            walks,
            &engine,
            watched,
            (expiry, Arc::clone(&state.warnings)),
            clocks,
        )
        .unwrap();
        let now = clocks.now();
        let change = Change::Put(blind(dot(1, now.wall.0), "v"));
        let sink = Sink::default();
        queue
            .push(&mut vec![write(1, &sink, "k", change, now)], || now.mono)
            .unwrap();
        let failure = loop {
            if let Some(failure) = worker.failure().get() {
                break failure;
            }
            assert!(clocks.now().mono < LIMIT, "nobody noticed");
            park_timeout(Duration::from_millis(50));
        };
        assert!(state.sums.root().is_none(), "the walk goes on");
        engine.asked.store(true, Ordering::Release); // the commit ends
        background.stop();
        failure
    }
}
