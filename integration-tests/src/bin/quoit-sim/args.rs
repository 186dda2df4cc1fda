//! The command line.
//!
//! ```text
//!   quoit-sim [--seeds N] [--from S] [--threads T] [--keep-going] [--twice]      many
//!   quoit-sim --seed S [--trace] [--faults 3,7|none] [--twice]                   one
//!   quoit-sim mutants [--seeds N] [--only NAME] [--write]                        deliberate defects
//! ```

use std::num::NonZeroUsize;

use quoit_integration_tests::sim::Kept;
use quoit_ring::mutant::Mutant;

use crate::exit;

/// Runs the shipped client and node in a simulated world: one seed, one run.
#[derive(Debug, clap::Parser)]
#[command(name = "quoit-sim", bin_name = "cargo sim", after_help = exit::HELP)]
#[command(args_conflicts_with_subcommands = true, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) sim: Sim,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What runs, and how it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Sim {
    /// How many seeds to run; 100 and more must together have seen every fault and path
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) seeds: u64,

    /// The first of them
    #[arg(long, value_name = "S", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=1 << 60))]
    pub(crate) from: u64,

    /// Threads, each with a run of its own; the result does not depend on it [default: all cores]
    #[arg(long, value_name = "T")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Go on after a violation
    #[arg(long)]
    pub(crate) keep_going: bool,

    /// Run only this seed, and show what came of each of its faults
    #[arg(long, value_name = "S")]
    #[arg(conflicts_with_all = ["seeds", "from", "threads", "keep_going"])]
    pub(crate) seed: Option<u64>,

    /// Print every event of the run
    #[arg(long, requires = "seed")]
    pub(crate) trace: bool,

    /// Keep only these of its faults, by number, such as 3,7; `none` keeps none
    #[arg(long, value_name = "LIST", requires = "seed", value_parser = kept)]
    pub(crate) faults: Option<Kept>,

    /// Run every seed twice: the traces must be equal
    #[arg(long, visible_alias = "check-determinism", conflicts_with_all = ["trace", "faults"])]
    pub(crate) twice: bool,

    /// For people or for programs
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Format,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences
    Text,
    /// One JSON object
    Json,
}

/// What else there is.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Hunts deliberate defects: each must be noticed by its named invariant
    Mutants(Mutants),
}

/// Which defects are hunted, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Mutants {
    /// Within how many seeds each must be noticed, from 1
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) seeds: u64,

    /// Hunt only this one; may be given several times
    #[arg(long, value_name = "NAME", value_parser = mutant)]
    pub(crate) only: Vec<Mutant>,

    /// Threads, each with a run of its own; the result does not depend on it [default: all cores]
    #[arg(long, value_name = "T")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Write the result to integration-tests/MUTANTS.md
    #[arg(long, conflicts_with = "only")]
    pub(crate) write: bool,
}

impl Args {
    pub(crate) const fn format(&self) -> Format {
        self.sim.output
    }
}

/// `none`, `all`, or numbers with commas between them.
fn kept(text: &str) -> Result<Kept, String> {
    match text {
        "none" => Ok(Kept::None),
        "all" => Ok(Kept::All),
        _ => {
            let numbers = text.split(',').map(|number| number.trim().parse());
            let numbers: Result<Vec<usize>, _> = numbers.collect();
            let usage = |_not_a_number| "not `none`, `all` or numbers such as 3,7".to_owned();
            numbers.map(Kept::Only).map_err(usage)
        }
    }
}

fn mutant(name: &str) -> Result<Mutant, String> {
    let unknown = || {
        let names: Vec<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        format!("there are: {}", names.join(", "))
    };
    Mutant::from_name(name).ok_or_else(unknown)
}
