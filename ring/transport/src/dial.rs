//! Connecting to a node, and what a failure means.
//!
//! ```text
//!   "host:port" --resolve--> addresses --dial all at once--> the first that answers
//! ```
//!
//! One endpoint, that is one UDP socket, per address family serves all nodes: a dialler's own, or the one that a node
//! serves at. The other end must prove by its certificate that it is the wanted node, so another one at a reused address
//! is never taken for it. Left out: how long to try and when to try again.

use core::cell::OnceCell;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use quinn::{
    ClientConfig, ConnectError, Connecting, Connection, ConnectionError, Endpoint, EndpointConfig,
    TokioRuntime, TransportErrorCode,
};

use crate::CloseCode;
use crate::quic::{Side, accept_long_packets, bind, transport};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Makes connections. Belongs to one thread; dial inside a tokio runtime.
#[derive(Debug)]
pub struct Dialer {
    config: ClientConfig,
    v4: OnceCell<Endpoint>,
    v6: OnceCell<Endpoint>,
}

/// Why there is no connection, in a sentence for the operator. No frame was sent.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("the address cannot be resolved: {0}")]
    Unresolved(#[source] io::Error),
    /// No socket.
    #[error("no socket: {0}")]
    Socket(#[source] io::Error),
    /// The address or name cannot be dialled.
    #[error("the address cannot be dialled: {0}")]
    Undialable(#[from] ConnectError),
    /// The handshake failed or the connection was lost.
    #[error("{}", Explained(.0))]
    Lost(#[from] ConnectionError),
}

impl DialError {
    /// Whether the node began no handshake because many are under way; that passes within seconds.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Lost(ConnectionError::ConnectionClosed(close)) if is_refused(close.error_code))
    }
}

impl Dialer {
    /// A client's dialer for connections with the certificates in `config`; it opens sockets as it needs them.
    #[must_use]
    pub fn new(mut config: ClientConfig) -> Self {
        config.transport_config(Arc::new(transport(Side::Client)));
        Self {
            config,
            v4: OnceCell::new(),
            v6: OnceCell::new(),
        }
    }

    /// A node's dialer: connections leave from the socket of `endpoint`, at which it serves.
    #[must_use]
    pub fn from_endpoint(endpoint: Endpoint, mut config: ClientConfig) -> Self {
        config.transport_config(Arc::new(transport(Side::Peer)));
        // A socket of one family refuses addresses of the other by itself.
        Self {
            config,
            v4: OnceCell::from(endpoint.clone()),
            v6: OnceCell::from(endpoint),
        }
    }

    /// Connects to `address` (`host:port`), where the certificate must be for `server_name`. All addresses
    /// of the host, eight at most, are tried at once. There is no deadline here: wrap it in a timeout.
    ///
    /// # Errors
    /// [`DialError`] of the address that failed last.
    pub async fn dial(&self, address: &str, server_name: &str) -> Result<Connection, DialError> {
        let resolved = tokio::net::lookup_host(address).await;
        let addresses = resolved.map_err(DialError::Unresolved)?;
        let mut attempts = Vec::new();
        let mut failure = DialError::Unresolved(io::Error::other("the name has no address"));
        for address in addresses.take(MAX_ADDRESSES) {
            match self.start(address, server_name) {
                Ok(attempt) => attempts.push(attempt),
                Err(error) => failure = error,
            }
        }
        first(attempts, failure).await
    }

    fn start(&self, address: SocketAddr, server_name: &str) -> Result<Connecting, DialError> {
        let endpoint = self.endpoint(address).map_err(DialError::Socket)?;
        Ok(endpoint.connect_with(self.config.clone(), address, server_name)?)
    }

    /// The endpoint that reaches `address`; it must be called inside the runtime.
    fn endpoint(&self, address: SocketAddr) -> io::Result<&Endpoint> {
        let (cell, any) = match address {
            SocketAddr::V4(_) => (&self.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&self.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        if let Some(endpoint) = cell.get() {
            return Ok(endpoint);
        }
        let endpoint = open(any)?;
        Ok(cell.get_or_init(|| endpoint))
    }
}

/// Waits for the first attempt that succeeds and drops the others.
async fn first(
    mut attempts: Vec<Connecting>,
    mut failure: DialError,
) -> Result<Connection, DialError> {
    poll_fn(|cx| {
        let mut index = 0;
        while let Some(attempt) = attempts.get_mut(index) {
            match core::pin::Pin::new(attempt).poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(connection)) => return Poll::Ready(Some(connection)),
                Poll::Ready(Err(error)) => {
                    failure = error.into();
                    attempts.swap_remove(index);
                }
            }
        }
        if attempts.is_empty() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    })
    .await
    .ok_or(failure)
}

fn open(any: SocketAddr) -> io::Result<Endpoint> {
    let socket = bind(any)?;
    let mut config = EndpointConfig::default();
    accept_long_packets(&mut config);
    Endpoint::new(config, None, socket, Arc::new(TokioRuntime))
}

/// Prints what the end of a connection means, and what to check.
///
/// ```
/// use quinn::ConnectionError;
/// use quoit_transport::dial::{Explained, NO_ANSWER};
///
/// assert_eq!(Explained(&ConnectionError::TimedOut).to_string(), NO_ANSWER);
/// ```
#[derive(Debug)]
pub struct Explained<'a>(pub &'a ConnectionError);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ConnectionError::TransportError(error) if is_tls(error.code.into()) => write!(
                f,
                "the node's certificate is not trusted ({}): is this the cluster of `ca`, and is the node's certificate in date?",
                error.reason
            ),
            ConnectionError::ConnectionClosed(close) if is_tls(close.error_code.into()) => write!(
                f,
                "the node refused this client's certificate ({close}): is it signed by the cluster's authority, and in date?"
            ),
            ConnectionError::ApplicationClosed(close) => {
                match CloseCode::from_code(close.error_code.into_inner()) {
                    Some(CloseCode::Draining) => f.write_str("the node is stopping"),
                    Some(CloseCode::Malformed) => f.write_str(
                        "the node could not read what this client sent: are both of one version?",
                    ),
                    Some(CloseCode::Unauthorised) => {
                        f.write_str("the node does not serve the role of this client's certificate")
                    }
                    Some(CloseCode::Removed) => f.write_str(
                        "the node of this certificate was removed from the cluster, for ever",
                    ),
                    Some(CloseCode::TooManyConnections) => f.write_str(
                        "the node serves as many connections as it may: close some, or raise its `max_connections`",
                    ),
                    Some(CloseCode::TooManyOfIdentity) => f.write_str(
                        "the node serves as many connections of this client's certificate as it may: give applications certificates of their own, or raise its `max_connections_per_identity`",
                    ),
                    Some(CloseCode::Done) | None => {
                        write!(f, "the node closed the connection ({close})")
                    }
                }
            }
            ConnectionError::ConnectionClosed(close) if is_refused(close.error_code) => f.write_str(
                "the node begins no more handshakes for the moment: many are under way, from this address or at all",
            ),
            ConnectionError::TimedOut => f.write_str(NO_ANSWER),
            other => write!(f, "the connection broke: {other}"),
        }
    }
}

