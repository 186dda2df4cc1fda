//! When an end that answers nothing is given up: one silence rule with two settings.
//!
//! ```text
//!   look every half second    received since the last look? -----------------> heard: count from zero
//!                             nothing sent since it was last heard? ---------> it owes no answer
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
//! probes come ever more rarely, and new data waits behind what was never acknowledged. What counts is any
//! datagram, so a node that is merely slow, whose network thread still acknowledges, is left alone. Looks are
//! counted and not time: a process that was itself stopped suspects no one.
//!
//! Source: Chandra and Toueg, *Unreliable Failure Detectors* (1996), for suspicion that may be wrong: it costs a
//! connection and nothing else.

use std::time::Duration;

use quinn::Connection;
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
    /// Datagrams sent when the peer was last heard.
    sent: u64,
    looks: u32,
}

impl Silence {
    const fn new(enough: u32) -> Self {
        Self {
            enough,
            received: 0,
            sent: 0,
            looks: 0,
        }
    }

    /// Looks at how many datagrams came and went; true if the peer is silent on a path of this round trip.
    fn look(&mut self, received: u64, sent: u64, round_trip: Duration) -> bool {
        if received != self.received {
            self.received = received;
            self.sent = sent;
            self.looks = 0;
        }

        self.looks = if sent == self.sent {
            0
        } else {
            self.looks.saturating_add(1)
        };
        self.looks >= self.enough
            && PAUSE.saturating_mul(self.looks) >= round_trip.saturating_mul(ROUND_TRIPS)
    }
}

/// Resolves once the other end has left everything unanswered for `looks` looks, half a second apart, and for at least
/// four round trips. Never resolves while nothing is sent. Cancel safe: dropped and called again, it counts from zero.
pub async fn silent(connection: &Connection, looks: u32) {
    let mut silence = Silence::new(looks);
    loop {
        sleep(PAUSE).await;
        let stats = connection.stats();
        let (received, sent) = (stats.udp_rx.datagrams, stats.udp_tx.datagrams);
        if silence.look(received, sent, connection.rtt()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Duration = Duration::from_millis(1);

    #[test]
    fn a_node_that_leaves_datagrams_unanswered_is_silent_after_three_looks() {
        let mut silence = Silence::new(CLIENT_LOOKS);
        let looks = [(5, 5), (5, 6), (5, 6)];
        assert!(
            !looks
                .iter()
                .any(|&(received, sent)| silence.look(received, sent, NEAR))
        );
        assert!(silence.look(5, 7, NEAR));
    }

    #[test]
    fn a_node_that_was_sent_nothing_owes_no_answer() {
        let mut silence = Silence::new(CLIENT_LOOKS);
        assert!((0..100).all(|_| !silence.look(5, 9, NEAR)));
    }

    #[test]
    fn any_datagram_restarts_the_count() {
        let mut silence = Silence::new(CLIENT_LOOKS);
        let talk = (1..100).map(|n| (n / 3, n));
        assert!(
            talk.into_iter()
                .all(|(received, sent)| !silence.look(received, sent, NEAR))
        );
    }

    #[test]
    fn a_long_path_is_given_longer() {
        let mut silence = Silence::new(CLIENT_LOOKS);
        let far = Duration::from_secs(1);
        let silent = (1..20).position(|sent| silence.look(1, sent, far));
        assert_eq!(silent, Some(8));
    }
}
