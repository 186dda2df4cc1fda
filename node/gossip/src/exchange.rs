//! What is done with a message, and what goes into one.
//!
//! ```text
//!   Digest ----> observe all pulses --> Reply { later pulses, facts that they lack, wants }
//!   Reply -----> observe, learn ------> Facts { those that are wanted }
//!   Facts -----> observe, learn
//!   Ping  -----> beat ----------------> Ack       PingFor --> Ping       Ack for another --> Reply { one pulse }
//! ```
//!
//! A message that would be too long ends early, and the next of its kind begins with the member at which it ended: every
//! member's turn comes. Invariant: what is made is within `max_message`, and a stranger's message changes nothing.

use quoit_ring::{Moment, NodeId};

use crate::facts::Facts;
use crate::machine::Gossip;
use crate::message::{Body, Message};
use crate::pulse::{Mark, Pulse};
use crate::wire::{HEAD_MAX, facts_len, mark_len};

/// Bytes of an id on the wire.
const ID: usize = 8;

/// Bytes that are left in a message.
struct Space(usize);

impl Space {
    /// Takes so many bytes, if there are.
    const fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.0;
        if fits {
            self.0 -= bytes;
        }
        fits
    }
}

/// The place of `turn` in a list of ids; if it is not there, of the next id above it, or of the lowest.
fn first_in_turn(ids: impl Iterator<Item = NodeId>, turn: NodeId) -> usize {
    let next = |&(_, id): &(usize, NodeId)| id.0.wrapping_sub(turn.0);
    ids.enumerate()
        .min_by_key(next)
        .map_or(0, |(place, _)| place)
}

/// An answer to a digest, as far as it is made.
struct Draft {
    space: Space,
    marks: Vec<Mark>,
    facts: Vec<(Mark, Facts)>,
    wants: Vec<NodeId>,
}

impl Draft {
    const fn within(space: Space) -> Self {
        Self {
            space,
            marks: Vec::new(),
            facts: Vec::new(),
            wants: Vec::new(),
        }
    }

    /// Adds the facts that they lack; gives back whether they fit, or `None` if they lack none.
    fn tell_facts(&mut self, ours: Mark, facts: Option<&Facts>, theirs: Pulse) -> Option<bool> {
        let facts = facts.filter(|_| ours.pulse.has_facts_for(theirs))?;
        let fits = self.space.take(facts_len(ours, facts));
        if fits {
            self.facts.push((ours, facts.clone()));
        }
        Some(fits)
    }

    /// Adds what either side lacks of one member; gives back whether that fits.
    fn compare(&mut self, ours: Mark, facts: Option<&Facts>, theirs: Pulse) -> bool {
        let mut fits = match self.tell_facts(ours, facts, theirs) {
            Some(fits) => fits, // with the pulse
            None if ours.pulse.beats(theirs) => {
                let fits = self.space.take(mark_len(ours));
                self.marks.extend(fits.then_some(ours));
                fits
            }
            None => true,
        };
        if fits && theirs.has_facts_for(ours.pulse) {
            fits = self.space.take(ID);
            self.wants.extend(fits.then_some(ours.node));
        }
        fits
    }

    fn finish(self) -> Body {
        Body::Reply {
            marks: self.marks,
            facts: self.facts,
            wants: self.wants,
        }
    }
}

impl Gossip {
    /// Takes a message of `from`, as its certificate says. If the configuration does not name that node, nothing happens.
    pub fn handle_message(&mut self, from: NodeId, message: Message, now: Moment) {
        if self.members.position(from).is_none() {
            return;
        }
        self.advance(now);
        let sender = Mark {
            node: from,
            pulse: message.pulse,
        };
        self.compare_epochs(message.epoch, from, now);
        self.observe(sender, true, now);

        match message.body {
            Body::Digest(marks) => self.answer_digest(sender, &marks, now),
            Body::Reply {
                marks,
                facts,
                wants,
            } => {
                for mark in marks {
                    self.observe(mark, false, now);
                }
                self.learn(facts, now);
                self.send_wanted(from, &wants);
            }
            Body::Facts(facts) => self.learn(facts, now),
            Body::Ping { origin } => {
                self.own.beat();
                self.send(from, Body::Ack { origin });
            }
            Body::PingFor(target) => self.help(from, target),
            Body::Ack { origin } => self.relay(origin, sender),
        }
    }

