//! A write whose cluster goes on to another epoch: the same dot, sent again to the owners in the new one.
//!
//! ```text
//!   epoch 6   Put --> n1 joined, n2 refused: its epoch is old        acknowledgements of two epochs
//!   epoch 7   Put --> n2 joined, n4 joined, n1 joined it before        do not add up
//! ```
//!
//! A node refuses an older epoch and names its own; the client fetches what is agreed on in that, and then begins again
//! all that is under way. The refusals decide nothing until then: they say nothing about the write. If the newer epoch
//! does not come in time, they are the reason of the failure.
//!
//! What was acknowledged in the earlier epoch stays evidence that the write may be stored. A write that has returned ends
//! here: who was late gets it from who had it, by repair or with the range.
//!
//! Source: Ongaro and Ousterhout (2014), section 6: a decision is made within one configuration.

use quoit_ring::change::OwnerSet;
use quoit_ring::wire::Refusal;

use crate::coordinator::context::OpContext;
use crate::error::Outcome;
use crate::operation::Progress;
use crate::operation::plan;
use crate::operation::requests::Targets;
use crate::operation::write::Write;

impl Write {
    /// Sends the write to the owners in the new epoch.
    pub(super) fn begin_epoch(&mut self, cx: &mut OpContext) -> Progress {
        if self.reply.is_none() {
            return self.forget(cx);
        }
        let lists = (cx.topology).lists(cx.topology.token_of(&self.version.update.key));
        let targets: Targets = lists.owners().collect();
        let Ok(needs) = plan::write_needs(&self.plan, lists.quorums(&targets)) else {
            return self.expire(cx); // W is out of range now
        };
        let before: Targets = self.requests.targets().iter().copied().collect();
        let owners = targets.len();
        if !self.requests.begin_epoch(targets) {
            return self.expire(cx);
        }

        let had_joined = |&owner: &usize| {
            let node = self.requests.targets().get(owner);
            let place = before[..self.owners].iter().position(|it| Some(it) == node);
            place.is_some_and(|place| self.quorum.has_joined(place))
        };
        let joined: OwnerSet = (0..owners).filter(had_joined).collect();
        (self.owners, self.w) = (owners, needs.of_any());
        self.quorum.begin_epoch(needs, joined);
        self.step(cx)
    }

    /// The newer epoch has not come: the refusals of this one count.
    pub(super) fn fail_outdated(&mut self) {
        for owner in self.requests.take_outdated().iter() {
            let why = Outcome::Refused(Refusal::OldEpoch);
            self.quorum.failed(owner, why);
        }
    }
}
