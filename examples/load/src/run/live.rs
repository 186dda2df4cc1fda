//! One line that shows how the run goes, on a terminal and nowhere else.
//!
//! ```text
//!   measuring  12/60 s   41,203/s  p50 0.61 ms  p99 2.10 ms  errors 0  in flight 37
//! ```
//!
//! Percentiles are those of the last half second. On standard error, so that standard output has nothing
//! but the result.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::driver::LoadDriver;
use super::figures::per;

/// How often it changes.
const TICK: Duration = Duration::from_millis(500);

/// Shows a line until the end of `turns`; hidden unless standard error is a terminal.
pub(crate) async fn show(what: &str, turns: &LoadDriver) {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if line.is_hidden() {
        return;
    }
    line.set_style(
        ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut last = Instant::now();
    while Instant::now() < turns.end() {
        tokio::time::sleep_until(turns.end().min(last + TICK)).await;
        let now = Instant::now();
        line.set_message(format!("{what} {}", now_showing(turns, now - last)));
        last = now;
    }
    line.finish_and_clear();
}

fn now_showing(turns: &LoadDriver, since: Duration) -> String {
    let in_flight = turns.in_flight();
    let (gone, all) = (
        turns.begin().elapsed().as_secs(),
        (turns.end() - turns.begin()).as_secs(),
    );
    let mut recorder = turns.recorder();
    let live = &mut recorder.live;
    let millis = |quantile| per(live.latencies.value_at_quantile(quantile), 1000.0);
    let (p50, p99) = (millis(0.5), millis(0.99));
    let rate = per(live.latencies.len(), since.as_secs_f64());
    live.latencies.reset();
    let errors = live.errors;
    format!(
        "{gone}/{all} s  {rate:.0}/s  p50 {p50:.2} ms  p99 {p99:.2} ms  errors {errors}  in flight {in_flight}"
    )
}
