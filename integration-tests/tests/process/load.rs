//! Writers under load: many tasks, each with keys of its own, and the counts of their results.
//!
//! ```text
//!   writer   first every key once, then any; every fourth write is preceded by a read of its key
//!   counts   shared by all; they show whether writes were under way when a fault struck
//! ```
//!
//! The reads find a loss before an overwrite can hide it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quoit_client::Client;
use quoit_integration_tests::ledger::{Ledger, Outcome, Violation};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinHandle;

/// Keys of one writer.
const KEYS: usize = 200;
/// How long a writer rests after a failure, so that failing at once is not a busy loop.
const REST: Duration = Duration::from_millis(20);
/// Violations that are reported in full.
const REPORTED: usize = 20;

/// The results of all writers so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) acked: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) failed_reads: AtomicU64,
    pub(crate) writing: AtomicU64,
    pub(crate) violations: AtomicU64,
    reported: Mutex<Vec<String>>,
}

impl Counts {
    pub(crate) fn violation(&self, violation: Violation, ledger: &Ledger) {
        self.violations.fetch_add(1, Ordering::Relaxed);
        let mut reported = self.reported.lock().unwrap();
        if reported.len() < REPORTED {
            reported.push(format!("{violation:?} {ledger}"));
        }
    }

    pub(crate) fn report(&self) -> String {
        self.reported.lock().unwrap().join("\n")
    }

    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }
}

/// Writers at work.
pub(crate) struct Load {
    pub(crate) counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Vec<Ledger>>>,
}

impl Load {
    /// Starts as many writers as `keys` need, on this runtime.
    pub(crate) fn start(client: &Client, keys: usize) -> Self {
        let counts = Arc::new(Counts::default());
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..keys / KEYS).map(|number| {
            let writer = Writer {
                client: client.clone(),
                counts: Arc::clone(&counts),
                stop: Arc::clone(&stop),
                ledgers: (0..KEYS)
                    .map(|key| Ledger::new(format!("w{number}-{key}")))
                    .collect(),
                rng: SmallRng::from_os_rng(),
            };
            tokio::spawn(writer.run())
        });
        let writers = writers.collect();
        Self {
            counts,
            stop,
            writers,
        }
    }

    /// Lets every writer end its write; returns the ledgers of all keys.
    pub(crate) async fn stop(self) -> Vec<Ledger> {
        self.stop.store(true, Ordering::Relaxed);
        let mut ledgers = Vec::new();
        for writer in self.writers {
            ledgers.extend(writer.await.unwrap());
        }
        ledgers
    }
}

struct Writer {
    client: Client,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    ledgers: Vec<Ledger>,
    rng: SmallRng,
}

impl Writer {
    /// Writes until it has to stop, but every key at least once.
    async fn run(mut self) -> Vec<Ledger> {
        let mut fresh = 0;
        while fresh < KEYS || !self.stop.load(Ordering::Relaxed) {
            let key = if fresh < KEYS {
                fresh
            } else {
                self.rng.random_range(0..KEYS)
            };
            if self.rng.random_ratio(1, 4) {
                self.read(key).await;
            }
            self.write(key).await;
            // A key counts as written once some write of it is surely there.
            fresh += usize::from(fresh < KEYS && self.ledgers[fresh].is_written());
        }
        self.ledgers
    }

    async fn write(&mut self, key: usize) {
        let ledger = &mut self.ledgers[key];
        let value = ledger.attempt();
        self.counts.writing.fetch_add(1, Ordering::Relaxed);
        let outcome = Outcome::of(&self.client.put(ledger.key(), value).await);
        self.counts.writing.fetch_sub(1, Ordering::Relaxed);
        ledger.record(outcome);
        let count = match outcome {
            Outcome::Ok => &self.counts.acked,
            Outcome::Fail => &self.counts.failed,
            Outcome::Unknown => &self.counts.unknown,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if outcome != Outcome::Ok {
            tokio::time::sleep(REST).await;
        }
    }

    async fn read(&mut self, key: usize) {
        let ledger = &mut self.ledgers[key];
        let Ok(entry) = self.client.get(ledger.key()).await else {
            self.counts.failed_reads.fetch_add(1, Ordering::Relaxed);
            return tokio::time::sleep(REST).await;
        };
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        if let Err(violation) = ledger.judge(&entry) {
            self.counts.violation(violation, ledger);
        }
    }
}
