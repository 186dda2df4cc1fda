//! How the run goes, on a terminal and nowhere else: a bar of keys, a line of figures.
//!
//! ```text
//!   loading  ########----  61,204/100,000 keys  48,112/s  1s
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

/// A bar that counts to `keys`.
pub(super) fn bar(what: &'static str, keys: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(keys), ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {human_pos}/{human_len} keys  {per_sec}  {eta}",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}

/// Shows a line until the end of `driver`; hidden unless standard error is a terminal.
pub(crate) async fn show(what: &str, driver: &LoadDriver) {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if line.is_hidden() {
        return;
    }
    line.set_style(
        ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut last = Instant::now();
    while Instant::now() < driver.end() {
        tokio::time::sleep_until(driver.end().min(last + TICK)).await;
        let now = Instant::now();
        line.set_message(format!("{what} {}", now_showing(driver, now - last)));
        last = now;
    }
    line.finish_and_clear();
}

fn now_showing(driver: &LoadDriver, since: Duration) -> String {
    let in_flight = driver.in_flight();
    let (gone, all) = (
        driver.begin().elapsed().as_secs(),
        (driver.end() - driver.begin()).as_secs(),
    );
    let mut recorder = driver.recorder();
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
