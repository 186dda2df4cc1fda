//! Epochs, as the one thread sees them that commits: learned on the disk, fenced between two batches.
//!
//! ```text
//!   batch | learn 7: stored, synced, served | batch | fence 7 | batch: writes of epoch 6 are refused
//! ```
//!
//! Both happen here and not where a message arrives, so no write is joined in an epoch that has been refused by then, not
//! even one that waited in the queue. That is what who pulls a range relies on: behind the fence nothing older is added.
//!
//! **Owned again.** A node that is to own leaves and holds rows in them, of an earlier ownership, does not serve them in
//! that epoch before it has emptied them: they may be older than what it pulls, and would be counted as a new owner's.
//! Where nothing is left it takes the leaves at once, in the batch that stores the epoch. It raises its fence either way,
//! above the epochs in which it owned them before, so that no write of those comes in behind.

use quoit_ring::Epoch;
use quoit_ring::change::{Branch, Known, NextError};
use quoit_ring::wire::configuration::{decode_answer, encode_configuration};
use quoit_ring::wire::{MembershipAnswer, Progress, Refusal};

use super::Committer;
use super::carry_out::Unfulfilled;
use super::rows::{Pulled, encode_taken};
use super::stability::{floors_of_owned, put_floors};
use crate::clock::Now;
use crate::engine::layout::{META_CONFIGURATION, META_PULLED, META_TAKEN, META_VOTE};
use crate::engine::{Batch, Durability, Engine, EngineError, Keyspace};
use crate::storage::moving;

impl<G: Engine> Committer<G> {
    /// Learns a newer epoch: stores it, and serves it from then on. False if the disk has no space for it.
    ///
    /// # Errors
    /// The engine's: whether the epoch is stored is unknown, it is not served, and the engine takes no more.
    pub fn learn(&mut self, known: Known, now: Now) -> Result<bool, EngineError> {
        let (epoch, newest) = (known.epoch(), self.state.cluster.newest());
        if epoch <= newest.epoch() {
            return Ok(true);
        }
        if !self.has_space(now) {
            return Ok(false);
        }

        let runs = moving::newcomer_runs(&known, self.state.cluster.node);
        // What cannot be read is taken for a row: it waits until it is gone.
        let has_taken = self.keeps_taken(&newest, &known)
            || moving::is_empty(&self.engine.snapshot(), &runs).unwrap_or(false);

        let mut batch = Batch::with_capacity(4);
        let encoded = encode_configuration(known.configuration());
        batch.insert(Keyspace::Meta, META_CONFIGURATION, encoded);
        // They are about the epoch before.
        batch.remove(Keyspace::Meta, META_VOTE);
        batch.remove(Keyspace::Meta, META_PULLED);
        if has_taken && !runs.is_empty() {
            batch.insert(Keyspace::Meta, META_TAKEN, encode_taken(epoch));
        }
        // What it owns no more has no floor any more, should it own that again: rows may be deleted there from now on.
        let floors = floors_of_owned(
            &self.state.stability.floors(),
            &known,
            self.state.cluster.node,
        );
        if let Some(floors) = &floors {
            put_floors(floors, &mut batch);
        }
        // In either mode: a node that forgot an epoch would serve an older one again, which others count as fenced.
        self.engine.commit(batch, Durability::Fsync)?;

        if let Some(floors) = floors {
            self.state.stability.set_floors(floors);
        }
        self.state.hints.ring_changed();
        if self.state.leftovers.is_clean(newest.epoch()) && !self.loses(&newest, &known) {
            self.state.leftovers.set_clean(epoch);
        }
        self.chain.learn(known.configuration().clone());
        self.state.pulled.set(Pulled::in_epoch(epoch));
        self.state.cluster.learn(known, has_taken);
        if !runs.is_empty() {
            // In the epoch before, it was no owner of what it is a newcomer of.
            let fence = if has_taken { epoch.0 - 1 } else { epoch.0 };
            self.fence(Epoch(fence));
        }
        Ok(true)
    }

    /// Whether what this node has pulled stays. It does where the same arc moves on, since members were written off in
    /// between: it may be the last copy. Over several epochs the arc may have gone back meanwhile.
    fn keeps_taken(&self, newest: &Known, next: &Known) -> bool {
        let is_next = next.epoch().0 - newest.epoch().0 == 1;
        (is_next || Branch::is_recovery(newest.epoch(), next.epoch()))
            && newest.configuration().change == next.configuration().change
            && self.state.cluster.has_taken(newest.epoch())
    }

    /// Whether this node owns less in `next` than it does in `newest`, or may do so: it is not the very next epoch.
    fn loses(&self, newest: &Known, next: &Known) -> bool {
        if next.epoch().0 != newest.epoch().0 + 1 {
            return true;
        }
        // Lists grow while an arc begins to move, and get shorter only where one has moved, or moves no more.
        let node = self.state.cluster.node;
        let moved = self.state.cluster.moving(newest.epoch());
        moved.iter().any(|range| {
            let now = next.topology().lists_of_leaf(*range.leaves.start());
            (range.old.contains(&node) || range.new.contains(&node)) && !now.is_owner(node)
        })
    }

    /// Refuses epochs before `fence`, in whatever is joined from now on; the epoch that all before are refused of, which
    /// is less if this node has not learned of `fence`.
    pub fn fence(&mut self, fence: Epoch) -> Epoch {
        self.state.cluster.fence(fence)
    }

    /// Learns what another node says is decided.
    pub(super) fn learn_decided(
        &mut self,
        decided: &[u8],
        now: Now,
    ) -> Result<MembershipAnswer, Unfulfilled> {
        let newest = self.state.cluster.newest();
        let answer = decode_answer(decided).map_err(|_junk| Refusal::BadRecord)?;
        let known = match newest.next(answer) {
            Ok(known) => known,
            Err(NextError::NotLater { known, .. }) => return Ok(MembershipAnswer::Learned(known)),
            // Its sender takes this node for further than it is: it sends all of it then.
            Err(NextError::Update(_)) => return Ok(MembershipAnswer::Behind(newest.epoch())),
            // Gossip shows that to operators.
            Err(NextError::OtherRecovery { .. }) => return Err(Refusal::OtherRecovery.into()),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "another node sent an epoch that cannot be one"
                );
                return Err(Refusal::BadRecord.into());
            }
        };
        let epoch = known.epoch();
        if self.learn(known, now)? {
            Ok(MembershipAnswer::Learned(epoch))
        } else {
            Err(Unfulfilled::NO_SPACE)
        }
    }

    /// Refuses epochs before `epoch`, and says how far this node is in it.
    pub(super) fn fence_and_tell(&mut self, epoch: Epoch) -> MembershipAnswer {
        let newest = self.state.cluster.newest().epoch();
        if newest < epoch {
            return MembershipAnswer::Behind(newest); // it catches up first
        }
        let fence = self.fence(epoch);
        let kept = self.state.hints.kept();
        MembershipAnswer::Progress(Progress {
            newest,
            fence,
            // What it has pulled it still has, but not what it has acknowledged since.
            pulled: match self.state.completeness.is_complete() {
                true => self.state.pulled.done(epoch),
                false => Vec::new(),
            },
            has_leftovers: self.has_leftovers(newest),
            hints: kept.map(|kept| kept.iter().map(|of| of.count).sum()),
        })
    }

    /// Whether it holds rows that it does not own by its newest epoch, or may not own yet.
    fn has_leftovers(&self, newest: Epoch) -> bool {
        !self.state.leftovers.is_clean(newest) || !self.state.cluster.has_taken(newest)
    }
}
