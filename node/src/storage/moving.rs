//! The rows of leaves that move: which leaves they are, and whether there are any.
//!
//! ```text
//!   leaves  | run |  others  | run |   run   |        of the moving arc, by what one node does with them
//!   rows      r r   r  r  r          r r   r
//!             seek--^skip----seek--->
//! ```
//!
//! Left out: what is done with them.

use std::ops::{Bound, RangeInclusive};

use bytes::Bytes;
use quoit_ring::change::{Topology, moving};
use quoit_ring::{Leaf, NodeId};

use crate::engine::layout::{leaf_range, parse_leaf_key};
use crate::engine::{EngineError, Keyspace, Snapshot};

/// Leaves that lie side by side.
pub(crate) type Run = RangeInclusive<Leaf>;

/// The leaves that `node` is to own, and does not own by the old list.
pub(crate) fn newcomer_runs(topology: &Topology, node: NodeId) -> Vec<Run> {
    moving::runs(&topology.moving(), |range| range.is_newcomer(node))
}

/// Whether there is no row in any of these leaves, which ascend.
///
/// # Errors
/// The engine's: whether there is one is unknown.
pub(crate) fn is_empty<S: Snapshot>(snapshot: &S, runs: &[Run]) -> Result<bool, EngineError> {
    Ok(next_row(snapshot, runs, None)?.is_none())
}

/// The first leaves key of these leaves behind `after`.
///
/// One seek finds the next row of the arc, whosever it is; the leaves between it and the run that holds it, or follows it,
/// are skipped. So empty leaves cost nothing, and a fresh node one seek.
fn next_row<S: Snapshot>(
    snapshot: &S,
    runs: &[Run],
    after: Option<Bytes>,
) -> Result<Option<(Leaf, Bytes)>, EngineError> {
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
        return Ok(None);
    };
    let (mut start, end) = leaf_range(*first.start()..=*last.end());
    if let Some(after) = after {
        start = Bound::Excluded(after);
    }
    loop {
        let row = snapshot
            .range(Keyspace::Leaves, (start, end.clone()))
            .next();
        let Some(row) = row else {
            return Ok(None);
        };
        let (key, _) = row?;
        let Ok((leaf, ..)) = parse_leaf_key(&key) else {
            return Ok(None);
        };
        let run = runs.partition_point(|run| *run.end() < leaf);
        match runs.get(run) {
            None => return Ok(None),
            Some(run) if run.contains(&leaf) => return Ok(Some((leaf, key))),
            Some(run) => start = leaf_range(run.clone()).0,
        }
    }
}
