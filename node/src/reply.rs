//! Where the answers to one caller go, and with which priority its writes wait.

use quoit_ring::wire::ResponseFrame;

/// Where the answers to one caller go.
pub trait Reply: Clone + Send + 'static {
    /// Adds an answer; it need not leave before [`Reply::flush`]. Never blocks. If the caller is gone,
    /// the answer is dropped.
    fn send(&self, answer: &ResponseFrame);

    /// Lets what was sent go out. Calling it once after many answers is what makes them share packets.
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
