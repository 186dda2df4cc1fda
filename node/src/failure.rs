//! What makes a node useless: noted once, reported to everybody who waits for it.
//!
//! ```text
//!   a commit fails, or the engine does           NodeFailure::Storage --.
//!   a thread panics, or ends before its time     NodeFailure::Thread  --+--> Failure --> Node::failed --> the process ends
//!   it was removed while it was away             NodeFailure::Removed --'
//! ```
//!
//! A node without one of its threads looks alive and is not: without `quoit-io` it holds its port and answers nothing,
//! without `quoit-background` a commit that waits for a broken engine is never noticed. So each thread has an [`Alarm`],
//! which it must disarm when it ends as it was asked to; any other way out raises it, a panic too.
//!
//! Left out: what is done then. The library reports and goes on with what still works, since it must not end a process
//! that is not its own; [`run`](crate::run()) stops the node and returns an error, which ends `quoit-node`.

use tokio::sync::watch;

use crate::engine::EngineError;

/// Why a node that was serving is of no more use: stop it, and start it again.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NodeFailure {
    /// Its storage failed. It refuses reads and writes until it is stopped.
    #[error("the node's storage failed")]
    Storage(#[from] EngineError),
    /// This thread of it has ended by a defect, mostly a panic, which is reported on standard error. Without `quoit-io` it
    /// serves nobody.
    #[error("the node's thread {0} has ended by a defect")]
    Thread(&'static str),
    /// It was removed while it was away, as a majority of the members that it knows says, or as it has learned: it serves nobody
    /// any more. A stop marks its disk, so that it never starts on it again.
    #[error("this node was removed from its cluster while it was away")]
    Removed,
}

/// The failure of one node, if it has any: the first one is kept.
#[derive(Debug, Clone)]
pub(crate) struct Failure(watch::Sender<Option<NodeFailure>>);

impl Failure {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(crate) fn get(&self) -> Option<NodeFailure> {
        self.0.borrow().clone()
    }

    /// Keeps the first one.
    pub(crate) fn set(&self, failure: NodeFailure) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(failure);
            is_first
        });
    }

    pub(crate) async fn wait(&self) -> NodeFailure {
        let mut watching = self.0.subscribe();
        let failed = watching.wait_for(Option::is_some).await;
        let failure = failed.ok().and_then(|failure| failure.clone());
        // The sender lives in `self`, so there is a value; were there none, nobody knows the cause.
        failure.unwrap_or(NodeFailure::Storage(EngineError::Poisoned { cause: None }))
    }
}

/// Raises a failure when it is dropped, unless it was disarmed.
#[derive(Debug)]
pub(crate) struct Alarm {
    thread: &'static str,
    failure: Failure,
    armed: bool,
}

impl Alarm {
    /// The alarm of a thread of this name.
    pub(crate) const fn new(thread: &'static str, failure: Failure) -> Self {
        Self {
            thread,
            failure,
            armed: true,
        }
    }

    /// The thread ends as it was asked to.
    pub(crate) fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if self.armed {
            tracing::error!(
                thread = self.thread,
                "a thread has ended by a defect: the node is to be stopped"
            );
            self.failure.set(NodeFailure::Thread(self.thread));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(failure: Option<NodeFailure>) -> Option<&'static str> {
        match failure? {
            NodeFailure::Thread(name) => Some(name),
            error => panic!("{error}"),
        }
    }

    #[test]
    fn only_a_thread_that_disarms_its_alarm_ends_in_silence() {
        let failure = Failure::new();
        Alarm::new("a", failure.clone()).disarm();
        assert!(failure.get().is_none());
        drop(Alarm::new("b", failure.clone()));
        assert_eq!(thread(failure.get()), Some("b"));
    }

    #[test]
    fn a_panic_raises_the_alarm_and_the_first_failure_is_kept() {
        let failure = Failure::new();
        for name in ["first", "second"] {
            let alarm = Alarm::new(name, failure.clone());
            let panics = std::thread::spawn(move || {
                let _alarm = alarm;
                panic!("on purpose");
            });
            assert!(panics.join().is_err());
        }
        assert_eq!(thread(failure.get()), Some("first"));
    }
}
