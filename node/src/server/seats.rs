//! Who may stay: seats for connections whose certificate was verified. Pure.
//!
//! ```text
//!   other nodes of the map   4 each, beside all others: no client can keep a peer out
//!   everyone else            `max_connections`, of which one identity has at most
//!                            `max_connections_per_identity`
//!   operators                4 more once those are taken, so that someone can look
//! ```
//!
//! An **identity** is a certificate. Applications that share one share its part; whoever stole it has no more than
//! that. A node whose certificate names no member of the map is a client, see `guest`.
//!
//! Invariant: a seat is freed once, by [`Seats::free`] with what [`Seats::take`] gave. Left out: handshakes, which are
//! `handshakes`', and what a seat's holder may request.

use std::collections::BTreeMap;
use std::fmt;

use quoit_ring::NodeId;
use quoit_transport::CloseCode;

use crate::tls::Identity;

/// Seats of each other node. A node keeps one connection; after a crash its old ones stay until they are idle for
/// 15 seconds.
const PER_PEER: u32 = 4;
/// Seats that only operators may take.
const FOR_OPERATORS: u32 = 4;

/// Who asks for a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// Another node of the map.
    Peer(NodeId),
    /// An operator.
    Operator(Identity),
    /// Anyone else.
    Client(Identity),
}

/// The bounds on seats, two keys of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeatBounds {
    pub(crate) connections: u32,
    pub(crate) per_identity: u32,
}

/// A seat that was taken; give it back to [`Seats::free`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    Peer(NodeId),
    Shared(Identity),
    Operator,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The holder's own part is taken.
    Identity,
    /// All are.
    Node,
}

impl Full {
    pub(super) const fn close_code(self) -> CloseCode {
        match self {
            Self::Identity => CloseCode::TooManyOfIdentity,
            Self::Node => CloseCode::TooManyConnections,
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "its identity has as many connections as it may",
            Self::Node => "the node has reached its limit of connections",
        })
    }
}

/// The seats of a node.
#[derive(Debug)]
pub(super) struct Seats {
    bounds: SeatBounds,
    shared: u32,
    operators: u32,
    identities: BTreeMap<Identity, u32>,
    peers: BTreeMap<NodeId, u32>,
}

impl Seats {
    pub(super) const fn new(bounds: SeatBounds) -> Self {
        Self {
            bounds,
            shared: 0,
            operators: 0,
            identities: BTreeMap::new(),
            peers: BTreeMap::new(),
        }
    }

    /// Takes a seat for `holder`.
    ///
    /// # Errors
    /// [`Full`]: close the connection with its code.
    pub(super) fn take(&mut self, holder: Holder) -> Result<Seat, Full> {
        let taken = match holder {
            Holder::Peer(node) => return self.take_of_peer(node),
            Holder::Client(identity) => self.take_shared(identity),
            Holder::Operator(identity) => self
                .take_shared(identity)
                .or_else(|full| self.take_of_operators().ok_or(full)),
        };
        debug_assert!(
            self.shared <= self.bounds.connections,
            "seats that are shared stay within their bound"
        );
        taken
    }

    /// Frees a seat that was taken.
    pub(super) fn free(&mut self, seat: Seat) {
        match seat {
            Seat::Peer(node) => count_out(&mut self.peers, &node),
            Seat::Operator => self.operators -= 1,
            Seat::Shared(identity) => {
                self.shared -= 1;
                count_out(&mut self.identities, &identity);
            }
        }
    }

    fn take_of_peer(&mut self, node: NodeId) -> Result<Seat, Full> {
        let held = self.peers.entry(node).or_default();
        if *held >= PER_PEER {
            return Err(Full::Identity);
        }
        *held += 1;
        Ok(Seat::Peer(node))
    }

    fn take_shared(&mut self, identity: Identity) -> Result<Seat, Full> {
        let held = self.identities.get(&identity).copied().unwrap_or(0);
        if self.shared >= self.bounds.connections {
            return Err(Full::Node);
        }
        if held >= self.bounds.per_identity {
            return Err(Full::Identity);
        }
        self.identities.insert(identity, held + 1);
        self.shared += 1;
        Ok(Seat::Shared(identity))
    }

