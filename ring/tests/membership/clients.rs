//! Clients: each operation belongs to one epoch at a time, and starts again in a later one with the same write.

use std::collections::{BTreeMap, BTreeSet};

use quoit_ring::{Epoch, NodeId};

use super::defects::Defect;
use super::lists::{Count, Role};
use super::node::{Put, Writes};
use super::world::{Reached, World};

/// What an operation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Acknowledged by a majority of each list, or by one node.
    Write { write: Writes, by_one: bool },
    Read {
        answers: BTreeMap<NodeId, Writes>,
        /// What it returns once enough hold it.
        found: Option<Writes>,
        holders: BTreeSet<NodeId>,
        /// What had to be in it when it began.
        obliged: Writes,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    pub(crate) epoch: Epoch,
    /// The one in which it began.
    first: Epoch,
    /// Who has acknowledged the write, in which epochs.
    pub(crate) acks: BTreeSet<(NodeId, Epoch)>,
    pub(crate) is_done: bool,
    /// Its write goes to this node alone; such writes are what is lost.
    only: Option<usize>,
    /// It goes on once it is acknowledged, until all owners have it.
    goes_on: bool,
}

impl World {
    /// A client of the newest epoch or of an earlier one begins something.
    pub(crate) fn start(&mut self) {
        let open = self.operations.iter().filter(|it| !it.is_done).count();
        if open >= 8 || self.written >= 60 {
            return;
        }
        let newest = self.newest().0.epoch.0;
        let back = if self.rng.percent(50) {
            0
        } else {
            self.rng.below(4)
        };
        let kind = if self.rng.percent(60) {
            let write = 1 << self.written;
            self.written += 1;
            let by_one = self.rng.percent(35);
            Kind::Write { write, by_one }
        } else {
            self.new_read()
        };
        let epoch = Epoch(newest.saturating_sub(back).max(1));
        self.operations.push(Operation {
            kind,
            epoch,
            first: epoch,
            acks: BTreeSet::new(),
            is_done: false,
            only: self.rng.percent(20).then(|| self.rng.index(16)),
            goes_on: self.rng.percent(20),
        });
    }

    const fn new_read(&self) -> Kind {
        Kind::Read {
            answers: BTreeMap::new(),
            found: None,
            holders: BTreeSet::new(),
            obliged: self.obliged,
        }
    }

    /// One of the last operations goes on.
    pub(crate) fn client(&mut self) {
        let count = self.operations.len();
        if count == 0 {
            return;
        }
        let at = count - 1 - self.rng.index(count.min(10));
        let Operation {
            is_done, goes_on, ..
        } = self.operations[at];
        if is_done && !goes_on {
            return;
        }
        let newest = self.newest().0.epoch;
        let Operation {
            epoch, ref acks, ..
        } = self.operations[at];
        let hurry = if acks.is_empty() { 10 } else { 25 };
        if epoch < newest && self.rng.percent(hurry) {
            let later = 1 + self.rng.below(newest.0 - epoch.0);
            self.start_again(at, Epoch(epoch.0 + later));
        }
        match self.operations[at].kind {
            Kind::Write { write, by_one } => self.write(at, write, by_one),
            Kind::Read { .. } if is_done => {}
            Kind::Read { .. } => self.read(at),
        }
    }

    /// What an epoch has counted does not count in the next one.
    fn start_again(&mut self, at: usize, epoch: Epoch) {
        let fresh = self.new_read();
        let operation = &mut self.operations[at];
        operation.epoch = epoch;
        if let Kind::Read { obliged, .. } = operation.kind {
            operation.kind = fresh;
            if let Kind::Read { obliged: still, .. } = &mut operation.kind {
                *still = obliged;
            }
        }
    }

    fn write(&mut self, at: usize, write: Writes, by_one: bool) {
        let Operation {
            epoch, first, only, ..
        } = self.operations[at];
        let any = self.rng.index(16);
        let owners = &self.lists(epoch).owners;
        let to = owners[only.unwrap_or(any) % owners.len()];
        let to = usize::try_from(to.0).unwrap();
        self.send(Put {
            to,
            operation: at,
            epoch,
            writes: write,
        });

        if self.operations[at].is_done {
            return;
        }
        let acks = &self.operations[at].acks;
        let mixes = self.has_defect(Defect::AcksOfTwoEpochs);
        let is_acked = |node: NodeId| {
            let mut its = acks.iter().filter(|(from, _)| *from == node);
            its.any(|(_, of)| *of == epoch || mixes)
        };
        let count = self.count(Defect::AcksInOneList, Count::New);
        let lists = self.lists(epoch);
        let is_done = if by_one {
            lists.owners.iter().any(|&node| is_acked(node))
        } else {
            // A client that counts by the lists of its first epoch whatever epoch acknowledges.
            let mixed = mixes && self.lists(first).majority(count, is_acked);
            lists.majority(count, is_acked) || mixed
        };
        if is_done {
            self.trace(|| format!("write {write:b} is acknowledged in {}: {acks:?}", epoch.0));
            self.operations[at].is_done = true;
            if !by_one {
                self.obliged |= write;
            }
            self.reach(Reached::Acked);
        }
    }

