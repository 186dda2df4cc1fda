//! Hand-off: who keeps a write for an owner that missed it, and how long the write looks for a holder.
//!
//! ```text
//!   returned --> owner answered                       --> nothing left to do
//!            --> no connection, broken, ejected, 1 s  --> Hint to a holder --joined--> nothing left to do
//!                                                               '-- refused, silent --> the next one
//! ```
//!
//! A write goes on after its caller has the answer, until every owner has it or a holder keeps it for that owner, in
//! whatever epoch that is (`epoch`). It
//! waits for an owner that is in health, a second at most. Such writes have given back their permit, since a node
//! that dies under load leaves a second's worth of them; they have bounds of their own
//! ([`Background`](crate::coordinator::background::Background)), beyond which an owner that missed a write must wait for
//! repair.
//!
//! Left out: whether a write is to be kept, and what that counts, which is the
//! [`WriteQuorum`](crate::quorum::WriteQuorum)'s.
//!
//! Source: Dynamo (2007), section 4.6.

use quoit_ring::NodeId;
use quoit_ring::wire::Request;
use smallvec::SmallVec;

use crate::coordinator::context::{BACKGROUND_MICROS, OpContext};
use crate::coordinator::request_id::{MAX_REPLICAS, Purpose};
use crate::metrics::RequestKind;
use crate::operation::Progress;
use crate::operation::write::Write;

/// What a write takes beside its record, about.
const OVERHEAD: usize = 768;

impl Write {
    pub(super) const fn background_bytes(&self) -> usize {
        OVERHEAD + self.version.record.len() + self.version.update.key.len()
    }

    /// Stops waiting for owners that are out of health: once the write has returned always, if it is sloppy also
    /// before. False if it waits for none of them.
    pub(super) fn give_up_on(&mut self, ejected: &[NodeId]) -> bool {
        let targets = self.requests.targets();
        let is_out = |&owner: &usize| {
            let node = targets.get(owner);
            node.is_some_and(|node| ejected.contains(node))
        };
        let late: SmallVec<[usize; 3]> = self.quorum.awaited().filter(is_out).collect();
        for &owner in &late {
            self.quorum.overdue(owner);
        }
        !late.is_empty()
    }

    /// Asks a node to keep the write for an owner.
    pub(super) fn hint(&mut self, owner: usize, cx: &mut OpContext) {
        let target = self.requests.targets().get(owner).copied();
        let (Some(holder), Some(target)) = (self.holder(owner, cx), target) else {
            return self.quorum.no_holder(owner);
        };
        if self.quorum.has_returned() {
            // A holder gets a second of its own, however late it is asked.
            let background = cx.now.at.after(BACKGROUND_MICROS);
            self.requests.deadline = self.requests.deadline.max(background);
        }

        // A node that keeps the write for two owners counts once, so it has one number.
        let (owners, holders) = self.requests.targets().split_at(self.owners);
        let known = holders.iter().position(|&node| node == holder);
        let number = known.unwrap_or(holders.len());
        let is_owner = owners.contains(&holder);
        self.quorum.hinted(owner, (!is_owner).then_some(number));

        let request = Request::Hint {
            target,
            key: self.version.update.key.clone(),
            dot: self.version.dot,
            record: self.version.record.clone(),
        };
        let replica = self.requests.add_target(holder);
        let what = (Purpose::Ask, RequestKind::Hint);
        self.requests.send(replica, what, request, cx);
    }

    /// The node to ask next to keep the write for an owner: a fallback, preferably one that keeps it for no other
    /// owner; else, once the write has returned, another owner that has it. None if all were asked or have no
    /// connection.
    fn holder(&self, owner: usize, cx: &OpContext) -> Option<NodeId> {
        let targets = self.requests.targets();
        if targets.len() >= MAX_REPLICAS {
            return None;
        }
        let (owners, holders) = targets.split_at_checked(self.owners)?;
        let asked: SmallVec<[NodeId; 3]> = (self.quorum.hints_for(owner))
            .filter_map(|hint| holders.get(hint).copied())
            .collect();

        let token = cx.topology.token_of(&self.version.update.key);
        let lists = cx.topology.lists(token);
        let may_keep = |node: &NodeId| {
            !asked.contains(node) && !owners.contains(node) && cx.health.reachable(*node)
        };
        let mut found: Option<((bool, bool), NodeId)> = None;
        for node in lists.fallbacks().filter(may_keep) {
            let worth = (
                !holders.contains(&node),
                cx.health.can_help(node, cx.now.at),
            );
            if found.is_none_or(|(best, _)| worth > best) {
                found = Some((worth, node));
            }
        }
        if let Some((_, node)) = found {
            return Some(node);
        }

        // Before it has returned, an owner that keeps it for another would count twice.
        if !self.quorum.has_returned() {
            return None;
        }
        let mut others = (self.quorum.holders()).filter_map(|holder| owners.get(holder).copied());
        others.find(|node| !asked.contains(node) && cx.health.reachable(*node))
    }

    /// Keeps a write that has returned for as long as an owner's answer may come; false if too much waits already.
    pub(super) fn begin_handoff(&mut self, cx: &mut OpContext) -> bool {
        self.requests.deadline = cx.now.at.after(BACKGROUND_MICROS);
        // Only minting again would need it. The record has a copy, so without this a write would keep its value twice.
        self.version.update.value = None;
        self.charge(cx)
    }

    /// Counts a write that has returned, for each owner whose answer is awaited; false if there is no room for it. It
    /// counts until it is forgotten in any case.
    pub(super) fn charge(&mut self, cx: &mut OpContext) -> bool {
        let targets = self.requests.targets();
        let late = (self.quorum.awaited()).filter_map(|owner| targets.get(owner).copied());
        self.late = late.collect();
        cx.background.begin(self.background_bytes(), &self.late)
    }

    /// Owners that have not answered count as having missed it: each gets a hint.
    pub(super) fn give_up_waiting(&mut self) {
        let late: SmallVec<[usize; 3]> = self.quorum.awaited().collect();
        for owner in late {
            self.quorum.overdue(owner);
        }
    }

    /// An owner has answered, or will not: if it was late, its request waits no more.
    pub(super) fn heard_of(&mut self, replica: usize, cx: &mut OpContext) {
        if self.late.is_empty() || replica >= self.owners {
            return;
        }
        let node = self.requests.targets().get(replica);
        if let Some(place) = self.late.iter().position(|late| Some(late) == node) {
            let node = self.late.swap_remove(place);
            cx.background.answered(self.background_bytes(), node);
        }
    }

    /// Nothing more will come of a write that has returned.
    pub(super) fn forget(&mut self, cx: &mut OpContext) -> Progress {
        self.withdraw(cx);
        cx.health.counters.hints_forgone += self.quorum.forgone() as u64;
        let bytes = self.background_bytes();
        cx.background.end(bytes, &self.late);
        cx.background.abandon(self.quorum.unanswered() * bytes);
        Progress::Over
    }
}
