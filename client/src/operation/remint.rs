//! When a write is minted again, and when not.
//!
//! **A write is minted again only while its caller waits, and a blind one never above a later write of its client on
//! that key**: else an abandoned upload comes back over the delete that followed it. So a superseded blind write that a
//! later one of its client follows has been overtaken by it:
//!
//! ```text
//!   a later blind one is acknowledged   it happened before that one, which has overwritten it: written
//!   one is under way                    wait for that, until the deadline
//!   neither                             fail: the later ones have failed, are causal, or are on too few replicas;
//!                                       unless W may acknowledge it as it is, since an owner is late
//! ```
//!
//! It counts as overwritten only by a write on as many replicas as it needs itself: on W owners, or if it is sloppy on W
//! nodes, whether that is enough for the later one or not. One that has returned with fewer goes on to the other owners,
//! so it is waited for, too. A causal write is minted again also then: it replaces what its context has seen, and stands
//! beside the later one. Another client, in this process or not, has a mint of its own, and its writes are others' writes.
//!
//! A write that is **sent again** is never minted again: whoever has superseded it may have seen it first, and it would
//! come back.
//!
//! **A lifetime is checked when replicas have joined the write**: their clocks come with their answers, and those that
//! were remembered may be wrong, with all clocks of this machine, after a virtual machine stood still. If by a majority
//! the value would end over twice the drift early, or before half of its time, the write is minted again with the
//! lifetime that it was put with, while its caller waits. It fails if it may not be: once somebody has superseded it, who
//! may have seen it first, or if a later write of its client is there that does not replace it. In mode `One` a write may
//! return before a majority has been heard, and one that is sent again keeps the lifetime that it had: neither is checked.
//!
//! A write that is minted again, for either reason, may have been seen under its first dot and overwritten by who saw it:
//! then it is there again. Only a conditional write excludes that.
//!
//! Invariant: a write minted again has seen its first attempt, so it replaces that wherever it was joined. Left out: the
//! list of its client's writes, which is the [mint](crate::coordinator::mint)'s.

use quoit_ring::{Millis, Time};

use crate::coordinator::context::OpContext;
use crate::coordinator::mint::{Needed, Standing};
use crate::error::Outcome;
use crate::operation::plan;
use crate::operation::requests::Targets;
use crate::operation::version::Version;
use crate::operation::write::Write;
use crate::quorum::Acked;

/// A blind write, seen by the others of its client on the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// More owners may acknowledge it: the mint counts it, and earlier ones may wait for it.
    Counted,
    /// Superseded by what lies here, it waits for a later one. It is not counted, or two such would wait for each other.
    Overtaken(Time),
    /// None has to look at it: it is causal, or nothing more will come of it as itself.
    Out,
}

impl Place {
    /// Where a write begins.
    pub(super) const fn of(version: &Version) -> Self {
        if version.is_blind() {
            Self::Counted
        } else {
            Self::Out
        }
    }
}

impl Write {
    /// Mints the write again above what superseded it, if it may. The new dot builds on the first attempt, so it replaces
    /// that wherever it was joined, and on nothing that this client wrote in between.
    pub(super) fn remint(&mut self, above: Time, cx: &mut OpContext) {
        let is_awaited = (self.reply.as_ref()).is_some_and(|(_, reply)| reply.is_awaited());
        if !is_awaited {
            return self.quorum.cannot_remint();
        }
        if self.is_retry || self.version.is_blind() {
            self.withdraw(cx);
            match self.version.standing(self.needed(), cx) {
                Standing::Newest if !self.is_retry => {}
                Standing::Overwritten => return self.quorum.overwritten(),
                Standing::Behind if !self.is_retry => return self.wait(above, cx),
                // An owner that is late may acknowledge it as it is.
                Standing::Lost if !self.is_retry && self.quorum.may_reach_w() => {
                    return self.wait(above, cx);
                }
                Standing::Newest | Standing::Behind | Standing::Lost | Standing::Forgotten => {
                    return self.quorum.cannot_remint();
                }
            }
        }
        if !cx.mint.observe(above, cx.now.wall) {
            self.behind_ms = above.millis().0.saturating_sub(cx.now.wall.0);
            return self.quorum.cannot_remint();
        }
        cx.budget.charge();
        cx.counters.remints += 1;
        let first = core::mem::take(&mut self.version.context);
        self.version.mint_over(&first, above, cx);
        if self.version.is_blind() {
            self.place = Place::Counted;
        }
        self.requests.begin_attempt(self.owners);
        self.quorum.reminted();
    }

