//! Hinted hand-off between machines: when dispatchers look, what they read and send, and how it gets there.
//!
//! ```text
//!   look, ten times a second while hints are kept --> dispatcher --> page read, a little later
//!                                                        |----> frame --> another machine --> answer
//!                                                        '----> removal, into the commit queue
//! ```
//!
//! A connection is made when the first frame is to be sent, if the other one serves and can be reached, and is lost
//! when either process ends; its sender notices later. Whatever happens to the links between a node and all clients
//! happens to those between it and other nodes.

use bytes::{Bytes, BytesMut};
use quoit_node::hints::Act;
use quoit_ring::NodeId;
use quoit_ring::change::Topology;
use quoit_ring::role::Role;
use quoit_ring::wire::{Durability, RequestFrame, Response, ResponseFrame};
use rand::Rng as _;

use super::World;
use super::event::Event;
use super::wires::TO_CLIENT;
use crate::history::{ClientId, HintEnd, KeptHint};
use crate::sim::coverage::CoverageEvent;
use crate::sim::faults::{PEERS, Way};
use crate::sim::machine::{Machine, Peer};

/// How often a dispatcher looks while hints are kept, in microseconds.
const LOOK: u64 = 100_000;
/// How often it looks while none are.
const IDLE: u64 = 1_000_000;
/// How long reading a page takes: so long now and then that there is more by the time it is sent.
const READ: core::ops::Range<u64> = 300..60_000;
/// How long it is tried to make a connection, and after how long a broken one is noticed at most.
const DIAL: u64 = 2_000_000;

impl World {
    pub(super) fn look_after_hints(&mut self, node: usize, life: u32) {
        if self.machines[node].life() != life || !self.machines[node].is_up() {
            return;
        }
        let now = self.now();
        if let Some(resumes) = self.paused_node(node) {
            return self.schedule.at(resumes, Event::Hints { node, life });
        }
        let idle = self.machines[node].look_after_hints(now);
        let next = now.after(if idle { IDLE } else { LOOK });
        self.schedule.at(next, Event::Hints { node, life });
        self.do_errands(node);
    }

    pub(super) fn read_hints(
        &mut self,
        (node, life): (usize, u32),
        target: NodeId,
        after: Option<&[u8]>,
    ) {
        if self.machines[node].life() == life {
            let now = self.now();
            self.machines[node].read_hints(target, after, now);
            self.do_errands(node);
        }
    }

    /// Does all that a node's dispatcher wants done.
    pub(super) fn do_errands(&mut self, node: usize) {
        let (now, life) = (self.now(), self.machines[node].life());
        while let Some(act) = self.machines[node].poll_courier() {
            match act {
                Act::Load { target, after } => {
                    let page = Event::Page {
                        node,
                        life,
                        target,
                        after,
                    };
                    let at = now.after(self.rng.random_range(READ));
                    self.schedule.at(at, page);
                }
                Act::Send { to, frame } => self.send_to_peer(node, to, &frame),
                Act::Remove(delivered) => {
                    self.site.saw(CoverageEvent::HintDelivered);
                    self.machines[node].remove_hint(delivered, now);
                }
            }
        }

        if self.machines[node].is_window_full() {
            self.site.saw(CoverageEvent::HintWindow);
        }
        self.begin_commit(node);
    }

    pub(super) fn send_to_peer(&mut self, node: usize, to: NodeId, frame: &RequestFrame) {
        let mut machines = self.machines.iter();
        let Some(to) = machines.position(|machine| machine.id() == to) else {
            return;
        };
        if let Some(peer) = self.connection_to(node, to) {
            let mut bytes = BytesMut::new();
            frame.encode(&mut bytes);
            let frame = bytes.split_off(4).freeze();
            self.dispatch(peer, to, Way::ToNode, &frame);
        } else {
            let life = self.machines[node].life();
            let at = self.now().after(self.rng.random_range(1_000..DIAL));
            self.schedule.at(at, Event::LostPeer { node, life, to });
        }
    }

    /// The connection from one node to another, made if there is none and the other one can be reached.
    fn connection_to(&mut self, node: usize, to: usize) -> Option<Peer> {
        if let Some(&peer) = self.peers.get(&(node, to)) {
            return Some(peer);
        }

        let reachable = self.machines[to].is_serving()
            && self.paused_node(to).is_none()
            && !self.network.is_cut((PEERS + node, to), self.now());
        if !reachable {
            return None;
        }

        let connection = self.rng.random();
        let peer = Peer::of_node(node, self.machines[node].life(), connection);
        let role = Role::Node(self.machines[node].id());
        self.machines[to].connect(peer, role);
        self.peers.insert((node, to), peer);
        Some(peer)
    }

