//! The quoit command line: a cluster in one command, and every verb on a real one.
//!
//! ```text
//! line --cli--> verb --verbs/--> client, node library --> result, or a failure
//!                                                             `--output--> exit code
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cli`], [`args`] | the grammar |
//! | [`verbs`] | what each verb does |
//! | [`change`] | what becomes of the ring: planned, decided, watched |
//! | [`demo`] | the tour |
//! | [`pairs`], [`in_flight`] | files of pairs, and many operations at once |
//! | [`profile`] | which cluster is meant |
//! | [`failure`], [`exit`] | what went wrong, how the program ends |
//! | [`output`], [`escape`] | the one place that prints, and makes harmless what it prints |

mod args;
mod change;
mod cli;
mod demo;
mod encoding;
mod escape;
mod exit;
mod failure;
mod in_flight;
mod output;
mod pairs;
mod profile;
mod signals;
mod units;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::{Cli, Verb};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, log_to_stderr};
use crate::verbs::{
    cas, certs, cluster, delete, dev, explain, export, get, hints, import, locate, members, node,
    outcome, put, ring, scan, status, sync, verify, watch,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help_or_problem) => return output::usage(help_or_problem),
    };
    let out = Output::new(cli.output);
    match run(cli.verb, out) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            out.failure(&failure);
            failure.exit.into()
        }
    }
}

fn run(verb: Verb, out: Output) -> Result<Exit, Failure> {
    match verb {
        Verb::Node(args) => node::run(&args, out),
        Verb::Certs(verb) => certs::run(verb, out),
        Verb::Cluster(verb) => cluster::run(verb, out),
        Verb::Put(args) => wait(put::run(args, out)),
        Verb::Get(args) => wait(get::run(args, out)),
        Verb::Delete(args) => wait(delete::run(args, out)),
        Verb::Cas(args) => wait(cas::run(args, out)),
        Verb::Outcome(args) => wait(outcome::run(args, out)),
        Verb::Scan(args) => wait(scan::run(args, out)),
        Verb::Watch(args) => wait(watch::run(args, out)),
        Verb::Export(args) => wait(export::run(args, out)),
        Verb::Import(args) => wait(import::run(args, out)),
        Verb::Verify(args) => wait(verify::run(args, out)),
        Verb::Status(args) => wait(status::run(args, out)),
        Verb::Ring(args) => wait(ring::run(args, out)),
        Verb::Members(args) => wait(members::run(args, out)),
        Verb::Hints(verb) => wait(hints::run(verb, out)),
        Verb::Sync(verb) => wait(sync::run(verb, out)),
        Verb::Locate(args) => wait(locate::run(args, out)),
        Verb::Explain(args) => wait(explain::run(args, out)),
        Verb::Dev(args) => wait(dev::run(args, out)),
        Verb::Demo(args) => wait(demo::run(args, out)),
    }
}

/// Runs a verb that has to wait for others.
pub(crate) fn wait(verb: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    log_to_stderr(LevelFilter::OFF);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Error, format!("cannot start: {error}")))?;
    runtime.block_on(verb)
}
