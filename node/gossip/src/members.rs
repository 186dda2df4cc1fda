//! What is known of each other member: a table in the order of their ids.
//!
//! ```text
//!   ids      3   7   9  ...          those that the configuration names, and no others
//!   entries  |   |   |
//!            '-- pulse, facts, state, when last heard, pace: 128 bytes at most
//! ```
//!
//! A thousand members take 136 KB here; addresses that differ from the configuration's come on top. Invariant: an
//! id that the configuration does not name has no entry, whatever anybody says of it.

use core::time::Duration;

use quoit_ring::wire::MemberState;
use quoit_ring::{Moment, NodeId};

use crate::draw::Draw;
use crate::facts::Facts;
use crate::listening::Listened;
use crate::pace::Pace;
use crate::pulse::{Mark, Pulse};

/// One member.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) pulse: Pulse,
    pub(crate) facts: Option<Facts>,
    pub(crate) state: MemberState,
    /// When its heartbeat last grew; `None` until it has.
    pub(crate) heard: Option<Moment>,
    /// The same by the listening clock; when it became a member until then.
    pub(crate) grown: Listened,
    pub(crate) pace: Pace,
}

/// What an observation has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// Nothing new.
    None,
    /// Its heartbeat grew. It was in this state before.
    From(MemberState),
}

/// The present, by both clocks, and how long a round is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Present {
    pub(crate) now: Moment,
    pub(crate) listened: Listened,
    pub(crate) round: Duration,
}

impl Entry {
    const fn new(listened: Listened) -> Self {
        Self {
            pulse: Pulse {
                incarnation: crate::pulse::Incarnation(0),
                heartbeat: 0,
                facts: 0,
            },
            facts: None,
            state: MemberState::Alive,
            heard: None,
            grown: listened,
            pace: Pace::START,
        }
    }

    /// Takes a pulse that was seen somewhere: from the member itself if `is_direct`.
    pub(crate) fn observe(&mut self, pulse: Pulse, is_direct: bool, present: Present) -> Growth {
        if !pulse.beats(self.pulse) {
            return Growth::None;
        }
        let known = self.pulse;
        let facts = if pulse.incarnation == known.incarnation {
            known.facts
        } else {
            0 // what we have is of its last life
        };
        self.pulse = Pulse { facts, ..pulse };
        // What somebody once heard of it, perhaps long ago, is no sign of life; that more was heard since is.
        if known == Pulse::default() && !is_direct {
            return Growth::None;
        }

        if self.state == MemberState::Alive && self.heard.is_some() {
            let interval = present.listened.since(self.grown);
            self.pace.sample(interval, present.round);
        }
        self.heard = Some(present.now);
        self.grown = present.listened;
        Growth::From(core::mem::replace(&mut self.state, MemberState::Alive))
    }

    /// Takes facts that change at this pulse, if they are later than those it has.
    pub(crate) fn learn(&mut self, pulse: Pulse, facts: Facts) {
        if pulse.incarnation == self.pulse.incarnation && pulse.facts > self.pulse.facts {
            self.pulse.facts = pulse.facts;
            self.facts = Some(facts.bounded());
        }
        debug_assert!(self.pulse.facts <= self.pulse.heartbeat);
    }

    /// Time since its heartbeat grew, as far as this node was listening.
    pub(crate) const fn silence(&self, listened: Listened) -> Duration {
        listened.since(self.grown)
    }
}

/// All other members.
#[derive(Debug, Default)]
pub(crate) struct Members {
    ids: Vec<NodeId>,
    entries: Vec<Entry>,
}

impl Members {
    pub(crate) const fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn position(&self, id: NodeId) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// The place of the first member with an id of at least `id`, or their number.
    pub(crate) fn first_from(&self, id: NodeId) -> usize {
        self.ids.partition_point(|&other| other < id)
    }

    pub(crate) fn id(&self, place: usize) -> NodeId {
        self.ids[place]
    }

    pub(crate) fn entry(&self, place: usize) -> &Entry {
        &self.entries[place]
    }

    pub(crate) fn entry_mut(&mut self, place: usize) -> &mut Entry {
        &mut self.entries[place]
    }

