//! Reads and writes that go on while a node is killed.
//!
//! ```text
//! worker 0..15:  get a verse, compare --> put a key of its own --> a short pause --> again
//!                                              |
//!                           acknowledged: must be readable when all is over
//! ```
//!
//! A put whose outcome is unknown counts as failed and promises nothing.

use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quoit_client::Client;
use tokio::task::JoinSet;

use super::IN_FLIGHT;
use super::tally::{Kind, Phase, Summary};
use super::text::verses;
use crate::failure::Failure;
use crate::in_flight::{InFlight, finished};

const WORKERS: usize = 16;
/// How far apart the verses are that a worker reads one after the other: it shares no factor with their
/// number, so all are reached.
const STRIDE: usize = 7919;
/// A worker's pause between two rounds: the load should be steady, not heavy.
const PAUSE: Duration = Duration::from_millis(5);

/// Reads and writes under way.
#[derive(Debug)]
pub(super) struct Traffic {
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    workers: JoinSet<()>,
}

#[derive(Debug)]
struct Log {
    /// What happened since the phase began.
    phase: Phase,
    /// Keys whose put was acknowledged.
    acked: Vec<Bytes>,
    /// Reads that gave another value than was written.
    wrong: u64,
}

/// What became of all of it.
#[derive(Debug)]
pub(super) struct Report {
    /// What happened in the last phase.
    pub(super) last: Summary,
    /// Reads that gave another value than was written.
    pub(super) wrong: u64,
    acked: Vec<Bytes>,
}

impl Traffic {
    pub(super) fn start(client: &Client) -> Self {
        let phase = Phase::begin(Instant::now());
        let log = Log {
            phase,
            acked: Vec::new(),
            wrong: 0,
        };
        let (log, stop) = (Arc::new(Mutex::new(log)), Arc::new(AtomicBool::new(false)));
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            workers.spawn(work(
                worker,
                client.clone(),
                Arc::clone(&log),
                Arc::clone(&stop),
            ));
        }
        Self { log, stop, workers }
    }

    /// Returns what happened so far and counts from zero again.
    pub(super) fn next_phase(&self) -> Summary {
        lock(&self.log).phase.next(Instant::now())
    }

    /// Lets the workers finish what they are at.
    pub(super) async fn stop(mut self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.workers.join_next().await {
            finished(ended);
        }
        let mut log = lock(&self.log);
        let acked = std::mem::take(&mut log.acked);
        Report {
            last: log.phase.summary(Instant::now()),
            wrong: log.wrong,
            acked,
        }
    }
}

/// A worker that panicked ends the tour anyway; what it had counted is still right.
fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn work(worker: usize, client: Client, log: Arc<Mutex<Log>>, stop: Arc<AtomicBool>) {
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let verse = &verses()[(worker + round * STRIDE) % verses().len()];
        let started = Instant::now();
        let read = client.get(verse.key.clone()).await;
        let right = read.map(|entry| entry.value() == Some(&verse.value));
        lock(&log).read(right.ok(), started);

        let key = Bytes::from(format!("demo/traffic/{worker}/{round}"));
        let started = Instant::now();
        let written = client.put(key.clone(), key.clone()).await;
        lock(&log).written(written.is_ok().then_some(key), started);
        tokio::time::sleep(PAUSE).await;
    }
}

impl Log {
    /// A read ended: whether its value was right, if it succeeded.
    fn read(&mut self, right: Option<bool>, started: Instant) {
        self.wrong += u64::from(right == Some(false));
        self.phase
            .count(Kind::Read, right.is_some(), started, Instant::now());
    }

    /// A write ended: its key, if it was acknowledged.
    fn written(&mut self, key: Option<Bytes>, started: Instant) {
        self.phase
            .count(Kind::Write, key.is_some(), started, Instant::now());
        self.acked.extend(key);
    }
}

impl Report {
    /// How many puts were acknowledged, and how many of those are not there.
    pub(super) async fn find_lost(self, client: &Client) -> Result<(u64, u64), Failure> {
        let acked = self.acked.len() as u64;
        let mut lost = 0;
        let mut flight = InFlight::new(IN_FLIGHT);
        for key in self.acked {
            let get = client.get(key.clone()).into_future();
            let there = async move { get.await.map(|entry| entry.value() == Some(&key)) };
            if let Some(there) = flight.push(there).await {
                lost += u64::from(!there?);
            }
        }
        while let Some(there) = flight.next().await {
            lost += u64::from(!there?);
        }
        Ok((acked, lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stride_of_the_workers_reaches_every_verse() {
        let (mut a, mut b) = (STRIDE, verses().len());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        assert_eq!(a, 1);
    }

    #[test]
    fn only_acknowledged_keys_are_owed_and_a_wrong_value_is_no_failure_but_worse() {
        let now = Instant::now();
        let mut log = Log {
            phase: Phase::begin(now),
            acked: Vec::new(),
            wrong: 0,
        };
        log.written(Some(Bytes::from_static(b"k")), now);
        log.written(None, now);
        for right in [Some(true), Some(false), None] {
            log.read(right, now);
        }
        let summary = log.phase.summary(now);
        assert_eq!((log.acked.len(), log.wrong), (1, 1));
        assert_eq!((summary.done(), summary.failed()), (3, 2));
    }
}
