//! Histories made by hand, for the tests of invariants.
//!
//! ```text
//!   hand.put(1, 10, Basis::Blind, "a")     client 1 sends dot (10, actor 1)      --+
//!   hand.ack(op)                           it returns, with the context it has   --+--> History
//!   hand.read(2, &[a], &[a])               returned siblings, and whose dots it had seen
//! ```
//!
//! Every call takes place ten microseconds after the one before it, on one key unless [`Hand::other_key`] is
//! used. The contexts of acknowledged writes are right; what reads return is up to the test.

pub(crate) mod world;

use std::collections::BTreeMap;

use bytes::Bytes;
use quoit_ring::{Actor, Delta, Dot, Moment, Seen, Time};

use super::{Invariant, Violation};
use crate::history::{
    Basis, Call, ClientId, Family, Final, Found, History, KeyId, Mode, Op, OpId, Outcome, Recorder,
};

/// Microseconds from one call to the next.
const TICK: u64 = 10;

/// A history being made.
#[derive(Debug)]
pub(crate) struct Hand {
    pub(crate) recorder: Recorder,
    /// What the next operations promise.
    pub(crate) mode: Mode,
    key: KeyId,
    now: Moment,
    /// What each write's dots have seen: the latest is what its caller has once it is acknowledged.
    contexts: BTreeMap<OpId, Seen>,
}

impl Hand {
    /// An empty history of one key.
    pub(crate) fn new(family: Family) -> Self {
        let mut recorder = Recorder::new();
        let key = recorder.key(&Bytes::from_static(b"k"), family);
        Self {
            recorder,
            mode: Mode::Quorum,
            key,
            now: Moment(0),
            contexts: BTreeMap::new(),
        }
    }

    /// Goes on with another key.
    pub(crate) fn other_key(&mut self, name: &'static str, family: Family) {
        self.key = self.recorder.key(&Bytes::from(name), family);
    }

    /// A client, which is an actor of the same number, sends a put at a time of its clock.
    pub(crate) fn put(&mut self, client: u16, time: u64, basis: Basis, value: &str) -> OpId {
        let call = Call::Put {
            value: Bytes::copy_from_slice(value.as_bytes()),
            basis,
            ttl_ms: None,
        };
        self.write(client, time, call)
    }

    /// A client sends a delete.
    pub(crate) fn delete(&mut self, client: u16, time: u64, basis: Basis) -> OpId {
        self.write(client, time, Call::Delete { basis })
    }

    /// A put that is acknowledged.
    pub(crate) fn acked_put(&mut self, client: u16, time: u64, basis: Basis, value: &str) -> OpId {
        let op = self.put(client, time, basis, value);
        self.ack(op)
    }

    /// A delete that is acknowledged.
    pub(crate) fn acked_delete(&mut self, client: u16, time: u64, basis: Basis) -> OpId {
        let op = self.delete(client, time, basis);
        self.ack(op)
    }

    /// A write is sent under a further dot, which builds on the one before.
    pub(crate) fn mint_anew(&mut self, op: OpId, time: u64) {
        let blind = self.history().op(op).call.basis() == Some(&Basis::Blind);
        let context = self.contexts.remove(&op).unwrap_or_default();
        self.mint(op, time, (!blind).then_some(context));
    }

    /// A write is acknowledged under its latest dot.
    pub(crate) fn ack(&mut self, op: OpId) -> OpId {
        let outcome = Outcome::Written {
            dot: self.dot(op),
            acked: 2,
            seen: self.contexts[&op].clone(),
        };
        self.end(op, outcome)
    }

    /// An operation returns.
    pub(crate) fn end(&mut self, op: OpId, outcome: Outcome) -> OpId {
        let at = self.tick();
        self.recorder.end(op, at, outcome);
        op
    }

    /// A client begins to read.
    pub(crate) fn get(&mut self, client: u16) -> OpId {
        self.begin(client, Call::Get)
    }

    /// A read returns the latest dots of `siblings`, and has seen all dots of `seen`.
    pub(crate) fn found(&mut self, op: OpId, siblings: &[OpId], seen: &[OpId]) -> OpId {
        let seen = self.seen(seen);
        self.found_in(op, siblings, seen)
    }

