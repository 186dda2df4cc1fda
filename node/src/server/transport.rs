//! How QUIC is set up, and why.
//!
//! ```text
//!   what a peer may cost      7 large frames under way, 1 MiB each  +  the lane's 1 MiB  =  8 MiB received
//!                             8 MiB sent and not yet acknowledged
//!   what makes it quick       packets to 6,400 bytes where the path allows, one acknowledgement per 10,
//!                             sends in the order written, segmentation offload (on by default)
//! ```
//!
//! Packets must stay below 6,500 bytes: ten of them go out in one call, and what passes 65,507 bytes
//! together is lost in silence. Each stream's window fits the connection's, so a stream that waits its
//! turn never starves the one being read.
//!
//! Keeping a connection alive is for the client, which has something to lose by its silence.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::udp::{UdpSockRef, UdpSocketState};
use quinn::{
    AckFrequencyConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TransportConfig, VarInt,
};

/// Large frames a peer may have under way; each has a stream of its own.
const LARGE_STREAMS: u32 = 7;
/// Bytes of one stream that wait to be read, at most.
const STREAM_WINDOW: u32 = 1 << 20;
/// Bytes of one connection that wait to be read, at most.
const WINDOW: u32 = (LARGE_STREAMS + 1) * STREAM_WINDOW;
/// Longest packet, in bytes.
const MAX_PACKET: u16 = 6400;
/// Packets that a peer may receive before it has to acknowledge.
const ACK_THRESHOLD: u32 = 10;
/// Silence after which a connection is given up, in milliseconds; clients speak every 5,000.
const IDLE_MS: u32 = 15_000;
/// Bytes that the system holds between it and us, each way.
const SOCKET_BUFFER: usize = 4 << 20;
/// Handshakes that wait to be looked at, and what their senders may make us hold.
const MAX_INCOMING: usize = 256;
const INCOMING_BYTES: u64 = 64 << 10;
const ALL_INCOMING_BYTES: u64 = 8 << 20;

/// Opens the socket to serve at.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    // The system may allow less than asked for; smaller buffers only cost packets under bursts.
    for asked in [
        state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER),
        state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER),
    ] {
        if let Err(error) = asked {
            tracing::debug!(%error, "socket buffers stay as they are");
        }
    }
    Ok(socket)
}

/// Bounds for whoever connects.
pub(crate) fn bound(config: &mut ServerConfig) {
    config
        .transport_config(Arc::new(transport()))
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(ALL_INCOMING_BYTES);
}

/// Lets peers find that they may send packets as long as ours.
pub(crate) fn widen(config: &mut EndpointConfig) {
    if let Err(error) = config.max_udp_payload_size(MAX_PACKET) {
        tracing::error!(%error, "packets stay short");
    }
}

fn transport() -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MAX_PACKET);
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_THRESHOLD));
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))))
        .keep_alive_interval(None::<Duration>)
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(LARGE_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .send_fairness(false)
        .mtu_discovery_config(Some(mtu))
        .ack_frequency_config(Some(acks))
        .datagram_receive_buffer_size(None);
    config
}
