//! How QUIC is set up towards other nodes, and why.
//!
//! ```text
//!   dead peer   a packet at least every second, given up after three without an answer
//!   streams     the other side opens none but for large answers, and for those to a lane that has carried nothing
//! ```
//!
//! Clients bear silence for a second. A node's work for others can wait, and a peer that stands still for two seconds
//! while it writes out a table should not be dialled anew.

use std::time::Duration;

use quinn::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

/// Silence after which a connection is given up, in milliseconds.
const IDLE_MS: u32 = 3_000;
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Streams on which a peer may be sending large answers at once.
const LARGE_STREAMS: u32 = 4;
/// Bytes of one stream that wait to be read, at most.
const STREAM_WINDOW: u32 = 1 << 20;
/// Bytes of one connection that wait to be read, or to be acknowledged, at most.
const WINDOW: u32 = 4 << 20;
/// Longest packet, in bytes; the same as when serving.
const MAX_PACKET: u16 = 6400;
/// Packets that a peer may receive before it has to acknowledge.
const ACK_THRESHOLD: u32 = 10;

pub(super) fn transport() -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MAX_PACKET);
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_THRESHOLD));
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
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
