//! Status: how this node is. Answered from memory, whatever the disk is doing, since it is asked most when
//! something is wrong.

use quoit_ring::wire::{NodeStatus, Response};

use crate::commit::Shared;
use crate::env::Now;

/// Answers with the node's state.
pub(super) fn answer(shared: &Shared, queued_writes: u32, now: Now) -> Response {
    let (records, disk_bytes) = shared.usage();
    Response::Status(Box::new(NodeStatus {
        node: shared.node,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX),
        durability: shared.durability,
        records,
        disk_bytes,
        connections: shared.connections(),
        queued_writes,
        merkle_root: shared.sums.root(),
        dot_collisions: shared.collisions(),
    }))
}
