//! The command line: which cluster, which ports, who may use them, within which bounds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use quoit_client::{Client, ClientBuilder, Consistency};
use quoit_gateway::{Identity, IdentityError, Limits, Settings, Tokens, TokensError};
use tracing_subscriber::filter::Targets;

/// Serves a quoit cluster over HTTP and RESP, the protocol of Redis, until SIGTERM or Ctrl-C.
///
/// Ends with 0 after a stop in order; 1 for an error; 2 if the line, a file it names or a setting makes no sense; 6 if no node
/// answered; 7 if an address is in use.
#[derive(Debug, Parser)]
#[command(name = "quoit-gateway", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Profile of the cluster: its seeds and this program's certificate
    #[arg(long, env = "QUOIT_PROFILE", value_name = "FILE")]
    profile: PathBuf,

    /// Where HTTP is served, such as 127.0.0.1:8080
    #[arg(long, value_name = "IP:PORT", required_unless_present = "resp")]
    http: Option<SocketAddr>,

    /// Where RESP is served, such as 127.0.0.1:6379
    #[arg(long, value_name = "IP:PORT")]
    resp: Option<SocketAddr>,

    /// Where Prometheus reads metrics, by plain HTTP at /metrics; whoever reaches the port can read them
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) metrics: Option<SocketAddr>,

    #[command(flatten)]
    access: Access,

    #[command(flatten)]
    operations: Operations,

    #[command(flatten)]
    bounds: Bounds,

    /// What to log to standard error: a level, or levels by target. `quoit_gateway::access=warn` leaves requests out
    #[arg(long, env = "QUOIT_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: Targets,

    /// How lines of the log look
    #[arg(
        long,
        env = "QUOIT_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object a line
    Json,
}

/// Who may connect.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Access")]
struct Access {
    /// File of tokens, one a line; HTTP takes them by `Authorization: Bearer`, RESP by AUTH
    #[arg(long, value_name = "FILE", conflicts_with = "open")]
    tokens: Option<PathBuf>,

    /// Serve other addresses than loopback without tokens: whoever can connect may read and write everything
    #[arg(long)]
    open: bool,

    /// PEM file of a certificate, for TLS 1.3 on both ports
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// PEM file of its key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// What an operation promises unless a request says otherwise.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Operations")]
struct Operations {
    /// What operations promise [default: quorum]
    #[arg(long, value_enum, value_name = "MODE")]
    consistency: Option<Mode>,

    /// Replicas that must answer a read, 1 to N [default: what the consistency needs]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u8).range(1..=16))]
    r: Option<u8>,

    /// Replicas that must have stored a write, 1 to N [default: what the consistency needs]
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u8).range(1..=16))]
    w: Option<u8>,

    /// How long an operation may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=30_000))]
    deadline_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// One replica is enough: answers while one lives
    One,
    /// A majority: reads see every acknowledged write
    Quorum,
    /// One after the other, each at one instant; a write takes two rounds, and no context
    Linearizable,
}

/// What one gateway takes at most.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Bounds")]
struct Bounds {
    /// Longest value in bytes; the nodes have their own bound
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_value_bytes)]
    max_value: usize,

    /// Connections of each port
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().max_connections)]
    max_connections: usize,

    /// Reads and writes under way at once
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().max_in_flight)]
    max_in_flight: usize,

    /// Bytes of bodies, commands and answers held at once
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().memory_bytes)]
    memory: usize,

    /// Requests a second from one address [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    /// Seconds that requests under way may take after a signal
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().drain.as_secs())]
    drain: u64,
}

/// Why a line makes no sense, once its files are read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Tokens(#[from] TokensError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "{0} is not a loopback address: give `--tokens FILE`, or `--open` if anyone who can connect may use it"
    )]
    Open(SocketAddr),
}

impl Arguments {
    /// What to serve.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) fn settings(&self) -> Result<Settings, Refused> {
        let access = &self.access;
        let tokens = access.tokens.as_deref().map(Tokens::load).transpose()?;
        let tls = match (&access.tls_cert, &access.tls_key) {
            (Some(certificate), Some(key)) => Some(Identity::load(certificate, key)?),
            _ => None,
        };
        let is_guarded = tokens.is_some() || access.open;
        let mut addresses = [self.http, self.resp].into_iter().flatten();
        if let Some(open) = addresses.find(|address| !is_guarded && !address.ip().is_loopback()) {
            return Err(Refused::Open(open));
        }
        let bounds = &self.bounds;
        let limits = Limits {
            max_value_bytes: bounds.max_value,
            max_connections: bounds.max_connections,
            max_in_flight: bounds.max_in_flight,
            memory_bytes: bounds.memory,
            rate: bounds.rate,
            drain: Duration::from_secs(bounds.drain),
            ..Limits::default()
        };
        Ok(Settings {
            http: self.http,
            resp: self.resp,
            tokens,
            tls,
            metrics: None, // a recorder is of the whole process
            limits,
        })
    }

    /// A client of the cluster.
    pub(crate) fn builder(&self, limits: &Limits) -> ClientBuilder {
        let operations = &self.operations;
        let mut builder = limits
            .client(Client::builder())
            .profile(&self.profile)
            .deadline(Duration::from_millis(operations.deadline_ms));
        if let Some(mode) = operations.consistency {
            builder = builder.consistency(match mode {
                Mode::One => Consistency::One,
                Mode::Quorum => Consistency::Quorum,
                Mode::Linearizable => Consistency::Linearizable,
            });
        }
        let builder = operations.r.into_iter().fold(builder, ClientBuilder::r);
        operations.w.into_iter().fold(builder, ClientBuilder::w)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn without_tokens_only_loopback_is_served_unless_it_is_asked_for() {
        let refused = |rest: &str| {
            let line = format!("quoit-gateway --profile p {rest}");
            parse(&line).unwrap().settings().err()
        };
        assert!(refused("--http 127.0.0.1:0 --resp [::1]:0").is_none());
        assert!(matches!(
            refused("--http 127.0.0.1:0 --resp 0.0.0.0:1"),
            Some(Refused::Open(_))
        ));
        assert!(refused("--http 0.0.0.0:0 --open").is_none());
        assert!(matches!(
            refused("--http 127.0.0.1:0 --tokens /none"),
            Some(Refused::Tokens(_))
        ));
    }

    #[test]
    fn lines_that_make_no_sense_are_refused() {
        for (rest, kind) in [
            ("--profile p", ErrorKind::MissingRequiredArgument),
            ("--profile p --http localhost", ErrorKind::ValueValidation),
            (
                "--profile p --http 127.0.0.1:1 --rate 0",
                ErrorKind::ValueValidation,
            ),
            (
                "--profile p --http 127.0.0.1:1 --deadline-ms 40000",
                ErrorKind::ValueValidation,
            ),
            (
                "--profile p --http 127.0.0.1:1 --tls-cert c",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "--profile p --http 127.0.0.1:1 --open --tokens t",
                ErrorKind::ArgumentConflict,
            ),
        ] {
            let error = parse(&format!("quoit-gateway {rest}")).unwrap_err();
            assert_eq!(error.kind(), kind, "{rest}");
        }
    }
}
