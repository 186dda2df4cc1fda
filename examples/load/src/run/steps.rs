//! The steps of a search for the highest rate: a short load each, judged and told.
//!
//! ```text
//!   search --rate--> load of a few seconds --> p99, failures, reached? --good or bad--> search
//! ```
//!
//! Each step is told in a sentence, so that a surprising result can be traced to the step that caused it.

use std::time::Duration;

use super::driver::LoadDriver;
use super::figures::per;
use super::search::Search;
use super::{SLICE, Session, load};

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
        let turns = self.turns(rate, self.args.pace.step, SLICE)?;
        load(&format!("trying {rate:.0}/s"), &turns).await?;
        let (good, sentence) = judge_step(&turns, rate, limit);
        self.searched.push(sentence);
        Ok(good)
    }
}

/// Whether a rate kept the limit, and how it went in words.
fn judge_step(turns: &LoadDriver, rate: f64, limit: Duration) -> (bool, String) {
    let recorder = turns.recorder();
    let (done, failed) = recorder.counts();
    let due = done + failed + turns.lateness().never;
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
