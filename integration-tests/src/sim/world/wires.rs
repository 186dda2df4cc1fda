//! Connections and frames between callers and machines.
//!
//! ```text
//!   dial --> reachable?  --> connected: frames flow  --> broken: noticed after a while --> dial again, later
//!                 `- no: down, dial again, later
//! ```
//!
//! As the real client's links behave: the first connection is waited for, a broken one is not; a node that
//! died or cannot be reached is noticed within about a second of silence, or at once when it is back and
//! answers that it knows nothing of the connection.

use bytes::Bytes;
use quoit_client::env::Link;
use quoit_ring::role::Role;
use quoit_ring::wire::{Request, RequestFrame, ResponseFrame};
use quoit_ring::{NodeId, Time};
use rand::Rng as _;

use super::World;
use super::event::Event;
use crate::history::ClientId;
use crate::sim::caller::{Caller, Sent};
use crate::sim::coverage::CoverageEvent;
use crate::sim::faults::Way;
use crate::sim::machine::Peer;
use crate::sim::network::Arrivals;

/// How long silence is borne before a connection is given up, in microseconds.
const SILENCE: std::ops::Range<u64> = 900_000..1_400_000;
/// How long a node gathers what a connection brings before it looks after the writes, in microseconds.
const READ: u64 = 50;
/// How long a dial is tried, in microseconds.
const DIAL: u64 = 500_000;
/// The longest pause between two dials, in microseconds.
const LONGEST_PAUSE: u64 = 800_000;

pub(super) const TO_NODE: u64 = 10 << 8;
pub(super) const TO_CLIENT: u64 = 11 << 8;

/// What a node has reported as its clock, since that was last set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reported {
    life: u32,
    /// How often its clock had been set.
    sets: u64,
    /// Whether it was set in this life: an answer from before may still be on its way out.
    was_set: bool,
    latest: Time,
    /// In earlier lives.
    before: Time,
}

impl World {
    pub(super) fn send_to_node(&mut self, client: ClientId, sent: Sent) {
        let mut machines = self.machines.iter();
        let Some(node) = machines.position(|machine| machine.id() == sent.to) else {
            return;
        };
        let slot = usize::from(client.slot);
        let Some(Some(caller)) = self.callers.get_mut(slot) else {
            return;
        };
        let wire = &mut caller.wires[node];
        match wire.link {
            Link::Opening => wire.waiting.push(sent),
            Link::Down => {}
            Link::Up => {
                let peer = peer_of(client, wire.connection);
                self.dispatch_request(peer, node, &sent);
            }
        }
    }

    /// Sends a request. A put that comes twice may be refused once and joined once: the caller gets the
    /// first answer, so the history records that a refusal proves nothing. (QUIC itself never delivers a frame twice.)
    fn dispatch_request(&mut self, peer: Peer, node: usize, sent: &Sent) {
        let arrivals = self.dispatch(peer, node, Way::ToNode, &sent.frame);
        if let Some(id) = sent.id
            && let Some(&arrives) = arrivals.iter().flatten().max()
            && let Some(caller) = self.caller_at(usize::from(peer.slot))
        {
            caller.sent((sent.to, id), arrives, self.now());
        }
        if arrivals.iter().all(Option::is_some)
            && let Some(request) = sent.put
        {
            let mut recorder = self.site.recorder().borrow_mut();
            recorder.came_twice(client_of(peer), request);
        }
    }

    /// Sends a frame on a connection that is up; when its copies will arrive.
    pub(super) fn dispatch(
        &mut self,
        peer: Peer,
        node: usize,
        way: Way,
        frame: &Bytes,
    ) -> Arrivals {
        let now = self.now();
        let link = (usize::from(peer.slot), node);
        let arrivals = self.network.send(link, way, now);

        for arrives in arrivals.into_iter().flatten() {
            let frame = frame.clone();
            let event = match way {
                Way::ToNode => Event::ToNode { peer, node, frame },
                Way::ToClient => Event::ToClient { peer, node, frame },
            };
            self.schedule.at(arrives, event);
        }

        arrivals
    }

