//! The port for metrics: plain HTTP, one request in a connection, on a thread of its own.
//!
//! ```text
//!   GET /metrics    200, the page        another path    404        another method    405
//! ```
//!
//! Whoever can reach the port can read the metrics, so it is off unless `metrics` names an address. It holds no key and no value. Bounded:
//! [`MAX_CONNECTIONS`] at a time, [`TIME`] each, heads of 8 KiB. A scrape takes no lock that a request waits for longer than a count takes.
//!
//! A node lives without this thread: one that ends by a panic is logged and leaves the node alone.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Page;

const NAME: &str = "quoit-metrics";
/// Most connections at a time: scrapers are few.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection may last.
const TIME: Duration = Duration::from_secs(10);
/// Longest head of a request.
const MAX_HEAD: usize = 8 << 10;
/// How long it waits after it could not accept a connection.
const PAUSE: Duration = Duration::from_millis(100);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The serving thread; dropping it ends it.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    /// Binds the port.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Serves `page` until it is dropped.
    pub(crate) fn start(listener: TcpListener, page: Page) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (stop, mut stopped) = watch::channel(false);
        let page = Arc::new(page);
        let thread = std::thread::Builder::new().name(NAME.to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    // An error is the same: its sender is gone.
                    _stopped = stopped.changed() => {}
                    () = listen(listener, page) => {}
                }
            });
        })?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that serves metrics had panicked");
        }
    }
}

async fn listen(listener: TcpListener, page: Arc<Page>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "metrics are not served");
            return;
        }
    };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((_socket, peer)) if connections.len() == MAX_CONNECTIONS => {
                tracing::debug!(%peer, "closed: as many connections as may be read metrics");
            }
            Ok((socket, _peer)) => {
                let page = Arc::clone(&page);
                let answer = service_fn(move |request| {
                    let answer = answer(&request, &page);
                    async { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .keep_alive(false)
                    // A peer that has sent all it has to say still hears the answer.
                    .half_close(true)
                    .max_buf_size(MAX_HEAD)
                    .serve_connection(TokioIo::new(socket), answer);
                connections.spawn(async move {
                    // Whoever reads too slowly, or breaks off, asks again.
                    let _ended = tokio::time::timeout(TIME, connection).await.is_ok();
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection that reads metrics");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn answer<T>(request: &Request<T>, page: &Arc<Page>) -> Response<String> {
    let refused = |status, text: &str| {
        let mut response = Response::new(text.to_owned());
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return refused(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, "metrics are read by GET\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match page.text() {
        Ok(text) => {
            let mut response = Response::new(text);
            let kind = HeaderValue::from_static(OPEN_METRICS);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(_error) => refused(StatusCode::INTERNAL_SERVER_ERROR, "no text\n"),
    }
}
