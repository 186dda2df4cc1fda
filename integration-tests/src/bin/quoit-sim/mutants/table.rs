//! The table of hunts, on a terminal and as a page.

use std::fmt::Write as _;

use quoit_integration_tests::mutants::Hunt;

use super::Hunted;
use crate::output::{Output, Tone};
use crate::units::plural;

/// The head of the table on a terminal.
pub(crate) fn header() -> String {
    format!(
        "{:<30} {:<20} {:>6} {:>7} {:>7}   {}",
        "mutant", "must be caught by", "seeds", "build", "hunt", "violated on the way"
    )
}

/// A hunt on a terminal.
pub(crate) fn row(one: &Hunted, out: Output) -> String {
    let seeds = match one.hunt.caught {
        Some(0) => out.paint(Tone::Good, "  test"),
        Some(seed) => out.paint(Tone::Good, &format!("{seed:>6}")),
        None => out.paint(Tone::Bad, &format!("{:>6}", "never")),
    };
    let (name, invariant) = (&one.mutant.name, &one.mutant.caught_by);
    let (build, hunt) = (one.build_seconds, one.hunt_seconds);
    let others = others(&one.hunt);
    let row = format!("{name:<30} {invariant:<20} {seeds} {build:>5.1} s {hunt:>5.1} s   {others}");
    row.trim_end().to_owned()
}

/// The page.
pub(crate) fn markdown(hunted: &[Hunted], within: u64, control: u64) -> String {
    let mut text = String::from(HEAD);
    for one in hunted {
        let seeds = match one.hunt.caught {
            Some(0) => "a test fails".to_owned(),
            Some(seed) => seed.to_string(),
            None => "**never**".to_owned(),
        };
        let (name, does) = (&one.mutant.name, &one.mutant.description);
        let (invariant, others) = (&one.mutant.caught_by, others(&one.hunt));
        // Writing to a string cannot fail.
        writeln!(
            text,
            "| [`{name}`](mutants/{name}.patch) | {does} | {invariant} | {seeds} | {others} |"
        )
        .ok();
    }

    let control = plural(control, "seed", "seeds");
    let within = plural(within, "seed", "seeds");
    writeln!(
        text,
        "\nA mutant that takes more than {within} fails the command. Without any mutant the same build runs {control} clean."
    )
    .ok();
    text
}

/// The other invariants that were violated, each with its first seed.
pub(crate) fn others(hunt: &Hunt) -> String {
    let others: Vec<String> = hunt
        .others
        .iter()
        .map(|other| format!("{} {}", other.invariant, other.seed))
        .collect();
    others.join(", ")
}

/// What the page is.
const HEAD: &str = "\
# Mutants

A checker that has never failed proves little. Each mutant is a deliberate defect in the shipped client,
node or ring, in the line where an engineer could have made it. It is a patch in [mutants/](mutants) and
in no build of this workspace: `cargo sim-mutants` applies one at a time to a copy of the source, builds
it, and runs seeds from 1 until the invariant that its patch names is violated. A violation of another
invariant does not count. A patch for what the simulation replaces names a test, which must fail.

This page is written by `cargo sim-mutants --write`. The test suite checks that each patch still applies.

| mutant | what it does | caught by | seeds needed | others that were violated, with their first seed |
| --- | --- | --- | --- | --- |
";
