//! What this node says to others, over one set of links: hints delivered, its part in changes of the ring, gossip, sync.
//!
//! ```text
//!   Delivery --Repair----------.            .--> answer: by its id to whoever asked
//!   Changes ---Membership, ... -+--> Peers --
//!   Gossiping -Gossip ----------+            '--> lost: to those who wait for answers
//!   Syncing ---Sync, Get, ... --'
//! ```

use quoit_ring::NodeId;
use quoit_ring::wire::ResponseFrame;

use super::{Event, Peers};
use crate::change::ChangeDriver;
use crate::change::driver::Changes;
use crate::engine::Engine;
use crate::env::Env;
use crate::gossip::GossipDriver;
use crate::gossip::driver::{Finding, Gossiping};
use crate::hints::driver::Delivery;
use crate::sync::SyncDriver;
use crate::sync::driver::Syncing;

/// Those who send, and the links.
pub(crate) struct PeerWork<E: Env, G> {
    pub(crate) delivery: Delivery<E, G>,
    pub(crate) changes: Changes<E, G>,
    pub(crate) gossiping: Gossiping<E>,
    pub(crate) syncing: Syncing<E, G>,
    pub(crate) peers: Peers,
}

impl<E: Env, G: Engine> PeerWork<E, G> {
    /// Asks and listens until the node leaves service.
    pub(crate) async fn run(mut self: Box<Self>, leaving: impl Future<Output = ()>) {
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
                        self.syncing.take_loss(node);
                    }
                },
                () = self.delivery.wait() => {}
                () = self.changes.wait() => {}
                () = self.gossiping.wait() => {}
                () = self.syncing.wait() => {}
            }
            for finding in self.gossiping.act(&mut self.peers) {
                match finding {
                    Finding::CatchUp(from) => self.changes.catch_up(from),
                    Finding::IsBack(member) => {
                        self.delivery.take_return(member);
                        self.syncing.take_return(member);
                    }
                }
            }
            self.delivery.act(&mut self.peers);
            self.changes.act(&mut self.peers);
            self.syncing.act(&mut self.peers);
        }
    }

    fn take_answer(&mut self, from: NodeId, frame: ResponseFrame) {
        if ChangeDriver::is_ours(frame.id) {
            return self.changes.take_answer(from, frame);
        }
        self.changes.take_announced(from, frame.epoch);
        if SyncDriver::is_ours(frame.id) {
            self.syncing.take_answer(from, frame);
        } else if !GossipDriver::is_ours(frame.id) {
            self.delivery.take_answer(from, &frame);
        }
    }
}
