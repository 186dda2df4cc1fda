//! How far this node is in a change, as its other threads see it.
//!
//! ```text
//!   part          changed by                      read by
//!   pulled        committer: with each page       who pulls: where it goes on
//!   leftovers     who cleans up: a walk's result  committer: what it says of itself
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quoit_ring::{Epoch, NodeId};

use super::rows::Pulled;

/// What this node has pulled in its newest epoch, as it is on the disk.
#[derive(Debug, Default)]
pub struct PullProgress(Mutex<Pulled>);

impl PullProgress {
    /// Where the pull from `source` goes on in `epoch`: empty at its beginning, `None` once all of it is here.
    #[must_use]
    pub fn cursor(&self, epoch: Epoch, source: NodeId) -> Option<Bytes> {
        let pulled = self.lock();
        if pulled.epoch == epoch {
            pulled.cursor(source)
        } else {
            Some(Bytes::new())
        }
    }

    /// Sources of which all is here, in `epoch`.
    #[must_use]
    pub fn done(&self, epoch: Epoch) -> Vec<NodeId> {
        let pulled = self.lock();
        if pulled.epoch == epoch {
            pulled.done()
        } else {
            Vec::new()
        }
    }

    /// Where the pull of each source goes on in `epoch`, of those that it has begun with; `None` once all is here.
    #[must_use]
    pub fn sources(&self, epoch: Epoch) -> BTreeMap<NodeId, Option<Bytes>> {
        let pulled = self.lock();
        if pulled.epoch == epoch {
            pulled.sources.clone()
        } else {
            BTreeMap::new()
        }
    }

    pub(super) fn get(&self) -> Pulled {
        self.lock().clone()
    }

    pub(super) fn set(&self, pulled: Pulled) {
        *self.lock() = pulled;
    }

    fn lock(&self) -> MutexGuard<'_, Pulled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether rows are left of leaves that this node owns no more. Unknown, which counts as yes, until a walk has looked; it need
/// not look again in the next epoch if nothing is lost in that.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// The last epoch in which there were none; 0 if there is none such.
    clean_in: AtomicU64,
}

impl Leftovers {
    /// A walk has found none, of what is not owned in `epoch`. Older epochs, in which more may have been owned, must have
    /// been refused when it began.
    pub fn set_clean(&self, epoch: Epoch) {
        self.clean_in.fetch_max(epoch.0, Ordering::AcqRel);
    }

    /// Whether there are none in `epoch`.
    #[must_use]
    pub fn is_clean(&self, epoch: Epoch) -> bool {
        self.clean_in.load(Ordering::Acquire) >= epoch.0
    }
}
