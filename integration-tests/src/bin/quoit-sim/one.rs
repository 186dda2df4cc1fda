//! One seed.
//!
//! ```text
//!   [every event, a line each]
//!   seed, size, trace | each fault and whether it was felt | coverage | violations | the verdict
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::bail;
use quoit_integration_tests::sim::campaign::{Judged, SAME_TRACE};
use quoit_integration_tests::sim::coverage::CoverageEvent;
use quoit_integration_tests::sim::faults::Planned;
use quoit_integration_tests::sim::plan::Plan;
use quoit_integration_tests::sim::{FaultFilter, Options};
use serde::Serialize;

use crate::args::Sim;
use crate::exit::Exit;
use crate::json::{Figure, Named};
use crate::output::{LinePrinter, Output, Tone};
use crate::replay::{Failure, FailureJson};
use crate::units::{count, duration, plural};

pub(crate) fn run(seed: u64, args: &Sim, out: Output) -> anyhow::Result<Exit> {
    if args.trace && out.is_json() {
        bail!("a trace is lines for people: leave out --output json");
    }

    let kept = args.faults.clone().unwrap_or_default();
    exist(seed, &kept)?;
    let run = match args.twice {
        true => Judged::twice(seed),
        false => once(seed, kept.clone(), args.trace)?,
    };
    let mut failure = Failure::new(run);
    if kept == FaultFilter::All {
        failure.shrink(out);
    }

    let one = One {
        failure,
        kept,
        twice: args.twice,
    };
    match out.is_json() {
        true => out.json(&one.json())?,
        false => out.line(&one.show(out))?,
    }

    Ok(one.exit())
}

/// Whether there are faults with these numbers.
fn exist(seed: u64, kept: &FaultFilter) -> anyhow::Result<()> {
    let FaultFilter::Only(numbers) = kept else {
        return Ok(());
    };
    let planned = Plan::of(seed).faults.len();
    match numbers.iter().find(|&&number| number >= planned) {
        Some(number) => {
            bail!("seed {seed} has no fault {number}: its {planned} faults count from 0")
        }
        None => Ok(()),
    }
}

/// Runs the seed, its lines going to standard output if they are wanted.
fn once(seed: u64, faults: FaultFilter, trace: bool) -> anyhow::Result<Judged> {
    if !trace {
        return Ok(Judged::of(seed, faults));
    }

    let lines = Rc::new(RefCell::new(LinePrinter::new()));
    let to = Rc::clone(&lines);
    let options = Options {
        faults,
        lines: Some(Box::new(move |at, words| {
            to.borrow_mut().line(format_args!("{at:>11}  {words}"));
        })),
    };
    let run = Judged::with(seed, options);
    let mut lines = lines.borrow_mut();
    lines.line(format_args!(""));
    lines.end()?;
    Ok(run)
}

/// A run and what it was asked to be.
struct One {
    failure: Failure,
    kept: FaultFilter,
    twice: bool,
}

impl One {
    const fn run(&self) -> &Judged {
        &self.failure.run
    }

    /// With faults left out a run need not be as hard as it should.
    fn falls_short(&self) -> Option<&String> {
        match self.kept {
            FaultFilter::All => self.run().counts.as_ref().err(),
            FaultFilter::Only(_) | FaultFilter::None => None,
        }
    }

    fn exit(&self) -> Exit {
        match (self.run().found.is_empty(), self.falls_short()) {
            (false, _) => Exit::Violation,
            (true, Some(_)) => Exit::DoesNotCount,
            (true, None) => Exit::Clean,
        }
    }

    fn show(&self, out: Output) -> String {
        let mut parts = vec![self.figures(), self.faults(out), self.coverage(out)];
        if !self.run().found.is_empty() {
            parts.push(self.failure.show(out));
        }
        parts.push(self.verdict(out));
        parts.join("\n\n")
    }

    fn figures(&self) -> String {
        let run = self.run();
        let (operations, events) = (count(run.operations), count(run.events));
        let simulated = duration(Duration::from_micros(run.simulated.0));
        let rows = [
            (
                "seed",
                format!(
                    "{}, with {} clients and {} nodes",
                    run.seed, run.clients, run.nodes
                ),
            ),
            ("operations", operations),
            (
                "events",
                format!("{events} in {simulated} of simulated time"),
            ),
            ("trace", format!("{:016x}", run.trace)),
        ];
        rows.map(|(name, what)| format!("{name:<11} {what}"))
            .join("\n")
    }

