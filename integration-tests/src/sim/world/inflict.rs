//! Faults: how they begin, what is different while they last, how they end.
//!
//! ```text
//!   at once     kill, power loss, break, client crash      the end restarts what was killed
//!   a while     cut, noise, clock, pause, disk ...         `conditions` looks them up where they matter
//!   healing     all end, every node and client is restarted
//! ```

use quoit_client::Driver;
use quoit_ring::wire::Durability;
use rand::rngs::SmallRng;

use super::event::Event;
use super::{RETRY, World};
use crate::history::{ClockOff, Side};
use crate::sim::coverage::CoverageEvent;
use crate::sim::disk::BadSectors;
use crate::sim::faults::{Fault, Links, Planned, has};
use crate::sim::machine::Machine;

impl World {
    pub(super) fn begin_fault(&mut self, number: usize) {
        let planned = self.plan.faults[number].clone();
        let Planned { at, lasts, fault } = &planned;
        self.trace.note(*at, [7 << 8, number as u64, 0], || {
            format!("fault {number}: {planned}")
        });
        self.active.push(number);
        self.schedule
            .at(at.after(*lasts), Event::Ends { fault: number });
        match fault {
            Fault::Cut { .. } | Fault::Swizzle { .. } => {
                self.network.begin(number, &planned);
                self.silence(*lasts);
            }
            Fault::Noise { .. } | Fault::Clog { .. } | Fault::Slow { .. } => {
                self.network.begin(number, &planned);
            }
            Fault::Break { links } => self.break_links(number, *links),
            Fault::Kill { nodes } => self.crash_nodes(number, *nodes, false),
            Fault::PowerLoss { nodes } => self.crash_nodes(number, *nodes, true),
            Fault::Stop { node } => self.begin_stop(number, *node),
            Fault::PauseNode { node } => {
                self.felt[number] += u64::from(self.machines[*node].is_up());
            }
            Fault::PauseClient { client } => {
                self.felt[number] += u64::from(self.caller_at(*client).is_some());
            }
            Fault::DiskFull { node, .. }
            | Fault::DiskFails { node, .. }
            | Fault::BadSectors { node, .. } => self.break_disk(*node, fault, number),
            Fault::SlowDisk { .. } => {}
            Fault::Unmounted { node } => self.unmount(number, *node),
            Fault::LostDisk { node } => self.lose_disk(number, *node),
            Fault::NodeClock { node, ms } => {
                self.clock_off(number, (Side::Node, *node), *ms);
                let offset = self.node_offset(*node);
                self.machines[*node].set_clock(offset);
            }
            Fault::ClientClock { client, ms } => {
                self.clock_off(number, (Side::Client, *client), *ms);
            }
            Fault::ClientCrash { client } => self.crash_client(number, *client),
            Fault::Crowded { client } => {
                if let Some(caller) = self.caller_at(*client) {
                    caller.set_crowded(true);
                }
            }
            Fault::Overfill { client } => {
                if let Some(caller) = self.caller_at(*client) {
                    caller.set_overfills(true);
                }
            }
        }
    }

    pub(super) fn end_fault(&mut self, number: usize) {
        let Some(place) = self.active.iter().position(|&other| other == number) else {
            return; // healed before
        };
        self.active.remove(place);
        let now = self.now();
        self.trace.note(now, [8 << 8, number as u64, 0], || {
            format!("fault {number} ends")
        });
        self.network.end(number);
        match self.plan.faults[number].fault.clone() {
            Fault::Kill { nodes } | Fault::PowerLoss { nodes } => {
                for node in (0..self.machines.len()).filter(|&node| has(nodes, node)) {
                    self.schedule.at(now, Event::StartNode { node });
                }
            }
            Fault::Stop { node } => self
                .schedule
                .at(now.after(RETRY), Event::StartNode { node }),
            fault @ (Fault::DiskFull { node, .. }
            | Fault::DiskFails { node, .. }
            | Fault::BadSectors { node, .. }) => self.mend_disk(node, &fault, number),
            Fault::Unmounted { node } => {
                let mut rng = self.crash_rng(number, node);
                if self.machines[node].is_up() {
                    self.lose_connections(node);
                }
                self.machines[node].remount(&mut rng);
                self.schedule.at(now, Event::StartNode { node });
            }
            Fault::LostDisk { node } => self.schedule.at(now, Event::SeesToLoss { node }),
            Fault::NodeClock { node, .. } => {
                let offset = self.node_offset(node);
                self.machines[node].set_clock(offset);
            }
            Fault::ClientCrash { client } => {
                self.schedule.at(now, Event::StartClient { slot: client });
            }
            // What its tasks asked for meanwhile is only now taken in.
            Fault::PauseClient { client } => self.drive(client, Driver::take_in),
            Fault::Crowded { client } => {
                if let Some(caller) = self.caller_at(client) {
                    caller.set_crowded(false);
                    self.felt[number] += caller.turned_away();
                }
            }
            Fault::Overfill { client } => {
                if let Some(caller) = self.caller_at(client) {
                    caller.set_overfills(false);
                    self.felt[number] += caller.overfilled();
                }
            }
            _ => {}
        }
    }

    /// Ends all faults and restarts every node and client.
    pub fn heal(&mut self) {
        for number in self.active.clone() {
            self.end_fault(number);
        }

        let now = self.now();
        for node in 0..self.machines.len() {
            self.machines[node].disk().heal();
            self.machines[node].set_clock(self.plan.node_clocks[node]);
            // Operations of the recovery phase must succeed, so limits that were small to be met are so no longer.
            let machine = &mut self.machines[node];
            let was_limited =
                machine.lengthen_queue() | machine.lengthen_frames() | machine.widen_records();
            if was_limited || machine.missed_a_row() {
                let life = self.machines[node].life();
                self.stop_node(node, life);
            }
            self.schedule.at(now, Event::StartNode { node });
        }

        for slot in 0..self.plan.clients {
            self.schedule.at(now, Event::StartClient { slot });
        }
    }

