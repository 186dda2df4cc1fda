//! `quoit node --config FILE`: runs one storage node, exactly as the `quoit-node` program does.
//!
//! One program is enough this way: `quoit demo` starts its nodes by running itself.

use std::io::Read as _;
use std::path::PathBuf;

use quoit_node::RunError;
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

    /// End at once when standard input does: then the process that started this one is gone
    #[arg(long, hide = true)]
    while_stdin_is_open: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    if args.while_stdin_is_open {
        std::thread::spawn(end_with_stdin);
    }
    log_to_stderr(LevelFilter::INFO);
    match quoit_node::run(&args.config) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(Failure {
            exit: exit(&error),
            ..Failure::caused(&error)
        }),
    }
}

/// As `quoit-node` ends: 2 if the node never served and will not until somebody changes something.
const fn exit(error: &RunError) -> Exit {
    match error {
        RunError::Config(_) | RunError::Start(_) => Exit::Usage,
        _ => Exit::Error,
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
