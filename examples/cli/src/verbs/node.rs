//! `quoit node --config FILE`: runs one storage node, exactly as the `quoit-node` program does.
//!
//! One program is enough this way: `quoit demo` starts its nodes by running itself.

use std::io::Read as _;
use std::path::PathBuf;

use quoit_node::config::Config;
use quoit_node::{RunError, StartError};
use tracing_subscriber::filter::LevelFilter;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::log_to_stderr;

/// Arguments of `node`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Start although this machine's clock is far behind the time that the node has stored, since the clock was ahead
    /// before and is right now; for one start
    #[arg(long)]
    accept_clock_set_back: bool,

    /// End at once when standard input does: then the process that started this one is gone
    #[arg(long, hide = true)]
    while_stdin_is_open: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    if args.while_stdin_is_open {
        std::thread::spawn(end_with_stdin);
    }
    log_to_stderr(LevelFilter::INFO);
    match serve(args) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(Failure {
            exit: exit(&error),
            ..Failure::caused(&error)
        }),
    }
}

#[expect(
    clippy::result_large_err,
    reason = "it is made once, and ends the process"
)]
fn serve(args: &Args) -> Result<(), RunError> {
    let mut config = Config::load(&args.config)?;
    config.accept_clock_set_back = args.accept_clock_set_back;
    quoit_node::run_with(&config)
}

/// As `quoit-node` ends.
const fn exit(error: &RunError) -> Exit {
    match error {
        RunError::Start(error) => start_exit(error),
        RunError::Config(_) => Exit::Usage,
        _ => Exit::Error,
    }
}

/// How a program ends whose node did not start.
pub(crate) const fn start_exit(error: &StartError) -> Exit {
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

    use super::*;

    #[test]
    fn a_node_ends_here_as_it_does_in_its_own_program() {
        let behind = StartError::ClockBehind {
            behind: Duration::from_secs(9),
            allowed: Duration::from_secs(1),
        };
        let stopped = quoit_node::StopError::Overran;
        let errors: [RunError; 3] = [behind.into(), StartError::NoMap.into(), stopped.into()];
        let codes = [7, 2, 1];
        for (error, code) in errors.iter().zip(codes) {
            assert_eq!(
                (exit(error).code(), error.exit_number()),
                (code, code),
                "{error}"
            );
        }
    }
}
