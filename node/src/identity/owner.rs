//! The owner of a data directory, and the keys of its endpoint.

use core::fmt;

use quoit_ring::{ClusterId, NodeId};
use rand::CryptoRng;

/// The owner of a data directory. Never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster it is part of.
    pub cluster: ClusterId,
    /// The node it belongs to.
    pub node: NodeId,
    /// Drawn when the directory was first used: distinguishes a disk from the one it replaced.
    pub disk: u128,
}

/// The keys of the node's QUIC endpoint, drawn when the directory was first used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Secrets {
    pub(super) reset_key: [u8; 64],
    pub(super) connection_id_key: u64,
}

impl Secrets {
    pub(super) fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut reset_key = [0; 64];
        rng.fill_bytes(&mut reset_key);
        Self {
            reset_key,
            connection_id_key: rng.next_u64(),
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}
