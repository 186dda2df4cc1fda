//! Publishes the counters' increments since the last time.
//!
//! ```text
//!   series      counted    published before      published now
//!   get, ok     10,240     9,000                 + 1,240
//!   put, ok         77        77                 nothing
//! ```
//!
//! About once a second while operations are under way, as soon as none is, and when the driver ends. Increments,
//! never sums: several clients in one process share the names and must add up. A process that dies loses the last
//! second's counts.

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use quoit_ring::Moment;

use crate::health;
use crate::metrics::counters::{Counters, Operations};
use crate::metrics::series::{COUNTERS, SECONDS, Totals, kinds, visit};

/// The interval while operations are under way, in microseconds.
const EVERY_MICROS: u64 = 1_000_000;

/// What was published so far.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// The sum of each series, in the order of [`visit`].
    before: Vec<u64>,
    due: Moment,
}

impl Publisher {
    /// Nothing is published yet, but the descriptions of the metrics.
    pub(crate) fn new(now: Moment) -> Self {
        for (name, what) in COUNTERS {
            describe_counter!(name, Unit::Count, what);
        }
        let what = "from the start of an operation to its answer";
        describe_histogram!(SECONDS, Unit::Seconds, what);
        Self {
            before: Vec::new(),
            due: now.after(EVERY_MICROS),
        }
    }

    /// Whether to publish now; `idle` means that nothing is under way.
    pub(crate) fn is_due(&self, idle: bool, now: Moment) -> bool {
        idle || self.due <= now
    }

    /// Publishes the increments.
    pub(crate) fn publish(
        &mut self,
        operations: &mut Operations,
        sent: &Counters,
        health: &health::Counters,
        now: Moment,
    ) {
        self.due = now.after(EVERY_MICROS);
        let totals = Totals {
            ended: &operations.ended,
            sent,
            health,
        };

        let (before, mut index) = (&mut self.before, 0);
        visit(totals, |name, labels, sum| {
            if index == before.len() {
                before.push(0);
            }
            debug_assert!(sum >= before[index], "counters only grow");
            let added = sum - core::mem::replace(&mut before[index], sum);
            index += 1;
            if added > 0 {
                counter!(name, labels).increment(added);
            }
        });
        debug_assert_eq!(index, before.len(), "the series are always the same");

        for (kind, latencies) in kinds().zip(&mut operations.latencies) {
            for (micros, count) in latencies.take() {
                let many = usize::try_from(count).unwrap_or(usize::MAX);
                histogram!(SECONDS, "kind" => kind).record_many(micros / 1e6, many);
            }
        }
    }
}
