//! `quoit-node`: one storage node, until a signal stops it; and its first act, `quoit-node init`.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quoit_node::RunError;
use quoit_node::config::Config;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Runs one storage node of a quoit cluster until SIGTERM, SIGINT or SIGHUP. Its data directory is initialised once, before
/// its first start, with `quoit-node init --config FILE`.
///
/// Ends with 0 after a stop in order, 1 if it failed while serving, 2 if it cannot start until something is changed, 7 if it
/// cannot start yet: something else has its port or its directory, or the clock is behind.
#[derive(Debug, Parser)]
#[command(
    name = "quoit-node",
    version,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The node's configuration file.
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// What to log to standard error: a level, or levels by module, such as `info,quoit_node::hints=debug`.
    #[arg(
        long,
        global = true,
        env = "QUOIT_LOG",
        default_value_t = quoit_node::log_filter(LevelFilter::INFO),
        value_name = "FILTER"
    )]
    log: Targets,
    /// Start although this machine's clock is far behind the time that the node has stored, since the clock was ahead
    /// before and is right now. For one start; docs/operations.md says what it risks.
    #[arg(long)]
    accept_clock_set_back: bool,
}

/// What else to do than to run.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes an empty data directory this node's, once, before its first start.
    ///
    /// A node that has run before and finds its directory empty has lost its disk: mount it, or replace the node by one
    /// under a new id. Initialised again, it would deny what it has promised to keep.
    Init {
        /// The node's configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    quoit_node::log_to_stderr(arguments.log.clone());

    match act(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&error);
            error.exit_code()
        }
    }
}

#[expect(
    clippy::result_large_err,
    reason = "it is made once, and ends the process"
)]
fn act(arguments: &Arguments) -> Result<(), RunError> {
    if let Some(Verb::Init { config }) = &arguments.verb {
        let node = quoit_node::init(config)?.node;
        // What was done is done, whether or not anybody reads that.
        let _written = writeln!(std::io::stdout(), "quoit-node {node} initialised").is_ok();
        return Ok(());
    }
    // Required by the grammar.
    let config = arguments.config.as_deref().unwrap_or_else(|| Path::new(""));
    run(config, arguments.accept_clock_set_back)
}

#[expect(
    clippy::result_large_err,
    reason = "it is made once, and ends the process"
)]
fn run(config: &Path, accept_clock_set_back: bool) -> Result<(), RunError> {
    let mut config = Config::load(config)?;
    config.accept_clock_set_back = accept_clock_set_back;
    quoit_node::run_with(&config)
}

/// Prints an error and its sources.
fn explain(error: &dyn Error) {
    let mut text = format!("quoit-node: {error}");
    let mut cause = error.source();
    while let Some(behind) = cause {
        text.push_str(&format!(": {behind}"));
        cause = behind.source();
    }
    // If standard error is gone nobody can read it.
    let _written = writeln!(std::io::stderr(), "{text}").is_ok();
}
