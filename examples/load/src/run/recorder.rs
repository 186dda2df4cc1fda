//! What happened, operation by operation.
//!
//! ```text
//!   intended start     start                    end
//!        |-- waiting --|------- service ---------|
//!        |--------------- intended --------------|      both into the histograms of the verb
//!                                                `----  the slice of the time line that it ended in
//! ```
//!
//! Failures are counted by kind and kept out of the histograms, since a quick refusal would make the store
//! look fast; how long each kind took is recorded apart. Operations that end after the time is out have latencies like any other, but no rate.
//! Bounded: histograms of three digits up to ten minutes, [`KINDS`] kinds of errors.

mod conditions;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use self::conditions::Conditions;
use super::executor::Done;
use super::figures::{Latencies, latencies, per, percentiles};
use super::phases::{Phases, Stretch};
use crate::hlog;
use crate::result::{OpResult, Slice};
use crate::target::OpError;
use crate::workload::Verb;

/// Kinds of errors that are counted by name.
const KINDS: usize = 32;
/// What the rest is counted as.
const OTHER: &str = "others";

/// When an operation should have begun, began and ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) intended: Instant,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
}

/// Records what happened between two moments.
#[derive(Debug)]
pub(crate) struct Recorder {
    begin: Instant,
    end: Instant,
    length: Duration,
    verbs: [Option<Of>; Verb::COUNT],
    empty: Latencies,
    slice: Latencies,
    slice_errors: u64,
    slices: Vec<Slice>,
    /// What happened between the acts of a fault script.
    pub(crate) phases: Phases,
    /// What happened since it was last shown.
    pub(crate) live: Live,
    last_success: Instant,
    /// The longest time without a success since [`Recorder::mark`].
    gap: Duration,
}

/// A piece of time that is shown while the run goes on.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) latencies: Latencies,
    /// Failures since the begin.
    pub(crate) errors: u64,
}

/// What happened to one verb.
#[derive(Debug)]
struct Of {
    in_time: u64,
    /// Mismatches that were known in time.
    mismatched_in_time: u64,
    conditions: Conditions,
    errors: BTreeMap<String, Latencies>,
    intended: Latencies,
    service: Latencies,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Recorder {
    /// Records from `begin` for `time`, in slices of `length`.
    ///
    /// # Errors
    /// As [`latencies`].
    pub(crate) fn new(begin: Instant, time: Duration, length: Duration) -> anyhow::Result<Self> {
        let empty = latencies()?;
        Ok(Self {
            begin,
            end: begin + time,
            length,
            verbs: Default::default(),
            slice: empty.clone(),
            slice_errors: 0,
            slices: Vec::new(),
            phases: Phases::default(),
            live: Live {
                latencies: empty.clone(),
                errors: 0,
            },
            empty,
            last_success: begin,
            gap: Duration::ZERO,
        })
    }

    /// Records stretches of time by themselves, too.
    pub(crate) fn with_phases(mut self, stretches: Vec<Stretch>) -> Self {
        self.phases = Phases::new(stretches);
        self
    }

    /// From when to when it records.
    pub(crate) const fn span(&self) -> (Instant, Instant) {
        (self.begin, self.end)
    }

    /// An operation ended.
    pub(crate) fn record(&mut self, verb: Verb, times: Times, outcome: Result<Done, OpError>) {
        self.turn_to(times.ended);
        let empty = &self.empty;
        let of = self.verbs[verb.index()].get_or_insert_with(|| Of::new(empty));
        let intended = micros(times.ended - times.intended);
        let service = micros(times.ended - times.started);
        let due = times.intended.saturating_duration_since(self.begin);
        if outcome != Ok(Done::Mismatch) {
            let took = outcome.is_ok().then_some(intended);
            self.phases.record(verb, due, took, empty);
        }
        match outcome {
            Ok(Done::Mismatch) => {
                of.conditions.mismatch(intended, empty);
                of.mismatched_in_time += u64::from(times.ended < self.end);
                self.success(times.ended);
            }
            Ok(done) => {
                if let Done::After(attempts) = done {
                    of.conditions.succeeded(attempts, empty);
                }
                of.intended.saturating_record(intended);
                of.service.saturating_record(service);
                of.in_time += u64::from(times.ended < self.end);
                self.slice.saturating_record(intended);
                self.live.latencies.saturating_record(intended);
                self.success(times.ended);
            }
            Err(error) => {
                of.fail(error.kind, service, empty);
                self.slice_errors += 1;
                self.live.errors += 1;
            }
        }
    }

    fn success(&mut self, at: Instant) {
        self.gap = self
            .gap
            .max(at.saturating_duration_since(self.last_success));
        self.last_success = at;
    }

    /// Returns the longest time without a success since the last mark, and starts over.
    pub(crate) fn mark(&mut self, now: Instant) -> Duration {
        self.success(now);
        std::mem::take(&mut self.gap)
    }

    /// Closes the slices that are over.
    fn turn_to(&mut self, now: Instant) {
        let now = now.min(self.end);
        while self.next_slice() <= now && self.next_slice() <= self.end {
            self.close_slice();
        }
    }

    /// When the slice that is being filled is over.
    fn next_slice(&self) -> Instant {
        let done = u32::try_from(self.slices.len()).unwrap_or(u32::MAX);
        self.begin + self.length.saturating_mul(done.saturating_add(1))
    }

    fn close_slice(&mut self) {
        let at = (self.next_slice() - self.length - self.begin).as_secs_f64();
        self.slices.push(Slice {
            at,
            count: self.slice.len(),
            errors: std::mem::take(&mut self.slice_errors),
            p50: self.slice.value_at_quantile(0.5),
            p99: self.slice.value_at_quantile(0.99),
            max: self.slice.max(),
        });
        self.slice.reset();
    }

    /// Operations that were answered in time: those that succeeded, and mismatches.
    pub(crate) fn in_time(&self) -> u64 {
        let of = self.verbs.iter().flatten();
        of.map(|of| of.in_time + of.mismatched_in_time).sum()
    }

    /// Operations that succeeded or were mismatches, and those that failed.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let of = || self.verbs.iter().flatten();
        let failed = of()
            .flat_map(|of| of.errors.values())
            .map(Latencies::len)
            .sum();
        let answered = |of: &Of| of.intended.len() + of.conditions.mismatched();
        (of().map(answered).sum(), failed)
    }

