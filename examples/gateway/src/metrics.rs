//! What a gateway measures of itself and of its client, and the port where Prometheus reads it.
//!
//! ```text
//!   access, commands, listener --\
//!                                 metrics facade --> recorder of the program --GET /metrics--> text
//!   client ----------------------/
//! ```
//!
//! The library only reports to the facade: whoever links it chooses the recorder, and without one nothing is kept. The program installs
//! one where `--metrics` names an address ([`MetricsPort::install`]); the client's own metrics come with it. `docs/metrics.md` lists
//! those of the gateway, and a test compares them with what is served; those of the client are in its documentation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing::debug;

use crate::failure::Failure;
use crate::listener::{Protocol, Stop, Stream, stopped};

/// Upper bounds of the buckets of durations, in seconds: from a read in memory to what nobody waits for.
const BUCKETS: [f64; 15] = [
    0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];
/// How often what was recorded is summed up: between two scrapes it takes memory.
const UPKEEP: Duration = Duration::from_secs(5);
/// Most connections to the port.
const MAX_CONNECTIONS: usize = 16;
/// Longest head of a request.
const MAX_HEAD: usize = 8 << 10;
/// The text's format (Prometheus 0.0.4).
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counts a request or command that has ended, by what came of it, and how long it took.
pub(crate) fn ended(
    (port, operation): (&'static str, &'static str),
    failure: Option<&Failure>,
    took: Duration,
) {
    let outcome = failure.map_or("ok", |failure| failure.kind.slug());
    counter!("quoit_gateway_requests_total", "port" => port, "operation" => operation, "outcome" => outcome)
        .increment(1);
    histogram!("quoit_gateway_request_seconds", "port" => port, "operation" => operation)
        .record(took.as_secs_f64());
}

/// Counts one that was refused before it was looked at.
pub(crate) fn refused(port: &'static str, failure: &Failure) {
    ended((port, "other"), Some(failure), Duration::ZERO);
}

/// Shows how many connections a port has.
pub(crate) fn connections(port: &'static str, count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    gauge!("quoit_gateway_connections", "port" => port).set(f64::from(count));
}

/// Counts a connection that was closed at once: there were as many as may be.
pub(crate) fn turned_away(port: &'static str) {
    counter!("quoit_gateway_connections_refused_total", "port" => port).increment(1);
}

/// Where metrics are read, and the recorder that keeps them.
#[derive(Debug, Clone)]
pub struct MetricsPort {
    /// The address; whoever reaches it can read them.
    pub address: SocketAddr,
    recorder: PrometheusHandle,
}

impl MetricsPort {
    /// Installs a recorder for the whole process, whose text is read at `address` once a gateway serves it.
    ///
    /// # Errors
    /// The process has a recorder already. Nothing was changed.
    pub fn install(address: SocketAddr) -> Result<Self, BuildError> {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS)?;
        let recorder = builder.install_recorder()?;
        Ok(Self { address, recorder })
    }

    /// Keeps what is recorded small until the gateway is stopped.
    pub(crate) async fn keep_up(self, mut stop: Stop) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                _tick = ticks.tick() => self.recorder.run_upkeep(),
            }
        }
    }
}

/// The port's protocol: HTTP/1.1, one request in a connection.
pub(crate) struct Scrapes(pub(crate) MetricsPort);

impl Protocol for Scrapes {
    const NAME: &'static str = "metrics";
    const MAX_CONNECTIONS: usize = MAX_CONNECTIONS;

    async fn serve(self: Arc<Self>, stream: Stream, peer: SocketAddr, mut stop: Stop) {
        let answer = service_fn(|request: Request<Incoming>| {
            let answer = self.answer(request.method(), request.uri().path());
            async { Ok::<_, core::convert::Infallible>(answer) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            // A peer that has sent all it has to say still hears the answer.
            .half_close(true)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), answer);
        let ended = tokio::select! {
            biased;
            ended = connection => ended,
            () = stopped(&mut stop) => return, // a scrape is made again
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "a scrape ended early");
        }
    }
}

impl Scrapes {
    fn answer(&self, method: &Method, path: &str) -> Response<String> {
        let (status, text) = match (method, path) {
            (&Method::GET | &Method::HEAD, "/metrics") => {
                (StatusCode::OK, self.0.recorder.render())
            }
            (_, "/metrics") => (
                StatusCode::METHOD_NOT_ALLOWED,
                "metrics are read by GET\n".to_owned(),
            ),
            _ => (
                StatusCode::NOT_FOUND,
                "metrics are at /metrics\n".to_owned(),
            ),
        };
        let mut response = Response::new(text);
        *response.status_mut() = status;
        let kind = HeaderValue::from_static(TEXT);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}
