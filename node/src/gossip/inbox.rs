//! Messages of gossip on their way from the connections to the driver.
//!
//! Bounded: a member that sends more than can be taken in is refused, and loses nothing that the next round would not say.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quoit_gossip::Message;
use quoit_ring::NodeId;
use tokio::sync::Notify;

/// Most messages that wait. They are taken in at once; members that all speak in one moment are a few. Decoded, the longest
/// ones have some hundred KiB each.
const MAX_WAITING: usize = 64;

/// Messages that were not taken yet, with the members that sent them.
#[derive(Debug, Default)]
pub struct GossipInbox {
    waiting: Mutex<VecDeque<(NodeId, Message)>>,
    come: Notify,
}

impl GossipInbox {
    /// Takes what has come.
    pub(crate) fn take(&self) -> VecDeque<(NodeId, Message)> {
        std::mem::take(&mut *self.lock())
    }

    /// Adds a message; false if too many wait.
    #[must_use]
    pub(crate) fn push(&self, from: NodeId, message: Message) -> bool {
        let mut waiting = self.lock();
        if waiting.len() >= MAX_WAITING {
            return false;
        }
        waiting.push_back((from, message));
        drop(waiting);
        self.come.notify_one();
        true
    }

    /// Waits until something has come that was not taken.
    pub(crate) async fn wait(&self) {
        loop {
            // Registered before the look, so nothing comes unnoticed in between.
            let come = self.come.notified();
            if !self.lock().is_empty() {
                return;
            }
            come.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(NodeId, Message)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
