//! Sweeps of machines: a node's driver is called, its orders go to the committer, its pages come a little later.
//!
//! ```text
//!   look --> ExpiryDriver --> order, into the commit queue --> answer, taken at the next call
//!                  '--> entries read, a little later
//! ```
//!
//! Half of the runs have it, so that what readers do with the expired is also seen without.

use quoit_node::engine::layout::{NAMESPACE, record_key};
use quoit_node::engine::{Keyspace, Snapshot as _};
use quoit_node::expiry::{Act, Look};
use quoit_ring::wire::decode_record;
use quoit_ring::{Millis, NodeId};
use rand::Rng as _;

use super::World;
use super::event::Event;
use crate::history::KeyId;

/// How often a node's driver is called during a pass, in microseconds.
const TICK: u64 = 10_000;
/// How often while there is none.
const IDLE: u64 = 200_000;
/// How long reading a page takes.
const READ: core::ops::Range<u64> = 300..20_000;

impl World {
    /// A node's sweep is called.
    pub(super) fn look_after_expiry(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }
        let now = self.now();
        if let Some(resumes) = self.paused_node(node) {
            return self.schedule.at(resumes, Event::Expiry { node, life });
        }
        let serves = self.machines[node].is_serving();
        let is_busy = serves && self.machines[node].handle_expiry_time(now);
        let pause = if is_busy { TICK } else { IDLE };
        self.schedule
            .at(now.after(pause), Event::Expiry { node, life });
        self.carry_expiry_out(node);
    }

    /// A node has read what is due.
    pub(super) fn look_for_expired(&mut self, (node, life): (usize, u32), wanted: &Look) {
        if self.machines[node].life() == life {
            let now = self.now();
            self.machines[node].look_for_expired(wanted, now);
            self.carry_expiry_out(node);
        }
    }

    fn carry_expiry_out(&mut self, node: usize) {
        let (now, life) = (self.now(), self.machines[node].life());
        let mut has_ordered = false;
        while let Some(act) = self.machines[node].poll_expiry() {
            match act {
                Act::Look(wanted) => {
                    let at = now.after(self.rng.random_range(READ));
                    self.schedule
                        .at(at, Event::ExpiryLooked { node, life, wanted });
                }
                Act::Order(task) => {
                    self.machines[node].order_sweep(task, now);
                    has_ordered = true;
                }
            }
        }
        if has_ordered {
            self.begin_commit(node);
        }
    }

    /// A value that has expired by a time and is live with an owner all the same, in words; none if there is no such value.
    #[must_use]
    pub fn unswept_key(&self, by: Millis) -> Option<(KeyId, String)> {
        let newest = self.newest()?;
        let topology = newest.topology();
        let recorder = self.site.recorder().borrow();
        let stores: Vec<_> = (self.machines.iter())
            .map(|machine| (machine.id(), machine.disk().contents()))
            .collect();
        let unswept_at = |owner: NodeId, row: &[u8]| {
            let (_, store) = stores.iter().find(|(id, _)| *id == owner)?;
            let record = decode_record(&store.get(Keyspace::Records, row).ok()??).ok()?;
            let is_over = |expiry: Option<Millis>| expiry.is_some_and(|expiry| expiry <= by);
            let mut live = record.live().iter();
            let found = live.find(|sibling| is_over(sibling.expiry))?;
            Some(format!(
                "{owner} holds {}, which expired at {:?}",
                found.dot, found.expiry
            ))
        };
        let unswept = |name: &[u8]| {
            let row = record_key(NAMESPACE, name);
            let lists = topology.lists(topology.token_of(name));
            lists.owners().find_map(|owner| unswept_at(owner, &row))
        };
        let mut keys = (0..).zip(&recorder.history().keys);
        keys.find_map(|(number, key)| Some((KeyId(number), unswept(&key.name)?)))
    }
}