    fn count(&self, defect: Defect, defective: Count) -> Count {
        if self.has_defect(defect) {
            defective
        } else {
            Count::Both
        }
    }

    fn read(&mut self, at: usize) {
        let epoch = self.operations[at].epoch;
        let count = self.count(Defect::ReadsInOneList, Count::Old);
        let held = self.count(Defect::HoldersInOneList, Count::Old);
        let owners = self.lists(epoch).owners.clone();
        let asked = *self.rng.pick(&owners);
        let place = usize::try_from(asked.0).unwrap();
        let answer = self.serves(place, epoch).then_some(self.nodes[place].has);

        let lists = self.history[usize::try_from(epoch.0).unwrap() - 1]
            .1
            .clone();
        let Kind::Read {
            answers,
            found,
            holders,
            obliged,
        } = &mut self.operations[at].kind
        else {
            return;
        };
        let Some(found) = *found else {
            if let Some(answer) = answer {
                answers.insert(asked, answer);
            }
            if lists.majority(count, |node| answers.contains_key(&node)) {
                let all = answers.values().fold(0, |all, it| all | it);
                *found = Some(all);
                let holds = answers.iter().filter(|(_, its)| **its == all);
                *holders = holds.map(|(node, _)| *node).collect();
            }
            return;
        };
        if lists.held(held, |node| holders.contains(&node)) {
            let missed = *obliged & !found;
            self.trace(|| format!("a read of {} returns {found:b}", epoch.0));
            self.operations[at].is_done = true;
            self.obliged |= found;
            self.reach(Reached::Read);
            if missed != 0 {
                self.violate(
                    "quorums-meet",
                    format!("a read of {} misses {missed:b}", epoch.0),
                );
            }
        } else if !holders.contains(&asked) {
            self.send(Put {
                to: place,
                operation: at,
                epoch,
                writes: found,
            });
        }
    }

    /// A put arrives, unless it is lost.
    fn send(&mut self, put: Put) {
        if self.serves(put.to, put.epoch) && self.rng.percent(85) {
            self.nodes[put.to].queue.push(put);
        }
    }

    /// Whether a node serves an epoch: from its fence to the newest that it knows, where it is an owner, and not before it
    /// has emptied what it takes again.
    pub(crate) fn serves(&self, at: usize, epoch: Epoch) -> bool {
        let node = &self.nodes[at];
        let knows = node.epoch() >= epoch && epoch.0 <= self.history.len() as u64;
        node.is_up
            && knows
            && node.fence <= epoch
            && match self.lists(epoch).role(node.id) {
                Role::None => false,
                Role::Owner => true,
                Role::Newcomer => node.taken == Some(epoch),
            }
    }

    /// One of what has arrived is joined, in any order; here the fence is checked.
    pub(crate) fn join_one(&mut self, at: usize) {
        if self.nodes[at].queue.is_empty() || !self.nodes[at].is_up {
            return;
        }
        let which = self.rng.index(self.nodes[at].queue.len());
        let put = self.nodes[at].queue[which];
        if !self.rng.percent(10) {
            self.nodes[at].queue.swap_remove(which); // else it comes twice
        }
        if !self.serves(at, put.epoch) && !self.has_defect(Defect::FenceOnArrival) {
            return;
        }

        self.nodes[at].join(put.writes, true);
        let (id, is_heard) = (NodeId(at as u64), self.rng.percent(90));
        let operation = &mut self.operations[put.operation];
        if !is_heard {
            return;
        }
        match &mut operation.kind {
            Kind::Write { .. } => drop(operation.acks.insert((id, put.epoch))),
            Kind::Read { found, holders, .. } => {
                if operation.epoch == put.epoch && *found == Some(put.writes) {
                    holders.insert(id);
                }
            }
        }
    }
}
