//! Anti-entropy between machines: a node's driver is called, its messages travel as frames, its repairs go into the queue.
//!
//! ```text
//!   look --> SyncDriver --> frame --> another machine --> answer
//!                  |----> keys read, a little later
//!                  '----> repair, into the commit queue
//! ```
//!
//! Half of the runs have it, so that everything else is also seen without anybody who repairs what it leaves.

use quoit_node::commit::Task;
use quoit_node::engine::layout::{NAMESPACE, record_key};
use quoit_node::engine::{Keyspace, Snapshot as _};
use quoit_node::sync::{Act, Look};
use quoit_ring::wire::decode_record;
use quoit_ring::{Dot, NodeId, Time};
use rand::Rng as _;

use super::World;
use super::event::Event;
use crate::history::KeyId;
use crate::sim::coverage::CoverageEvent;

/// How often a node's driver is called during a sync, in microseconds.
const TICK: u64 = 10_000;
/// How often while there is none.
const IDLE: u64 = 200_000;
/// How long reading a page of keys takes.
const READ: core::ops::Range<u64> = 300..20_000;

impl World {
    /// A node's part in anti-entropy is called.
    pub(super) fn look_after_sync(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }
        let now = self.now();
        if let Some(resumes) = self.paused_node(node) {
            return self.schedule.at(resumes, Event::Sync { node, life });
        }
        let serves = self.machines[node].is_serving();
        let is_busy = serves && self.machines[node].handle_sync_time(now);
        let pause = if is_busy { TICK } else { IDLE };
        self.schedule
            .at(now.after(pause), Event::Sync { node, life });
        self.carry_sync_out(node);
    }

    /// A node has read keys to compare them.
    pub(super) fn look_for_sync(&mut self, (node, life): (usize, u32), wanted: &Look) {
        if self.machines[node].life() == life {
            let now = self.now();
            self.machines[node].look_for_sync(wanted, now);
            self.carry_sync_out(node);
        }
    }

    pub(super) fn carry_sync_out(&mut self, node: usize) {
        let (now, life) = (self.now(), self.machines[node].life());
        let mut has_written = false;
        while let Some(act) = self.machines[node].poll_sync() {
            match act {
                Act::Send { to, frame } => self.send_to_peer(node, to, &frame),
                Act::Look(wanted) => {
                    self.site.saw(CoverageEvent::KeysCompared);
                    let at = now.after(self.rng.random_range(READ));
                    self.schedule
                        .at(at, Event::SyncLooked { node, life, wanted });
                }
                Act::Write(repair) => {
                    self.site.saw(CoverageEvent::SyncRepaired);
                    self.machines[node].write_for_sync(repair, now);
                    has_written = true;
                }
                Act::Order { ticket, task } => {
                    if let Task::Stabilize { round, .. } = &task {
                        self.site.saw(CoverageEvent::FloorRaised);
                        let mut recorder = self.site.recorder().borrow_mut();
                        let floor = &mut recorder.history_mut().floor;
                        *floor = round.iter().map(|(_, time)| *time).fold(*floor, Time::max);
                    }
                    if self.machines[node].forgotten() > 0 {
                        self.site.saw(CoverageEvent::TombstoneForgotten);
                    }
                    self.machines[node].order_for_sync(ticket, task, now);
                    has_written = true;
                }
            }
        }
        if has_written {
            self.begin_commit(node);
        }
    }

    /// A key whose owners do not hold the same live values, in words; none if there is no such key.
    #[must_use]
    pub fn differing_key(&self) -> Option<(KeyId, String)> {
        let newest = self.newest()?;
        let topology = newest.topology();
        let recorder = self.site.recorder().borrow();
        let stores: Vec<_> = (self.machines.iter())
            .map(|machine| (machine.id(), machine.disk().contents()))
            .collect();
        let live_at = |owner: NodeId, row: &[u8]| -> Option<Vec<(Dot, u64)>> {
            let (_, store) = stores.iter().find(|(id, _)| *id == owner)?;
            let stored = store.get(Keyspace::Records, row).ok()?;
            let record = stored.map_or_else(|| Ok(Default::default()), |it| decode_record(&it));
            let record = record.ok()?;
            Some(record.live().iter().map(|it| (it.dot, it.hash)).collect())
        };
        let differs = |name: &[u8]| {
            let row = record_key(NAMESPACE, name);
            let lists = topology.lists(topology.token_of(name));
            let held: Vec<_> = lists
                .owners()
                .map(|owner| (owner, live_at(owner, &row)))
                .collect();
            let differs = held.windows(2).any(|two| two[0].1 != two[1].1);
            differs.then(|| format!("{held:?}"))
        };
        let mut keys = (0..).zip(&recorder.history().keys);
        keys.find_map(|(number, key)| Some((KeyId(number), differs(&key.name)?)))
    }
}
