//! Ends conditional writes that nobody ends: an owner proposes what is there.
//!
//! ```text
//!   a value pending for long --Prepare--> all owners --a majority: joined--> Accept --a majority--> Commit --> pending no more
//!                        '-- outbid, or too few: somebody else is at it, or later again --'
//! ```
//!
//! A proposer that died leaves a value pending, which may have been chosen. Readers find out when they come by; where none comes, no
//! floor of its leaf would ever rise again. So an owner of such a key runs a round of its own in which it proposes what it finds
//! and nothing else. It waits first for as long as a write may be under way: a client that lives ends its own.
//!
//! Invariant: one key at a time. Left out: how frames and orders get to where they go, which the driver of syncs does.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::{OwnerSet, Topology};
use quoit_ring::register::{Ballot, Round};
use quoit_ring::wire::{RegisterAnswer, RegisterAsk, RegisterRequest, Response, record_bytes};
use quoit_ring::{Epoch, Millis, Moment, NodeId, Time};
use smallvec::SmallVec;

use super::Registers;

/// How long owners may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it rests after it could not end one.
const REST: Duration = Duration::from_secs(2);

/// Ask an owner, this node included; its answer comes with the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) to: NodeId,
    pub(crate) number: u64,
    pub(crate) request: RegisterRequest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Preparing,
    Proposing,
}

/// A round under way.
#[derive(Debug)]
struct Settled {
    key: Bytes,
    epoch: Epoch,
    owners: SmallVec<[NodeId; 6]>,
    round: Round,
    phase: Phase,
    value: Bytes,
    /// The number of the first owner's question in this phase; the others' follow.
    first: u64,
    until: Moment,
}

/// An owner's rounds for others.
#[derive(Debug)]
pub(crate) struct Settling {
    max_drift_ms: u64,
    /// How long a value is pending before it is ended here, in milliseconds.
    after_ms: u64,
    current: Option<Settled>,
    /// The key that was ended last: the next one is behind it.
    last_key: Bytes,
    last: u64,
    rests_until: Moment,
    asks: VecDeque<Ask>,
}

impl Settling {
    pub(crate) fn new(after_ms: u64, max_drift_ms: u64) -> Self {
        Self {
            max_drift_ms,
            after_ms,
            current: None,
            last_key: Bytes::new(),
            last: 0,
            rests_until: Moment(0),
            asks: VecDeque::new(),
        }
    }

    /// Begins a round if a value is pending for too long by this clock, and gives one up that takes too long. `random` is that.
    pub(crate) fn handle_time(
        &mut self,
        registers: &Registers,
        topology: &Topology,
        (reading, random): (Time, u64),
        now: Moment,
    ) {
        if let Some(current) = &self.current {
            if current.until <= now || current.epoch != topology.epoch() {
                self.rest(now);
            }
            return;
        }
        if now < self.rests_until || registers.pending() == 0 {
            return;
        }
        let ms = reading.millis().0.saturating_sub(self.after_ms);
        let before = Time::at(Millis(ms));
        let found = registers.pending_before(before, &self.last_key);
        let Some(key) = found else {
            self.last_key = Bytes::new();
            return;
        };
        self.last_key = key.clone();
        if key.is_empty() {
            return; // what could not be read
        }
        let lists = topology.lists(topology.token_of(&key));
        let owners: SmallVec<[NodeId; 6]> = lists.owners().collect();
        let ballot = Ballot {
            time: reading,
            unique: random,
        };
        let round = Round::new(ballot, lists.quorums(&owners));
        self.current = Some(Settled {
            key,
            epoch: topology.epoch(),
            owners,
            round,
            phase: Phase::Preparing,
            value: Bytes::new(),
            first: 0,
            until: now + PATIENCE,
        });
        self.ask_all(&RegisterAsk::Prepare { ballot });
    }

    /// An owner has answered, or its answer will not come.
    pub(crate) fn answered(
        &mut self,
        number: u64,
        response: Option<Response>,
        clock: Millis,
        now: Moment,
    ) {
        let Some(current) = &mut self.current else {
            return;
        };
        let place = number.checked_sub(current.first);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let Some(owner) = place.filter(|&place| place < current.owners.len()) else {
            return; // of an earlier phase
        };
        match (answer_of(response), current.phase) {
            (Some(RegisterAnswer::State(state)), Phase::Preparing) => {
                match state.owner_state(clock) {
                    Ok(state) => current.round.promised(owner, state),
                    Err(_junk) => current.round.failed(owner),
                }
            }
            (Some(RegisterAnswer::Accepted), Phase::Proposing) => current.round.accepted(owner),
            _ => current.round.failed(owner),
        }
        self.go_on(now);
    }

    /// The connection to a node broke.
    pub(crate) fn lost(&mut self, node: NodeId, now: Moment) {
        let place = |current: &Settled| current.owners.iter().position(|&owner| owner == node);
        let number = (self.current.as_ref())
            .and_then(|current| Some(current.first + u64::try_from(place(current)?).ok()?));
        if let Some(number) = number {
            self.answered(number, None, Millis(0), now);
        }
    }

