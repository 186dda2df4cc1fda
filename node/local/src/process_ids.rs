//! Which processes the nodes are at the moment, for whoever measures them while the cluster is in use elsewhere.
//!
//! ```text
//!   cluster --set--> [ 71, none, 94 ] --now--> 71, 94        clones see the same
//! ```

use std::sync::{Arc, Mutex, PoisonError};

/// The process ids of a cluster's nodes; clones see the same, also after restarts.
#[derive(Debug, Clone, Default)]
pub struct ProcessIds(Arc<Mutex<Vec<Option<u32>>>>);

impl ProcessIds {
    /// Those of nodes that run now, in the order of the nodes.
    #[must_use]
    pub fn now(&self) -> Vec<u32> {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().flatten().copied().collect()
    }

    pub(crate) fn set(&self, node: usize, id: Option<u32>) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() <= node {
            ids.resize(node + 1, None);
        }
        ids[node] = id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_in_the_order_of_the_nodes() {
        let ids = ProcessIds::default();
        ids.set(1, Some(11));
        ids.set(0, Some(10));
        assert_eq!(ids.now(), [10, 11]);
        ids.set(0, None);
        assert_eq!(ids.clone().now(), [11]);
    }
}
