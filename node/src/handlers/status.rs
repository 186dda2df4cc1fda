//! Status: how this node is. Answered from memory, whatever the disk is doing, since it is asked most when
//! something is wrong.

use quoit_ring::wire::{NodeStatus, Response, Warning, WarningKind};

use crate::env::Now;
use crate::state::NodeState;

/// What a node says that nobody has made a member yet.
const WAITING: &str =
    "waits: it is no member yet and owns nothing, an operator adds it with `quoit cluster add`";

/// Answers with the node's state.
pub(super) fn answer(state: &NodeState, queued_writes: u32, now: Now) -> Response {
    let usage = state.stats.usage();
    let (_level, free_bytes) = state.stats.disk();
    let walk = state.sums.progress();
    let warnings = warnings(state, now);
    Response::Status(Box::new(NodeStatus {
        node: state.cluster.node,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: now.mono.0 / 1_000,
        durability: state.durability,
        records: usage.records,
        disk_bytes: usage.disk_bytes,
        free_bytes,
        pull_bytes_per_second: state.stats.pull_rate(),
        connections: state.service.connections(),
        queued_writes,
        merkle_root: state.sums.root(),
        dot_collisions: state.stats.collisions(),
        summed_records: walk.summed,
        unreadable_records: walk.unreadable,
        refused_hints: state.hints.refused(),
        refused_repairs: state.stats.refused_repairs(),
        swept_values: state.expiry.swept(),
        next_expiry_ms: state.expiry.oldest().map(|due| due.0),
        warnings,
    }))
}

/// What is not as it should be.
pub(crate) fn warnings(state: &NodeState, now: Now) -> Vec<Warning> {
    let mut warnings = state.warnings.list(now.mono);
    if !state.cluster.is_member(state.cluster.node) {
        warnings.push(Warning {
            kind: WarningKind::Waiting,
            since_ms: now.mono.0 / 1_000,
            count: 0,
            text: WAITING.to_owned(),
        });
    }
    warnings
}