    pub(super) fn arrive_at_node(&mut self, peer: Peer, node: usize, frame: Bytes) {
        if let Some(resumes) = self.paused_node(node) {
            return self
                .schedule
                .at(resumes, Event::ToNode { peer, node, frame });
        }

        if self.was_taken_back(peer, node, &frame) {
            return;
        }
        self.note_frame(TO_NODE, (peer, node), &frame);
        let now = self.now();
        let is_gossip = self.plan.gossips && peer.node().is_some() && is_gossip(&frame);
        let received = self.machines[node].receive(peer, frame, now);
        assert!(received.is_ok(), "a client's frame is a request");
        if is_gossip {
            self.note_gossip(node);
        }
        if self.reading.insert((peer, node)) {
            self.schedule
                .at(now.after(READ), Event::Submit { peer, node });
        }
    }

    /// Whether a client took a request back before it arrived.
    fn was_taken_back(&self, peer: Peer, node: usize, frame: &Bytes) -> bool {
        let to = self.machines[node].id();
        let caller = self.caller_at(usize::from(peer.slot));
        peer.node().is_none()
            && caller.is_some_and(|caller| {
                caller.id() == client_of(peer) && caller.has_taken_back(to, frame)
            })
    }

    /// What came within one read is submitted together.
    pub(super) fn submit(&mut self, peer: Peer, node: usize) {
        if let Some(resumes) = self.paused_node(node) {
            return self.schedule.at(resumes, Event::Submit { peer, node });
        }
        self.reading.remove(&(peer, node));
        let now = self.now();
        self.machines[node].submit(peer, now);
        self.deliver_answers(node);
        self.begin_commit(node);
    }

    pub(super) fn deliver_answers(&mut self, node: usize) {
        let mut answers = std::mem::take(&mut self.answers);
        self.machines[node].take_answers(&mut answers);
        for answer in answers.drain(..) {
            if let Some(event) = answer.coverage_event {
                self.site.saw(event);
            }
            if let Some(id) = answer.joined
                && answer.peer.node().is_none()
            {
                let holder = self.machines[node].id();
                self.site.joined((client_of(answer.peer), holder, id));
            }
            self.note_reported(node, &answer.frame);
            self.dispatch(answer.peer, node, Way::ToClient, &answer.frame);
        }
        self.answers = answers;
    }

    /// Holds the clock of an answer against what its node reported in earlier lives.
    fn note_reported(&mut self, node: usize, frame: &Bytes) {
        let Ok(frame) = ResponseFrame::decode(frame.clone()) else {
            return; // a request of its own
        };
        let (life, sets) = (self.machines[node].life(), self.machines[node].clock_sets());
        let reported = &mut self.reported[node];
        let is_set = reported.sets != sets;
        if reported.life != life {
            let before = if is_set || reported.was_set {
                Time::ZERO
            } else {
                reported.latest
            };
            *reported = Reported {
                life,
                sets,
                // Before its first answer, maybe.
                was_set: self.machines[node].clock_was_set(),
                latest: before,
                before,
            };
        } else if is_set {
            (reported.sets, reported.was_set, reported.before) = (sets, true, Time::ZERO);
        }
        reported.latest = reported.latest.max(frame.clock);

        let (before, now) = (reported.before, frame.clock);
        if now < before {
            let back_ms = before.millis().0 - now.millis().0;
            let back = (self.machines[node].id(), self.now(), back_ms);
            let mut recorder = self.site.recorder().borrow_mut();
            recorder.history_mut().clocks_back.push(back);
        }
    }

    pub(super) fn arrive_at_client(&mut self, peer: Peer, node: usize, frame: Bytes) {
        if let Some(from) = peer.node() {
            return self.arrive_at_peer(peer, (from, node), frame);
        }

        let slot = usize::from(peer.slot);
        if let Some(number) = Self::operator_at(slot) {
            return self.arrive_at_operator(number, node, &frame);
        }
        if let Some(resumes) = self.paused_client(slot) {
            return self
                .schedule
                .at(resumes, Event::ToClient { peer, node, frame });
        }

        let Some(caller) = self.caller_at(slot) else {
            return;
        };
        let wire = &caller.wires[node];
        let current = caller.id().life == peer.life && wire.connection == peer.connection;
        if !current || wire.link != Link::Up {
            return;
        }

        self.note_frame(TO_CLIENT, (peer, node), &frame);
        self.note_kept(client_of(peer), node, &frame);
        let from = self.machines[node].id();
        self.drive(slot, |driver| {
            let received = driver.received(from, frame);
            assert!(received.is_ok(), "a node's frame is a response");
        });
    }

