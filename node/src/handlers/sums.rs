//! Sums: one step down another node's Merkle tree. Peers only: the sums reveal what a node holds.

use quoit_ring::wire::{Refusal, Response};

use crate::storage::Sums;

/// Answers with the sums below one node of the tree: none if there is no such node.
///
/// # Errors
/// [`Refusal::NotReady`] while the tree is being rebuilt after a start.
pub(super) fn answer(sums: &Sums, level: u8, index: u32) -> Result<Response, Refusal> {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let children = sums
        .children(usize::from(level), index)
        .ok_or(Refusal::NotReady)?;
    Ok(Response::Sums(children))
}
