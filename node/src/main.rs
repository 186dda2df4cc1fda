//! `quoit-node`: one storage node, until it is told to stop.

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Runs one storage node of a quoit cluster until SIGTERM or SIGINT.
///
/// Ends with 0 after a stop in order, 1 if it failed while serving, 2 if it could not start.
#[derive(Debug, Parser)]
#[command(name = "quoit-node", version)]
struct Arguments {
    /// The node's configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What to log to standard error: a level, or levels per module.
    #[arg(long, env = "QUOIT_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&arguments.log))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
    match quoit_node::run(&arguments.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&error);
            error.exit_code()
        }
    }
}

/// Prints an error and what is behind it.
fn explain(error: &dyn Error) {
    let mut text = format!("quoit-node: {error}");
    let mut cause = error.source();
    while let Some(behind) = cause {
        text.push_str(&format!(": {behind}"));
        cause = behind.source();
    }
    // If standard error is gone there is nobody to tell.
    let _told = writeln!(std::io::stderr(), "{text}").is_ok();
}
