//! The fault script: acts at their times, and how long each of them showed.
//!
//! ```text
//!   rate  ████████▁▁▂████████        before:   mean rate of up to five seconds before the act
//!   errors        ▃▁                 served as before: a second long, no error and 80 % of that rate
//!           act --^    ^-- here again: recovered after the time in between, 0 if it never showed
//! ```
//!
//! The time line is looked at up to the next act, since what comes after that is that act's doing. The end of
//! the time line cuts a second short only if what is left of it is healthy, and there is some. Acts run on a
//! thread of their own: starting a process takes milliseconds that the load must not wait for. Left out:
//! faults of the disk, which the simulation has.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::driver::LoadDriver;
use super::figures::per;
use crate::args::fault::Fault;
use crate::cluster::Cluster;
use crate::result::{FaultNote, Slice};

/// How far back the rate before an act is looked for, in seconds.
const BEFORE: f64 = 5.0;
/// How long the store has to serve as before, in seconds.
const STEADY: f64 = 1.0;
/// The share of the rate before that counts as all of it.
const ENOUGH: f64 = 0.8;

/// An act that was done.
#[derive(Debug)]
pub(crate) struct Done {
    /// When, in seconds since measuring began.
    at: f64,
    what: String,
    /// The longest time without a success from then to the next act or the end.
    gap: Duration,
    /// Why it could not be done.
    failure: Option<String>,
}

/// Does what the script says, at its times.
pub(crate) async fn play(
    script: &[Fault],
    cluster: Option<Arc<Mutex<Cluster>>>,
    driver: Arc<LoadDriver>,
) -> Vec<Done> {
    let mut done: Vec<Done> = Vec::new();
    let Some(cluster) = cluster else {
        return done;
    };
    for fault in script.iter().copied() {
        tokio::time::sleep_until(driver.begin() + fault.at).await;
        mark(&mut done, &driver);
        let at = driver.begin().elapsed().as_secs_f64();
        let cluster = Arc::clone(&cluster);
        let act = move || {
            cluster
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .act(&fault)
        };
        let failure = match tokio::task::spawn_blocking(act).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(panicked) => Some(panicked.to_string()),
        };
        done.push(Done {
            at,
            what: fault.to_string(),
            gap: Duration::ZERO,
            failure,
        });
    }
    if !done.is_empty() {
        tokio::time::sleep_until(driver.end()).await;
        mark(&mut done, &driver);
    }
    done
}

/// Gives the last act the longest time without a success since.
fn mark(done: &mut [Done], driver: &LoadDriver) {
    let gap = driver.recorder().mark(Instant::now());
    if let Some(last) = done.last_mut() {
        last.gap = gap;
    }
}

/// How long each act showed in a time line of slices of `length` seconds.
pub(crate) fn notes(done: &[Done], timeline: &[Slice], length: f64) -> Vec<FaultNote> {
    let ends = done
        .iter()
        .skip(1)
        .map(|next| next.at)
        .chain([f64::INFINITY]);
    let note = |(act, end): (&Done, f64)| {
        let after = after(timeline, act.at, end, length);
        FaultNote {
            at: act.at,
            what: act.what.clone(),
            recovered_after: recovered(after, before(timeline, act.at, length), length, act.at),
            failed: after.iter().map(|slice| slice.errors).sum(),
        }
    };
    done.iter().zip(ends).map(note).collect()
}

/// What has to be known besides.
pub(crate) fn sentences(done: &[Done]) -> Vec<String> {
    let sentence = |act: &Done| match &act.failure {
        Some(failure) => format!("`{}` could not be done: {failure}.", act.what),
        None => format!(
            "After `{}` the longest time without a success was {:.0} ms.",
            act.what,
            act.gap.as_secs_f64() * 1e3
        ),
    };
    done.iter().map(sentence).collect()
}

/// Slices that an act at `from` shows in: the one that it falls into, and those behind it up to `to`.
fn after(timeline: &[Slice], from: f64, to: f64, length: f64) -> &[Slice] {
    let first = timeline.partition_point(|slice| slice.at + length <= from);
    let last = timeline.partition_point(|slice| slice.at + length <= to);
    timeline.get(first..last).unwrap_or_default()
}

/// Successes per slice before an act, or `None` if it came too early for that.
fn before(timeline: &[Slice], act: f64, length: f64) -> Option<f64> {
    let whole = timeline
        .iter()
        .filter(|slice| slice.at >= act - BEFORE && slice.at + length <= act);
    let (slices, count) = whole.fold((0_u32, 0), |(slices, count), slice| {
        (slices + 1, count + slice.count)
    });
    (slices > 0).then(|| per(count, f64::from(slices)))
}

/// Seconds from `act` to the begin of the first stretch that is served as before.
fn recovered(after: &[Slice], before: Option<f64>, length: f64, act: f64) -> Option<f64> {
    let steady = |from: usize| {
        let stretch = after
            .iter()
            .skip(from)
            .take_while(|slice| slice.at < after[from].at + STEADY - length / 2.0);
        let (mut slices, mut count, mut errors) = (0_u32, 0, 0);
        for slice in stretch {
            slices += 1;
            count += slice.count;
            errors += slice.errors;
        }
        let enough = before.is_none_or(|before| per(count, f64::from(slices)) >= ENOUGH * before);
        // A lone good slice does not make up for a bad one: the first has to be good itself.
        let first = before.is_none_or(|before| per(after[from].count, 1.0) >= before / 2.0);
        errors == 0 && count > 0 && enough && first
    };
    let begin = (0..after.len()).find(|from| steady(*from))?;
    Some((after[begin].at - act).max(0.0))
}

#[cfg(test)]
mod tests;
