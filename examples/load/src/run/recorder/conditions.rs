//! What is recorded of conditional operations beside their latencies.
//!
//! ```text
//!   cas, mismatch   counted, with how long it took; in no latency and no rate of successes
//!   update          attempts until it succeeded, 1 if nobody was in its way
//! ```
//!
//! A mismatch is an answer: the store works, and the operation was carried out. So it is no failure, a time without
//! success ends with it, and processor time is divided by it, too.

use crate::result::{Attempts, Mismatches};
use crate::run::figures::{Latencies, percentiles};

/// Conditional operations of one verb.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    mismatches: Option<Latencies>,
    attempts: Option<Latencies>,
}

impl Conditions {
    /// A condition did not hold, as was known after so many microseconds. `empty` is a histogram with nothing in it.
    pub(super) fn mismatch(&mut self, after: u64, empty: &Latencies) {
        let mismatches = self.mismatches.get_or_insert_with(|| empty.clone());
        mismatches.saturating_record(after);
    }

    /// An operation succeeded at the attempt of this number. Attempts beyond the bounds of a histogram of latencies
    /// count as many as it holds.
    pub(super) fn succeeded(&mut self, attempt: u32, empty: &Latencies) {
        let attempts = self.attempts.get_or_insert_with(|| empty.clone());
        attempts.saturating_record(u64::from(attempt));
    }

    /// How many conditions did not hold.
    pub(super) fn mismatched(&self) -> u64 {
        self.mismatches.as_ref().map_or(0, Latencies::len)
    }

    pub(super) fn mismatches(&self) -> Option<Mismatches> {
        let mismatches = self.mismatches.as_ref()?;
        Some(Mismatches {
            count: mismatches.len(),
            after: percentiles(mismatches),
        })
    }

    pub(super) fn attempts(&self) -> Option<Attempts> {
        let attempts = self.attempts.as_ref()?;
        Some(Attempts {
            p50: attempts.value_at_quantile(0.5),
            p99: attempts.value_at_quantile(0.99),
            max: attempts.max(),
        })
    }
}
