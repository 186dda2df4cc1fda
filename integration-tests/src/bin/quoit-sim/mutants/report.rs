//! The result of all hunts: the verdict, and the same for programs.

use serde::Serialize;

use super::Hunted;
use super::build::Control;
use crate::exit::Exit;
use crate::json::Figure;
use crate::output::{Output, Tone};
use crate::units::plural;

/// All hunts and the run without a mutant.
#[derive(Debug)]
pub(crate) struct HuntReport {
    pub(crate) hunted: Vec<Hunted>,
    pub(crate) control: Control,
    pub(crate) seconds: f64,
}

impl HuntReport {
    pub(crate) fn exit(&self) -> Exit {
        match self.caught() == self.hunted.len() && self.control.violation.is_none() {
            true => Exit::Clean,
            false => Exit::Violation,
        }
    }

    fn caught(&self) -> usize {
        let caught = self.hunted.iter().filter(|one| one.hunt.caught.is_some());
        caught.count()
    }

    /// For people.
    pub(crate) fn verdict(&self, out: Output) -> String {
        if let Some(printed) = &self.control.violation {
            let label = out.paint(Tone::Bad, "violation:");
            return format!("\n{printed}\n{label} without any mutant, so the hunts show nothing");
        }

        let (label, tone) = match self.exit() {
            Exit::Clean => ("clean:", Tone::Good),
            _ => ("violation:", Tone::Bad),
        };
        let label = out.paint(tone, label);
        let mutants = plural(self.hunted.len() as u64, "mutant", "mutants");
        let seeds = plural(self.control.seeds, "seed", "seeds");
        format!(
            "\n{label} {} of {mutants} caught as named; without any, {seeds} are clean",
            self.caught()
        )
    }

    /// For programs.
    pub(crate) fn json(&self) -> impl Serialize {
        let mutant = |one: &'_ Hunted| MutantJson {
            name: one.mutant.name.clone(),
            description: one.mutant.description.clone(),
            caught_by: one.mutant.caught_by.to_string(),
            caught: one.hunt.caught,
            seeds: one.hunt.seeds,
            others: one
                .hunt
                .others
                .iter()
                .map(|other| SightingJson {
                    invariant: other.invariant.clone(),
                    seed: other.seed,
                })
                .collect(),
            build_seconds: Figure(one.build_seconds),
            hunt_seconds: Figure(one.hunt_seconds),
        };
        ReportJson {
            verdict: self.exit().name(),
            mutants: self.hunted.iter().map(mutant).collect(),
            clean_seeds: self.control.seeds,
            clean_violation: self.control.violation.clone(),
            elapsed_seconds: Figure(self.seconds),
        }
    }
}

/// The report as a program reads it.
#[derive(Serialize)]
struct ReportJson {
    verdict: &'static str,
    mutants: Vec<MutantJson>,
    /// Seeds run without a mutant.
    clean_seeds: u64,
    /// What that run printed, if it violated an invariant.
    clean_violation: Option<String>,
    elapsed_seconds: Figure,
}

#[derive(Serialize)]
struct MutantJson {
    name: String,
    description: String,
    /// An invariant or a test.
    caught_by: String,
    /// The first seed in which the invariant was violated; 0 if a test failed.
    caught: Option<u64>,
    seeds: u64,
    others: Vec<SightingJson>,
    build_seconds: Figure,
    hunt_seconds: Figure,
}

#[derive(Serialize)]
struct SightingJson {
    invariant: String,
    seed: u64,
}
