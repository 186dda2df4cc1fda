//! The log of a program that runs a node: standard error, and never a reason to end.
//!
//! ```text
//! log record ------.
//! tracing event --fmt--> a line --LogWriter--> standard error, if it takes it
//!                                         `--> nowhere, if it does not
//! ```
//!
//! A standard error that is full or that nobody reads any more is common: a supervisor that was restarted, a
//! terminal that was closed, a full disk. What writes the log would otherwise panic, in whichever thread had
//! something to say. A line that is lost is not said again, and nothing counts them.
//!
//! The storage engine speaks through the `log` facade. Its lines come here, too: only they say what failed when it
//! gives up. Their targets are `fjall` and `lsm_tree`.
//!
//! Left out: a pipe that is open and never read. Who logs into it waits, as in any program.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// Standard error as a log takes it: every line is accepted, whatever becomes of it.
#[derive(Debug, Clone, Copy, Default)]
struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // There is no other place to say it.
        io::Write::write_all(&mut io::stderr(), line).ok();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs to standard error from now on what `filter` lets through, with colours only on a terminal that can show them
/// (`NO_COLOR`, `TERM=dumb`). Call it once, early in `main`; a second call changes nothing.
///
/// Never ends the process, also if standard error is closed or full.
///
/// ```
/// use tracing_subscriber::filter::{LevelFilter, Targets};
///
/// quoit_node::log_to_stderr(Targets::new().with_default(LevelFilter::INFO));
/// ```
pub fn log_to_stderr(filter: Targets) {
    let lines = fmt::layer()
        .with_writer(|| LogWriter)
        .with_ansi(colours())
        // What cannot be logged would be printed, and a print that fails panics.
        .log_internal_errors(false);
    // The only error is that a log is there already.
    let _first = tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .try_init()
        .is_ok();
}

fn colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !unwanted && !dumb && io::stderr().is_terminal()
}