    /// The intended latencies of all verbs together.
    pub(crate) fn all(&self) -> Latencies {
        let mut all = self.empty.clone();
        for of in self.verbs.iter().flatten() {
            // Histograms of the same bounds always add up.
            let _added = all.add(&of.intended).is_ok();
        }
        all
    }

    /// The whole time line; the last slice is shorter if the time is no multiple of the slices.
    pub(crate) fn timeline(&mut self) -> Vec<Slice> {
        self.turn_to(self.end);
        let covered = self.next_slice() - self.length;
        if covered < self.end && (!self.slice.is_empty() || self.slice_errors > 0) {
            self.close_slice();
        }
        std::mem::take(&mut self.slices)
    }

    /// What happened to each verb that came.
    ///
    /// # Errors
    /// If a histogram cannot be written.
    pub(crate) fn operations(&self) -> anyhow::Result<BTreeMap<String, OpResult>> {
        let seconds = (self.end - self.begin).as_secs_f64();
        let mut operations = BTreeMap::new();
        for (verb, of) in Verb::ALL.into_iter().zip(&self.verbs) {
            if let Some(of) = of {
                operations.insert(verb.name().to_owned(), of.result(seconds)?);
            }
        }
        Ok(operations)
    }
}

impl Of {
    fn new(empty: &Latencies) -> Self {
        Self {
            in_time: 0,
            mismatched_in_time: 0,
            conditions: Conditions::default(),
            errors: BTreeMap::new(),
            intended: empty.clone(),
            service: empty.clone(),
        }
    }

    fn fail(&mut self, kind: String, after: u64, empty: &Latencies) {
        let known = self.errors.contains_key(&kind) || self.errors.len() < KINDS;
        let kind = if known { kind } else { OTHER.to_owned() };
        let of = self.errors.entry(kind).or_insert_with(|| empty.clone());
        of.saturating_record(after);
    }

    fn result(&self, seconds: f64) -> anyhow::Result<OpResult> {
        Ok(OpResult {
            count: self.intended.len(),
            mismatches: self.conditions.mismatches(),
            attempts: self.conditions.attempts(),
            errors: by_kind(&self.errors, Latencies::len),
            failed_after: by_kind(&self.errors, percentiles),
            rate: per(self.in_time, seconds),
            intended: percentiles(&self.intended),
            service: percentiles(&self.service),
            intended_hlog: hlog::encode(&self.intended)?,
            service_hlog: hlog::encode(&self.service)?,
        })
    }
}

fn by_kind<T>(
    errors: &BTreeMap<String, Latencies>,
    of: impl Fn(&Latencies) -> T,
) -> BTreeMap<String, T> {
    let kinds = errors.iter();
    kinds
        .map(|(kind, after)| (kind.clone(), of(after)))
        .collect()
}

#[cfg(test)]
mod tests;
