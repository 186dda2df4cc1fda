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
//! | [`os`], [`terminal`] | processor time, memory, cores, precise timers; the one place that prints |
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
mod terminal;
mod verify;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use quoit_node::StopSignals;

use crate::args::{Cli, Format, RunArgs, Verb};
use crate::result::RunResult;
use crate::run::folder;
use crate::terminal::{complain, print};

/// The line makes no sense.
const USAGE: u8 = 2;
/// A promise was broken.
const BROKEN: u8 = 3;
/// Ended by Ctrl-C, SIGTERM or SIGHUP.
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

fn measure(args: &RunArgs) -> anyhow::Result<ExitCode> {
    if let Some(core) = args.pace.pin {
        // Before the first thread, so that all of them stay there, and the nodes, which inherit it.
        os::pin(core).with_context(|| format!("--pin {core}"))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let mut stop = StopSignals::listen()?;
        tokio::select! {
            biased;
            () = stop.next() => Ok(None),
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
