//! One node, for tests and benchmarks: `quoit-test-node --config NODE.TOML`.
//!
//! It is the node library's own [`run`](quoit_node::run) with a log, and nothing more but that it ends when
//! its standard input does: a test that is killed leaves no nodes behind. `QUOIT_LOG` sets what is logged.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What the process returns when its owner is gone.
const ORPHANED: i32 = 3;

fn main() -> ExitCode {
    let asked: Option<Targets> = std::env::var("QUOIT_LOG")
        .ok()
        .and_then(|text| text.parse().ok());
    let filter = asked.unwrap_or_else(|| quoit_node::log_filter(LevelFilter::INFO));
    quoit_node::log_to_stderr(filter);

    std::thread::spawn(end_with_owner);
    let config = PathBuf::from(std::env::args_os().nth(2).unwrap_or_default());
    match quoit_node::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            // If standard error is gone there is nobody to tell.
            let _told = writeln!(std::io::stderr(), "{:#}", anyhow::Error::from(error)).is_ok();
            code
        }
    }
}

/// Waits for the end of standard input, which lasts as long as the owner, and ends the process.
fn end_with_owner() {
    let mut nothing = [0; 16];
    while std::io::stdin()
        .read(&mut nothing)
        .is_ok_and(|bytes| bytes > 0)
    {}
    std::process::exit(ORPHANED);
}
