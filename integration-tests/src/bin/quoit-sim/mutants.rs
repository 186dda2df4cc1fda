//! Hunting deliberate defects.
//!
//! ```text
//!   no mutant           seeds 1, 2, 3, ...   clean: what the others violate comes of their defect
//!   quorum-of-one       seeds 1, 2, 3        acked-never-lost: caught
//!   ...                                      --write--> integration-tests/MUTANTS.md
//! ```
//!
//! One build holds all of them; which is on is a choice of the whole process, so they are hunted one by one,
//! each on all cores. The control comes last and runs as many seeds as the slowest hunt took.

mod table;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context as _, bail};
use quoit_integration_tests::sim::Kept;
use quoit_integration_tests::sim::campaign::mutants::{Hunt, named};
use quoit_integration_tests::sim::campaign::{Judged, all_cores};
use quoit_ring::mutant::Mutant;

use crate::args::Mutants;
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::progress::Progress;
use crate::units::plural;
use crate::watched;

#[cfg(quoit_mutants)]
use quoit_ring::mutant::choose;

/// Nothing to choose from.
#[cfg(not(quoit_mutants))]
const fn choose(_none: Option<Mutant>) {}

/// Where the table stands.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/MUTANTS.md");

pub(crate) fn run(args: &Mutants, out: Output) -> anyhow::Result<Exit> {
    if !cfg!(quoit_mutants) {
        bail!(
            "this build holds no mutants, as none that ships does; run `cargo sim-mutants`, which makes its own"
        );
    }
    let threads = args.threads.unwrap_or_else(all_cores);
    let mut hunts = Vec::new();
    out.line(&out.paint(Tone::Strong, &table::header()))?;
    for &mutant in Mutant::ALL {
        if args.only.is_empty() || args.only.contains(&mutant) {
            let hunt = hunt(mutant, args.seeds, threads, out);
            out.line(&table::row(&hunt, out))?;
            hunts.push(hunt);
        }
    }
    let control = control(&hunts, threads, out);
    out.line(&verdict(&hunts, &control, out))?;
    if args.write && control.failed.is_none() {
        let text = table::markdown(&hunts, args.seeds, control.seeds);
        std::fs::write(Path::new(TABLE), text).with_context(|| format!("writing {TABLE}"))?;
        out.line("written to integration-tests/MUTANTS.md")?;
    }
    let caught = hunts.iter().all(|hunt| hunt.caught.is_some());
    Ok(match caught && control.failed.is_none() {
        true => Exit::Clean,
        false => Exit::Violation,
    })
}

/// Runs seeds with `mutant` until its invariant notices.
fn hunt(mutant: Mutant, seeds: u64, threads: NonZeroUsize, out: Output) -> Hunt {
    choose(Some(mutant));
    let mut hunt = Hunt::new(mutant);
    let mut progress = Progress::new(mutant.name(), seeds, out);
    let notes = progress.notes();
    watched::judge(
        1..seeds.saturating_add(1),
        threads,
        &notes,
        of,
        |_seed, run| {
            hunt.note(&run);
            progress.step(|| {
                format!(
                    "{} without {}",
                    plural(hunt.seeds, "seed", "seeds"),
                    named(mutant)
                )
            });
            match hunt.caught {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        },
    );
    progress.end();
    choose(None);
    hunt
}

/// Runs without a mutant.
struct Control {
    seeds: u64,
    /// The first run that violated something.
    failed: Option<Judged>,
}

fn control(hunts: &[Hunt], threads: NonZeroUsize, out: Output) -> Control {
    let seeds = hunts
        .iter()
        .map(|hunt| hunt.seeds)
        .max()
        .unwrap_or_default();
    let mut failed = None;
    let mut progress = Progress::new("no mutant", seeds, out);
    let notes = progress.notes();
    watched::judge(
        1..seeds.saturating_add(1),
        threads,
        &notes,
        of,
        |_seed, run| {
            progress.step(|| "as many seeds without any".to_owned());
            match run.found.is_empty() {
                true => ControlFlow::Continue(()),
                false => {
                    failed = Some(run);
                    ControlFlow::Break(())
                }
            }
        },
    );
    progress.end();
    Control { seeds, failed }
}

fn of(seed: u64) -> Judged {
    Judged::of(seed, Kept::All)
}

fn verdict(hunts: &[Hunt], control: &Control, out: Output) -> String {
    let seeds = plural(control.seeds, "seed", "seeds");
    if let Some(run) = &control.failed {
        let label = out.paint(Tone::Bad, "\nviolation:");
        let found: Vec<&str> = run.found.iter().map(|found| found.invariant).collect();
        let found = found.join(", ");
        return format!("{label} seed {} without any mutant: {found}", run.seed);
    }
    let caught = hunts.iter().filter(|hunt| hunt.caught.is_some()).count();
    let all = plural(hunts.len() as u64, "mutant", "mutants");
    let (label, tone) = match caught == hunts.len() {
        true => ("\nclean:", Tone::Good),
        false => ("\nviolation:", Tone::Bad),
    };
    let label = out.paint(tone, label);
    format!("{label} {caught} of {all} caught by their invariants; without any, {seeds} are clean")
}
