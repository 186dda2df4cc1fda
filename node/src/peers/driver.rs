//! What this node asks of others, over one set of links: hints delivered, and its part in changes of the ring.
//!
//! ```text
//!   Delivery --Repair----------.            .--> answer: by its id to whoever asked
//!                               +--> Peers --
//!   Changes --Membership, ... -'            '--> lost: to both
//! ```

use quoit_ring::NodeId;
use quoit_ring::wire::ResponseFrame;

use super::{Event, Peers};
use crate::change::ChangeDriver;
use crate::change::driver::Changes;
use crate::engine::Engine;
use crate::env::Env;
use crate::hints::driver::Delivery;

/// The two that ask, and the links.
pub(crate) struct PeerWork<E: Env, G> {
    pub(crate) delivery: Delivery<E, G>,
    pub(crate) changes: Changes<E, G>,
    pub(crate) peers: Peers,
}

impl<E: Env, G: Engine> PeerWork<E, G> {
    /// Asks and listens until the node leaves service.
    pub(crate) async fn run(mut self, leaving: impl Future<Output = ()>) {
        tokio::select! {
            () = self.work() => {}
            () = leaving => {}
        }
    }

    async fn work(&mut self) {
        loop {
            tokio::select! {
                event = self.peers.next() => match event {
                    Event::Answer(from, frame) => self.take_answer(from, frame),
                    Event::Lost(node) => {
                        self.delivery.take_loss(node);
                        self.changes.take_loss(node);
                    }
                },
                () = self.delivery.wait() => {}
                () = self.changes.wait() => {}
            }
            self.delivery.act(&mut self.peers);
            self.changes.act(&mut self.peers);
        }
    }

    fn take_answer(&mut self, from: NodeId, frame: ResponseFrame) {
        if ChangeDriver::is_ours(frame.id) {
            self.changes.take_answer(from, frame);
        } else {
            self.delivery.take_answer(from, &frame);
        }
    }
}
