//! Progress, on standard error.
//!
//! ```text
//!   a terminal     simulate ====>          3,101 of 10,000  34.6 seeds/s  57.4 ops/CPU-ms  eta 3m
//!   anything else  the same words on a line of their own, every few seconds
//! ```

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);
/// How often a bar is redrawn while nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// A bar on a terminal, lines elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    /// `None` where there is no terminal.
    bar: Option<ProgressBar>,
    reported: Instant,
}

impl Progress {
    /// Of `all` steps none has been made.
    pub(crate) fn new(what: &str, all: u64, out: Output) -> Self {
        Self {
            what: what.to_owned(),
            bar: io::stderr().is_terminal().then(|| bar(what, all, out)),
            reported: Instant::now(),
        }
    }

    /// One step more; `message` says how far it is.
    pub(crate) fn step(&mut self, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(message());
            bar.inc(1);
        } else if self.reported.elapsed() >= EVERY {
            self.reported = Instant::now();
            // A closed standard error is no reason to stop.
            writeln!(io::stderr(), "{}: {}", self.what, message()).ok();
        }
    }

    /// Where to write what is worth a line at once, from any thread.
    pub(crate) fn notes(&self) -> Notes {
        Notes(self.bar.clone())
    }

    /// Takes the bar away.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Lines above the bar, if there is one.
#[derive(Debug)]
pub(crate) struct Notes(Option<ProgressBar>);

impl Notes {
    /// A line at once.
    pub(crate) fn note(&self, text: &str) {
        match &self.0 {
            Some(bar) => bar.println(text),
            None => {
                writeln!(io::stderr(), "{text}").ok();
            }
        }
    }
}

fn bar(what: &str, all: u64, out: Output) -> ProgressBar {
    let bar = match out.error_colours() {
        true => "{bar:14.cyan}",
        false => "{bar:14}",
    };
    let template = format!("{{prefix}} {bar} {{msg}}  eta {{eta}}");
    let target = ProgressDrawTarget::stderr();
    let shown = ProgressBar::with_draw_target(Some(all), target).with_prefix(what.to_owned());
    let shown = match ProgressStyle::with_template(&template) {
        Ok(style) => shown.with_style(style.progress_chars("=> ")),
        Err(_unusable) => shown,
    };
    shown.enable_steady_tick(TICK);
    shown
}
