//! The load generator of quoit: puts a store under load and measures what its users would see.
//!
//! ```text
//! line --args--> run --> target: quoit, or a peer      workload: what is asked, of which key
//!                 |  --> cluster: own processes        verify:   what became of acknowledged writes
//!                 '--> result --> report: text, HTML   compare:  two results   hlog: histograms
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`args`] | the grammar |
//! | [`run`] | a run, from an empty machine to a result |
//! | [`workload`], [`target`], [`verify`] | which operations, on which store, and whether it kept its word |
//! | [`cluster`], [`node`] | real processes on this machine, which are this program |
//! | [`result`], [`report`], [`compare`](mod@compare), [`hlog`], [`table`] | what was found, and how it is shown |
//! | [`os`] | processor time, memory, cores, precise timers |
//!
//! Ends with 0; 1 if the run failed; 2 if the line makes no sense; 3 if `--verify` found a write that was
//! lost, resurrected or wrong; 130 after Ctrl-C. Whatever it started is gone by then.

mod args;
mod cluster;
mod compare;
mod hlog;
mod node;
mod os;
mod report;
mod result;
mod run;
mod table;
mod target;
mod verify;
mod workload;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::args::{Cli, Format, RunArgs, Verb};
use crate::result::RunResult;
use crate::run::folder;

/// The line makes no sense.
const USAGE: u8 = 2;
/// A promise was broken.
const BROKEN: u8 = 3;
/// Ended by Ctrl-C or SIGTERM.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.verb {
        Some(Verb::Node {
            config,
            while_stdin_is_open,
        }) => return node::run(config, *while_stdin_is_open),
        Some(Verb::Compare {
            a,
            b,
            force,
            output,
        }) => compare(a, b, *force, *output),
        Some(Verb::Report { dir }) => report_again(dir),
        Some(Verb::Table { dir, into }) => {
            table::write(dir, into.as_deref()).map(|()| ExitCode::SUCCESS)
        }
        None => match cli.run.check() {
            Ok(()) => measure(&cli.run),
            Err(sentence) => {
                complain(&anyhow::Error::msg(sentence));
                return ExitCode::from(USAGE);
            }
        },
    };
    done.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// Prints what went wrong, with its causes.
fn complain(error: &anyhow::Error) {
    // Without standard error there is nothing left to report to.
    let _written = writeln!(io::stderr(), "error: {error:#}").is_ok();
}

/// Writes a result to standard output.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end()).context("standard output is gone")
}

fn measure(args: &RunArgs) -> anyhow::Result<ExitCode> {
    if let Some(core) = args.pace.pin {
        // Before the first thread, so that all of them stay there, and the nodes, which inherit it.
        os::pin(core).with_context(|| format!("--pin {core}"))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let stop = stop_requested()?;
        tokio::select! {
            biased;
            () = stop => Ok(None),
            result = Box::pin(run::run(args)) => result.map(Some),
        }
    });
    // Tasks that still hold the cluster end here.
    drop(runtime);
    match ended? {
        Some(result) => show(args, &result),
        None => {
            complain(&anyhow::Error::msg("interrupted; nothing is left running"));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

fn show(args: &RunArgs, result: &RunResult) -> anyhow::Result<ExitCode> {
    if let Some(dir) = &args.out {
        folder::write(dir, result)?;
    }
    match args.output {
        Format::Text => print(&report::text(result))?,
        Format::Json => print(&serde_json::to_string_pretty(result)?)?,
    }
    let broken = result
        .verify
        .is_some_and(|note| note.lost + note.resurrected + note.wrong > 0);
    Ok(if broken {
        ExitCode::from(BROKEN)
    } else {
        ExitCode::SUCCESS
    })
}

fn compare(a: &Path, b: &Path, force: bool, output: Format) -> anyhow::Result<ExitCode> {
    let comparison = compare::run(a, b, force)?;
    match output {
        Format::Text => print(&compare::text(&comparison))?,
        Format::Json => print(&serde_json::to_string_pretty(&comparison)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn report_again(dir: &Path) -> anyhow::Result<ExitCode> {
    folder::page(dir, &folder::read(dir)?)?;
    print(&format!("{}", dir.join("report.html").display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Listens from now on for Ctrl-C and SIGTERM; completes when one of them arrives.
fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let (mut interrupt, mut terminate) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        Ok(async move {
            tokio::select! {
                biased;
                _signal = interrupt.recv() => {}
                _signal = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
