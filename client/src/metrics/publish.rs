//! Hands over what was added since the last time.
//!
//! ```text
//!   series      counted    handed over before    handed over now
//!   get, ok     10,240     9,000                 + 1,240
//!   put, ok         77        77                 nothing
//! ```
//!
//! About once a second while operations are under way, as soon as none is, and when the driver ends. Increments,
//! never sums: several clients in one process have the same names and must add up. What is not there any more
//! when the process dies was not handed over; that is a second's worth.

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use quoit_ring::Moment;

use crate::health;
use crate::metrics::counters::{Counters, Operations};
use crate::metrics::series::{COUNTERS, SECONDS, Totals, kinds, visit};

/// Numbers are handed over this often while operations are under way.
const EVERY_MICROS: u64 = 1_000_000;

/// What was handed over so far.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// The sum of each series, in the order of [`visit`].
    before: Vec<u64>,
    due: Moment,
}

impl Publisher {
    /// Nothing was handed over yet. Tells the recorder what the numbers are.
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

    /// Whether it is time; `idle` says that nothing is under way.
    pub(crate) fn is_due(&self, idle: bool, now: Moment) -> bool {
        idle || self.due <= now
    }

    /// Hands over what was added.
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
            let added = sum - core::mem::replace(&mut before[index], sum);
            index += 1;
            if added > 0 {
                counter!(name, labels).increment(added);
            }
        });
        for (kind, latencies) in kinds().zip(&mut operations.latencies) {
            for (micros, count) in latencies.take() {
                let many = usize::try_from(count).unwrap_or(usize::MAX);
                histogram!(SECONDS, "kind" => kind).record_many(micros / 1e6, many);
            }
        }
    }
}
