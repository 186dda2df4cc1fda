//! `quoit-node`: one storage node, until a signal stops it; and its first act, `quoit-node init`.

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quoit_node::config::Config;
use quoit_node::{JoinOptions, LogFormat, RunError};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Runs one storage node of a quoit cluster until SIGTERM, SIGINT or SIGHUP. Its data directory is initialised once, before
/// its first start, with `quoit-node init --config FILE`. A new node of a cluster that is there needs neither: `quoit-node
/// --join BUNDLE --data DIR`.
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
    #[arg(long, value_name = "FILE", required_unless_present = "join")]
    config: Option<PathBuf>,
    #[command(flatten)]
    joining: Joining,
    /// What to log to standard error: a level, or levels by module, such as `info,quoit_node::hints=debug`.
    #[arg(
        long,
        global = true,
        env = "QUOIT_LOG",
        default_value_t = quoit_node::log_filter(LevelFilter::INFO),
        value_name = "FILTER"
    )]
    log: Targets,
    /// How lines of the log look.
    #[arg(
        long,
        global = true,
        env = "QUOIT_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    log_format: LogFormat,
    /// Start although this machine's clock is far behind the time that the node has stored, since the clock was ahead
    /// before and is right now. For one start; docs/operations.md says what it risks.
    #[arg(long)]
    accept_clock_set_back: bool,
    /// Start although the other members have heard of a later run of this node, since the disk of that run is lost. For one
    /// start; docs/operations.md says what it risks.
    #[arg(long)]
    accept_older_disk: bool,
}

/// A node that joins a cluster which is there.
#[derive(Debug, clap::Args)]
struct Joining {
    /// The bundle of a new node, from `quoit cluster add`: it joins that cluster; the same line starts it again later.
    #[arg(
        long,
        value_name = "BUNDLE",
        requires = "data",
        conflicts_with = "config"
    )]
    join: Option<PathBuf>,
    /// Its data directory: absent, empty, or this node's.
    #[arg(long, value_name = "DIR", requires = "join")]
    data: Option<PathBuf>,
    /// Where others reach it; must be the bundle's.
    #[arg(long, value_name = "HOST:PORT", requires = "join")]
    address: Option<String>,
    /// Where it serves, if that is not its address.
    #[arg(long, value_name = "IP:PORT", requires = "join")]
    listen: Option<SocketAddr>,
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
    quoit_node::log_to_stderr(arguments.log_format, arguments.log.clone());

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
    let mut config = configuration(arguments)?;
    config.accept_clock_set_back = arguments.accept_clock_set_back;
    config.accept_older_disk = arguments.accept_older_disk;
    quoit_node::run_with(&config)
}

#[expect(
    clippy::result_large_err,
    reason = "it is made once, and ends the process"
)]
fn configuration(arguments: &Arguments) -> Result<Config, RunError> {
    let Joining {
        join,
        data,
        address,
        listen,
    } = &arguments.joining;
    if let (Some(bundle), Some(data)) = (join, data) {
        return Ok(quoit_node::prepare_to_join(&JoinOptions {
            bundle: bundle.clone(),
            data: data.clone(),
            address: address.clone(),
            listen: *listen,
        })?);
    }
    // Required by the grammar.
    let config = arguments.config.as_deref().unwrap_or_else(|| Path::new(""));
    Ok(Config::load(config)?)
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
