//! The one QUIC configuration, with its reasons.
//!
//! ```text
//!   what a client may cost    a server 3 streams x 512 KiB received, 2 MiB sent and not yet acknowledged
//!   what makes it quick       packets of up to 6,400 bytes where the path allows, one acknowledgement for ten of
//!                             them, frames sent in the order written, segmentation offload (on by default)
//! ```
//!
//! Packets stay below 6,500 bytes: ten of them leave in one system call, and a call of more than 65,507 bytes fails
//! without an error, so that the whole batch is lost. Each stream's window fits the connection's, so a stream that
//! waits for its turn never starves the one being read.
//!
//! The three sides differ in what a silent or a greedy peer may cost them, and in nothing else.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::udp::{UdpSockRef, UdpSocketState};
use quinn::{
    AckFrequencyConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TransportConfig, VarInt,
};

/// Bytes that a server may have sent on one stream and its dialler not yet read.
const STREAM_WINDOW: u32 = 1 << 20;
/// Bytes that a dialler may have sent on one stream and its server not yet read. Less than the other way: a server has
/// many diallers, and trusts clients with no more memory than it must.
pub const SERVER_STREAM_WINDOW: u32 = 512 << 10;
/// Bytes that a server may have written on a connection and its dialler not yet acknowledged.
pub const ANSWER_WINDOW: u32 = 2 << 20;
/// Longest packet, in bytes; see the head of this file.
pub const MAX_PACKET: u16 = 6_400;
/// Length of the first packets, which every path on the Internet carries.
const INITIAL_PACKET: u16 = 1_200;
/// Packets that may arrive before they are acknowledged. More saves work, fewer finds losses sooner.
const ACK_THRESHOLD: u32 = 10;
/// The first guess of a round trip: a lost first packet is sent again after three of them. QUIC's own 333 ms
/// would make a node that has just come back wait for a whole attempt to connect.
const INITIAL_RTT: Duration = Duration::from_millis(50);
/// The idle timeout of a connection, in milliseconds. A live dialler sends keep-alives, and
/// [`silence`](crate::silence) gives up sooner on an end that leaves packets unanswered.
const IDLE_MS: u32 = 15_000;
/// Bytes that the operating system holds each way; it may grant less.
const SOCKET_BUFFER: usize = 4 << 20;
/// Handshakes that wait to be accepted, and the bytes that this side buffers for them.
const MAX_INCOMING: usize = 256;
const INCOMING_BYTES: u64 = 64 << 10;
const ALL_INCOMING_BYTES: u64 = 8 << 20;

/// One end of a connection, by what is at the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client that dialled a node. The dialler keeps the connection alive.
    Client,
    /// A node that dialled another node.
    Peer,
    /// A node that was dialled, by either.
    Server,
}

impl Side {
    /// Streams on which the other end may be sending large frames at once.
    ///
    /// ```
    /// use quoit_transport::quic::Side;
    ///
    /// assert_eq!(Side::Client.large_streams(), 16);
    /// assert_eq!(Side::Server.large_streams(), 2);
    /// ```
    #[must_use]
    pub const fn large_streams(self) -> u32 {
        match self {
            Self::Client => 16,
            Self::Peer => 3,
            Self::Server => 2,
        }
    }

    /// Bytes of a connection that may wait to be read here.
    ///
    /// A server reads large frames one after the other, so unread streams may fill their windows: it and a peer have
    /// windows for all of them beside the lane. A client's 16 streams could fill its window twice. That is safe for one
    /// reason only: a session reads all large streams at the same time, so no stream that it waits for can be starved
    /// by one that it does not read.
    const fn receive_window(self) -> u32 {
        match self {
            Self::Client => 8 * STREAM_WINDOW,
            Self::Peer => 4 * STREAM_WINDOW,
            Self::Server => 3 * SERVER_STREAM_WINDOW,
        }
    }

    const fn stream_window(self) -> u32 {
        match self {
            Self::Client | Self::Peer => STREAM_WINDOW,
            Self::Server => SERVER_STREAM_WINDOW,
        }
    }

