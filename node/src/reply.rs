//! The reply channel of one caller, and the priority of its writes.

use quoit_ring::wire::ResponseFrame;

/// The reply channel of one caller.
pub trait Reply: Clone + Send + 'static {
    /// Adds an answer; it need not leave before [`Reply::flush`]. Never blocks. If the caller is gone,
    /// the answer is dropped.
    fn send(&self, answer: &ResponseFrame);

    /// Flushes the answers. Call it once after many of them, so that they share packets.
    fn flush(&self);

    /// The caller's priority: decides which share of the queue its writes take while they wait.
    fn priority(&self) -> Priority {
        Priority::Client
    }
}

/// Which share of the queue a write takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// A client, or an operator.
    Client,
    /// Another node of the cluster, by its certificate: what it repairs or hands over.
    Peer,
}