    /// An answer of one node arrives at another.
    pub(super) fn arrive_at_peer(&mut self, peer: Peer, (to, from): (usize, usize), frame: Bytes) {
        if let Some(resumes) = self.paused_node(to) {
            let node = from;
            let event = Event::ToClient { peer, node, frame };
            return self.schedule.at(resumes, event);
        }

        if self.peers.get(&(to, from)) != Some(&peer) {
            return;
        }

        self.note_frame(TO_CLIENT, (peer, from), &frame);
        let (sender, now) = (self.machines[from].id(), self.now());
        let answered = self.machines[to].answered(sender, frame, now);
        assert!(answered.is_ok(), "a node's frame is a response");
        self.do_errands(to);
        self.carry_change_out(to);
        self.carry_sync_out(to);
    }

    /// The process of a node ended, and its connections with it: each peer notices in its own time.
    pub(super) fn lose_peers(&mut self, gone: usize) {
        let ended = self
            .peers
            .extract_if(.., |&(node, to), _| node == gone || to == gone);
        let ended: Vec<_> = ended.collect();
        for ((node, to), peer) in ended {
            self.machines[to].disconnect(peer);
            let life = self.machines[node].life();
            let at = self.now().after(self.rng.random_range(1_000..DIAL));
            self.schedule.at(at, Event::LostPeer { node, life, to });
        }
    }

    pub(super) fn lost_peer(&mut self, node: usize, life: u32, to: usize) {
        if self.machines[node].life() != life {
            return;
        }
        if let Some(resumes) = self.paused_node(node) {
            return self
                .schedule
                .at(resumes, Event::LostPeer { node, life, to });
        }
        let (to, now) = (self.machines[to].id(), self.now());
        self.machines[node].lost_peer(to, now);
        self.do_errands(node);
        self.carry_change_out(node);
        self.carry_sync_out(node);
    }

    /// Notes that a hint was acknowledged to a client.
    pub(super) fn note_kept(&self, client: ClientId, holder: usize, frame: &Bytes) {
        if let Ok(answer) = ResponseFrame::decode(frame.clone())
            && answer.response == Response::Joined
            && self
                .site
                .hint_kept(client, self.machines[holder].id(), answer.id)
        {
            self.site.saw(CoverageEvent::HintKept);
        }
    }

    /// Looks where the hints are that are left when no node says any more that it keeps one. A row that its holder has
    /// forgotten is as lost as one that it has removed.
    pub fn note_all_hints(&self) {
        let mut recorder = self.site.recorder().borrow_mut();
        let hints = &mut recorder.history_mut().hints;
        let lost = self.machines.iter().find(|machine| machine.is_lost());
        hints.retain(|hint| lost.is_none_or(|lost| lost.id() != hint.holder));
        for hint in hints.iter_mut().filter(|hint| hint.end == HintEnd::Kept) {
            hint.end = self.arrived_or_lost(hint);
        }
        if self.plan.settings.durability == Durability::Buffered {
            hints.clear(); // such nodes may lose what they acknowledged
        }
    }

    /// Looks which of the hints that a node was acknowledged to keep have gone, and whether their owners have those.
    ///
    /// It must be asked at every commit: a read would soon repair what got lost on the way, and hide the loss.
    pub(super) fn note_hints(&self, holder: usize) {
        let holder = &self.machines[holder];
        let mut recorder = self.site.recorder().borrow_mut();
        let hints = &mut recorder.history_mut().hints;
        let kept = hints.iter_mut().filter(|hint| hint.end == HintEnd::Kept);
        for hint in kept.filter(|hint| hint.holder == holder.id()) {
            if !holder.keeps(hint.target, &hint.key, hint.dot) {
                hint.end = self.arrived_or_lost(hint);
            }
        }
    }

    /// One for a node that owns the key no more, since the ring has changed, goes to all who own it by its holder's ring. Those
    /// of a later epoch get it from them: they pull from a majority.
    fn arrived_or_lost(&self, hint: &KeptHint) -> HintEnd {
        let has = |node: NodeId| {
            let mut machines = self.machines.iter();
            let machine = machines.find(|machine| machine.id() == node);
            machine.is_some_and(|it| it.held(&hint.key).record().seen().contains(hint.dot))
        };
        let is_with_owners = |topology: &Topology| {
            let owners = topology.lists(topology.token_of(&hint.key));
            !owners.is_owner(hint.target) && owners.owners().all(has)
        };
        let later = (self.epochs.iter()).filter(|(epoch, _)| **epoch > hint.epoch);
        if has(hint.target) || later.map(|(_, owners)| owners).any(is_with_owners) {
            HintEnd::Arrived
        } else {
            HintEnd::Lost
        }
    }

    /// Whether every member runs and none keeps anything for another.
    #[must_use]
    pub fn keeps_no_hints(&self) -> bool {
        let empty = |kept: Vec<_>| kept.is_empty();
        let newest = self.newest();
        let is_member = |machine: &&Machine| {
            let known = newest.as_ref();
            known.is_some_and(|known| known.topology().member(machine.id()).is_some())
        };
        let mut members = self.machines.iter().filter(is_member);
        members.all(|machine| machine.kept().is_some_and(empty))
    }
}