    fn faults(&self, out: Output) -> String {
        let header = out.paint(
            Tone::Strong,
            &format!("{:>3}  {:<8}  {}", "#", "felt", "fault"),
        );
        let rows = self
            .run()
            .faults
            .iter()
            .enumerate()
            .map(|(number, (planned, felt))| {
                let felt = self.felt(number, *felt);
                let row = format!("{number:>3}  {felt:<8}  {planned}");
                match felt.ends_with('x') {
                    true => row,
                    false => out.paint(Tone::Faint, &row),
                }
            });
        std::iter::once(header)
            .chain(rows)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn keeps(&self, number: usize) -> bool {
        match &self.kept {
            FaultFilter::All => true,
            FaultFilter::Only(numbers) => numbers.contains(&number),
            FaultFilter::None => false,
        }
    }

    fn felt(&self, number: usize, felt: u64) -> String {
        match (self.keeps(number), felt) {
            (false, _) => "left out".to_owned(),
            (true, 0) => "never".to_owned(),
            (true, felt) => format!("{}x", count(felt)),
        }
    }

    fn coverage(&self, out: Output) -> String {
        let coverage = &self.run().coverage;
        let seen = |event: &CoverageEvent| coverage.count(*event) > 0;
        let row = |event: CoverageEvent| {
            let felt = format!("{}x", count(coverage.count(event)));
            format!("     {felt:<8}  {}", event.name())
        };
        let header = out.paint(
            Tone::Strong,
            &format!("     {:<8}  {}", "seen", "coverage event"),
        );
        let rows = CoverageEvent::ALL.into_iter().filter(seen).map(row);
        std::iter::once(header)
            .chain(rows)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn verdict(&self, out: Output) -> String {
        let same = if self.twice {
            ", and both runs are the same"
        } else {
            ""
        };
        match self.exit() {
            Exit::Violation => {
                let found = plural(self.run().found.len() as u64, "invariant", "invariants");
                let what = match self.run().violates(SAME_TRACE) {
                    true => "two runs of one seed differ".to_owned(),
                    false => format!("{found} violated"),
                };
                format!("{} {what}", out.paint(Tone::Bad, "violation:"))
            }
            Exit::DoesNotCount => {
                let label = out.paint(Tone::Warning, "does not count:");
                let why = self.falls_short().map_or("", String::as_str);
                format!("{label} no violation, but {why}")
            }
            Exit::Clean | Exit::Usage => {
                format!("{} no violation{same}", out.paint(Tone::Good, "clean:"))
            }
        }
    }

    fn json(&self) -> impl Serialize {
        let run = self.run();
        let fault = |(number, (planned, felt)): (usize, &(Planned, u64))| FaultJson {
            number,
            fault: planned.to_string(),
            felt: *felt,
            left_out: !self.keeps(number),
        };
        let failed = !run.found.is_empty();
        OneJson {
            verdict: self.exit().name(),
            seed: run.seed,
            trace: format!("{:016x}", run.trace),
            clients: run.clients,
            nodes: run.nodes,
            operations: run.operations,
            events: run.events,
            simulated_seconds: Figure(Duration::from_micros(run.simulated.0).as_secs_f64()),
            faults: run.faults.iter().enumerate().map(fault).collect(),
            coverage: CoverageEvent::ALL
                .map(|event| (event.name(), run.coverage.count(event)))
                .into_iter()
                .collect(),
            does_not_count: self.falls_short().into_iter().collect(),
            failures: failed.then(|| self.failure.json()).into_iter().collect(),
        }
    }
}

/// A run as a program reads it.
#[derive(Serialize)]
struct OneJson<'a> {
    verdict: &'static str,
    seed: u64,
    /// In hexadecimal digits: it has more than a number in JSON can be relied on to hold.
    trace: String,
    clients: usize,
    nodes: usize,
    operations: u64,
    events: u64,
    simulated_seconds: Figure,
    faults: Vec<FaultJson>,
    coverage: Named<u64>,
    /// Why the run does not count; empty if it does.
    does_not_count: Vec<&'a String>,
    /// The run's failure, if it failed.
    failures: Vec<FailureJson<'a>>,
}

#[derive(Serialize)]
struct FaultJson {
    number: usize,
    fault: String,
    felt: u64,
    left_out: bool,
}
