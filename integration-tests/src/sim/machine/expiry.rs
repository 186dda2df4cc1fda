//! A machine's sweep: the shipped driver, called when the world says so.

use quoit_node::commit::Task;
use quoit_node::expiry::{Act, Look};
use quoit_ring::Moment;

use super::Machine;
use super::process::Process;

impl Machine {
    /// Calls the node's sweep; whether it wants to be called often.
    pub fn handle_expiry_time(&mut self, now: Moment) -> bool {
        self.running(now)
            .is_some_and(|(process, read)| process.look_after_expiry(read))
    }

    /// What the node's sweep wants done next.
    pub fn poll_expiry(&mut self) -> Option<Act> {
        self.process.as_mut()?.expiry().poll()
    }

    /// A page of what is due is read for it.
    pub fn look_for_expired(&mut self, wanted: &Look, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.look_for_expired(wanted, read);
        }
    }

    /// Gives the committer an order of it.
    pub fn order_sweep(&mut self, task: Task, now: Moment) {
        if let Some((process, read)) = self.running(now) {
            process.order_sweep(task, read);
        }
    }

    /// Values that the running node's sweeps have removed.
    #[must_use]
    pub fn swept(&self) -> u64 {
        self.process.as_ref().map_or(0, Process::swept)
    }
}