    /// A client wants links to these nodes, and to no other.
    pub(super) fn link_members(&mut self, slot: usize, members: &[NodeId]) {
        let now = self.now();
        for node in 0..self.machines.len() {
            let id = self.machines[node].id();
            let is_wanted = members.contains(&id);
            let Some(Some(caller)) = self.callers.get_mut(slot) else {
                return;
            };
            let (client, wire) = (caller.id(), &mut caller.wires[node]);
            if std::mem::replace(&mut wire.is_wanted, is_wanted) == is_wanted {
                continue;
            }
            wire.waiting.clear();
            if is_wanted {
                wire.link = Link::Opening;
                self.schedule.at(now, Event::Dial { client, node });
            } else {
                let peer = peer_of(client, wire.connection);
                wire.link = Link::Down;
                wire.connection += 1;
                self.machines[node].disconnect(peer);
            }
        }
    }

    /// Tries to make a connection.
    pub(super) fn dial(&mut self, client: ClientId, node: usize) {
        let slot = usize::from(client.slot);
        let now = self.now();
        let wants = |caller: &Caller| caller.wires[node].is_wanted;
        if !self.lives_on(client) || !self.caller_at(slot).is_some_and(wants) {
            return;
        }

        let reachable = self.machines[node].is_serving() && !self.network.is_cut((slot, node), now);
        if reachable && self.paused_node(node).is_none() {
            let life = self.machines[node].life();
            let Some(Some(caller)) = self.callers.get_mut(slot) else {
                return;
            };
            caller.wires[node].connection += 1;
            let peer = peer_of(client, caller.wires[node].connection);
            let takes = self.rng.random_range(1..4) * 2 * self.plan.travel;
            self.schedule
                .at(now.after(takes), Event::Connected { peer, node, life });
        } else {
            self.dial_failed(client, node);
        }
    }

    /// No node answered: the first time, the driver is notified; it is tried again later.
    fn dial_failed(&mut self, client: ClientId, node: usize) {
        let slot = usize::from(client.slot);
        let Some(Some(caller)) = self.callers.get_mut(slot) else {
            return;
        };
        let wire = &mut caller.wires[node];
        let opening = wire.link == Link::Opening;
        wire.tries += 1;
        let longest = (50_000 << wire.tries.min(4)).min(LONGEST_PAUSE);
        if opening {
            wire.link = Link::Down;
            wire.waiting.clear();
        }

        let pause = DIAL + self.rng.random_range(0..longest);
        let at = self.now().after(pause);
        self.schedule.at(at, Event::Dial { client, node });
        if opening {
            let id = self.machines[node].id();
            self.drive(slot, |driver| driver.link(id, Link::Down));
        }
    }

    pub(super) fn connected(&mut self, peer: Peer, node: usize, life: u32) {
        let (client, slot) = (client_of(peer), usize::from(peer.slot));
        let wants = |caller: &Caller| caller.wires[node].is_wanted;
        if !self.lives_on(client) || !self.caller_at(slot).is_some_and(wants) {
            return;
        }

        if !self.machines[node].is_serving() || self.machines[node].life() != life {
            return self.dial_failed(client, node);
        }

        self.machines[node].connect(peer, Role::Client);
        let id = self.machines[node].id();
        let mut waiting = Vec::new();
        if let Some(Some(caller)) = self.callers.get_mut(slot) {
            let wire = &mut caller.wires[node];
            wire.link = Link::Up;
            wire.tries = 0;
            waiting = std::mem::take(&mut wire.waiting);
        }

        self.trace
            .note(self.site.now(), [5 << 8, slot as u64, node as u64], || {
                format!("{client} connected to n{}", node + 1)
            });
        for sent in &waiting {
            self.dispatch_request(peer, node, sent);
        }

        self.drive(slot, |driver| driver.link(id, Link::Up));
    }

