//! This program as a node of its own cluster: what `quoit-node` does, so that one binary is enough.
//!
//! ```text
//!   quoit-load --starts--> quoit-load node --while-stdin-is-open --config FILE
//! ```

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

/// Runs the node that `config` describes until a signal stops it, or the process that started it is gone.
pub(crate) fn run(config: &Path, while_stdin_is_open: bool) -> ExitCode {
    let info = tracing_subscriber::filter::LevelFilter::INFO;
    quoit_node::log_to_stderr(quoit_node::LogFormat::Text, quoit_node::log_filter(info));
    if while_stdin_is_open {
        std::thread::spawn(end_with_stdin);
    }
    match quoit_node::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            crate::terminal::complain(&anyhow::Error::new(error));
            code
        }
    }
}

/// Ends the process when its starter does. What was acknowledged is on the disk, so no farewell is needed.
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
    std::process::exit(1);
}