    /// A replica has joined it. If by the clocks that have answered it the value ends too early, and its caller waits, it
    /// is minted again, or fails if it may not be. False if it is to count: its lifetime is right, or a later blind write
    /// of this client is to replace it anyway.
    pub(super) fn renew(&mut self, replica: usize, cx: &mut OpContext) -> bool {
        let is_awaited = (self.reply.as_ref()).is_some_and(|(_, reply)| reply.is_awaited());
        if self.is_retry || !is_awaited || matches!(self.place, Place::Overtaken(_)) {
            return false;
        }
        if !self.quorum.awaits(replica) {
            return false; // an answer that comes twice counts once
        }
        let Some((present, early_ms)) = self.ends_early(replica, cx) else {
            return false;
        };

        let mut may_be_minted = self.quorum.may_renew(replica);
        if self.version.is_blind() {
            self.withdraw(cx);
            match self.version.standing(self.needed(), cx) {
                Standing::Newest => {}
                Standing::Overwritten | Standing::Behind => {
                    self.count(cx);
                    return false;
                }
                Standing::Lost | Standing::Forgotten => may_be_minted = false,
            }
        }
        // The wall clock may have gone back since: then what is minted now would lie below.
        may_be_minted = may_be_minted && cx.mint.observe(self.version.dot.time, cx.now.wall);
        if !may_be_minted {
            let why = Outcome::EndsEarly { early_ms };
            self.quorum.cannot_renew(replica, why);
            return true;
        }

        cx.budget.charge();
        cx.counters.remints += 1;
        self.version.mint_to_live_from(present, cx);
        self.place = Place::of(&self.version);
        self.requests.begin_attempt(self.owners);
        self.quorum.renewed(replica);
        true
    }

    /// What the clocks of those that have answered this very attempt have reached, and by how much too early the value
    /// ends by them, if by more than is tolerated. What is remembered of others may be as old as what set the lifetime.
    fn ends_early(&self, replica: usize, cx: &OpContext) -> Option<(Millis, u64)> {
        if self.quorum.has_returned() {
            return None;
        }
        let mut heard = Targets::new();
        for (number, &node) in self.requests.targets().iter().enumerate() {
            let is_heard = number == replica || self.quorum.has_answered(number);
            if is_heard && !heard.contains(&node) {
                heard.push(node);
            }
        }
        let majority = plan::majority(self.owners);
        if heard.len() < majority {
            return None;
        }

        let reached = cx.clocks.of(&heard, cx.now.at).reached(majority)?;
        let early_ms = (self.version).ends_early_by(reached, self.requests.elapsed(cx));
        let tolerated = self.version.half_life_ms().min(2 * cx.mint.max_drift_ms());
        (early_ms > tolerated).then_some((reached, early_ms))
    }

    /// How many copies there must be of a later write that is to count in place of this one.
    const fn needed(&self) -> Needed {
        Needed {
            w: self.w,
            sloppy: self.quorum.is_sloppy(),
        }
    }

    /// Superseded by what lies at `above`, it waits for a later write.
    fn wait(&mut self, above: Time, cx: &mut OpContext) {
        cx.overtaken += 1;
        self.version.waits(cx);
        self.place = Place::Overtaken(above);
    }

    /// Nothing more will come of it as it is: nobody is to wait for it, nor does it wait.
    pub(super) fn withdraw(&mut self, cx: &mut OpContext) {
        match core::mem::replace(&mut self.place, Place::Out) {
            Place::Counted => self.version.withdrawn(cx),
            Place::Overtaken(_) => {
                cx.overtaken -= 1;
                self.version.waited(cx);
            }
            Place::Out => {}
        }
    }

    /// Owners may acknowledge it as it is after all.
    pub(super) fn count(&mut self, cx: &mut OpContext) {
        debug_assert!(self.place == Place::Out, "it was withdrawn");
        self.version.counted(cx);
        self.place = Place::Counted;
    }

    /// It has returned well: what waits for it has been overwritten.
    pub(super) fn acknowledged(&mut self, acked: Acked, cx: &mut OpContext) {
        match self.place {
            Place::Counted => {}
            // An owner was late, so it is no longer to be minted again.
            Place::Overtaken(_) => {
                self.withdraw(cx);
                self.count(cx);
            }
            // If it was overwritten, those were the copies of another.
            Place::Out => return,
        }
        self.version.acknowledged(acked, cx);
    }

    /// A replica has answered: if it took the write, that may be enough for one that waits for it, though not for this one.
    /// Mostly there is none, and this is the way of every put.
    pub(super) fn copied(&self, cx: &mut OpContext) {
        if self.place == Place::Counted && (self.has_others || cx.overtaken > 0) {
            self.version.acknowledged(self.quorum.acks(), cx);
        }
    }
}
