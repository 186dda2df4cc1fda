//! One port: accepts connections, bounds them, and lets them finish.
//!
//! ```text
//!   accept --too many?--> closed at once
//!     '--> timeouts on reads and writes --> TLS, 10 s --> Protocol::serve
//!   stop --> no more accepts; every connection hears of it; after `drain` the rest are ended
//! ```
//!
//! Bounds: connections, time for a TLS handshake, time for one read or write to make progress. A peer that stops reading
//! loses its connection after one write's time, and with it what was held for it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::metrics;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait if the system has no more sockets.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection's bytes, with or without TLS.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// One connection.
pub(crate) type Stream = Pin<Box<dyn Duplex>>;

/// Whether the gateway is being stopped.
pub(crate) type Stop = watch::Receiver<bool>;

/// Completes once the gateway is being stopped.
pub(crate) async fn stopped(stop: &mut Stop) {
    // An error is a gateway that was dropped, which is a stop too.
    let _asked = stop.wait_for(|stop| *stop).await.is_ok();
}

/// What is spoken on a port.
pub(crate) trait Protocol: Send + Sync + 'static {
    /// Its name in the log, and in metrics.
    const NAME: &'static str;
    /// Most connections, whatever the settings allow.
    const MAX_CONNECTIONS: usize = usize::MAX;

    /// Serves one connection to its end. Once stopped it answers what it has, and ends.
    fn serve(
        self: Arc<Self>,
        stream: Stream,
        peer: SocketAddr,
        stop: Stop,
    ) -> impl Future<Output = ()> + Send;
}

/// One port and its bounds.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) max_connections: usize,
    /// How long a connection may be silent.
    pub(crate) idle: Duration,
    /// How long one write may wait for its peer.
    pub(crate) write: Duration,
    /// How long connections may take to finish.
    pub(crate) drain: Duration,
}

impl Port {
    /// Serves until it is stopped and all connections have ended.
    pub(crate) async fn serve<P: Protocol>(self, protocol: Arc<P>, mut stop: Stop) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(_ended) = connections.join_next(), if !connections.is_empty() => {
                    metrics::connections(P::NAME, connections.len());
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((_, peer)) if connections.len() >= self.max_connections => {
                    metrics::turned_away(P::NAME);
                    debug!(%peer, port = P::NAME, "closed: as many connections as may be");
                }
                Ok((socket, peer)) => {
                    let (stream, protocol) = (self.bound(socket), Arc::clone(&protocol));
                    let (tls, stop) = (self.tls.clone(), stop.clone());
                    connections.spawn(async move {
                        if let Some(stream) = open(stream, tls, peer).await {
                            protocol.serve(stream, peer, stop).await;
                        }
                    });
                    metrics::connections(P::NAME, connections.len());
                }
                Err(error) => {
                    warn!(%error, port = P::NAME, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        let Self {
            listener, drain, ..
        } = self;
        drop(listener);
        finish::<P>(connections, drain).await;
    }

    fn bound(&self, socket: TcpStream) -> TimeoutStream<TcpStream> {
        // Answers are written whole, so there is nothing to wait for. A socket that refuses is served all the same.
        let _set = socket.set_nodelay(true).is_ok();
        let mut stream = TimeoutStream::new(socket);
        stream.set_read_timeout(Some(self.idle));
        stream.set_write_timeout(Some(self.write));
        stream
    }
}

/// The connection, after its handshake if there is TLS.
async fn open(
    stream: TimeoutStream<TcpStream>,
    tls: Option<TlsAcceptor>,
    peer: SocketAddr,
) -> Option<Stream> {
    let Some(tls) = tls else {
        return Some(Box::pin(stream));
    };
    // The timeouts keep timers that must not move.
    match tokio::time::timeout(HANDSHAKE, tls.accept(Box::pin(stream))).await {
        Ok(Ok(stream)) => Some(Box::pin(stream)),
        Ok(Err(error)) => {
            debug!(%peer, %error, "no TLS handshake");
            None
        }
        Err(_elapsed) => {
            debug!(%peer, "the TLS handshake took too long");
            None
        }
    }
}

/// Waits for what is under way.
async fn finish<P: Protocol>(mut connections: JoinSet<()>, drain: Duration) {
    let rest = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, rest).await.is_err() {
        let left = connections.len();
        info!(
            left,
            port = P::NAME,
            "ended connections that did not finish in time"
        );
        connections.shutdown().await;
    }
}
