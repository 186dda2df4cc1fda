//! `quoit node`: one storage node, exactly as the `quoit-node` program has it.
//!
//! ```text
//! node init --config FILE   once, before the first start: makes the empty data directory this node's
//! node --config FILE        runs it
//! node --join BUNDLE --data DIR   a new node of a cluster that is there: both at once
//! ```
//!
//! One program is enough this way: `quoit demo` starts its nodes by running itself.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use quoit_node::config::Config;
use quoit_node::{JoinOptions, RunError, StartError};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, log_to_stderr};

/// Arguments of `node`.
#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,

    /// The node's configuration
    #[arg(long, value_name = "FILE", required_unless_present = "join")]
    config: Option<PathBuf>,

    /// The bundle of a new node, from `quoit cluster add`: it joins that cluster; the same line starts it again later
    #[arg(
        long,
        value_name = "BUNDLE",
        requires = "data",
        conflicts_with = "config"
    )]
    join: Option<PathBuf>,

    /// With `--join`: its data directory, absent, empty, or this node's
    #[arg(long, value_name = "DIR", requires = "join")]
    data: Option<PathBuf>,

    /// With `--join`: where others reach it; must be the bundle's
    #[arg(long, value_name = "HOST:PORT", requires = "join")]
    address: Option<String>,

    /// With `--join`: where it serves, if that is not its address
    #[arg(long, value_name = "IP:PORT", requires = "join")]
    listen: Option<SocketAddr>,

    /// Start although this machine's clock is far behind the time that the node has stored, since the clock was ahead
    /// before and is right now; for one start
    #[arg(long)]
    accept_clock_set_back: bool,

    /// Start although the other members have heard of a later run of this node, since the disk of that run is lost; for one
    /// start
    #[arg(long)]
    accept_older_disk: bool,

    /// End at once when standard input does: then the process that started this one is gone
    #[arg(long, hide = true)]
    while_stdin_is_open: bool,
}

/// What else to do than to run.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make an empty data directory this node's, once, before its first start
    ///
    /// A node that has run before and finds its directory empty has lost its disk: mount it, or replace the node by one
    /// under a new id. Initialised again, it would deny what it has promised to keep.
    Init {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

pub(crate) fn run(args: &Args, out: Output) -> Result<Exit, Failure> {
    if let Some(Verb::Init { config }) = &args.verb {
        return init(config, out);
    }
    if args.while_stdin_is_open {
        std::thread::spawn(end_with_stdin);
    }
    log_to_stderr(LevelFilter::INFO);
    serve(args).map_err(|error| failure(&error))?;
    Ok(Exit::Ok)
}

fn init(config: &Path, out: Output) -> Result<Exit, Failure> {
    log_to_stderr(LevelFilter::WARN);
    let node = quoit_node::init(config)
        .map_err(|error| failure(&error))?
        .node;
    if out.is_json() {
        out.outcome_json(&json!({ "initialised": true, "id": node.to_string() }));
    } else {
        out.outcome(format!("node {node} initialised"));
    }
    Ok(Exit::Ok)
}

fn failure(error: &RunError) -> Failure {
    Failure {
        exit: exit(error),
        ..Failure::caused(error)
    }
}

#[expect(
    clippy::result_large_err,
    reason = "it is made once, and ends the process"
)]
fn serve(args: &Args) -> Result<(), RunError> {
    let mut config = configuration(args)?;
    config.accept_clock_set_back = args.accept_clock_set_back;
    config.accept_older_disk = args.accept_older_disk;
    quoit_node::run_with(&config)
}

#[expect(
    clippy::result_large_err,
    reason = "it is made once, and ends the process"
)]
fn configuration(args: &Args) -> Result<Config, RunError> {
    if let (Some(bundle), Some(data)) = (&args.join, &args.data) {
        return Ok(quoit_node::prepare_to_join(&JoinOptions {
            bundle: bundle.clone(),
            data: data.clone(),
            address: args.address.clone(),
            listen: args.listen,
        })?);
    }
    // Required by the grammar.
    let config = args.config.as_deref().unwrap_or_else(|| Path::new(""));
    Ok(Config::load(config)?)
}

/// As `quoit-node` ends.
fn exit(error: &RunError) -> Exit {
    match error {
        RunError::Start(error) | RunError::Init(error) => start_exit(error),
        RunError::Join(error) if error.may_pass() => Exit::TryLater,
        RunError::Config(_) | RunError::Join(_) => Exit::Usage,
        _ => Exit::Error,
    }
}

/// How a program ends whose node did not start.
pub(crate) fn start_exit(error: &StartError) -> Exit {
    if error.may_pass() {
        Exit::TryLater
    } else {
        Exit::Usage
    }
}

/// Ends the process when its parent does. What was acknowledged is on the disk, so nothing has to be stopped in order.
fn end_with_stdin() {
    let mut bytes = [0; 64];
    let mut input = std::io::stdin().lock();
    loop {
        match input.read(&mut bytes) {
            Ok(0) => break,
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => break,
            Ok(_) | Err(_) => {}
        }
    }
    std::process::exit(i32::from(Exit::Error.code()));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quoit_node::identity::IdentityError;

    use super::*;

    #[test]
    fn a_node_ends_here_as_it_does_in_its_own_program() {
        let behind = StartError::ClockBehind {
            behind: Duration::from_secs(9),
            allowed: Duration::from_secs(1),
        };
        let stopped = quoit_node::StopError::Overran;
        let empty = IdentityError::NotInitialised {
            path: "data".into(),
        };
        let errors: [RunError; 5] = [
            behind.into(),
            StartError::NoMap.into(),
            StartError::from(empty).into(),
            RunError::Init(StartError::NoMap),
            stopped.into(),
        ];
        let codes = [7, 2, 2, 2, 1];
        for (error, code) in errors.iter().zip(codes) {
            assert_eq!(
                (exit(error).code(), error.exit_number()),
                (code, code),
                "{error}"
            );
        }
    }
}
