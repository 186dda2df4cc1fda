//! The background thread: rebuilds derived state after a start, and watches the committer.
//!
//! ```text
//!   scan      how many hints are kept, then
//!   rebuild   the Merkle sums: a piece, a pause as long as the piece took, ...     at most half a core
//!   watch     commit running for long?  ask the engine whether it has failed
//!             certificate about to end?  say so
//! ```
//!
//! It watches from the start, between the pieces: rebuilding the sums of a large store takes minutes.
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
use crate::cluster::ClusterView;
use crate::engine::Engine;
use crate::hints::{HintScan, HintUsage};
use crate::reply::Reply;
use crate::state::NodeState;
use crate::storage::{Rebuild, Sums};
use crate::tls::ExpiryWatch;

/// Records summed up at a time: about a millisecond.
const PIECE: usize = 1024;
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
        mut expiry: ExpiryWatch,
        clocks: Clocks,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, engine) = (Arc::clone(&stop), Arc::clone(engine));
        let work = move || {
            while !stopped.load(Ordering::Acquire) && watched.failure.get().is_none() {
                watch(&*engine, &watched);
                expiry.look(clocks.now().wall);
                let pause = walks.step(clocks);
                park_timeout(pause);
            }
        };
        let thread = std::thread::Builder::new()
            .name("quoit-background".to_owned())
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

/// The walks over stored data after a start, with their snapshots.
#[derive(Debug)]
pub(super) struct Walks<G: Engine> {
    scan: Option<HintScan<G>>,
    rebuild: Option<Rebuild<G>>,
    hints: Arc<HintUsage>,
    sums: Arc<Sums>,
    cluster: Arc<ClusterView>,
}

impl<G: Engine> Walks<G> {
    /// Begins both, before the run's first commit. Counts a first piece of the hints at once: usually there are none.
    pub(super) fn begin(engine: &G, state: &NodeState) -> Self {
        let mut walks = Self {
            scan: Some(HintScan::new(engine)),
            rebuild: Some(Rebuild::new(engine)),
            hints: Arc::clone(&state.hints),
            sums: Arc::clone(&state.sums),
            cluster: Arc::clone(&state.cluster),
        };
        walks.count();
        walks
    }

    /// Handles one piece; returns how long to pause.
    fn step(&mut self, clocks: Clocks) -> Duration {
        let began = clocks.now().mono;
        if !self.count() && !self.sum_up() {
            return LOOK;
        }
        clocks.now().mono.saturating_since(began).min(LOOK)
    }

    /// Counts the next piece of the hints, if any is left; gives up if stored data cannot be read.
    fn count(&mut self) -> bool {
        let Some(walk) = &mut self.scan else {
            return false;
        };
        match walk.step(&self.hints, PIECE) {
            Ok(false) => return true,
            Ok(true) => {}
            Err(fault) => tracing::error!(%fault, "the hints cannot be counted: none are taken"),
        }
        self.scan = None;
        true
    }

    /// Adds the next piece to the sums, if any is left; gives up if stored data cannot be read.
    fn sum_up(&mut self) -> bool {
        let Some(walk) = &mut self.rebuild else {
            return false;
        };
        match walk.step(&self.sums, &self.cluster.ring, PIECE) {
            Ok(false) => return true,
            Ok(true) => {}
            Err(fault) => tracing::error!(%fault, "the Merkle sums cannot be rebuilt"),
        }
        self.rebuild = None;
        true
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
    use crate::testing::{Sink, blind, dot, encoded, state, write};
    use crate::write::Change;

    const LIMIT: Moment = Moment(30_000_000);

    /// An engine whose walks never end and whose commits wait until it is checked.
    #[derive(Debug, Default)]
    struct Stuck {
        asked: AtomicBool,
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
            self.asked.store(true, Ordering::Release);
            self.persist()
        }

        fn usage(&self) -> Usage {
            Usage::default()
        }
    }

    #[test]
    fn a_stuck_commit_is_noticed_while_the_sums_are_still_being_rebuilt() {
        let (engine, state, clocks) = (Arc::new(Stuck::default()), state(1), Clocks::start());
        let queue = Arc::new(Queue::new(WriteQueue::default()));
        let committer = Committer::new(Arc::clone(&engine), &state);
        let worker = Worker::start(Arc::clone(&queue), committer, clocks).unwrap();
        let walks = Walks::begin(&*engine, &state);
        let expiry = ExpiryWatch::new("node.pem".into(), Millis(u64::MAX));
        let watched = worker.watched();
        let background = Background::start(walks, &engine, watched, expiry, clocks).unwrap();
        let now = clocks.now();
        let change = Change::Put(blind(dot(1, now.wall.0), "v"));
        let sink = Sink::default();
        queue
            .push(&mut vec![write(1, &sink, "k", change, now)], || now.mono)
            .unwrap();
        while worker.failure().get().is_none() {
            assert!(clocks.now().mono < LIMIT, "nobody noticed");
            park_timeout(Duration::from_millis(50));
        }
        assert!(state.sums.root().is_none(), "the walk goes on");
        background.stop();
    }
}
