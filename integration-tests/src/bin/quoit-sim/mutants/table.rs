//! The table of the hunt, on a terminal and as a page.

use std::fmt::Write as _;

use quoit_integration_tests::sim::campaign::mutants::{Hunt, named};

use crate::output::{Output, Tone};
use crate::units::plural;

/// The head of the table on a terminal.
pub(crate) fn header() -> String {
    format!(
        "{:<30} {:<18} {:>6}   {}",
        "mutant", "to be caught by", "seeds", "violated on the way"
    )
}

/// A hunt on a terminal.
pub(crate) fn row(hunt: &Hunt, out: Output) -> String {
    let (name, invariant) = (hunt.mutant.name(), named(hunt.mutant));
    let seeds = match hunt.caught {
        Some(seed) => out.paint(Tone::Good, &format!("{seed:>6}")),
        None => out.paint(Tone::Bad, &format!("{:>6}", "never")),
    };
    let row = format!("{name:<30} {invariant:<18} {seeds}   {}", others(hunt));
    row.trim_end().to_owned()
}

/// The page.
pub(crate) fn markdown(hunts: &[Hunt], within: u64, control: u64) -> String {
    let mut text = String::from(HEAD);
    for hunt in hunts {
        let (name, does) = (hunt.mutant.name(), hunt.mutant.description());
        let seeds = hunt
            .caught
            .map_or_else(|| "**never**".to_owned(), |seed| seed.to_string());
        let invariant = named(hunt.mutant);
        // Writing to a string cannot fail.
        writeln!(
            text,
            "| `{name}` | {does} | {invariant} | {seeds} | {} |",
            others(hunt)
        )
        .ok();
    }
    let control = plural(control, "seed", "seeds");
    let within = plural(within, "seed", "seeds");
    let limit = format!("A mutant that takes more than {within} fails the command.");
    writeln!(
        text,
        "\n{limit} Without any mutant the same build runs {control} clean."
    )
    .ok();
    text
}

/// Written by hand, so that the page says what it is.
const HEAD: &str = "\
# Mutants

A checker that has never failed proves little. Each mutant is a deliberate defect in the shipped client, node or ring, in the line where an engineer
could have made it. One of them at a time is switched on, and seeds are run from 1 until the invariant that was named for it beforehand is violated;
a violation of another does not count. They exist only in builds with `--cfg quoit_mutants` ([mutant.rs](../ring/src/mutant.rs)).

This page is written by `cargo sim-mutants --write`.

| mutant | what it does | caught by | seeds needed | others that noticed, with their first seed |
| --- | --- | --- | --- | --- |
";

fn others(hunt: &Hunt) -> String {
    let others: Vec<String> = hunt
        .others
        .iter()
        .map(|(name, seed)| format!("{name} {seed}"))
        .collect();
    others.join(", ")
}