    /// The next question.
    pub(crate) fn poll(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// Whether answers are awaited.
    pub(crate) const fn is_busy(&self) -> bool {
        self.current.is_some()
    }

    fn go_on(&mut self, now: Moment) {
        let max_drift_ms = self.max_drift_ms;
        let Some(current) = &mut self.current else {
            return;
        };
        match current.phase {
            Phase::Preparing if current.round.is_promised(max_drift_ms) => {
                current.value = record_bytes(&current.round.joined(max_drift_ms).record);
                current.phase = Phase::Proposing;
                current.round.propose();
                let (ballot, value) = (current.round.ballot(), current.value.clone());
                self.ask_all(&RegisterAsk::Accept { ballot, value });
            }
            Phase::Proposing if current.round.is_accepted() => self.commit(),
            Phase::Preparing | Phase::Proposing if current.round.is_lost() => self.rest(now),
            _ => {}
        }
    }

    /// A majority has accepted: all owners learn so, those that have not with the value.
    fn commit(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        let ballot = current.round.ballot();
        let acceptors: OwnerSet = current.round.acceptors();
        for (place, &to) in current.owners.iter().enumerate() {
            self.last += 1;
            let value = if acceptors.contains(place) {
                Bytes::new()
            } else {
                current.value.clone()
            };
            let ask = RegisterAsk::Commit { ballot, value };
            let key = current.key.clone();
            self.asks.push_back(Ask {
                to,
                number: self.last,
                request: RegisterRequest { key, ask },
            });
        }
    }

    fn ask_all(&mut self, ask: &RegisterAsk) {
        let Some(current) = &mut self.current else {
            return;
        };
        current.first = self.last + 1;
        for &to in &current.owners {
            self.last += 1;
            let (key, ask) = (current.key.clone(), ask.clone());
            self.asks.push_back(Ask {
                to,
                number: self.last,
                request: RegisterRequest { key, ask },
            });
        }
    }

    fn rest(&mut self, now: Moment) {
        self.current = None;
        self.rests_until = now + REST;
    }
}

fn answer_of(response: Option<Response>) -> Option<RegisterAnswer> {
    match response? {
        Response::Register(answer) => Some(*answer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::Record;
    use quoit_ring::change::Topology;
    use quoit_ring::wire::RegisterState;

    use super::*;
    use crate::testing::{WALL, encoded, ring_of};

    const LATE: Time = Time::at(Millis(WALL));

    fn world() -> (Settling, Registers, Topology) {
        let settling = Settling::new(1_000, 500);
        let registers = Registers::new();
        registers.set_pending(&"k".into(), Some(Time::at(Millis(WALL - 1_001))));
        (settling, registers, Topology::of(ring_of(3, 3)))
    }

    fn asked(settling: &mut Settling) -> Vec<Ask> {
        std::iter::from_fn(|| settling.poll()).collect()
    }

    fn state() -> Option<Response> {
        let state = RegisterState {
            row: Some(encoded(&Record::default())),
            ..RegisterState::default()
        };
        Some(register(RegisterAnswer::State(state)))
    }

    fn register(answer: RegisterAnswer) -> Response {
        Response::Register(Box::new(answer))
    }

    #[test]
    fn what_is_pending_for_long_is_proposed_and_committed() {
        let (mut settling, registers, topology) = world();
        settling.handle_time(&registers, &topology, (LATE, 7), Moment(0));
        let prepares = asked(&mut settling);
        assert_eq!(prepares.len(), 3);
        for ask in &prepares[..2] {
            settling.answered(ask.number, state(), Millis(WALL), Moment(1));
        }
        let accepts = asked(&mut settling);
        let is_accept = |ask: &Ask| matches!(ask.request.ask, RegisterAsk::Accept { .. });
        assert!(accepts.len() == 3 && accepts.iter().all(is_accept));
        // A late promise says nothing of the accept.
        settling.answered(prepares[2].number, state(), Millis(WALL), Moment(1));
        for ask in &accepts[1..] {
            let answer = register(RegisterAnswer::Accepted);
            settling.answered(ask.number, Some(answer), Millis(WALL), Moment(2));
        }
        let commits = asked(&mut settling);
        let values = commits.iter().map(|ask| match &ask.request.ask {
            RegisterAsk::Commit { value, .. } => !value.is_empty(),
            other => panic!("{other:?}"),
        });
        assert_eq!(values.collect::<Vec<_>>(), [true, false, false]);
        assert!(!settling.is_busy());
    }

    #[test]
    fn what_is_not_pending_for_long_is_left_to_its_client() {
        let (mut settling, registers, topology) = world();
        registers.set_pending(&"k".into(), Some(Time::at(Millis(WALL - 999))));
        settling.handle_time(&registers, &topology, (LATE, 7), Moment(0));
        assert!(asked(&mut settling).is_empty() && !settling.is_busy());
    }

    #[test]
    fn where_a_majority_is_missing_it_tries_again_later() {
        let (mut settling, registers, topology) = world();
        settling.handle_time(&registers, &topology, (LATE, 7), Moment(0));
        let asks = asked(&mut settling);
        settling.lost(asks[0].to, Moment(1));
        settling.answered(asks[1].number, None, Millis(0), Moment(1));
        assert!(!settling.is_busy());
        settling.handle_time(&registers, &topology, (LATE, 7), Moment(2));
        assert!(asked(&mut settling).is_empty());
        // Behind the last key there is none: the walk begins again.
        let later = Moment(1) + REST;
        settling.handle_time(&registers, &topology, (LATE, 7), later);
        settling.handle_time(&registers, &topology, (LATE, 7), later);
        assert_eq!(asked(&mut settling).len(), 3);
    }
}
