//! Hint: a put that this node keeps for one that missed it.
//!
//! Its sender has tried the target itself. It is read and checked like any put; only where it is kept differs.
//! It is kept for an owner of the key only, so that nobody makes this node keep what will never be fetched, and never
//! for the node itself, which could simply join it.

use quoit_ring::wire::Refusal;
use quoit_ring::{Epoch, Leaf, NodeId};

use crate::cluster::ClusterView;

/// Where `key` falls, if in that epoch it is another node's, `target`'s.
///
/// # Errors
/// [`Refusal::NotReplica`] if it is not; [`Refusal::OldEpoch`] or [`Refusal::Behind`] if the epoch is not served.
pub(super) fn locate(
    cluster: &ClusterView,
    (epoch, target): (Epoch, NodeId),
    key: &[u8],
) -> Result<Leaf, Refusal> {
    let leaf = cluster.leaf_of(key);
    if target != cluster.node && cluster.owns(epoch, target, leaf)? {
        Ok(leaf)
    } else {
        Err(Refusal::NotReplica)
    }
}
