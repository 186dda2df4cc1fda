//! What the active faults mean for one node or client, looked up where it matters.
//!
//! ```text
//!   paused, until?          the last end of those that say so        clock offset?      the last to begin decides
//!   commits slower, by?     their sum
//! ```
//!
//! Nothing is stored when a fault begins and undone when it ends, so faults that overlap need no care.

use quoit_ring::Moment;

use super::World;
use crate::sim::faults::Fault;

impl World {
    /// Until when a node stands still, if it does.
    pub(super) fn paused_node(&self, node: usize) -> Option<Moment> {
        self.until(|fault| matches!(fault, Fault::PauseNode { node: which } if *which == node))
    }

    /// Until when a client stands still, if it does.
    pub(super) fn paused_client(&self, slot: usize) -> Option<Moment> {
        self.until(|fault| matches!(fault, Fault::PauseClient { client } if *client == slot))
    }

    /// By how much longer a node's commits take.
    pub(super) fn disk_delay(&mut self, node: usize) -> u64 {
        let mut more = 0;
        for &number in &self.active {
            if let Fault::SlowDisk {
                node: which,
                micros,
            } = self.plan.faults[number].fault
                && which == node
            {
                more += micros;
                self.felt[number] += 1;
            }
        }

        more
    }

    /// How far a node's wall clock is off.
    pub(super) fn node_offset(&self, node: usize) -> i64 {
        let error = |fault: &Fault| match fault {
            Fault::NodeClock { node: which, ms } if *which == node => Some(*ms),
            _ => None,
        };
        self.last(error).unwrap_or(self.plan.node_clocks[node])
    }

    /// How far a client's wall clock is off; a twin's is right.
    pub(super) fn client_offset(&self, slot: usize) -> i64 {
        let error = |fault: &Fault| match fault {
            Fault::ClientClock { client, ms } if *client == slot => Some(*ms),
            _ => None,
        };
        let usual = self
            .plan
            .client_clocks
            .get(slot)
            .copied()
            .unwrap_or_default();
        self.last(error).unwrap_or(usual)
    }

    /// What the fault that began last says, of those that say anything.
    fn last<T>(&self, says: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let faults = self.active.iter().rev();
        let mut said = faults.filter_map(|&number| says(&self.plan.faults[number].fault));
        said.next()
    }

    /// The last end of the active faults that `which` picks.
    fn until(&self, which: impl Fn(&Fault) -> bool) -> Option<Moment> {
        let planned = self.active.iter().map(|&number| &self.plan.faults[number]);
        let picked = planned.filter(|planned| which(&planned.fault));
        let ends = picked
            .map(|planned| planned.at.after(planned.lasts))
            .max()?;
        (ends > self.now()).then_some(ends)
    }
}