    fn take_of_operators(&mut self) -> Option<Seat> {
        (self.operators < FOR_OPERATORS).then(|| {
            self.operators += 1;
            Seat::Operator
        })
    }
}

/// Counts one out; holders without any are not remembered.
fn count_out<K: Ord>(held: &mut BTreeMap<K, u32>, key: &K) {
    let Some(count) = held.get_mut(key) else {
        debug_assert!(false, "a seat is freed once");
        return;
    };
    *count -= 1;
    if *count == 0 {
        held.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: Holder = Holder::Client(Identity(1));
    const TWO: Holder = Holder::Client(Identity(2));
    const OPERATOR: Holder = Holder::Operator(Identity(3));
    const PEER: Holder = Holder::Peer(NodeId(4));

    fn seats(connections: u32, per_identity: u32) -> Seats {
        Seats::new(SeatBounds {
            connections,
            per_identity,
        })
    }

    /// Takes seats until there are no more: how many, and why no more.
    fn fill(seats: &mut Seats, holder: Holder) -> (u32, Full) {
        let mut count = 0;
        loop {
            match seats.take(holder) {
                Ok(_seat) => count += 1,
                Err(full) => return (count, full),
            }
        }
    }

    #[test]
    fn one_identity_leaves_the_rest_to_others() {
        let mut seats = seats(8, 6);
        assert_eq!(fill(&mut seats, ONE), (6, Full::Identity));
        assert_eq!(fill(&mut seats, TWO), (2, Full::Node));
    }

    #[test]
    fn peers_and_operators_get_in_however_many_clients_there_are() {
        let mut seats = seats(8, 8);
        fill(&mut seats, ONE);
        assert_eq!(fill(&mut seats, OPERATOR), (FOR_OPERATORS, Full::Node));
        assert_eq!(fill(&mut seats, PEER), (PER_PEER, Full::Identity));
        let another = Holder::Peer(NodeId(5));
        assert_eq!(fill(&mut seats, another), (PER_PEER, Full::Identity));
    }

    #[test]
    fn a_freed_seat_can_be_taken_again_and_nothing_of_its_holder_is_kept() {
        let mut seats = seats(1, 1);
        for holder in [ONE, TWO, OPERATOR, PEER] {
            let seat = seats.take(holder).unwrap();
            seats.free(seat);
            assert!(seats.identities.is_empty());
        }
        assert_eq!((seats.shared, seats.operators), (0, 0));
    }

    proptest! {
        #[test]
        fn seats_add_up_and_stay_within_their_bounds(
            connections in 1..20_u32,
            per_identity in 1..20_u32,
            steps in prop::collection::vec((0..12_u64, any::<bool>(), any::<u16>()), 0..300),
        ) {
            let mut seats = seats(connections, per_identity);
            let mut taken = Vec::new();
            for (who, leaves, which) in steps {
                let holder = match who % 3 {
                    0 => Holder::Client(Identity(who)),
                    1 => Holder::Operator(Identity(who)),
                    _ => Holder::Peer(NodeId(who)),
                };
                if leaves && !taken.is_empty() {
                    let at = usize::from(which) % taken.len();
                    seats.free(taken.swap_remove(at));
                } else if let Ok(seat) = seats.take(holder) {
                    taken.push(seat);
                }

                let shared = taken.iter().filter(|seat| matches!(seat, Seat::Shared(_))).count();
                prop_assert_eq!(shared, usize::try_from(seats.shared).unwrap());
                prop_assert!(seats.shared <= connections && seats.operators <= FOR_OPERATORS);
                prop_assert_eq!(seats.identities.values().sum::<u32>(), seats.shared);
                prop_assert!(seats.identities.values().all(|held| (1..=per_identity).contains(held)));
                prop_assert!(seats.peers.values().all(|held| (1..=PER_PEER).contains(held)));
            }
        }
    }
}
