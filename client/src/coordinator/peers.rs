//! What is known of each node: the way to it, how much it was asked, how quick it is.
//!
//! A read asks the quickest replicas first: delay average times requests in flight, so that a node which
//! stops answering falls behind at once.

use std::collections::BTreeMap;

use quoit_ring::NodeId;
use smallvec::SmallVec;

use crate::env::Link;

/// A new sample counts for one part in this many of the delay average.
const DELAY_PARTS: u64 = 8;

#[derive(Debug)]
struct Peer {
    link: Link,
    delay_micros: u64,
    in_flight: u32,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            link: Link::Opening,
            delay_micros: 0,
            in_flight: 0,
        }
    }
}

/// All nodes that were ever spoken of.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<NodeId, Peer>,
}

impl Peers {
    /// Sets how the way to a node is and gives back how it was.
    pub(crate) fn set_link(&mut self, node: NodeId, link: Link) -> Link {
        let peer = self.peers.entry(node).or_default();
        if link == Link::Down {
            peer.in_flight = 0;
        }
        core::mem::replace(&mut peer.link, link)
    }

    /// Whether a frame to the node would be sent.
    pub(crate) fn reachable(&self, node: NodeId) -> bool {
        self.peers
            .get(&node)
            .is_none_or(|peer| peer.link != Link::Down)
    }

    /// A request goes to the node.
    pub(crate) fn asked(&mut self, node: NodeId) {
        self.peers.entry(node).or_default().in_flight += 1;
    }

    /// The node answered something.
    pub(crate) fn answered(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.in_flight = peer.in_flight.saturating_sub(1);
        }
    }

    /// The node took this long for an answer.
    pub(crate) fn took(&mut self, node: NodeId, micros: u64) {
        if let Some(peer) = self.peers.get_mut(&node) {
            let old = peer.delay_micros * (DELAY_PARTS - 1);
            peer.delay_micros = (old + micros) / DELAY_PARTS;
        }
    }

    /// Sorts replicas by whom to ask first; equally quick ones keep their order.
    pub(crate) fn order(&self, nodes: &mut SmallVec<[NodeId; 3]>) {
        nodes.sort_by_cached_key(|node| self.cost(*node));
    }

    fn cost(&self, node: NodeId) -> (bool, u64) {
        self.peers.get(&node).map_or((false, 0), |peer| {
            let queue = u64::from(peer.in_flight) + 1;
            (
                peer.link == Link::Down,
                peer.delay_micros.saturating_mul(queue),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    fn ordered(peers: &Peers) -> [NodeId; 2] {
        let mut nodes = smallvec![A, B];
        peers.order(&mut nodes);
        [nodes[0], nodes[1]]
    }

    #[test]
    fn a_node_that_stops_answering_falls_behind() {
        let mut peers = Peers::default();
        for node in [A, B] {
            peers.asked(node);
            peers.took(node, 800);
            peers.answered(node);
        }
        assert_eq!(ordered(&peers), [A, B]);
        peers.asked(A);
        assert_eq!(ordered(&peers), [B, A]);
    }

    #[test]
    fn a_node_out_of_reach_comes_last_and_owes_no_answers() {
        let mut peers = Peers::default();
        peers.asked(A);
        assert_eq!(peers.set_link(A, Link::Down), Link::Opening);
        assert!(!peers.reachable(A) && peers.reachable(B));
        assert_eq!(ordered(&peers), [B, A]);
        assert_eq!(peers.set_link(A, Link::Up), Link::Down);
        assert_eq!(ordered(&peers), [A, B]);
    }
}
