//! What this node says to others, over one set of links: hints delivered, its part in changes of the ring, gossip, sync.
//!
//! ```text
//!   Delivery --Repair----------.            .--> answer: by its id to whoever asked
//!   Changes ---Membership, ... -+--> Peers --
//!   Gossiping -Gossip ----------+            '--> lost: to those who wait for answers
//!   Syncing ---Sync, Get, ... --'                  removed: to `Removal`, and the node ends if most say so
//! ```
//!
//! The clock of each answer goes to the sweep, which asks nobody itself.

use quoit_ring::NodeId;
use quoit_ring::wire::ResponseFrame;

use super::removal::Removal;
use super::{Event, Peers};
use crate::change::ChangeDriver;
use crate::change::driver::Changes;
use crate::engine::Engine;
use crate::env::Env;
use crate::expiry::driver::Sweeping;
use crate::failure::{Failure, NodeFailure};
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
    pub(crate) sweeping: Sweeping<E, G>,
    pub(crate) peers: Peers,
    pub(crate) removal: Removal,
    /// What learns that this node was removed.
    pub(crate) failure: Failure,
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
                    Event::SaysRemoved(by) => self.look_for_removal(Some(by)),
                },
                () = self.delivery.wait() => {}
                () = self.changes.wait() => {}
                () = self.gossiping.wait() => {}
                () = self.syncing.wait() => {}
                () = self.sweeping.wait() => {}
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
            self.look_for_removal(None);
            self.delivery.act(&mut self.peers);
            self.changes.act(&mut self.peers);
            self.syncing.act(&mut self.peers);
            self.sweeping.act();
        }
    }

    /// Ends the node if it was removed while it was away: as `by` says, too, or as it has learned itself.
    fn look_for_removal(&mut self, by: Option<NodeId>) {
        let cluster = self.peers.cluster();
        let is_removed = match by {
            Some(by) => self.removal.said(by, cluster),
            None => self.removal.follow(cluster),
        };
        if is_removed && self.failure.get().is_none() {
            tracing::error!("this node was removed from its cluster while it was away");
            self.failure.set(NodeFailure::Removed);
        }
    }

    fn take_answer(&mut self, from: NodeId, frame: ResponseFrame) {
        self.sweeping.take_clock(from, &frame);
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
