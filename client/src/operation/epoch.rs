//! A write whose cluster goes on to another epoch: the same dot, sent again to the owners in the new one.
//!
//! ```text
//!   epoch 6   Put --> n1 joined, n2 refused: its epoch is old        acknowledgements of two epochs
//!   epoch 7   Put --> n2 joined, n4 joined, n1 joined it before        do not add up
//! ```
//!
//! A node refuses an older epoch and names its own; the client fetches what is agreed on in that, and then begins again
//! all that is under way. A node that is behind refuses a newer epoch, and is asked again, a little later each time. Neither
//! refusal says anything about the write, so it decides nothing; in the end it is the reason of the failure.
//!
//! What was acknowledged in the earlier epoch stays evidence that the write may be stored. A write that has **returned**
//! goes on with those owners that lack it, in the time that it has in any case:
//!
//! ```text
//!   joined it, or a holder keeps it for it     stays so: a hint whose target owns the key no more goes to all who do
//!   late, new, or its holder has not answered  Put in the new epoch, and a hint if nothing comes of that
//! ```
//!
//! An owner that has joined it has it still: it deletes only what most owners have, and has pulled from most of them before
//! it owns the key again.
//!
//! Source: Ongaro and Ousterhout (2014), section 6: a decision is made within one configuration.

use quoit_ring::NodeId;
use quoit_ring::change::OwnerSet;

use crate::coordinator::context::OpContext;
use crate::operation::Progress;
use crate::operation::plan;
use crate::operation::remint::Place;
use crate::operation::requests::Targets;
use crate::operation::write::Write;
use crate::quorum::WriteQuorum;

impl Write {
    /// Sends the write to the owners in the new epoch.
    pub(super) fn begin_epoch(&mut self, cx: &mut OpContext) -> Progress {
        if self.quorum.has_returned() {
            return self.go_on(cx);
        }
        let lists = (cx.topology).lists(cx.topology.token_of(&self.version.update.key));
        let targets: Targets = lists.owners().collect();
        let Ok(needs) = plan::write_needs(&self.plan, lists.quorums(&targets)) else {
            return self.expire(cx); // W is out of range now
        };
        let before: Targets = self.requests.targets().iter().copied().collect();
        let (owners, refused) = (targets.len(), self.requests.refused_epoch());
        if !self.requests.begin_epoch(targets) {
            return self.expire(cx);
        }
        // They may still wait, and no attempt is interested in them.
        cx.background
            .abandon(self.quorum.unanswered() * self.background_bytes());

        let had_joined = |&owner: &usize| {
            let node = self.requests.targets().get(owner);
            let place = before[..self.owners].iter().position(|it| Some(it) == node);
            place.is_some_and(|place| self.quorum.has_joined(place))
        };
        let joined: OwnerSet = (0..owners).filter(had_joined).collect();
        if matches!(self.place, Place::Overtaken(_)) {
            // It waits for nothing as long as the new owners may acknowledge it.
            self.withdraw(cx);
            self.count(cx);
        }
        (self.owners, self.w) = (owners, needs.of_any());
        self.epoch = cx.topology.epoch();
        self.quorum.begin_epoch(needs, joined, refused);
        self.step(cx)
    }

    /// Sends a write that has returned to those owners in the new epoch that lack it.
    fn go_on(&mut self, cx: &mut OpContext) -> Progress {
        let lists = (cx.topology).lists(cx.topology.token_of(&self.version.update.key));
        let targets: Targets = lists.owners().collect();
        let before: Targets = (self.requests.targets().iter().copied())
            .take(self.owners)
            .collect();
        let among = |has: fn(&WriteQuorum, usize) -> bool| -> OwnerSet {
            let had = |node: &NodeId| {
                let place = before.iter().position(|it| it == node);
                place.is_some_and(|place| has(&self.quorum, place))
            };
            let numbered = targets.iter().enumerate();
            (numbered
                .filter(|(_, node)| had(node))
                .map(|(owner, _)| owner))
            .collect()
        };
        let (joined, kept) = (among(WriteQuorum::has_acked), among(WriteQuorum::is_kept));
        let owners = targets.len();
        if !self.requests.begin_epoch(targets) {
            return self.forget(cx);
        }
        // They may still wait, and no attempt is interested in them.
        let bytes = self.background_bytes();
        cx.background.abandon(self.quorum.unanswered() * bytes);
        cx.background.end(bytes, &self.late);

        self.owners = owners;
        self.epoch = cx.topology.epoch();
        self.quorum.go_on(owners, joined, kept);
        if !self.charge(cx) {
            return self.forget(cx);
        }
        if self.is_closing {
            self.give_up_waiting(); // no more time is left than for a holder's answer
        }
        self.step(cx)
    }

    /// It is too late for another epoch, or for nodes that are behind: what they refused counts.
    pub(super) fn fail_refused(&mut self) {
        for (owner, why) in self.requests.take_refusals() {
            self.quorum.failed(owner, why);
        }
    }
}