    /// A connection is found broken: nothing more comes from it, and what was under way is lost.
    pub(super) fn broken(&mut self, peer: Peer, node: usize) {
        let (client, slot) = (client_of(peer), usize::from(peer.slot));
        if let Some(resumes) = self.paused_client(slot) {
            return self.schedule.at(resumes, Event::Broken { peer, node });
        }
        if !self.lives_on(client) {
            return;
        }

        let Some(Some(caller)) = self.callers.get_mut(slot) else {
            return;
        };
        let wire = &mut caller.wires[node];
        if wire.connection != peer.connection || wire.link != Link::Up || !wire.is_wanted {
            return;
        }

        wire.link = Link::Down;
        if !caller.is_idle() {
            self.site.saw(CoverageEvent::ConnectionLost);
        }

        self.machines[node].disconnect(peer);
        self.trace
            .note(self.site.now(), [6 << 8, slot as u64, node as u64], || {
                format!("{client} lost n{}", node + 1)
            });
        let id = self.machines[node].id();
        self.drive(slot, |driver| driver.link(id, Link::Down));
        let at = self.now().after(self.rng.random_range(1_000..100_000));
        self.schedule.at(at, Event::Dial { client, node });
    }

    /// The process of a node ended: each client notices in its own time.
    pub(super) fn lose_connections(&mut self, node: usize) {
        for slot in 0..self.callers.len() {
            let soon = self.rng.random_range(1_000..SILENCE.end);
            self.break_in(slot, node, soon);
        }
        self.lose_peers(node);
    }

    /// Plans that a client finds its connection to a node broken in so many microseconds.
    pub(super) fn break_in(&mut self, slot: usize, node: usize, micros: u64) {
        let Some(caller) = self.caller_at(slot) else {
            return;
        };
        let wire = &caller.wires[node];
        if wire.link == Link::Up {
            let peer = peer_of(caller.id(), wire.connection);
            let at = self.now().after(micros);
            self.schedule.at(at, Event::Broken { peer, node });
        }
    }

    /// Gives up connections that a cut of this length has silenced.
    pub(super) fn silence(&mut self, lasts: u64) {
        let now = self.now();
        for slot in 0..self.callers.len() {
            for node in 0..self.machines.len() {
                let silence = self.rng.random_range(SILENCE);
                if silence < lasts && self.network.is_cut((slot, node), now) {
                    self.break_in(slot, node, silence);
                }
            }
        }
    }

    pub(super) fn lives_on(&self, client: ClientId) -> bool {
        let caller = self.caller_at(usize::from(client.slot));
        caller.is_some_and(|caller| caller.id() == client)
    }
}

const fn peer_of(client: ClientId, connection: u32) -> Peer {
    Peer {
        slot: client.slot,
        life: client.life,
        connection,
    }
}

const fn client_of(peer: Peer) -> ClientId {
    ClientId {
        slot: peer.slot,
        life: peer.life,
    }
}

/// A frame in words.
fn is_gossip(frame: &Bytes) -> bool {
    let decoded = RequestFrame::decode(frame.clone());
    decoded.is_ok_and(|frame| matches!(frame.request, Request::Gossip(_)))
}

pub(super) fn describe(kind: u64, peer: Peer, node: usize, frame: &Bytes) -> String {
    let client = match peer.node() {
        None => client_of(peer).to_string(),
        Some(sender) => format!("n{}", sender + 1),
    };
    let node = node + 1;
    if kind == TO_NODE {
        match RequestFrame::decode(frame.clone()) {
            Ok(frame) => format!("{client} -> n{node}  {:x} {:?}", frame.id, frame.request),
            Err(error) => format!("{client} -> n{node}  junk: {error}"),
        }
    } else {
        match ResponseFrame::decode(frame.clone()) {
            Ok(frame) => {
                let (id, clock) = (frame.id, frame.clock);
                format!(
                    "{client} <- n{node}  {id:x} {:?} at {clock:?}",
                    frame.response
                )
            }
            Err(error) => format!("{client} <- n{node}  junk: {error}"),
        }
    }
}