    /// Bytes that this side may have written and the other end not yet acknowledged. A dialler writes no more than its
    /// server has windows for: what it wrote for a stream that is not read must not hold up the others.
    const fn send_window(self) -> u32 {
        match self {
            Self::Client | Self::Peer => Self::Server.receive_window(),
            Self::Server => ANSWER_WINDOW,
        }
    }

    /// Only the dialler opens a bidirectional stream, and only one: the lane.
    const fn lanes(self) -> u32 {
        match self {
            Self::Client | Self::Peer => 0,
            Self::Server => 1,
        }
    }

    const fn keep_alive(self) -> Option<Duration> {
        match self {
            Self::Client => Some(Duration::from_secs(5)),
            Self::Peer => Some(Duration::from_secs(1)),
            Self::Server => None,
        }
    }
}

/// The settings of a connection's end.
///
/// ```
/// use quoit_transport::quic::{Side, transport};
///
/// # fn example(mut config: quinn::ClientConfig) {
/// config.transport_config(std::sync::Arc::new(transport(Side::Client)));
/// # }
/// ```
#[must_use]
pub fn transport(side: Side) -> TransportConfig {
    let mut packets = MtuDiscoveryConfig::default();
    packets.upper_bound(MAX_PACKET);
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_THRESHOLD));

    let mut config = TransportConfig::default();
    config
        .initial_mtu(INITIAL_PACKET)
        .mtu_discovery_config(Some(packets))
        .ack_frequency_config(Some(acks))
        .congestion_controller_factory(Arc::new(CubicConfig::default()))
        .initial_rtt(INITIAL_RTT)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))))
        .keep_alive_interval(side.keep_alive())
        .max_concurrent_bidi_streams(VarInt::from_u32(side.lanes()))
        .max_concurrent_uni_streams(VarInt::from_u32(side.large_streams()))
        .stream_receive_window(VarInt::from_u32(side.stream_window()))
        .receive_window(VarInt::from_u32(side.receive_window()))
        .send_window(u64::from(side.send_window()))
        .send_fairness(false)
        .datagram_receive_buffer_size(None);
    config
}

/// Bounds what a caller may cost a server before and after the handshake: at most 256 handshakes wait, with 64 KiB each
/// and 8 MiB together. Also turns off migration: a peer is served at the address that it connected from.
pub fn bound_server(config: &mut ServerConfig) {
    config
        .transport_config(Arc::new(transport(Side::Server)))
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(ALL_INCOMING_BYTES);
}

/// Announces that this endpoint takes packets of up to [`MAX_PACKET`] bytes.
pub fn accept_long_packets(config: &mut EndpointConfig) {
    if let Err(error) = config.max_udp_payload_size(MAX_PACKET) {
        tracing::error!(%error, "packets stay short");
    }
}

/// Opens a UDP socket with buffers of 4 MiB each way for bursts; a smaller grant only costs packets.
///
/// ```
/// let socket = quoit_transport::quic::bind((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
/// assert_ne!(socket.local_addr()?.port(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// What the system says, if the address is in use or not this machine's.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;

    for granted in [
        state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER),
        state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER),
    ] {
        if let Err(error) = granted {
            tracing::debug!(%error, "socket buffers stay as they are");
        }
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_packets_of_the_largest_size_fit_one_send() {
        assert!(10 * (usize::from(MAX_PACKET) + 50) <= 65_507);
    }

    #[test]
    fn a_connections_window_holds_the_lanes_and_that_of_large_streams_in_use() {
        for side in [Side::Peer, Side::Server] {
            let streams = side.large_streams() + 1;
            assert_eq!(side.receive_window(), streams * side.stream_window());
        }
    }

    #[test]
    fn a_clients_window_is_shared_by_large_streams_that_are_read_together() {
        assert!(Side::Client.large_streams() * STREAM_WINDOW > Side::Client.receive_window());
    }

    #[test]
    fn what_a_dialler_may_send_fits_the_servers_window() {
        for side in [Side::Client, Side::Peer] {
            assert!(side.send_window() <= Side::Server.receive_window());
        }
    }

    #[test]
    fn only_a_server_accepts_a_lane_and_only_one() {
        assert_eq!(Side::Client.lanes(), 0);
        assert_eq!(Side::Peer.lanes(), 0);
        assert_eq!(Side::Server.lanes(), 1);
    }
}
