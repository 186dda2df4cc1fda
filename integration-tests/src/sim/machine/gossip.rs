//! A machine's part in gossip: the shipped driver, called when the world says so.

use std::sync::Arc;

use quoit_node::gossip::Act;
use quoit_ring::wire::MembersSeen;
use quoit_ring::{Moment, NodeId};

use super::Machine;
use super::process::Process;

impl Machine {
    /// Calls the node's part in gossip; in how many microseconds it wants to be called again.
    pub fn handle_gossip_time(&mut self, now: Moment) -> u64 {
        let Some((process, read)) = self.running(now) else {
            return u64::MAX;
        };
        process.gossip().handle_time(read.mono);
        process.gossip().next_wake().since(read.mono)
    }

    /// The node's part in gossip takes what has come.
    pub fn take_gossip(&mut self, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.gossip().handle_inbox(read.mono);
        }
    }

    /// What the node's part in gossip wants done next.
    pub fn poll_gossip(&mut self) -> Option<Act> {
        self.process.as_mut()?.gossip().poll()
    }

    /// The node asks a member for a newer epoch.
    pub fn catch_up(&mut self, from: NodeId, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.change().handle_newer(from, read.mono);
        }
    }

    /// A member is there again: its hints need not rest.
    pub fn member_back(&mut self, member: NodeId, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.dispatcher().handle_back(member, read.mono);
            process.sync().handle_back(member, read.mono);
        }
    }

    /// What the running node sees of the others.
    #[must_use]
    pub fn members_seen(&self) -> Option<Arc<MembersSeen>> {
        self.process.as_ref().map(Process::members_seen)
    }
}