    /// Sends `to` how far this node has followed the others.
    pub(crate) fn send_digest(&mut self, to: NodeId) {
        let mut space = self.space();
        let mut marks = Vec::with_capacity(self.members.len());
        for place in self.places_from(self.digest_from) {
            let mark = self.members.mark(place);
            if !space.take(mark_len(mark)) {
                self.digest_from = mark.node;
                break;
            }
            marks.push(mark);
        }
        self.send(to, Body::Digest(marks));
    }

    fn answer_digest(&mut self, sender: Mark, marks: &[Mark], now: Moment) {
        for &mark in marks {
            self.observe(mark, false, now);
        }

        let mut draft = Draft::within(self.space());
        let ids = marks.iter().map(|mark| mark.node);
        let (behind, ahead) = marks.split_at(first_in_turn(ids, self.facts_from));
        for &theirs in core::iter::once(&sender).chain(ahead).chain(behind) {
            let Some((pulse, facts)) = self.known(theirs.node) else {
                continue;
            };
            let node = theirs.node;
            let ours = Mark { node, pulse };
            let fits = if node == self.own.id {
                draft.tell_facts(ours, facts, theirs.pulse).unwrap_or(true) // the pulse is in the head
            } else {
                draft.compare(ours, facts, theirs.pulse)
            };
            if !fits {
                self.facts_from = node;
                break;
            }
        }
        self.send(sender.node, draft.finish());
    }

    fn send_wanted(&mut self, to: NodeId, wants: &[NodeId]) {
        let mut facts = Vec::new();
        let mut space = self.space();
        let ids = wants.iter().copied();
        let (behind, ahead) = wants.split_at(first_in_turn(ids, self.facts_from));
        for &node in ahead.iter().chain(behind) {
            let Some((pulse, Some(ours))) = self.known(node) else {
                continue;
            };
            let mark = Mark { node, pulse };
            if !space.take(facts_len(mark, ours)) {
                self.facts_from = node;
                break;
            }
            facts.push((mark, ours.clone()));
        }
        if !facts.is_empty() {
            self.send(to, Body::Facts(facts));
        }
    }

    fn learn(&mut self, facts: Vec<(Mark, Facts)>, now: Moment) {
        for (mark, facts) in facts {
            self.observe(mark, false, now);
            if let Some(place) = self.members.position(mark.node) {
                self.members.entry_mut(place).learn(mark.pulse, facts);
            }
        }
    }

    /// Pings `target` on behalf of `origin`.
    fn help(&mut self, origin: NodeId, target: NodeId) {
        if self.members.position(target).is_some() && target != origin {
            let origin = Some(origin);
            self.send(target, Body::Ping { origin });
        }
    }

    /// Passes a sign of life on to the member that asked for it.
    fn relay(&mut self, origin: Option<NodeId>, sign: Mark) {
        if let Some(origin) = origin.filter(|&id| self.members.position(id).is_some()) {
            let reply = Body::Reply {
                marks: vec![sign],
                facts: Vec::new(),
                wants: Vec::new(),
            };
            self.send(origin, reply);
        }
    }

    /// What is known of a node, this one included.
    fn known(&self, node: NodeId) -> Option<(Pulse, Option<&Facts>)> {
        if node == self.own.id {
            return Some((self.own.pulse, Some(&self.own.facts)));
        }
        let entry = self.members.entry(self.members.position(node)?);
        Some((entry.pulse, entry.facts.as_ref()))
    }

    /// All places of the table, from the one of `first` on and round.
    fn places_from(&self, first: NodeId) -> impl Iterator<Item = usize> + use<> {
        let start = self.members.first_from(first);
        (start..self.members.len()).chain(0..start)
    }

    const fn space(&self) -> Space {
        Space(self.options.max_message - HEAD_MAX)
    }
}
