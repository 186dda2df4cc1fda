//! What one quorum read had seen, every later quorum read of the key has seen.
//!
//! ```text
//!   get --invoked---returned--             seen = E1
//!                             get --invoked---returned--     seen = E2, and E1 is part of it
//! ```
//!
//! For reads by whomever, so a session that reads by quorums never goes back in time. It rests on the
//! write-back: before a read returns, so many replicas hold what it returns that every later one meets it.
//! A message takes a microsecond at least, so a read that is invoked in the instant in which another returns
//! comes after it.
//!
//! Left out: reads of one replica, which promise nothing of the kind; and what was acknowledged but not read.
//!
//! Source: Attiya, Bar-Noy and Dolev, *Sharing Memory Robustly in Message-Passing Systems* (1995), for the
//! write-back; `DeCandia` et al., *Dynamo* (2007), section 4.5, for R + W > N.

use quoit_ring::{Moment, Seen};

use super::{Invariant, Violation, describe};
use crate::history::causal::{Event, Events, Keyed, Set};
use crate::history::{Doubts, History, Mode, OpId, Outcome};

/// See the [module](self).
pub const INVARIANT: Invariant = Invariant {
    name: "never-backwards",
    says: "a quorum read has seen all that every earlier quorum read of the key had seen",
    source: "Attiya, Bar-Noy and Dolev 1995; Dynamo 4.5",
    check,
};

struct Read {
    id: OpId,
    invoked: Moment,
    returned: Moment,
    seen: Set,
    /// The same, but for what need never have been anywhere.
    firm: Set,
}

fn check(history: &History) -> Result<(), Violation> {
    let doubts = Doubts::of(history);
    for keyed in Keyed::all(history) {
        let events = Events::of(&keyed.minted);
        let reads = quorum_reads((history, &doubts), &keyed, &events);
        if let Some((later, event)) = gone_back(&reads, &events) {
            let before = |read: &&Read| read.returned <= later.invoked && read.firm.has(event);
            let earlier = reads.iter().find(before).map(|read| read.id);
            let event = &events.list()[event];
            return Err(violation(history, earlier, later.id, event));
        }
    }
    Ok(())
}

/// The successful quorum reads of a key in the order they were invoked.
fn quorum_reads(
    (history, doubts): (&History, &Doubts<'_>),
    keyed: &Keyed,
    events: &Events,
) -> Vec<Read> {
    let read = |&id: &OpId| {
        let op = history.op(id);
        match &op.returned {
            Some((returned, Outcome::Read { seen, .. })) if op.mode == Mode::Quorum => Some(Read {
                id,
                invoked: op.invoked,
                returned: *returned,
                seen: events.seen(seen),
                firm: firm(doubts, events, seen),
            }),
            _ => None,
        }
    };
    let mut reads: Vec<_> = keyed.ops.iter().filter_map(read).collect();
    reads.sort_by_key(|read| read.invoked);
    reads
}

/// What a read has seen, but for what need never have been anywhere.
fn firm(doubts: &Doubts<'_>, events: &Events, seen: &Seen) -> Set {
    let mut firm = events.seen(seen);
    if doubts.exist() {
        for (number, event) in events.list().iter().enumerate() {
            if doubts.has((event.op, event.dot), seen) {
                firm.remove(number);
            }
        }
    }
    firm
}

/// The first read that has not seen what one before it had, and the event that it lacks.
fn gone_back<'a>(reads: &'a [Read], events: &Events) -> Option<(&'a Read, usize)> {
    let mut done: Vec<_> = reads.iter().collect();
    done.sort_by_key(|read| read.returned);
    let mut done = done.into_iter().peekable();
    let mut known = events.none();
    reads.iter().find_map(|read| {
        while let Some(earlier) = done.next_if(|earlier| earlier.returned <= read.invoked) {
            known.unite(&earlier.firm);
        }
        known.beyond(&read.seen).map(|event| (read, event))
    })
}

fn violation(history: &History, earlier: Option<OpId>, later: OpId, event: &Event) -> Violation {
    let key = history.op(later).key;
    let before = earlier.map_or_else(String::new, |id| describe::op(history, id));
    let what = format!(
        "{}: {before} had seen {}, but the later {} had not",
        describe::key(history, key),
        describe::event(history, event),
        describe::op(history, later)
    );
    Violation {
        invariant: INVARIANT.name,
        key: Some(key),
        ops: [event.op]
            .into_iter()
            .chain(earlier)
            .chain([later])
            .collect(),
        what,
    }
}

#[cfg(test)]
mod tests;
