//! The command line.
//!
//! ```text
//!   quoit-sim [--seeds N] [--from S] [--threads T] [--keep-going] [--twice]      many
//!   quoit-sim --seed S [--trace] [--faults 3,7|none] [--twice]                   one
//!   quoit-sim mutants [--seeds N] [--only NAME] [--write]                        deliberate defects
//!   quoit-sim hunt INVARIANT [--seeds N]                                         until it is violated
//! ```

use std::num::NonZeroUsize;

use quoit_integration_tests::invariants;
use quoit_integration_tests::sim::FaultFilter;

use crate::exit;

/// Runs the shipped client and node in a simulated cluster: one seed, one run.
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

    /// Run only this seed, and show which of its faults were felt
    #[arg(long, value_name = "S")]
    #[arg(conflicts_with_all = ["seeds", "from", "threads", "keep_going"])]
    pub(crate) seed: Option<u64>,

    /// Print every event of the run
    #[arg(long, requires = "seed")]
    pub(crate) trace: bool,

    /// Keep only these of its faults, by number, such as 3,7; `none` keeps none
    #[arg(long, value_name = "LIST", requires = "seed", value_parser = kept)]
    pub(crate) faults: Option<FaultFilter>,

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

/// Other commands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Applies deliberate defects one by one to a copy of the source, and checks that each is caught
    Mutants(MutantsArgs),
    /// Runs seeds from 1 until this invariant is violated; exit code 1 if it never is
    Hunt(HuntArgs),
}

/// Which defects are hunted, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct MutantsArgs {
    /// Within how many seeds each must be caught, from 1
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) seeds: u64,

    /// Hunt only this one; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,

    /// Threads, each with a run of its own; the result does not depend on it [default: all cores]
    #[arg(long, value_name = "T")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Write the result to integration-tests/MUTANTS.md
    #[arg(long, conflicts_with = "only")]
    pub(crate) write: bool,

    /// For people or for programs
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Format,
}

/// What is hunted, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct HuntArgs {
    /// The invariant that must be violated
    #[arg(value_name = "INVARIANT", value_parser = invariant)]
    pub(crate) invariant: &'static str,

    /// Within how many seeds, from 1
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) seeds: u64,

    /// Threads, each with a run of its own; the result does not depend on it [default: all cores]
    #[arg(long, value_name = "T")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// For people or for programs
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Format,
}

impl Args {
    pub(crate) const fn format(&self) -> Format {
        match &self.command {
            Some(Command::Mutants(args)) => args.output,
            Some(Command::Hunt(args)) => args.output,
            None => self.sim.output,
        }
    }
}

/// `none`, `all`, or numbers with commas between them.
fn kept(text: &str) -> Result<FaultFilter, String> {
    match text {
        "none" => Ok(FaultFilter::None),
        "all" => Ok(FaultFilter::All),
        _ => {
            let numbers = text.split(',').map(|number| number.trim().parse());
            let numbers: Result<Vec<usize>, _> = numbers.collect();
            let usage = |_not_a_number| "not `none`, `all` or numbers such as 3,7".to_owned();
            numbers.map(FaultFilter::Only).map_err(usage)
        }
    }
}

fn invariant(name: &str) -> Result<&'static str, String> {
    let unknown = || {
        let names: Vec<&str> = invariants::ALL.iter().map(|one| one.name).collect();
        format!("the invariants are: {}", names.join(", "))
    };
    invariants::find(name)
        .map(|one| one.name)
        .ok_or_else(unknown)
}
