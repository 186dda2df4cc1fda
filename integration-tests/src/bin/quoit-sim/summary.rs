//! The result of a set of runs.
//!
//! ```text
//!   size and speed | faults by kind | coverage | violations with their replay lines | the verdict
//! ```

use std::num::NonZeroUsize;
use std::time::Duration;

use quoit_integration_tests::sim::campaign::{FaultCount, SET, Totals};
use serde::Serialize;

use crate::exit::Exit;
use crate::json::{Figure, Named};
use crate::output::{Output, Tone};
use crate::replay::{Failure, FailureJson};
use crate::units::{count, duration, each, per, plural, range};

/// Seeds that are named of those whose failures are not shown.
const NAMED: usize = 20;

/// A set of runs and what it took.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) totals: Totals,
    pub(crate) from: u64,
    /// Whether each seed was run twice.
    pub(crate) twice: bool,
    pub(crate) threads: NonZeroUsize,
    pub(crate) failures: Vec<Failure>,
    /// Failures that are not shown, by invariant and seed.
    pub(crate) further: Vec<(&'static str, u64)>,
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
}

impl Summary {
    pub(crate) fn exit(&self) -> Exit {
        match (self.totals.failed, self.totals.shortfalls().is_empty()) {
            (1.., _) => Exit::Violation,
            (0, true) => Exit::Clean,
            (0, false) => Exit::DoesNotCount,
        }
    }

    /// For people.
    pub(crate) fn show(&self, out: Output) -> String {
        let mut parts = vec![self.figures(), self.faults(out), self.coverage(out)];
        parts.extend(self.failures.iter().map(|failure| failure.show(out)));
        parts.extend(self.further());
        parts.push(self.verdict(out));
        parts.join("\n\n")
    }

    fn figures(&self) -> String {
        let totals = &self.totals;
        let last = self.from + totals.seeds.saturating_sub(1);
        let clients = format!(
            "{} clients, {} nodes",
            range(totals.clients),
            range(totals.nodes)
        );
        let fired = plural(totals.fired(), "fault", "faults");
        let each_seed = |sum| format!("{} a seed", count(each(sum, totals.seeds)));
        let (rate, speed) = self.speed();
        let twice = if self.twice { ", each run twice" } else { "" };
        let rows = [
            (
                "seeds",
                count(totals.seeds),
                format!("{} to {last}{twice}; {clients}", self.from),
            ),
            (
                "operations",
                count(totals.operations),
                each_seed(totals.operations),
            ),
            ("events", count(totals.events), each_seed(totals.events)),
            (
                "fired",
                fired,
                format!(
                    "of {} planned, {}",
                    count(totals.planned()),
                    each_seed(totals.fired())
                ),
            ),
            (
                "simulated",
                duration(Duration::from_micros(totals.simulated)),
                self.took(),
            ),
            (
                "speed",
                format!("{rate:.1} seeds/s"),
                format!("{speed:.1} operations per CPU-millisecond"),
            ),
        ];
        let lines = rows.map(|(name, figure, more)| format!("{name:<11} {figure:>14}   {more}"));
        lines.join("\n")
    }

    fn took(&self) -> String {
        let threads = plural(self.threads.get() as u64, "thread", "threads");
        let (elapsed, cpu) = (duration(self.elapsed), duration(self.cpu));
        format!("in {elapsed} on {threads}, {cpu} of processor time")
    }

    /// Seeds per second, and operations per millisecond of processor time.
    fn speed(&self) -> (f64, f64) {
        let runs = 1 + u64::from(self.twice);
        let millis = self.cpu.as_secs_f64() * 1_000.0;
        (
            per(self.totals.seeds, self.elapsed.as_secs_f64()),
            per(self.totals.operations * runs, millis),
        )
    }

