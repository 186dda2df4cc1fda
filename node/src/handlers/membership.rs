//! Messages about the ring: votes, decided epochs and fences become orders for the committing thread; a page of what moves is
//! read at once.
//!
//! ```text
//!   Pull, epoch 7, from n4 --> 7 is the newest here, and older ones are refused?
//!        --> what n4 is to own in it, and this node owned before --> rows behind the cursor
//! ```
//!
//! A page is read behind the fence: nothing of an older epoch is added here any more, so what the receiver has in the end is
//! all that this node had for older epochs. What is joined in this epoch goes to the new owners, too.
//!
//! A page for a node that has lost writes needs no fence. What it lost was acknowledged before it stopped, so the others
//! have it already.
//!
//! A node that is to join is no member yet. It gets what only nodes know, the key of the Merkle sums, and what is agreed on.
//!
//! Who sends it is who its certificate says, and a member when it asks: it may have become one since it connected.

use std::cmp::Ordering;

use bytes::Bytes;
use quoit_ring::change::moving::runs;
use quoit_ring::role::Role;
use quoit_ring::wire::{MembershipAnswer, MembershipRequest, Page, Refusal, Response};
use quoit_ring::{Epoch, NodeId};

use super::replica::{Handled, Replica};
use crate::clock::Now;
use crate::cluster::{ClusterView, unserved};
use crate::commit::Task;
use crate::engine::Engine;
use crate::engine::layout::parse_leaf_key;
use crate::env::Env;
use crate::storage::moving::{PageBounds, Run, read_page};

impl<E: Env, G: Engine> Replica<E, G> {
    /// Answers a message in the epoch of its frame, or says what is to be done for it.
    pub(super) fn membership(
        &self,
        caller: Role,
        (request, epoch): (MembershipRequest, Epoch),
        now: Now,
    ) -> Result<Handled, Refusal> {
        if self.state().service.is_draining() {
            return Err(Refusal::Draining);
        }
        if let MembershipRequest::Pull { after } = request {
            let receiver = caller.node().ok_or(Refusal::Forbidden)?;
            let page = self.page((receiver, epoch), after, now)?;
            let answer = Box::new(MembershipAnswer::Page(page));
            return Ok(Handled::Answer(Response::Membership(answer)));
        }
        if let MembershipRequest::Refill { after } = request {
            let receiver = caller.node().ok_or(Refusal::Forbidden)?;
            // Before it is read: it never becomes incomplete while it runs, and may become complete meanwhile.
            let is_complete = self.state().completeness.is_complete();
            let page = self.refill((receiver, epoch), after, now)?;
            let answer = Box::new(MembershipAnswer::Refill { is_complete, page });
            return Ok(Handled::Answer(Response::Membership(answer)));
        }
        if request == MembershipRequest::Join {
            caller.node().ok_or(Refusal::Forbidden)?;
            let answer = Box::new(self.welcome());
            return Ok(Handled::Answer(Response::Membership(answer)));
        }
        // A message of a newer build is one that this one does not know.
        Task::of(request, epoch)
            .map(Handled::Order)
            .ok_or(Refusal::NotReady)
    }

    /// What a node needs that is to join. That it was not removed was looked at when it connected.
    fn welcome(&self) -> MembershipAnswer {
        MembershipAnswer::Welcome {
            merkle_key: self.state().sums.key(),
            configuration: self.state().cluster.newest_answer(Epoch(0)),
        }
    }

    fn page(
        &self,
        (receiver, epoch): (NodeId, Epoch),
        after: Bytes,
        now: Now,
    ) -> Result<Page, Refusal> {
        // It would count as one who has all of what moves.
        self.state().completeness.check()?;
        let runs = pulled_runs(&self.state().cluster, receiver, epoch)?;
        self.read_page(&runs, after, now)
    }

    /// A page of what `receiver` owns, too. This node may have lost writes itself: its answer says so.
    fn refill(
        &self,
        (receiver, epoch): (NodeId, Epoch),
        after: Bytes,
        now: Now,
    ) -> Result<Page, Refusal> {
        let cluster = &self.state().cluster;
        match epoch.cmp(&cluster.newest().epoch()) {
            Ordering::Less => return Err(Refusal::OldEpoch),
            Ordering::Greater => return Err(Refusal::Behind),
            Ordering::Equal => {}
        }
        let runs = cluster.shared_runs(epoch, receiver);
        self.read_page(&runs, after, now)
    }

    fn read_page(&self, runs: &[Run], after: Bytes, now: Now) -> Result<Page, Refusal> {
        let after = match after {
            first if first.is_empty() => None,
            after if parse_leaf_key(&after).is_ok() => Some(after),
            _ => return Err(Refusal::BadRecord),
        };
        let snapshot = self.engine().snapshot();
        read_page(&snapshot, runs, after, PageBounds::FULL)
            .map_err(|error| self.refuse(&error, now))
    }
}

/// The leaves that `receiver` pulls from this node in `epoch`.
///
/// # Errors
/// [`Refusal::OldEpoch`], [`Refusal::Behind`] or [`Refusal::OtherRecovery`] unless that is the newest epoch here, and older ones are refused.
fn pulled_runs(cluster: &ClusterView, receiver: NodeId, epoch: Epoch) -> Result<Vec<Run>, Refusal> {
    let newest = cluster.newest().epoch();
    if epoch != newest {
        return Err(unserved(epoch, newest));
    }
    // The fence first: a snapshot that is taken later holds all that was joined before it.
    if cluster.epoch() < epoch {
        return Err(Refusal::Behind);
    }
    let ranges = cluster.moving(epoch);
    Ok(runs(&ranges, |range| {
        range.is_pulled(receiver, cluster.node)
    }))
}
