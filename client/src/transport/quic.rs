//! QUIC as quoit uses it: settings, sockets, dialling, and what a failure means.
//!
//! One endpoint, that is one UDP socket, per address family in use serves all nodes. What was measured
//! decides the settings: a large MTU where the path allows it and few acknowledgements halve the CPU of
//! a small request. MTU discovery stops at 6,400 bytes, since ten segments of more than 6,500 no longer
//! fit the largest send of the operating system and would be lost without an error.
//!
//! Memory a node can make this client hold per connection: [`CONNECTION_WINDOW`] in the transport, plus
//! what it sends of unfinished frames (see [`Bounds`](super::Bounds)).

use core::cell::OnceCell;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{
    AckFrequencyConfig, ClientConfig, ConnectError, Connecting, Connection, ConnectionError,
    Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TokioRuntime, TransportConfig,
    VarInt, udp,
};

/// Why a connection is closed, as the other side reads it.
pub(super) mod code {
    use quinn::VarInt;

    /// All is done.
    pub(crate) const DONE: VarInt = VarInt::from_u32(0);
    /// The node is stopping.
    pub(crate) const DRAINING: VarInt = VarInt::from_u32(1);
    /// What was sent cannot be read.
    pub(crate) const MALFORMED: VarInt = VarInt::from_u32(2);
    /// The certificate's role is not one that is served.
    pub(crate) const UNAUTHORISED: VarInt = VarInt::from_u32(3);
    /// The node serves as many connections as it may.
    pub(crate) const TOO_MANY: VarInt = VarInt::from_u32(4);
}

/// Streams on which a node may be sending large frames at once.
pub(super) const LARGE_STREAMS: u32 = 16;
/// Bytes that a node may have sent on one stream and this client not yet read.
pub(super) const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Bytes written and not yet acknowledged, for all streams of a connection.
const SEND_WINDOW: u64 = 8 << 20;
/// Not above 6,500, see the head of this file.
pub(super) const MTU_BOUND: u16 = 6_400;
const INITIAL_MTU: u16 = 1_200;
/// Packets that may arrive before they are acknowledged.
const ACK_THRESHOLD: u32 = 10;
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The first guess of a round trip: a lost first packet is sent again after three of them. The usual 333 ms
/// would make a node that has just come back wait for a whole attempt to connect.
const INITIAL_RTT: Duration = Duration::from_millis(50);
const IDLE: VarInt = VarInt::from_u32(15_000);
/// The operating system may grant less.
const SOCKET_BUFFER: usize = 4 << 20;
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Dialer {
    config: ClientConfig,
    v4: OnceCell<Endpoint>,
    v6: OnceCell<Endpoint>,
}

/// Why there is no connection, in a sentence for whoever has to act on it.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
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

impl Dialer {
    /// A dialer for connections with the certificates in `config`.
    pub(crate) fn new(mut config: ClientConfig) -> Self {
        config.transport_config(Arc::new(transport()));
        Self {
            config,
            v4: OnceCell::new(),
            v6: OnceCell::new(),
        }
    }

    /// Connects to `address` (`host:port`), where the certificate must be for `server_name`. All addresses
    /// of the host are tried at once. The caller sets the time.
    ///
    /// # Errors
    /// [`DialError`] of the address that failed last.
    pub(super) async fn dial(
        &self,
        address: &str,
        server_name: &str,
    ) -> Result<Connection, DialError> {
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

/// Waits for the first attempt that succeeds; the others are given up.
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
    let socket = UdpSocket::bind(any)?;
    enlarge_buffers(&socket);
    Endpoint::new(endpoint_config(), None, socket, Arc::new(TokioRuntime))
}

/// Tells nodes that they may send packets as large as this client's own.
pub(super) fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    if let Err(error) = config.max_udp_payload_size(MTU_BOUND) {
        tracing::error!(%error, "packets stay small");
    }
    config
}

/// Asks for larger socket buffers. They ride out bursts; a smaller grant only costs speed.
fn enlarge_buffers(socket: &UdpSocket) {
    let granted = udp::UdpSocketState::new(socket.into()).and_then(|state| {
        state.set_send_buffer_size(socket.into(), SOCKET_BUFFER)?;
        state.set_recv_buffer_size(socket.into(), SOCKET_BUFFER)
    });
    if let Err(error) = granted {
        tracing::debug!(%error, "socket buffers stay as they are");
    }
}

pub(super) fn transport() -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MTU_BOUND);
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(ACK_THRESHOLD.into());
    let mut transport = TransportConfig::default();
    transport
        .initial_mtu(INITIAL_MTU)
        .mtu_discovery_config(Some(mtu))
        .ack_frequency_config(Some(acks))
        .congestion_controller_factory(Arc::new(CubicConfig::default()))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .max_idle_timeout(Some(IdleTimeout::from(IDLE)))
        .receive_window(CONNECTION_WINDOW.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .send_window(SEND_WINDOW)
        .send_fairness(false)
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(LARGE_STREAMS.into())
        .datagram_receive_buffer_size(None);
    transport
}

/// Says what the end of a connection means.
pub(super) struct Explained<'a>(pub(super) &'a ConnectionError);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ConnectionError::TransportError(error) if is_tls(error.code.into()) => write!(
                f,
                "the node's certificate is not believed ({}): is this the cluster of `ca`, and is the node's certificate in date?",
                error.reason
            ),
            ConnectionError::ConnectionClosed(close) if is_tls(close.error_code.into()) => write!(
                f,
                "the node refused this client's certificate ({close}): is it signed by the cluster's authority, and in date?"
            ),
            ConnectionError::ApplicationClosed(close) => match close.error_code {
                code::DRAINING => f.write_str("the node is stopping"),
                code::MALFORMED => f.write_str(
                    "the node could not read what this client sent: are both of one version?",
                ),
                code::UNAUTHORISED => {
                    f.write_str("the node does not serve the role of this client's certificate")
                }
                code::TOO_MANY => f.write_str("the node serves as many connections as it may"),
                _other => write!(f, "the node closed the connection ({close})"),
            },
            ConnectionError::TimedOut => f.write_str(NOBODY),
            other => write!(f, "the connection broke: {other}"),
        }
    }
}

/// What silence means.
pub(super) const NOBODY: &str = "nobody answers there: does the node run, and does UDP reach it?";

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
        let said = |code: VarInt| {
            let close = ApplicationClose {
                error_code: code,
                reason: bytes::Bytes::new(),
            };
            DialError::from(ConnectionError::ApplicationClosed(close)).to_string()
        };
        assert!(said(code::DRAINING).contains("is stopping"));
        assert!(said(code::MALFORMED).contains("could not read"));
        assert!(said(code::UNAUTHORISED).contains("the role"));
        assert!(said(code::TOO_MANY).contains("as many connections"));
        assert!(said(VarInt::from_u32(77)).contains("closed the connection"));
    }

    #[test]
    fn silence_is_explained() {
        let silence = DialError::from(ConnectionError::TimedOut).to_string();
        assert_eq!(silence, NOBODY);
    }

    #[test]
    fn ten_packets_of_the_largest_size_fit_one_send() {
        assert!(10 * (usize::from(MTU_BOUND) + 50) <= 65_507);
    }
}
