//! One node: its part in the chain, its fence, what it holds of the key, and what of that is on its disk.

use std::collections::BTreeSet;

use quoit_ring::change::{Chain, Configuration};
use quoit_ring::consensus::Proposer;
use quoit_ring::{Epoch, NodeId};

use super::lists::{Lists, Role};

/// Writes, as bits.
pub(crate) type Writes = u64;

/// A write or a write-back that has arrived and is not joined yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Put {
    pub(crate) to: usize,
    pub(crate) operation: usize,
    pub(crate) epoch: Epoch,
    pub(crate) writes: Writes,
}

/// What a driver has in memory.
#[derive(Default)]
pub(crate) struct Driver {
    /// What it proposes after an epoch, and the voters that it asks.
    pub(crate) proposes: Option<(Epoch, Vec<NodeId>, Proposer<Configuration>)>,
    /// The newest epoch that it has heard of.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) fenced: BTreeSet<NodeId>,
    /// Receiver and source.
    pub(crate) pulled: BTreeSet<(NodeId, NodeId)>,
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) chain: Chain,
    pub(crate) lists: Lists,
    pub(crate) is_up: bool,
    /// No other node reaches it; clients do.
    pub(crate) is_cut: bool,
    /// Its disk is gone.
    pub(crate) is_lost: bool,
    pub(crate) fence: Epoch,
    pub(crate) fence_on_disk: Epoch,
    pub(crate) has: Writes,
    pub(crate) has_on_disk: Writes,
    /// The epoch in which it took the range, empty; on the disk.
    pub(crate) taken: Option<Epoch>,
    /// Sources of which it has all, in this epoch; on the disk.
    pub(crate) pulled: (Epoch, BTreeSet<NodeId>),
    /// Owners that have what is left here, in this epoch.
    pub(crate) pushed: (Epoch, BTreeSet<NodeId>),
    pub(crate) queue: Vec<Put>,
    pub(crate) driver: Driver,
}

impl Node {
    pub(crate) fn new(id: NodeId, first: &Configuration) -> Self {
        Self {
            id,
            chain: Chain::new(id, first.clone()),
            lists: Lists::of(first),
            is_up: true,
            is_cut: false,
            is_lost: false,
            fence: first.epoch,
            fence_on_disk: first.epoch,
            has: 0,
            has_on_disk: 0,
            taken: None,
            pulled: (first.epoch, BTreeSet::new()),
            pushed: (first.epoch, BTreeSet::new()),
            queue: Vec::new(),
            driver: Driver::default(),
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.chain.decided().epoch
    }

    pub(crate) fn role(&self) -> Role {
        self.lists.role(self.id)
    }

    /// Refuses what is older, from now on and after a restart, too.
    pub(crate) fn raise_fence(&mut self, to: Epoch, is_durable: bool) {
        self.fence = self.fence.max(to);
        if is_durable {
            self.fence_on_disk = self.fence_on_disk.max(self.fence);
        }
    }

    pub(crate) fn join(&mut self, writes: Writes, is_synced: bool) {
        self.has |= writes;
        if is_synced {
            self.has_on_disk |= writes;
        }
    }

    /// It knows a newer epoch.
    pub(crate) fn enter(&mut self, lists: Lists) {
        let epoch = self.epoch();
        self.lists = lists;
        if self.role() == Role::Newcomer {
            // What is left of an earlier ownership is refused at once, and goes before the range is taken.
            self.raise_fence(epoch, true);
            self.take_if_empty();
        }
        if self.pulled.0 != epoch {
            self.pulled = (epoch, BTreeSet::new());
        }
        self.pushed = (epoch, BTreeSet::new());
    }

    pub(crate) fn take_if_empty(&mut self) {
        if self.role() == Role::Newcomer && self.has == 0 {
            self.taken = Some(self.epoch());
        }
    }

    /// It holds what it does not own, or may not own yet.
    pub(crate) fn has_leftovers(&self) -> bool {
        match self.role() {
            Role::Owner => false,
            Role::Newcomer => self.taken != Some(self.epoch()),
            Role::None => self.has != 0,
        }
    }

    /// For a trace.
    pub(crate) fn describe(&self) -> String {
        let Driver {
            proposes,
            fenced,
            pulled,
            ..
        } = &self.driver;
        let ballot = proposes
            .as_ref()
            .map(|(after, _, it)| (*after, it.ballot()));
        format!(
            "{}: epoch {}, lost {}, fence {}, taken {:?}, has {:b}, pulled {:?}, promised {:?}, proposes {ballot:?}, \
             driver knows fenced {fenced:?}, pulled {pulled:?}",
            self.id.0,
            self.epoch().0,
            self.is_lost,
            self.fence.0,
            self.taken,
            self.has,
            self.pulled,
            self.chain.vote().promised(),
        )
    }

    /// Loses power, and starts with what is on its disk.
    pub(crate) fn restart(&mut self) {
        let (decided, vote) = (self.chain.decided().clone(), self.chain.vote().clone());
        self.chain = Chain::restored(self.id, decided, vote);
        self.fence = self.fence_on_disk;
        self.has = self.has_on_disk;
        self.pushed.1.clear();
        self.queue.clear();
        self.driver = Driver::default();
    }
}