    /// A read returns the latest dots of `siblings`, and has seen this region.
    pub(crate) fn found_in(&mut self, op: OpId, siblings: &[OpId], seen: Seen) -> OpId {
        let siblings = siblings.iter().map(|&op| self.sibling(op)).collect();
        self.end(op, Outcome::Read { siblings, seen })
    }

    /// A read from its beginning to its end; see [`Hand::found`].
    pub(crate) fn read(&mut self, client: u16, siblings: &[OpId], seen: &[OpId]) -> OpId {
        let op = self.get(client);
        self.found(op, siblings, seen)
    }

    /// Reads all replicas at the end, which a replica each hold.
    pub(crate) fn last_read(&mut self, siblings: &[OpId], seen: &[OpId]) -> OpId {
        let read = self.read(9, siblings, seen);
        let key = self.key;
        self.recorder.history_mut().finals.push(Final {
            key,
            replicas: Vec::new(),
            floor: Time::ZERO,
            read,
        });
        read
    }

    /// All dots of these writes, and nothing between them.
    pub(crate) fn seen(&self, ops: &[OpId]) -> Seen {
        let mut seen = Seen::default();
        for minted in &self.history().minted {
            if ops.contains(&minted.op) {
                let Dot { actor, time } = minted.dot;
                seen.add(actor, time.before(), time);
            }
        }
        seen
    }

    /// A write's value under its latest dot.
    pub(crate) fn sibling(&self, op: OpId) -> Found {
        let Call::Put { value, .. } = &self.history().op(op).call else {
            panic!("only puts have values");
        };
        Found {
            dot: self.dot(op),
            value: value.clone(),
            expiry: None,
        }
    }

    /// The whole.
    pub(crate) fn finish(self) -> History {
        self.recorder.finish()
    }

    fn history(&self) -> &History {
        self.recorder.history()
    }

    fn dot(&self, op: OpId) -> Dot {
        let mut minted = self.history().minted.iter().rev();
        minted.find(|m| m.op == op).expect("it was sent").dot
    }

    fn tick(&mut self) -> Moment {
        self.now = self.now.after(TICK);
        self.now
    }

    fn begin(&mut self, client: u16, call: Call) -> OpId {
        let invoked = self.tick();
        self.recorder.begin(Op {
            client: ClientId {
                slot: client,
                life: 0,
            },
            key: self.key,
            call,
            mode: self.mode,
            count: None,
            healed: false,
            invoked,
            returned: None,
        })
    }

    fn write(&mut self, client: u16, time: u64, call: Call) -> OpId {
        let context = call.basis().and_then(|basis| self.joined(basis));
        let op = self.begin(client, call);
        self.mint(op, time, context);
        op
    }

    fn joined(&self, basis: &Basis) -> Option<Seen> {
        let Basis::Seen(ops) = basis else { return None };
        let mut joined = Seen::default();
        let contexts = ops.iter().filter_map(|&op| self.history().op(op).seen());
        contexts.for_each(|seen| joined.union(seen));
        Some(joined)
    }

    fn mint(&mut self, op: OpId, time: u64, context: Option<Seen>) {
        let actor = Actor(u64::from(self.history().op(op).client.slot));
        let time = Time(time);
        let dot = Dot { time, actor };
        let delta = match context {
            Some(context) => Delta::causal(dot, time.before(), &context, None),
            None => Delta::blind(dot, None),
        };
        self.contexts.insert(op, delta.into_record().seen().clone());
        let at = self.now;
        self.recorder.mint(op, dot, at);
    }
}

/// A basis of these operations.
pub(crate) fn over(ops: &[OpId]) -> Basis {
    Basis::Seen(ops.to_vec())
}

/// Asserts that a history holds.
#[track_caller]
pub(crate) fn assert_holds(invariant: &Invariant, history: &History) {
    assert_eq!((invariant.check)(history), Ok(()));
}

/// Asserts that a history is refused by a sentence that contains `what`, and returns the violation.
#[track_caller]
pub(crate) fn assert_fails(invariant: &Invariant, history: &History, what: &str) -> Violation {
    let violation = (invariant.check)(history).expect_err("this must not pass");
    assert!(violation.to_string().contains(what), "{violation}");
    assert_eq!(violation.invariant, invariant.name);
    violation
}
