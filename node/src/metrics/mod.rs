//! What a node measures of itself, and how Prometheus reads it.
//!
//! ```text
//!   sessions, lanes, the committing thread --add--> Metrics      relaxed atomics, always on
//!   NodeState ---------------------------------------'--read by--> page --HTTP--> GET /metrics
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`Metrics`] | counts and durations of the hot path, which nothing else keeps |
//! | `page`, `lines` | all metrics as text, at the moment of a scrape |
//! | `server` | the port: off unless `metrics` is set, plain HTTP, a thread of its own |
//!
//! What other parts of the state keep anyway is read at a scrape, so it costs nothing between two. `docs/metrics.md` lists every metric;
//! a test compares it with what is served.
//!
//! Left out: how often it is scraped, and what is done about it (`docs/monitoring`).

mod lines;
mod page;
mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quoit_ring::wire::{Refusal, Request};

pub(crate) use self::page::Page;
pub(crate) use self::server::MetricsServer;

/// Kinds of requests, by the numbers of [`kind_of`].
const KINDS: [&str; 16] = [
    "map",
    "status",
    "get",
    "put",
    "repair",
    "sums",
    "hint",
    "hints",
    "membership",
    "gossip",
    "members",
    "sync",
    "register",
    "scan",
    "watch",
    "other",
];

const fn kind_of(request: &Request) -> usize {
    match request {
        Request::Map => 0,
        Request::Status => 1,
        Request::Get { .. } => 2,
        Request::Put { .. } => 3,
        Request::Repair { .. } => 4,
        Request::Sums { .. } => 5,
        Request::Hint { .. } => 6,
        Request::Hints => 7,
        Request::Membership(_) => 8,
        Request::Gossip(_) => 9,
        Request::Members => 10,
        Request::Sync(_) => 11,
        Request::Register(_) => 12,
        Request::Scan(_) => 13,
        Request::Watch(_) => 14,
        _ => 15,
    }
}

/// Reasons of refusals, by the numbers of [`reason_of`].
const REASONS: [&str; 11] = [
    "not_owner",
    "epoch",
    "forbidden",
    "invalid",
    "clock",
    "too_old",
    "expired",
    "overloaded",
    "storage",
    "not_ready",
    "hints_full",
];

const fn reason_of(refusal: &Refusal) -> usize {
    match refusal {
        Refusal::NotReplica => 0,
        Refusal::OldEpoch | Refusal::Behind | Refusal::OtherRecovery => 1,
        Refusal::Forbidden => 2,
        Refusal::ClockAhead { .. } => 4,
        Refusal::TooOld { .. } => 5,
        Refusal::Expired => 6,
        Refusal::Overloaded { .. } | Refusal::TooManyWatches { .. } => 7,
        Refusal::Storage(_) => 8,
        Refusal::Draining | Refusal::NotReady | Refusal::Incomplete => 9,
        Refusal::HintsFull { .. } => 10,
        _ => 3,
    }
}

/// Counts and durations of the hot path. Each is one relaxed atomic addition or two.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: [AtomicU64; KINDS.len()],
    refusals: [AtomicU64; REASONS.len()],
    /// From a request's bytes to its answer, or to the committer's queue.
    pub(crate) handling: Histogram,
    /// From the queue to the committer.
    pub(crate) queueing: Histogram,
    /// Of a batch of writes: join, commit and sync.
    pub(crate) commit: Histogram,
    /// Writes in all batches.
    committed: AtomicU64,
}

impl Metrics {
    /// Counts a request that has come.
    pub(crate) fn requested(&self, request: &Request) {
        self.requests[kind_of(request)].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that is refused.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refusals[reason_of(refusal)].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the writes of a batch.
    pub(crate) fn committed(&self, writes: usize) {
        let writes = u64::try_from(writes).unwrap_or(u64::MAX);
        self.committed.fetch_add(writes, Ordering::Relaxed);
    }
}

/// Upper bounds of a histogram's buckets, in microseconds: from what a request takes in memory to what nobody waits for.
const BOUNDS: [u64; 16] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000,
];

/// How often durations fell below each bound.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One for each bound, and one for what is above them all.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts a duration so many times.
    pub(crate) fn add(&self, duration: Duration, times: usize) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let times = u64::try_from(times).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|&bound| bound < micros);
        self.buckets[bucket].fetch_add(times, Ordering::Relaxed);
        self.micros
            .fetch_add(micros.saturating_mul(times), Ordering::Relaxed);
    }

    /// How many there were, their sum in seconds, and how many fell into each bucket, by its bound in seconds.
    fn read(&self) -> (u64, f64, Vec<(f64, u64)>) {
        let bounds = BOUNDS.iter().map(|&bound| seconds(bound));
        let counts = self.buckets.iter().map(|it| it.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (count, seconds(self.micros.load(Ordering::Relaxed)), buckets)
    }
}

/// Microseconds in seconds.
fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_below_the_first_bound_that_holds_it() {
        let histogram = Histogram::default();
        for (micros, times) in [(0, 1), (50, 2), (51, 4), (5_000_000, 8), (5_000_001, 16)] {
            histogram.add(Duration::from_micros(micros), times);
        }
        let (count, sum, buckets) = histogram.read();
        assert_eq!(count, 31);
        assert!((sum - 120.000_32).abs() < 1e-4, "{sum}");
        let filled: Vec<_> = buckets.into_iter().filter(|it| it.1 > 0).collect();
        let expected = [(50e-6, 3), (100e-6, 4), (5.0, 8), (f64::INFINITY, 16)];
        assert_eq!(filled, expected);
    }

    #[test]
    fn requests_and_refusals_are_counted_by_what_they_are() {
        let metrics = Metrics::default();
        metrics.requested(&Request::Status);
        metrics.refused(&Refusal::Behind);
        metrics.refused(&Refusal::BadRecord);
        let count = |of: &[AtomicU64], names: &[&str], name| {
            let place = names.iter().position(|it| *it == name).unwrap();
            of[place].load(Ordering::Relaxed)
        };
        assert_eq!(count(&metrics.requests, &KINDS, "status"), 1);
        assert_eq!(count(&metrics.refusals, &REASONS, "epoch"), 1);
        assert_eq!(count(&metrics.refusals, &REASONS, "invalid"), 1);
    }
}
