//! Hunting deliberate defects.
//!
//! ```text
//!   clean build           kept for the end
//!   each mutant           apply to the scratch copy, build, `quoit-sim hunt INVARIANT`     caught in seed 3
//!                         or `cargo test NAME`, if its patch names a test                  caught: the test fails
//!   clean build           as many seeds as the slowest hunt took: no violation
//!                         --write--> integration-tests/MUTANTS.md
//! ```
//!
//! One mutant at a time, each built and run on all cores. The clean build comes first, so that a source that does not
//! build is no mutant's fault, and its run comes last: it shows that what the hunts found comes from the defects.

mod build;
mod report;
mod table;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};
use quoit_integration_tests::mutants::{Catcher, Hunt, Mutant};

use self::build::{Builder, Control};
use self::report::HuntReport;
pub(crate) use self::table::others;
use crate::args::MutantsArgs;
use crate::exit::Exit;
use crate::output::{Output, Tone};

/// The page with the result.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/MUTANTS.md");

/// A mutant and its hunt.
#[derive(Debug)]
pub(crate) struct Hunted {
    pub(crate) mutant: Mutant,
    pub(crate) hunt: Hunt,
    pub(crate) build_seconds: f64,
    pub(crate) hunt_seconds: f64,
}

pub(crate) fn run(args: &MutantsArgs, out: Output) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let mutants = chosen(&args.only)?;
    let builder = Builder::new(args.seeds, args.threads);

    out.step("building without a mutant");
    let clean = builder.build(None)?;
    if !out.is_json() {
        out.line(&out.paint(Tone::Strong, &table::header()))?;
    }
    let mut hunted = Vec::new();
    for (index, mutant) in mutants.iter().enumerate() {
        let position = format!("{} of {}", index + 1, mutants.len());
        out.step(&format!("{position}: building {}", mutant.name));
        let one = hunt(&builder, mutant)?;
        if !out.is_json() {
            out.line(&table::row(&one, out))?;
        }
        hunted.push(one);
    }

    let seeds = hunted.iter().map(|one| one.hunt.seeds).max();
    let seeds = seeds.unwrap_or_default();
    out.step("running without a mutant");
    let control = clean.control(seeds)?;

    let report = HuntReport {
        hunted,
        control,
        seconds: started.elapsed().as_secs_f64(),
    };
    if args.write && report.control.violation.is_none() {
        write_page(&report, args.seeds)?;
        out.step("written to integration-tests/MUTANTS.md");
    }
    match out.is_json() {
        true => out.json(&report.json())?,
        false => out.line(&report.verdict(out))?,
    }
    Ok(report.exit())
}

/// The mutants of these names, or all.
fn chosen(only: &[String]) -> anyhow::Result<Vec<Mutant>> {
    let mut mutants = Mutant::all()?;
    if let Some(unknown) = only
        .iter()
        .find(|&name| mutants.iter().all(|mutant| mutant.name != *name))
    {
        let names: Vec<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
        bail!(
            "there is no mutant {unknown}; there are: {}",
            names.join(", ")
        );
    }
    mutants.retain(|mutant| only.is_empty() || only.contains(&mutant.name));
    Ok(mutants)
}

fn hunt(builder: &Builder, mutant: &Mutant) -> anyhow::Result<Hunted> {
    let name = || format!("mutant {}", mutant.name);

    let begin = Instant::now();
    let (hunt, built) = match &mutant.caught_by {
        Catcher::Invariant(invariant) => {
            let program = builder.build(Some(mutant)).with_context(name)?;
            let built = begin.elapsed();
            (program.hunt(invariant).with_context(name)?, built)
        }
        Catcher::Test(test) => {
            builder.build_test(mutant, test).with_context(name)?;
            let built = begin.elapsed();
            (builder.run_test(test).with_context(name)?, built)
        }
    };
    let build_seconds = built.as_secs_f64();
    let hunt_seconds = (begin.elapsed() - built).as_secs_f64();

    Ok(Hunted {
        mutant: mutant.clone(),
        hunt,
        build_seconds,
        hunt_seconds,
    })
}

fn write_page(report: &HuntReport, within: u64) -> anyhow::Result<()> {
    let Control { seeds, .. } = report.control;
    let text = table::markdown(&report.hunted, within, seeds);
    std::fs::write(Path::new(PAGE), text).with_context(|| format!("cannot write {PAGE}"))
}
