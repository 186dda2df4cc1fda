//! One hunt: seeds from 1 until the named invariant is violated.
//!
//! ```text
//!   quoit-sim hunt acked-never-lost     caught in seed 3 | never, in so many seeds
//! ```
//!
//! `quoit-sim mutants` runs this command of a build that contains a defect, and reads its JSON.

use std::ops::ControlFlow;

use quoit_integration_tests::mutants;
use quoit_integration_tests::sim::FaultFilter;
use quoit_integration_tests::sim::campaign::{Judged, all_cores};

use crate::args::HuntArgs;
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::progress::Progress;
use crate::units::plural;
use crate::watched;

pub(crate) fn run(args: &HuntArgs, out: Output) -> anyhow::Result<Exit> {
    let hunt = hunt(args, out);
    match out.is_json() {
        true => out.json(&hunt)?,
        false => out.line(&text(&hunt, out))?,
    }
    Ok(match hunt.caught {
        Some(_) => Exit::Clean,
        None => Exit::Violation,
    })
}

fn hunt(args: &HuntArgs, out: Output) -> mutants::Hunt {
    let mut hunt = mutants::Hunt::new(args.invariant);
    let mut progress = Progress::new(args.invariant, args.seeds, out);
    let notes = progress.notes();

    let seeds = 1..args.seeds.saturating_add(1);
    let threads = args.threads.unwrap_or_else(all_cores);
    let judge = |seed| Judged::of(seed, FaultFilter::All);
    watched::judge(seeds, threads, &notes, judge, |_seed, run| {
        hunt.add(&run);
        progress.step(|| format!("not violated in {}", plural(hunt.seeds, "seed", "seeds")));
        match hunt.caught {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    });

    progress.end();
    hunt
}

fn text(hunt: &mutants::Hunt, out: Output) -> String {
    let others = super::mutants::others(hunt);
    let others = match others.is_empty() {
        true => String::new(),
        false => format!("; others on the way: {others}"),
    };
    match hunt.caught {
        Some(seed) => {
            let label = out.paint(Tone::Good, "caught:");
            format!(
                "{label} seed {seed} violates {}{others}\n  {}",
                hunt.invariant, hunt.what
            )
        }
        None => {
            let label = out.paint(Tone::Bad, "never:");
            let seeds = plural(hunt.seeds, "seed", "seeds");
            format!("{label} {seeds} do not violate {}{others}", hunt.invariant)
        }
    }
}
