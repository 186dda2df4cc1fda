//! Sync: another owner compares what it has with what is here, or somebody asks how that goes. Sums and keys are for peers only:
//! they reveal what a node holds.
//!
//! A peer asks about leaves that both own, by the newest epoch; whatever else it asks for is refused and looks at nothing.

use bytes::Bytes;
use quoit_ring::merkle::SharedLeaves;
use quoit_ring::role::Role;
use quoit_ring::wire::{KeyPage, Refusal, Response, SyncAnswer, SyncRequest};
use quoit_ring::{Epoch, MerkleTree};

use super::replica::Replica;
use crate::clock::Now;
use crate::engine::Engine;
use crate::env::Env;
use crate::storage::{LeafPage, Unreadable, WantedLeaves, read_leaf_page};

impl<E: Env, G: Engine> Replica<E, G> {
    /// Answers with sums, with a page of keys, or with how syncs go.
    ///
    /// # Errors
    /// [`Refusal::BadNodes`] for what is not there to be compared; [`Refusal::NotReady`] while the sums are being rebuilt after
    /// a start.
    pub(super) fn sync(
        &self,
        caller: Role,
        (request, epoch): (SyncRequest, Epoch),
        now: Now,
    ) -> Result<Response, Refusal> {
        let state = self.state();
        if state.service.is_draining() {
            return Err(Refusal::Draining);
        }
        match request {
            SyncRequest::Order(order) => state.sync.order(order),
            SyncRequest::Status => {}
            compares => return self.compare(caller, (compares, epoch), now),
        }
        let stability = state.stability.status(now.wall);
        let status = state.sync.status(stability, now.mono);
        Ok(Response::Sync(SyncAnswer::Status(status)))
    }

    fn compare(
        &self,
        caller: Role,
        (request, epoch): (SyncRequest, Epoch),
        now: Now,
    ) -> Result<Response, Refusal> {
        let state = self.state();
        let peer = caller.node().ok_or(Refusal::Forbidden)?;
        let shared = state.sync.shared(&state.cluster, epoch)?;
        let shared = shared.get(&peer).ok_or(Refusal::BadNodes)?;
        request.check(shared)?;

        let answer = match request {
            SyncRequest::Total => {
                let total = state.sums.with_tree(|tree| shared.total(tree));
                SyncAnswer::Total(total.ok_or(Refusal::NotReady)?)
            }
            SyncRequest::Below { level, nodes } => {
                let below = |tree: &MerkleTree| below(tree, shared, level, &nodes);
                let sums = state.sums.with_tree(below);
                SyncAnswer::Below(sums.ok_or(Refusal::NotReady)?)
            }
            SyncRequest::Keys { leaves, after } => {
                SyncAnswer::Keys(self.keys(&leaves, &after, now)?)
            }
            // A message of a newer build.
            _ => return Err(Refusal::NotReady),
        };
        Ok(Response::Sync(answer))
    }

    fn keys(&self, leaves: &[u32], after: &Bytes, now: Now) -> Result<KeyPage, Refusal> {
        let state = self.state();
        let after = (!after.is_empty()).then(|| (state.cluster.leaf_of(after), &after[..]));
        let wanted = WantedLeaves { leaves, after };
        let who = (state.sums.key(), state.cluster.node);
        let page = read_leaf_page(&self.engine().snapshot(), wanted, who);
        page.map(key_page)
            .map_err(|error| self.refuse(&Unreadable::Engine(error), now))
    }
}

/// The short sums of the children of these nodes.
fn below(tree: &MerkleTree, shared: &SharedLeaves, level: u8, nodes: &[u32]) -> Vec<u64> {
    let children = nodes.iter().flat_map(|&node| shared.children(level, node));
    let sums = children.map(|child| shared.sum(tree, level + 1, child).short());
    sums.collect()
}

/// The live ones: a tombstone and no row are the same to a sum.
fn key_page(page: LeafPage) -> KeyPage {
    let rows = page.rows.into_iter().map(|row| (row.key, row.sum.short()));
    KeyPage {
        rows: rows.filter(|&(_, sum)| sum != 0).collect(),
        next: page.next,
    }
}
