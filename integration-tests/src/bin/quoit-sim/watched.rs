//! A watchdog: names a run that does not end.
//!
//! ```text
//!   in_order: seed 17 begins ............................ ends
//!             seed 18 begins ...................................................
//!   watcher      every second: whose run is longer than 30 s? --> "seed 18 has been running for 30 s"
//! ```
//!
//! A run's virtual time is bounded, its steps are not: code that goes round in circles without waiting would
//! otherwise stop a search of ten thousand seeds without a word about which.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use quoit_integration_tests::sim::campaign::{Judged, in_order};

use crate::progress::Notes;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);
/// A run that takes longer is named, once.
const LONG: Duration = Duration::from_secs(30);

/// Seeds under way with their begin, `None` once they were named.
type Running = Mutex<BTreeMap<u64, Option<Instant>>>;

/// Judges `seeds` as [`in_order`] does, and notes those that take long.
pub(crate) fn judge(
    seeds: Range<u64>,
    threads: NonZeroUsize,
    notes: &Notes,
    judge: impl Fn(u64) -> Judged + Sync,
    report: impl FnMut(u64, Judged) -> ControlFlow<()>,
) {
    let running = Running::default();
    let watched = |seed| {
        lock(&running, |running| {
            running.insert(seed, Some(Instant::now()))
        });
        let run = judge(seed);
        lock(&running, |running| running.remove(&seed));
        run
    };
    thread::scope(|scope| {
        let (end, ended) = mpsc::channel();
        let running = &running;
        scope.spawn(move || watch(running, &ended, notes));
        in_order(seeds, threads, watched, report);
        drop(end);
    });
}

fn watch(running: &Running, ended: &Receiver<()>, notes: &Notes) {
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(EVERY) {
        for seed in lock(running, long) {
            let limit = LONG.as_secs();
            notes.note(&format!(
                "seed {seed} has been running for {limit} s; alone: cargo sim --seed {seed} --trace"
            ));
        }
    }
}

/// Seeds that have taken long and were not named yet.
fn long(running: &mut BTreeMap<u64, Option<Instant>>) -> Vec<u64> {
    let mut long = Vec::new();
    for (&seed, begin) in running {
        if begin.take_if(|begin| begin.elapsed() >= LONG).is_some() {
            long.push(seed);
        }
    }
    long
}

fn lock<T>(running: &Running, with: impl FnOnce(&mut BTreeMap<u64, Option<Instant>>) -> T) -> T {
    with(&mut running.lock().unwrap_or_else(PoisonError::into_inner))
}
