//! The highest rate at which the store keeps its promise.
//!
//! ```text
//!   good  1k  2k  4k  8k                 double while it is good,
//!   bad                   16k            then halve the distance until it is 5 % of the rate
//!   good                     12k
//!   bad                         14k ...  each step a load of a few seconds, and a sentence in the result
//! ```
//!
//! Good means: the 99th percentile is below the limit, the rate was reached, and nothing failed. [`Search`] is
//! pure. At most [`STEPS`] steps; noise can end the search early, never keep it going, and what it found is
//! measured once more, for longer. A rate that was bad is tried a second time before it counts.

use std::time::Duration;

use super::driver::LoadDriver;
use super::figures::per;
use super::{SLICE, Session, load};

/// Most steps.
const STEPS: u32 = 20;
/// How near good and bad have to be, as a share of the rate.
const NEAR: f64 = 0.05;
/// Below this rate nothing is searched for.
const LEAST: f64 = 1.0;

impl Session<'_> {
    /// Looks for the highest rate that keeps the limit; the lowest that was tried if none did.
    pub(super) async fn search(&mut self, limit: Duration) -> anyhow::Result<f64> {
        let mut last = self.args.pace.rate;
        let mut search = Search::new(last);
        while let Some(rate) = search.rate() {
            // A single bad step may be the machine's doing, and would end the search far too low.
            let good = self.step(rate, limit).await? || self.step(rate, limit).await?;
            search.tried(good);
            last = rate;
        }
        self.searched.push(match search.found() {
            Some(rate) => format!("The highest rate found with p99 below {limit:?} is {rate:.0} operations a second."),
            None => format!("No rate was found that keeps p99 below {limit:?}: the lowest tried was {last:.0} a second."),
        });
        Ok(search.found().unwrap_or(last))
    }

    /// Whether the store keeps the limit at this rate, for the length of a step.
    async fn step(&mut self, rate: f64, limit: Duration) -> anyhow::Result<bool> {
        let driver = self.driver(rate, self.args.pace.step, SLICE)?;
        load(&format!("trying {rate:.0}/s"), &driver).await?;
        let (good, sentence) = judge_step(&driver, rate, limit);
        self.searched.push(sentence);
        Ok(good)
    }
}

/// Whether a rate kept the limit, and how it went in words.
fn judge_step(driver: &LoadDriver, rate: f64, limit: Duration) -> (bool, String) {
    let recorder = driver.recorder();
    let (done, failed) = recorder.counts();
    let due = done + failed + driver.lateness().never;
    let p99 = Duration::from_micros(recorder.all().value_at_quantile(0.99));
    let reached = per(recorder.in_time(), 1.0) >= 0.98 * per(due, 1.0);
    let good = reached && failed == 0 && p99 < limit;
    let missed = if reached { "" } else { ", rate not reached" };
    let sentence = format!(
        "{rate:.0}/s: p99 {:.2} ms, {failed} failed{missed}, {}.",
        p99.as_secs_f64() * 1e3,
        if good { "good" } else { "too much" }
    );
    (good, sentence)
}

/// A search that goes on.
#[derive(Debug)]
pub(crate) struct Search {
    rate: f64,
    good: Option<f64>,
    bad: Option<f64>,
    steps: u32,
}

impl Search {
    /// A search that begins at `rate`.
    pub(crate) const fn new(rate: f64) -> Self {
        Self {
            rate,
            good: None,
            bad: None,
            steps: 0,
        }
    }

    /// The rate to try, or `None` when there is nothing left to try.
    pub(crate) const fn rate(&self) -> Option<f64> {
        let near = match (self.good, self.bad) {
            (Some(good), Some(bad)) => bad - good <= NEAR * bad,
            (None, Some(bad)) => bad <= LEAST,
            (_, None) => false,
        };
        if near || self.steps >= STEPS {
            None
        } else {
            Some(self.rate)
        }
    }

    /// The rate that was to be tried was good, or was not.
    pub(crate) fn tried(&mut self, good: bool) {
        self.steps += 1;
        if good {
            self.good = Some(self.rate);
        } else {
            self.bad = Some(self.rate);
        }
        self.rate = match (self.good, self.bad) {
            (Some(good), None) => good * 2.0,
            (Some(good), Some(bad)) => f64::midpoint(good, bad),
            (None, bad) => bad.unwrap_or(self.rate) / 2.0,
        };
    }

    /// The highest rate that was good.
    pub(crate) const fn found(&self) -> Option<f64> {
        self.good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(from: f64, limit: f64) -> (Option<f64>, u32) {
        let mut search = Search::new(from);
        while let Some(rate) = search.rate() {
            search.tried(rate <= limit);
        }
        (search.found(), search.steps)
    }

    #[test]
    fn the_limit_is_found_from_below_and_from_above() {
        for from in [10.0, 1000.0, 41_000.0, 1_000_000.0] {
            let (found, steps) = search(from, 41_234.0);
            let found = found.unwrap();
            assert!((39_000.0..=41_234.0).contains(&found), "{from}: {found}");
            assert!(steps <= STEPS, "{from}: {steps}");
        }
    }

    #[test]
    fn a_store_that_is_never_good_has_no_rate() {
        assert_eq!(search(1000.0, 0.0).0, None);
    }

    #[test]
    fn a_store_without_limit_ends_the_search_all_the_same() {
        assert_eq!(search(1000.0, f64::INFINITY).1, STEPS);
    }
}
