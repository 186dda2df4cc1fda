//! A machine's part in anti-entropy: the shipped driver, called when the world says so.

use std::collections::BTreeMap;

use quoit_node::commit::Task;
use quoit_node::sync::{Act, Look, PeerSync, Repair};
use quoit_ring::{Moment, NodeId};

use super::Machine;
use super::process::Process;

impl Machine {
    /// Calls the node's part in anti-entropy; whether it wants to be called often.
    pub fn handle_sync_time(&mut self, now: Moment) -> bool {
        self.running(now)
            .is_some_and(|(process, read)| process.look_after_sync(read))
    }

    /// What the node's part in anti-entropy wants done next.
    pub fn poll_sync(&mut self) -> Option<Act> {
        self.process.as_mut()?.sync().poll()
    }

    /// A page of keys is read for it.
    pub fn look_for_sync(&mut self, wanted: &Look, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.look_for_sync(wanted, read);
        }
    }

    /// A record is to be joined here.
    pub fn write_for_sync(&mut self, repair: Repair, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.write_for_sync(repair, read);
        }
    }

    /// An order for a round of stability is given to the committer.
    pub fn order_for_sync(&mut self, ticket: u64, task: Task, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.order_for_sync(ticket, task, read);
        }
    }

    /// How often an idle committer is called, in microseconds.
    #[must_use]
    pub fn idle_rest(&self) -> u64 {
        let rest = self.process.as_ref().map(Process::idle_rest);
        rest.map_or(1_000_000, |rest| {
            u64::try_from(rest.as_micros()).unwrap_or(u64::MAX)
        })
    }

    /// How many tombstones the running node has forgotten.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.process.as_ref().map_or(0, Process::forgotten)
    }

    /// How the running node stands with its peers.
    #[must_use]
    pub fn synced(&self) -> BTreeMap<NodeId, PeerSync> {
        self.process
            .as_ref()
            .map_or_else(BTreeMap::new, Process::synced)
    }
}