    fn clock_off(&mut self, fault: usize, (side, number): (Side, usize), by_ms: i64) {
        self.felt[fault] += 1;
        let Planned { at, lasts, .. } = self.plan.faults[fault];
        let off = ClockOff {
            side,
            number,
            from: at,
            until: at.after(lasts),
            by_ms,
        };
        let mut recorder = self.site.recorder().borrow_mut();
        recorder.history_mut().clocks_off.push(off);
    }

    fn break_links(&mut self, number: usize, links: Links) {
        for slot in 0..self.callers.len() {
            for node in 0..self.machines.len() {
                if links.contains(slot, node) && self.caller_at(slot).is_some() {
                    self.break_in(slot, node, 0);
                    self.felt[number] += 1;
                }
            }
        }
    }

    fn crash_nodes(&mut self, number: usize, nodes: u64, power: bool) {
        let now = self.now();
        for node in (0..self.machines.len()).filter(|&node| has(nodes, node)) {
            if !self.machines[node].is_up() || (power && !self.may_lose_power(node)) {
                continue;
            }
            self.felt[number] += 1;
            let mut rng = self.crash_rng(number, node);
            let machine = &mut self.machines[node];
            if machine.is_committing() {
                self.site.saw(CoverageEvent::CommitCut);
            }
            if power {
                let lost = machine.lose_power(&mut rng, now);
                if self.plan.settings.durability == Durability::Buffered {
                    let mut recorder = self.site.recorder().borrow_mut();
                    recorder.history_mut().buffered_losses += 1;
                    if lost > 0 {
                        self.site.saw(CoverageEvent::BufferedLoss);
                    }
                }
            } else {
                machine.kill(&mut rng);
            }
            self.lose_connections(node);
        }
    }

    /// Whether nothing acknowledged by a quorum may be lost if this node loses power now: where acknowledgements come before
    /// syncs, one at a time may, until it has got back what it lost, and none while another's disk is lost.
    fn may_lose_power(&self, node: usize) -> bool {
        self.plan.settings.durability == Durability::Fsync
            || (self.others_are_complete(node) && self.is_loss_seen_to())
    }

    pub(super) fn others_are_complete(&self, node: usize) -> bool {
        let mut others = self.machines.iter().enumerate();
        others.all(|(other, machine)| other == node || !machine.lacks_something())
    }

    pub(super) fn crash_rng(&self, number: usize, node: usize) -> SmallRng {
        self.plan
            .seed
            .stream("crash", (number as u64) << 8 | node as u64)
    }

    /// The machine starts again at once, and finds another disk.
    fn unmount(&mut self, number: usize, node: usize) {
        if self.machines[node].is_lost() {
            return;
        }
        self.felt[number] += 1;
        let mut rng = self.crash_rng(number, node);
        if self.machines[node].is_up() {
            self.lose_connections(node);
        }
        self.machines[node].unmount(&mut rng);
        let at = self.now().after(RETRY / 10);
        self.schedule.at(at, Event::StartNode { node });
    }

    fn begin_stop(&mut self, number: usize, node: usize) {
        let life = self.machines[node].life();
        if self.machines[node].is_up() {
            self.felt[number] += 1;
            self.machines[node].drain();
            let at = self.now().after(30_000);
            self.schedule.at(at, Event::StopNode { node, life });
        }
    }

    fn crash_client(&mut self, number: usize, slot: usize) {
        let Some(caller) = self.callers.get_mut(slot).and_then(Option::take) else {
            return;
        };
        self.felt[number] += 1;
        if !caller.is_idle() {
            self.site.saw(CoverageEvent::ClientDied);
        }
        self.tasks.cancel(caller.id());
    }

    fn break_disk(&mut self, node: usize, fault: &Fault, number: usize) {
        let disk = self.machines[node].disk();
        match fault {
            Fault::DiskFull { brim: false, .. } => disk.set_full(true),
            Fault::DiskFull { brim: true, .. } => disk.set_brim(true),
            Fault::DiskFails { kept, .. } => disk.fail_next_commit(*kept),
            Fault::BadSectors { permille, .. } => disk.set_unreadable(Some(BadSectors {
                seed: self.plan.seed.0 ^ number as u64,
                permille: *permille,
            })),
            _ => {}
        }

        self.disk_fired[number] = hits(&self.machines[node], fault);
    }

    fn mend_disk(&mut self, node: usize, fault: &Fault, number: usize) {
        let before = self.disk_fired[number];
        self.felt[number] += hits(&self.machines[node], fault) - before;
        let disk = self.machines[node].disk();
        match fault {
            Fault::DiskFull { brim: false, .. } => disk.set_full(false),
            Fault::DiskFull { brim: true, .. } => disk.set_brim(false),
            Fault::BadSectors { .. } => disk.set_unreadable(None),
            _ => {} // a commit that has not failed yet will
        }
    }
}

/// How often a disk has hit its node with this kind of fault.
fn hits(machine: &Machine, fault: &Fault) -> u64 {
    let fired = machine.disk().fired();
    match fault {
        Fault::DiskFull { brim: false, .. } => fired.no_room,
        Fault::DiskFull { brim: true, .. } => fired.no_space,
        Fault::DiskFails { .. } => fired.commits_lost + fired.commits_kept,
        _ => fired.unreadable,
    }
}
