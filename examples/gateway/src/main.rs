//! `quoit-gateway`: serves a cluster over HTTP and RESP until a signal stops it.
//!
//! ```text
//! ready: http 127.0.0.1:8080 resp 127.0.0.1:6379        on standard output; the log goes to standard error
//! ```
//!
//! Ends with 0 after a stop in order; 1 for an error; 2 if the line, a file it names or a setting makes no sense; 6 if no
//! node answered; 7 if an address is in use.

mod args;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use quoit_client::{Client, ConnectError};
use quoit_gateway::{Gateway, MetricsPort, StartError};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Arguments, LogFormat, Refused};

const ERROR: u8 = 1;
const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 6;
const TRY_LATER: u8 = 7;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.log_format, arguments.log.clone());
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left who could hear that standard error is closed.
            let _said = writeln!(io::stderr(), "error: {error:#}").is_ok();
            ExitCode::from(code(&error))
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut settings = arguments.settings()?;
    let metrics = arguments.metrics.map(MetricsPort::install);
    settings.metrics = metrics.transpose().context("cannot keep metrics")?;
    let builder = arguments.builder(&settings.limits);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stop = stop_requested().context("cannot listen for signals")?;
        let client = builder.connect().await?;
        let served = serve(client.clone(), settings, stop).await;
        client.close().await;
        served
    })
}

async fn serve(
    client: Client,
    settings: quoit_gateway::Settings,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let gateway = Gateway::start(client, settings).await?;
    let mut ready = "ready:".to_owned();
    for (name, address) in [
        ("http", gateway.http_address()),
        ("resp", gateway.resp_address()),
        ("metrics", gateway.metrics_address()),
    ] {
        if let Some(address) = address {
            ready = format!("{ready} {name} {address}");
        }
    }
    // A reader that has gone does not need it.
    let _read = writeln!(io::stdout(), "{ready}").is_ok();

    stop.await;
    tracing::info!("stopping: requests under way are finished");
    gateway.shut_down().await;
    Ok(())
}

/// A future that completes with the first SIGTERM or Ctrl-C. Both are listened for from now on.
#[cfg(unix)]
fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            biased;
            _signal = terminate.recv() => {}
            _signal = interrupt.recv() => {}
        }
    })
}

/// A future that completes with the first Ctrl-C.
#[cfg(not(unix))]
fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Refused>() {
        return USAGE;
    }
    match error.downcast_ref::<ConnectError>() {
        Some(ConnectError::NoSeedAnswered { .. }) => return UNAVAILABLE,
        Some(ConnectError::System(_)) => return ERROR,
        Some(_) => return USAGE,
        None => {}
    }
    match error.downcast_ref::<StartError>() {
        Some(StartError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
            TRY_LATER
        }
        Some(_) => USAGE,
        None => ERROR,
    }
}

/// Logs to standard error what `filter` lets through; without colours unless a terminal can show them.
fn log_to_stderr(format: LogFormat, filter: Targets) {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(!unwanted && io::stderr().is_terminal())
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.with_ansi(false).json().flatten_event(true).boxed(),
    };
    // The only error is that a log is there already.
    let _first = tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .try_init()
        .is_ok();
}
