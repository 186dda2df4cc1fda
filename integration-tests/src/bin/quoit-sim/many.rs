//! Many seeds.
//!
//! ```text
//!   seeds on all cores --> totals                      the verdict: clean, violation, or does not count
//!              '--> the first failures, shrunk    --> with their replay lines
//! ```
//!
//! Of each invariant at most [`SHOWN`] failures are shown in full: a fifth that looks like the others shows
//! nothing more, and shrinking it takes as long.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use quoit_integration_tests::sim::FaultFilter;
use quoit_integration_tests::sim::campaign::{Judged, Totals, all_cores};
use quoit_local::usage;

use crate::args::Sim;
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::progress::Progress;
use crate::replay::Failure;
use crate::summary::Summary;
use crate::units::{count, per};
use crate::watched;

/// Failures of one invariant that are shown in full.
const SHOWN: usize = 3;

/// What a set of runs costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    started: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            cpu: cpu(),
        }
    }

    /// Real time and processor time since the start.
    pub(crate) fn read(&self) -> (Duration, Duration) {
        (self.started.elapsed(), cpu().saturating_sub(self.cpu))
    }
}

/// Processor time of this process; zero where the system does not report it.
fn cpu() -> Duration {
    usage::own().map(|usage| usage.cpu).unwrap_or_default()
}

pub(crate) fn run(args: &Sim, out: Output) -> anyhow::Result<Exit> {
    let watch = Stopwatch::start();
    let mut set = Set::default();
    set.run(args, &watch, out);
    let (elapsed, cpu) = watch.read();
    for failure in &mut set.shown {
        failure.shrink(out);
    }

    let summary = Summary {
        totals: set.totals,
        from: args.from,
        twice: args.twice,
        threads: args.threads.unwrap_or_else(all_cores),
        failures: set.shown,
        further: set.further,
        elapsed,
        cpu,
    };
    match out.is_json() {
        true => out.json(&summary.json())?,
        false => out.line(&summary.show(out))?,
    }

    Ok(summary.exit())
}

/// What has been run so far.
#[derive(Debug, Default)]
struct Set {
    totals: Totals,
    shown: Vec<Failure>,
    /// Failures of which only this much is kept: the first invariant, and the seed.
    further: Vec<(&'static str, u64)>,
}

impl Set {
    fn run(&mut self, args: &Sim, watch: &Stopwatch, out: Output) {
        let judge = |seed| match args.twice {
            true => Judged::twice(seed),
            false => Judged::of(seed, FaultFilter::All),
        };
        let mut progress = Progress::new("simulate", args.seeds, out);
        let seeds = args.from..args.from.saturating_add(args.seeds);
        let threads = args.threads.unwrap_or_else(all_cores);
        let notes = progress.notes();
        watched::judge(seeds, threads, &notes, judge, |_seed, run| {
            self.totals.add(&run);
            let failed = !run.found.is_empty();
            progress.step(|| self.how_far(args, watch));
            if failed {
                notes.note(&note(&run, out));
                self.keep(run);
            }
            match failed && !args.keep_going {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        progress.end();
    }

    fn keep(&mut self, run: Judged) {
        let Some(first) = run.found.first().map(|found| found.invariant) else {
            return;
        };
        let alike = |failure: &&Failure| failure.run.found[0].invariant == first;
        if self.shown.iter().filter(alike).count() < SHOWN {
            self.shown.push(Failure::new(run));
        } else {
            self.further.push((first, run.seed));
        }
    }

    fn how_far(&self, args: &Sim, watch: &Stopwatch) -> String {
        let (elapsed, cpu) = watch.read();
        let (done, all) = (count(self.totals.seeds), count(args.seeds));
        let rate = per(self.totals.seeds, elapsed.as_secs_f64());
        let runs = 1 + u64::from(args.twice);
        let speed = per(self.totals.operations * runs, cpu.as_secs_f64() * 1_000.0);
        let failed = match self.totals.failed {
            0 => String::new(),
            failed => format!("  {} failed", count(failed)),
        };
        format!("{done} of {all}  {rate:.1} seeds/s  {speed:.1} ops/CPU-ms{failed}")
    }
}

/// A failure in a line, while the others go on.
fn note(run: &Judged, out: Output) -> String {
    let names: Vec<&str> = run.found.iter().map(|found| found.invariant).collect();
    let names = out.paint_error(Tone::Bad, &names.join(", "));
    format!("seed {}: {names}", run.seed)
}
