//! Hand-off: who keeps a write for an owner that missed it, and for how long that is looked for.
//!
//! ```text
//!   returned --> owner answered                       --> nothing left to do
//!            --> no connection, broken, ejected, 1 s  --> Hint to a holder --joined--> nothing left to do
//!                                                               '-- refused, silent --> the next one
//! ```
//!
//! A write lives on after its caller has the answer, until every owner has it or somebody keeps it for them. An owner
//! is waited for while it is in health, a second at most. Such writes give back their room, since a node that dies
//! under load leaves a second's worth of them; they have a bound of their own, beyond which an owner that missed a
//! write must wait for repair.
//!
//! Left out: whether a write is to be kept, and what that counts, which is the
//! [`WriteQuorum`](crate::quorum::WriteQuorum)'s.
//!
//! Source: Dynamo (2007), section 4.6.

use quoit_ring::NodeId;
use quoit_ring::wire::Request;
use smallvec::SmallVec;

use crate::coordinator::request_id::MAX_REPLICAS;
use crate::coordinator::slab::Key;
use crate::coordinator::write::Write;
use crate::coordinator::{BACKGROUND_MICROS, Coordinator, Purpose, Running, Work};
use crate::env::Now;

/// Most bytes of writes that have returned and wait for an owner, some of it for their bookkeeping.
const MAX_PENDING_HANDOFF: usize = 16 << 20;
/// What a write takes beside its record, about.
const OVERHEAD: usize = 768;

impl Write {
    const fn pending_handoff_bytes(&self) -> usize {
        OVERHEAD + self.record.len() + self.change.key.len()
    }
}

impl<T, G> Coordinator<T, G> {
    /// Does not wait any longer for owners that are out of health: of a write that has returned always, of a sloppy
    /// one also before.
    pub(super) fn write_time(&mut self, key: Key, ejected: &[NodeId], now: Now) {
        let Some(running) = self.running.get_mut(key) else {
            return;
        };
        let Work::Write(write) = &mut running.work else {
            return;
        };
        let is_out = |&owner: &usize| {
            let node = running.targets.get(owner);
            node.is_some_and(|node| ejected.contains(node))
        };
        let late: SmallVec<[usize; 3]> = write.quorum.awaited().filter(is_out).collect();
        if !late.is_empty() {
            late.into_iter()
                .for_each(|owner| write.quorum.overdue(owner));
            self.step_write(key, now);
        }
    }

    /// Has somebody keep the write for an owner.
    pub(super) fn hint(&mut self, key: Key, owner: usize, now: Now) {
        let holder = self.holder(key, owner, now);
        let Some(running) = self.running.get_mut(key) else {
            return;
        };
        let Work::Write(write) = &mut running.work else {
            return;
        };
        let (Some(holder), Some(&target)) = (holder, running.targets.get(owner)) else {
            return write.quorum.no_holder(owner);
        };
        if write.quorum.has_returned() {
            running.deadline = running.deadline.max(now.at.after(BACKGROUND_MICROS));
        }
        let (owners, holders) = running.targets.split_at(write.owners);
        let known = holders.iter().position(|&node| node == holder);
        let number = known.unwrap_or(holders.len());
        let is_owner = owners.contains(&holder);
        write.quorum.hinted(owner, (!is_owner).then_some(number));
        let request = Request::Hint {
            target,
            key: write.change.key.clone(),
            dot: write.dot,
            record: write.record.clone(),
        };
        let replica = running.targets.len();
        running.targets.push(holder);
        self.send(key, replica, Purpose::Ask, request, now);
    }

    /// Who is to keep a write for an owner, of those who were not asked yet: the next fallback, best one that keeps it
    /// for nobody else; else, once the write has returned, another owner that has it. Nobody, if all were asked or
    /// cannot be reached.
    fn holder(&mut self, key: Key, owner: usize, now: Now) -> Option<NodeId> {
        let running = self.running.get_mut(key)?;
        let Work::Write(write) = &running.work else {
            return None;
        };
        if running.targets.len() >= MAX_REPLICAS {
            return None;
        }
        let (owners, holders) = running.targets.split_at_checked(write.owners)?;
        let asked: SmallVec<[NodeId; 3]> = (write.quorum.hints_for(owner))
            .filter_map(|hint| holders.get(hint).copied())
            .collect();
        let list = (self.ring).preference_list(self.ring.token_of(&write.change.key));
        let may_keep = |node: &NodeId| {
            !asked.contains(node) && !owners.contains(node) && self.health.reachable(*node)
        };
        let mut found: Option<((bool, bool), NodeId)> = None;
        for node in list.fallbacks().filter(may_keep) {
            let worth = (!holders.contains(&node), self.health.can_help(node, now.at));
            if found.is_none_or(|(best, _)| worth > best) {
                found = Some((worth, node));
            }
        }
        if let Some((_, node)) = found {
            return Some(node);
        }
        let mut others = (write.quorum.holders()).filter_map(|holder| owners.get(holder).copied());
        let has_returned = write.quorum.has_returned();
        let other = others.find(|node| !asked.contains(node) && self.health.reachable(*node));
        other.filter(|_| has_returned)
    }

    /// Keeps a write that has returned for as long as an owner's answer may come, if there is room for that.
    pub(super) fn await_handoff(&mut self, key: Key, now: Now) {
        let Some(running) = self.running.get_mut(key) else {
            return;
        };
        running.room = None;
        running.deadline = now.at.after(BACKGROUND_MICROS);
        let Work::Write(write) = &running.work else {
            return;
        };
        self.pending_handoff += write.pending_handoff_bytes();
        if self.pending_handoff > MAX_PENDING_HANDOFF {
            self.forget_write(key);
        }
    }

    /// Nothing more will come of a write.
    pub(super) fn forget_write(&mut self, key: Key) {
        let Some(Running { work, .. }) = self.running.remove(key) else {
            return;
        };
        if let Work::Write(write) = work {
            self.health.counters.hints_forgone += write.quorum.forgone() as u64;
            self.pending_handoff = self
                .pending_handoff
                .saturating_sub(write.pending_handoff_bytes());
        }
    }
}