    fn faults(&self, out: Output) -> String {
        let header = format!(
            "{:<28} {:>10} {:>10} {:>14}",
            "fault", "planned", "fired", "felt"
        );
        let row = |(kind, faults): (&str, FaultCount)| {
            let [planned, fired, felt] = [faults.planned, faults.fired, faults.felt].map(count);
            let row = format!("{kind:<28} {planned:>10} {fired:>10} {felt:>14}");
            self.marked(out, faults.fired == 0, row)
        };
        let rows = self.totals.faults().map(row);
        let header = out.paint(Tone::Strong, &header);
        std::iter::once(header)
            .chain(rows)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn coverage(&self, out: Output) -> String {
        let header = format!(
            "{:<28} {:>10} {:>10} {:>14}",
            "coverage event", "seeds", "", "times"
        );
        let rows = self.totals.coverage().map(|(event, times, seeds)| {
            let (name, seeds, counted) = (event.name(), count(seeds), count(times));
            let row = format!("{name:<28} {seeds:>10} {:>10} {counted:>14}", "");
            self.marked(out, times == 0, row)
        });
        let header = out.paint(Tone::Strong, &header);
        std::iter::once(header)
            .chain(rows)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// A row of something that never happened: bad in a set that must have seen everything.
    fn marked(&self, out: Output, never: bool, row: String) -> String {
        match (never, self.totals.is_set()) {
            (false, _) => row,
            (true, true) => out.paint(Tone::Bad, &format!("{row}   never")),
            (true, false) => out.paint(Tone::Faint, &row),
        }
    }

    fn further(&self) -> Option<String> {
        let first: Vec<String> = self.further.iter().take(NAMED).map(named).collect();
        if first.is_empty() {
            return None;
        }
        let more = match self.further.len() - first.len() {
            0 => String::new(),
            more => format!(", and {}", count(more as u64)),
        };
        Some(format!("failed too: {}{more}", first.join(", ")))
    }

    fn verdict(&self, out: Output) -> String {
        let seeds = plural(self.totals.seeds, "seed", "seeds");
        match self.exit() {
            Exit::Violation => {
                let what = match self.totals.failed {
                    1 => format!("1 of {seeds} violates an invariant"),
                    failed => format!("{} of {seeds} violate invariants", count(failed)),
                };
                format!("{} {what}", out.paint(Tone::Bad, "violation:"))
            }
            Exit::DoesNotCount => {
                let label = out.paint(Tone::Warning, "does not count:");
                let why = self.totals.shortfalls();
                let why: Vec<String> = why.iter().map(|why| format!("  {why}")).collect();
                format!("{label} no violation in {seeds}, but\n{}", why.join("\n"))
            }
            Exit::Clean | Exit::Usage => {
                let label = out.paint(Tone::Good, "clean:");
                format!("{label} no violation in {seeds}; {}", self.meaning())
            }
        }
    }

    /// What a clean set says, and what it does not.
    fn meaning(&self) -> String {
        let bound = self.totals.bound() * 100.0;
        let bound = format!("fewer than {bound:.3} % of all seeds fail (95 % confidence)");
        match self.totals.is_set() {
            true => bound,
            false => format!(
                "{bound}\n       faults and coverage are held against sets of {SET} seeds and more"
            ),
        }
    }

    /// For programs.
    pub(crate) fn json(&self) -> impl Serialize {
        let totals = &self.totals;
        let (rate, speed) = self.speed();
        let faults = totals
            .faults()
            .map(|(kind, count)| (kind, FaultCountJson::of(count)));
        let coverage = totals
            .coverage()
            .map(|(event, times, seeds)| (event.name(), CoverageJson { seeds, times }));
        SummaryJson {
            verdict: self.exit().name(),
            seeds: totals.seeds,
            from: self.from,
            twice: self.twice,
            threads: self.threads,
            failed: totals.failed,
            operations: totals.operations,
            events: totals.events,
            simulated_seconds: Figure(Duration::from_micros(totals.simulated).as_secs_f64()),
            elapsed_seconds: Figure(self.elapsed.as_secs_f64()),
            cpu_seconds: Figure(self.cpu.as_secs_f64()),
            seeds_per_second: Figure(rate),
            operations_per_cpu_ms: Figure(speed),
            failure_rate_below: (totals.failed == 0).then(|| Figure(totals.bound())),
            faults: faults.collect(),
            coverage: coverage.collect(),
            does_not_count: totals.shortfalls(),
            failures: self.failures.iter().map(Failure::json).collect(),
            failed_too: self.further.iter().map(|(_, seed)| *seed).collect(),
        }
    }
}

/// A summary as a program reads it.
#[derive(Serialize)]
struct SummaryJson<'a> {
    verdict: &'static str,
    seeds: u64,
    from: u64,
    twice: bool,
    threads: NonZeroUsize,
    failed: u64,
    operations: u64,
    events: u64,
    simulated_seconds: Figure,
    elapsed_seconds: Figure,
    cpu_seconds: Figure,
    seeds_per_second: Figure,
    operations_per_cpu_ms: Figure,
    /// Of all seeds, with 95 % confidence; null if any failed.
    failure_rate_below: Option<Figure>,
    faults: Named<FaultCountJson>,
    coverage: Named<CoverageJson>,
    /// Why the set does not count; empty if it does.
    does_not_count: Vec<String>,
    failures: Vec<FailureJson<'a>>,
    /// Seeds of failures that are not shown.
    failed_too: Vec<u64>,
}

#[derive(Serialize)]
struct FaultCountJson {
    planned: u64,
    fired: u64,
    felt: u64,
}

impl FaultCountJson {
    const fn of(count: FaultCount) -> Self {
        Self {
            planned: count.planned,
            fired: count.fired,
            felt: count.felt,
        }
    }
}

#[derive(Serialize)]
struct CoverageJson {
    seeds: u64,
    times: u64,
}

fn named((invariant, seed): &(&str, u64)) -> String {
    format!("seed {seed} ({invariant})")
}
