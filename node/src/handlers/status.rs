//! Status: how this node is. Answered from memory, whatever the disk is doing, since it is asked most when
//! something is wrong.

use quoit_ring::wire::{NodeStatus, Response};

use crate::env::Now;
use crate::state::NodeState;

/// Answers with the node's state.
pub(super) fn answer(state: &NodeState, queued_writes: u32, now: Now) -> Response {
    let (records, disk_bytes) = state.stats.usage();
    let walk = state.sums.progress();
    Response::Status(Box::new(NodeStatus {
        node: state.cluster.node,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: now.mono.0 / 1_000,
        durability: state.durability,
        records,
        disk_bytes,
        connections: state.service.connections(),
        queued_writes,
        merkle_root: state.sums.root(),
        dot_collisions: state.stats.collisions(),
        summed_records: walk.summed,
        unreadable_records: walk.unreadable,
        refused_hints: state.hints.refused(),
        refused_repairs: state.stats.refused_repairs(),
        warnings: state.warnings.list(now.mono),
    }))
}
