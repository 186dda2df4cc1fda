//! When an end that answers nothing is given up: one silence rule with two settings.
//!
//! ```text
//!   look every half second    a datagram received since the last look? ------> heard: count from zero
//!                             nothing asked since it was last heard? --------> it owes no answer
//!                             else: one more look without a datagram --------> enough of them: silent
//! ```
//!
//! | dialler | looks | gives up after | why |
//! | --- | ---: | ---: | --- |
//! | client | [`CLIENT_LOOKS`] = 3 | 1.5 s | operations wait for the node |
//! | node, for another node | [`PEER_LOOKS`] = 6 | 3 s | hints can wait; a stall of two seconds is not worth a new connection |
//!
//! The accepting end has no such rule: it owes answers and waits for none, and QUIC's idle timeout ends what is dead.
//!
//! A node that was killed, cut off or stopped says nothing, and QUIC alone would wait for many seconds: its
//! probes come ever more rarely, and new data waits behind what was never acknowledged. Any datagram counts as heard,
//! so a node that is merely slow, whose network thread still acknowledges, is left alone. One whose network thread
//! stands still, as while its engine waits for the disk, cannot be distinguished from a dead one. Looks are
//! counted and not time: a process that was itself stopped suspects no one.
//!
//! A question is a frame that its receiver has to acknowledge. A datagram with nothing but an acknowledgement asks
//! nothing: it is the last one of an exchange, up to 25 ms after the answer, and nobody replies to it. A question that
//! was lost, or left just before a look, is asked again: QUIC sends probes, which are questions, until something comes.
//!
//! Source: Chandra and Toueg, *Unreliable Failure Detectors* (1996), for suspicion that may be wrong: it costs a
//! connection and nothing else.

use std::time::Duration;

use quinn::{Connection, ConnectionStats, FrameStats};
use tokio::time::sleep;

/// Looks without a datagram after which a client gives a node up: 1.5 s. Shorter gives up nodes that stall on their
/// disk, longer leaves operations waiting for a dead one.
pub const CLIENT_LOOKS: u32 = 3;
/// The same for a node that dialled another one: 3 s. Work for others can wait, and a peer that stands still for two
/// seconds while it writes out a table should not be dialled again.
pub const PEER_LOOKS: u32 = 6;

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(500);
/// A datagram may take this many round trips.
const ROUND_TRIPS: u32 = 4;

/// What was seen at the last look.
#[derive(Debug)]
struct Silence {
    /// Looks without a datagram that make silence, on a path whose round trip is short beside a pause.
    enough: u32,
    received: u64,
    /// Questions asked when the peer was last heard.
    asked: u64,
    looks: u32,
}

impl Silence {
    const fn new(enough: u32) -> Self {
        Self {
            enough,
            received: 0,
            asked: 0,
            looks: 0,
        }
    }

    /// Looks at what a connection has counted so far; true if the peer is silent.
    fn look(&mut self, stats: &ConnectionStats) -> bool {
        let (received, asked) = (stats.udp_rx.datagrams, questions(&stats.frame_tx));
        if received != self.received {
            self.received = received;
            self.asked = asked;
            self.looks = 0;
        }

        self.looks = if asked == self.asked {
            0
        } else {
            self.looks.saturating_add(1)
        };
        self.looks >= self.enough
            && PAUSE.saturating_mul(self.looks) >= stats.path.rtt.saturating_mul(ROUND_TRIPS)
    }
}

/// Frames sent that their receiver has to acknowledge (RFC 9000, section 13.2): all kinds that are counted, but for
/// acknowledgements themselves and the close.
fn questions(sent: &FrameStats) -> u64 {
    let questions = [
        sent.ack_frequency,
        sent.crypto,
        sent.data_blocked,
        sent.datagram,
        u64::from(sent.handshake_done),
        sent.immediate_ack,
        sent.max_data,
        sent.max_stream_data,
        sent.max_streams_bidi,
        sent.max_streams_uni,
        sent.new_connection_id,
        sent.new_token,
        sent.path_challenge,
        sent.path_response,
        sent.ping,
        sent.reset_stream,
        sent.retire_connection_id,
        sent.stop_sending,
        sent.stream,
        sent.stream_data_blocked,
        sent.streams_blocked_bidi,
        sent.streams_blocked_uni,
    ];
    questions.into_iter().sum()
}

/// Resolves once the other end has left everything unanswered for `looks` looks, half a second apart, and for at least
/// four round trips. Never resolves while nothing is asked. Cancel safe: dropped and called again, it counts from zero.
pub async fn silent(connection: &Connection, looks: u32) {
    let mut silence = Silence::new(looks);
    loop {
        sleep(PAUSE).await;
        if silence.look(&connection.stats()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
