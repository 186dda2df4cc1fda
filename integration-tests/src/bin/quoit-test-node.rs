//! One node, for tests and benchmarks: `quoit-test-node --config NODE.TOML`, or one that joins: `quoit-test-node --join
//! BUNDLE --data DIR`.
//!
//! It is the node library's own [`run`](quoit_node::run) with a log, and nothing more but that it ends when
//! its standard input does: a test that is killed leaves no nodes behind. `QUOIT_LOG` sets what is logged,
//! `QUOIT_TRANSFER` how many bytes a second a node that joins may pull: a bundle has no settings.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use quoit_node::{JoinOptions, RunError};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// What the process returns when its owner is gone.
const ORPHANED: i32 = 3;

fn main() -> ExitCode {
    let asked: Option<Targets> = std::env::var("QUOIT_LOG")
        .ok()
        .and_then(|text| text.parse().ok());
    let filter = asked.unwrap_or_else(|| quoit_node::log_filter(LevelFilter::INFO));
    quoit_node::log_to_stderr(quoit_node::LogFormat::Text, filter);

    std::thread::spawn(end_with_owner);
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            // If standard error is gone there is nobody to tell.
            let _told = writeln!(std::io::stderr(), "{:#}", anyhow::Error::from(error)).is_ok();
            code
        }
    }
}

#[expect(
    clippy::result_large_err,
    reason = "it is made once, and ends the process"
)]
fn run(arguments: &[OsString]) -> Result<(), RunError> {
    if let [join, bundle, data, folder] = arguments
        && (join == "--join" && data == "--data")
    {
        let mut config = quoit_node::prepare_to_join(&JoinOptions {
            bundle: bundle.into(),
            data: folder.into(),
            address: None,
            listen: None,
        })?;
        let rate = std::env::var("QUOIT_TRANSFER").ok();
        if let Some(rate) = rate.and_then(|text| text.parse().ok()) {
            config.transfer_bytes_per_second = rate;
        }
        return quoit_node::run_with(&config);
    }
    let config = arguments.get(1).map(Path::new);
    quoit_node::run(config.unwrap_or_else(|| Path::new("")))
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
