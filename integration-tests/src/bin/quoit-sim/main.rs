//! `quoit-sim`: the shipped client and node under seeds, judged.
//!
//! ```text
//!   cargo sim --seeds 10000          many seeds on all cores: what happened, what must not have
//!        '--> seed 123 fails --shrink--> cargo sim --seed 123 --faults 3,7 --trace
//!   cargo sim-mutants                deliberate defects: is each of them caught?
//! ```
//!
//! Results go to standard output, progress to standard error. Exit codes: see [`exit`].

mod args;
mod exit;
mod hunt;
mod json;
mod many;
mod mutants;
mod one;
mod output;
mod progress;
mod replay;
mod summary;
mod units;
mod watched;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};
use crate::exit::Exit;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let out = Output::new(args.format());
    let exit = match args.command {
        Some(Command::Mutants(args)) => mutants::run(&args, out),
        Some(Command::Hunt(args)) => hunt::run(&args, out),
        None => match args.sim.seed {
            Some(seed) => one::run(seed, &args.sim, out),
            None => many::run(&args.sim, out),
        },
    };
    let exit = exit.unwrap_or_else(|error| {
        out.problem(&format!("{error:#}"));
        Exit::Usage
    });
    exit.into()
}
