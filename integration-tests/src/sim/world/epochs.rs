//! Epochs: decided at once, learned by each node in its own time, and fenced once most have learned.
//!
//! ```text
//!   decided --> n1, n2, n3 learn ... n5 learns late     a majority --> fence: n1, n2 ... each refuses older ones
//!                                                        a node that starts hears of the newest one again
//! ```
//!
//! How an epoch is decided and spread is not simulated here; what nodes and clients do with it is the code that ships.

use quoit_ring::Epoch;
use rand::Rng as _;

use super::World;
use super::event::Event;
use crate::sim::chance::happens;
use crate::sim::plan::NODES;

/// How soon a node hears of an epoch, in microseconds.
const SOON: std::ops::Range<u64> = 200..20_000;
/// How late one node in ten does.
const LATE: std::ops::Range<u64> = 100_000..400_000;
/// How long after most have learned of an epoch a node is fenced.
const FENCE: std::ops::Range<u64> = 1_000..30_000;

impl World {
    /// The next epoch is decided.
    pub(super) fn decide(&mut self) {
        self.epoch.0 += 1;
        self.epoch.1.clear();
        let epoch = self.epoch.0;
        self.trace.note(self.now(), [9 << 8, epoch as u64, 0], || {
            format!("epoch {} is decided", epoch + 1)
        });
        for node in 0..self.machines.len() {
            self.send_epoch(node);
        }
    }

    /// A node that starts hears of what it has missed.
    pub(super) fn hear_of_epoch(&mut self, node: usize) {
        if self.epoch.0 > 0 {
            self.send_epoch(node);
        }
    }

    fn send_epoch(&mut self, node: usize) {
        let late = happens(&mut self.rng, 100);
        let takes = self.rng.random_range(if late { LATE } else { SOON });
        let (at, epoch) = (self.now().after(takes), self.epoch.0);
        self.schedule.at(at, Event::Learns { node, epoch });
    }

    pub(super) fn learn(&mut self, node: usize, epoch: usize) {
        if let Some(resumes) = self.paused_node(node) {
            return self.schedule.at(resumes, Event::Learns { node, epoch });
        }
        let (now, known) = (self.now(), &self.plan.cluster.epochs[epoch]);
        let learned = self.machines[node].learn(known, now);
        let numbers = [
            10 << 8 | node as u64,
            epoch as u64,
            u64::from(learned.is_ok()),
        ];
        self.trace.note(now, numbers, || {
            format!("n{} learns of epoch {}: {learned:?}", node + 1, epoch + 1)
        });
        match learned {
            Ok(true) if epoch == self.epoch.0 => self.has_learned(node),
            // It has no space on its disk, or does not run: it hears of it again, as by gossip.
            Ok(false) if epoch == self.epoch.0 => {
                let at = now.after(LATE.start);
                self.schedule.at(at, Event::Learns { node, epoch });
            }
            Ok(_) => {}
            Err(_) => self.storage_failed(node),
        }
    }

    /// A node has learned of the newest epoch: once most have, all are fenced.
    fn has_learned(&mut self, node: usize) {
        let majority = NODES / 2 + 1;
        let before = self.epoch.1.len();
        self.epoch.1.insert(node);
        let now = self.epoch.1.len();
        if now < majority {
            return;
        }
        // Those that learned before most had, at that moment; any other as soon as it learns.
        let fenced = if before < majority {
            self.epoch.1.iter().copied().collect()
        } else {
            vec![node]
        };
        for node in fenced {
            let at = self.now().after(self.rng.random_range(FENCE));
            let epoch = self.epoch.0;
            self.schedule.at(at, Event::Fenced { node, epoch });
        }
    }

    pub(super) fn fence(&mut self, node: usize, epoch: usize) {
        if let Some(resumes) = self.paused_node(node) {
            return self.schedule.at(resumes, Event::Fenced { node, epoch });
        }
        let first = self.plan.cluster.first.map.epoch;
        self.machines[node].fence(Epoch(first.0 + epoch as u64));
    }
}