/// What a dial that gets no answer means.
pub const NO_ANSWER: &str = "no answer from there: does the node run, and does UDP reach it?";

/// Whether a code of QUIC means that a handshake was not begun (RFC 9000, section 20.1).
fn is_refused(code: TransportErrorCode) -> bool {
    u64::from(code) == 0x2
}

/// Whether a code of QUIC stands for an alert of TLS.
const fn is_tls(code: u64) -> bool {
    matches!(code, 0x100..=0x1ff)
}

#[cfg(test)]
mod tests {
    use quinn::ApplicationClose;

    use super::*;

    #[test]
    fn each_code_that_a_node_closes_with_has_its_own_sentence() {
        let said = |code: u32| {
            let close = ApplicationClose {
                error_code: code.into(),
                reason: bytes::Bytes::new(),
            };
            DialError::from(ConnectionError::ApplicationClosed(close)).to_string()
        };
        assert!(said(CloseCode::Draining as u32).contains("is stopping"));
        assert!(said(CloseCode::Malformed as u32).contains("could not read"));
        assert!(said(CloseCode::Unauthorised as u32).contains("the role"));
        assert!(said(CloseCode::TooManyConnections as u32).contains("`max_connections`"));
        assert!(said(CloseCode::TooManyOfIdentity as u32).contains("this client's certificate"));
        assert!(said(77).contains("closed the connection"));
    }

    #[test]
    fn silence_is_explained() {
        let silence = DialError::from(ConnectionError::TimedOut).to_string();
        assert_eq!(silence, NO_ANSWER);
    }
}
