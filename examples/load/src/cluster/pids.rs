//! Which processes the nodes are at the moment, for those who watch them.
//!
//! ```text
//!   cluster --set--> [ 71, none, 94 ] --now--> 71, 94        clones see the same
//! ```

use std::sync::{Arc, Mutex, PoisonError};

/// The processes of a cluster's nodes; clones see the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pids(Arc<Mutex<Vec<Option<u32>>>>);

impl Pids {
    /// Those that run now, in the order of the nodes.
    pub(crate) fn now(&self) -> Vec<u32> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .flatten()
            .copied()
            .collect()
    }

    pub(super) fn set(&self, node: usize, pid: Option<u32>) {
        let mut pids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pids.len() <= node {
            pids.resize(node + 1, None);
        }
        pids[node] = pid;
    }
}