    pub(crate) fn mark(&self, place: usize) -> Mark {
        Mark {
            node: self.ids[place],
            pulse: self.entries[place].pulse,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Entry)> {
        self.ids.iter().copied().zip(&self.entries)
    }

    /// Keeps the entries of `ids`, ascending and without doubles, and makes those that are missing.
    pub(crate) fn set(&mut self, ids: Vec<NodeId>, listened: Listened) {
        debug_assert!(ids.is_sorted_by(|a, b| a < b), "ascending");
        let mut old = core::mem::take(self);
        let entries = ids.iter().map(|&id| match old.position(id) {
            Some(place) => {
                core::mem::replace(old.entry_mut(place), Entry::new(Listened::default()))
            }
            None => Entry::new(listened),
        });
        self.entries = entries.collect();
        self.ids = ids;
    }

    /// How many were heard of at `since` or later.
    pub(crate) fn heard_since(&self, since: Moment) -> usize {
        let heard = |entry: &&Entry| entry.heard.is_some_and(|heard| heard >= since);
        self.entries.iter().filter(heard).count()
    }

    /// How many are alive.
    pub(crate) fn alive(&self) -> usize {
        let alive = |entry: &&Entry| entry.state == MemberState::Alive;
        self.entries.iter().filter(alive).count()
    }

    /// A random one of the `count` members that are alive, or that are not.
    pub(crate) fn pick(&self, alive: bool, count: usize, draw: &mut Draw) -> Option<NodeId> {
        if count == 0 {
            return None;
        }
        let fits = |(_, entry): &(_, &Entry)| (entry.state == MemberState::Alive) == alive;
        let mut fitting = self.iter().filter(fits);
        fitting.nth(draw.below(count)).map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pulse::Incarnation;

    const fn present(micros: u64) -> Present {
        Present {
            now: Moment(micros),
            listened: Listened::default_at(micros),
            round: Duration::from_secs(1),
        }
    }

    const fn pulse(incarnation: u64, heartbeat: u32, facts: u32) -> Pulse {
        Pulse {
            incarnation: Incarnation(incarnation),
            heartbeat,
            facts,
        }
    }

    #[test]
    fn an_entry_of_a_thousand_times_a_thousand_is_affordable() {
        assert!(size_of::<Entry>() <= 128, "{}", size_of::<Entry>());
    }

    #[test]
    fn hearsay_of_a_member_is_no_sign_of_life_until_it_grows() {
        let mut entry = Entry::new(Listened::default());
        assert_eq!(
            entry.observe(pulse(1, 9, 1), false, present(5)),
            Growth::None
        );
        assert_eq!(entry.heard, None);
        let growth = entry.observe(pulse(1, 10, 1), false, present(6));
        assert_eq!(growth, Growth::From(MemberState::Alive));
        assert_eq!(entry.heard, Some(Moment(6)));
    }

    #[test]
    fn a_restart_asks_for_facts_again() {
        let mut entry = Entry::new(Listened::default());
        entry.observe(pulse(1, 9, 4), true, present(5));
        entry.learn(pulse(1, 9, 4), Facts::default());
        assert_eq!(entry.pulse, pulse(1, 9, 4));
        entry.observe(pulse(2, 3, 1), true, present(6));
        assert_eq!(entry.pulse, pulse(2, 3, 0));
        entry.learn(pulse(1, 9, 4), Facts::default());
        assert_eq!(entry.pulse.facts, 0, "those are of its last life");
    }

    #[test]
    fn who_is_no_longer_named_is_forgotten() {
        let mut members = Members::default();
        members.set(vec![NodeId(1), NodeId(2)], Listened::default());
        members.entry_mut(1).pulse = pulse(7, 1, 1);
        members.set(vec![NodeId(2), NodeId(3)], Listened::default());
        assert_eq!(members.position(NodeId(1)), None);
        assert_eq!(members.mark(0).pulse, pulse(7, 1, 1));
        assert_eq!(members.mark(1).pulse, Pulse::default());
        members.set(vec![NodeId(1)], Listened::default());
        assert_eq!(members.mark(0).pulse, Pulse::default());
    }
}
