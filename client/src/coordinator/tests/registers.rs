//! Conditional writes and linearizable reads: rounds, conditions, outcomes.

use bytes::BytesMut;
use quoit_ring::register::Ballot;
use quoit_ring::wire::{
    RegisterAnswer, RegisterAsk, RegisterRequest, RegisterState, encode_record,
};
use quoit_ring::{Actor, Dot};

use super::*;
use crate::operation::register::Condition;

/// A register at each of three nodes, which does what it is asked.
struct Owners {
    bench: Bench,
}

impl Owners {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
        }
    }

    fn swap(&mut self, condition: Condition, value: Option<&'static str>) {
        let value = value.map(Bytes::from);
        self.bench.start(
            1,
            Call::Swap(Swap {
                condition,
                value,
                ttl: None,
            }),
        );
    }

    /// What is asked of all three, and of what kind it is.
    fn asked(&mut self) -> Vec<(NodeId, RequestFrame)> {
        self.bench.sent()
    }

    fn answer(&mut self, to: &(NodeId, RequestFrame), answer: RegisterAnswer) {
        self.bench.answer(to, Response::Register(Box::new(answer)));
    }

    /// Two owners promise, with this record.
    fn promise(&mut self, asked: &[(NodeId, RequestFrame)], record: &Record) {
        for to in &asked[..2] {
            self.answer(to, RegisterAnswer::State(state(record)));
        }
    }

    fn swapped(&mut self) -> Result<Compared, SwapError> {
        match self.bench.done() {
            Some((_, Done::Swap(result))) => result,
            other => panic!("no conditional write ended: {other:?}"),
        }
    }
}

fn ask(to: &(NodeId, RequestFrame)) -> &RegisterAsk {
    match &to.1.request {
        Request::Register(RegisterRequest { ask, .. }) => ask,
        other => panic!("{other:?}"),
    }
}

fn value_of(to: &(NodeId, RequestFrame)) -> Record {
    match ask(to) {
        RegisterAsk::Accept { value, .. } => decode_record(value).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn ballot_of(to: &(NodeId, RequestFrame)) -> Ballot {
    match ask(to) {
        RegisterAsk::Prepare { ballot }
        | RegisterAsk::Accept { ballot, .. }
        | RegisterAsk::Commit { ballot, .. } => *ballot,
        other => panic!("{other:?}"),
    }
}

fn there(value: &'static str) -> Record {
    let dot = Dot {
        time: Time::at(Millis(WALL.0 - 1)),
        actor: Actor(9),
    };
    Delta::blind(dot, Some((value.into(), None))).into_record()
}

fn state(record: &Record) -> RegisterState {
    let mut row = BytesMut::new();
    encode_record(record, &mut row);
    RegisterState {
        row: Some(row.freeze()),
        ..RegisterState::default()
    }
}

#[test]
fn a_conditional_write_has_happened_once_a_majority_has_accepted_it() {
    let mut owners = Owners::new();
    owners.swap(Condition::Value("a".into()), Some("b"));
    let prepares = owners.asked();
    assert_eq!(prepares.len(), 3);
    owners.promise(&prepares, &there("a"));
    let accepts = owners.asked();
    assert_eq!(accepts.len(), 3);
    assert_eq!(ballot_of(&accepts[0]), ballot_of(&prepares[0]));
    let proposed = value_of(&accepts[0]);
    assert_eq!(proposed.live()[0].value.as_deref(), Some(&b"b"[..]));
    assert!(proposed.seen().contains(there("a").live()[0].dot));

    owners.answer(&accepts[0], RegisterAnswer::Accepted);
    assert!(owners.bench.done().is_none());
    owners.answer(&accepts[2], RegisterAnswer::Accepted);
    let Ok(Compared::Applied(applied)) = owners.swapped() else {
        panic!("it was not applied");
    };
    assert_eq!(applied.acked, 2);

    // Whoever has the value learns of the commit by its ballot, now or once it has accepted.
    let commits = owners.asked();
    let is_bare = |to: &_| matches!(ask(to), RegisterAsk::Commit { value, .. } if value.is_empty());
    assert!(commits.len() == 2 && commits.iter().all(is_bare));
    owners.answer(&accepts[1], RegisterAnswer::Accepted);
    assert_eq!(owners.asked().len(), 1);
    assert_eq!(owners.bench.occupied(), 0);
}

#[test]
fn a_condition_that_does_not_hold_is_answered_at_once_where_a_majority_agrees() {
    let mut owners = Owners::new();
    owners.swap(Condition::Absent, Some("b"));
    let prepares = owners.asked();
    owners.promise(&prepares, &there("a"));
    let Ok(Compared::Mismatch(entry)) = owners.swapped() else {
        panic!("it was applied");
    };
    assert_eq!(entry.value().unwrap(), "a");
    assert!(owners.asked().is_empty());
}

#[test]
fn where_owners_differ_a_mismatch_finishes_the_round_first() {
    let mut owners = Owners::new();
    owners.swap(Condition::Absent, Some("b"));
    let prepares = owners.asked();
    owners.answer(&prepares[0], RegisterAnswer::State(state(&there("a"))));
    owners.answer(
        &prepares[1],
        RegisterAnswer::State(RegisterState::default()),
    );
    assert!(owners.bench.done().is_none());
    let accepts = owners.asked();
    assert_eq!(value_of(&accepts[0]), there("a"));
    for to in &accepts[..2] {
        owners.answer(to, RegisterAnswer::Accepted);
    }
    assert!(matches!(owners.swapped(), Ok(Compared::Mismatch(_))));
}

#[test]
fn one_that_is_outbid_tries_again_by_a_higher_ballot() {
    let mut owners = Owners::new();
    owners.swap(Condition::Any, Some("b"));
    let first = owners.asked();
    let promised = Ballot {
        time: Time::at(Millis(WALL.0 + 3)),
        unique: 1,
    };
    for to in &first[..2] {
        owners.answer(to, RegisterAnswer::Outbid { promised });
    }
    assert!(owners.asked().is_empty(), "after a pause");
    owners.bench.pass(20);
    let second = owners.asked();
    assert_eq!(second.len(), 3);
    assert!(ballot_of(&second[0]) > promised);
}

#[test]
fn what_was_proposed_and_carried_on_by_others_is_found_and_not_written_twice() {
    let mut owners = Owners::new();
    owners.swap(Condition::Absent, Some("b"));
    let prepares = owners.asked();
    owners.promise(&prepares, &Record::default());
    let accepts = owners.asked();
    let proposed = value_of(&accepts[0]);
    // Its connection breaks; another proposer carries the value on.
    for to in &accepts {
        owners.bench.link(to.0.0, Link::Down);
        owners.bench.link(to.0.0, Link::Up);
    }
    owners.bench.pass(50);
    let again = owners.asked();
    let again: Vec<_> = again.into_iter().rev().take(3).rev().collect();
    owners.promise(&again, &proposed);
    let Ok(Compared::Applied(applied)) = owners.swapped() else {
        panic!("it was not found");
    };
    assert_eq!(applied.dot, proposed.live()[0].dot);
}

#[test]
fn what_may_have_happened_and_been_replaced_is_neither_written_again_nor_called_a_mismatch() {
    let mut owners = Owners::new();
    owners.swap(Condition::Absent, Some("b"));
    let prepares = owners.asked();
    owners.promise(&prepares, &Record::default());
    let accepts = owners.asked();
    let dot = value_of(&accepts[0]).live()[0].dot;
    for to in &accepts {
        owners.bench.link(to.0.0, Link::Down);
        owners.bench.link(to.0.0, Link::Up);
    }
    owners.bench.pass(50);
    let again = owners.asked();
    let again: Vec<_> = again.into_iter().rev().take(3).rev().collect();
    // A delete without a context has come in between: it says that all that is older was there.
    let above = Dot {
        time: Time(dot.time.0 + 1),
        actor: Actor(9),
    };
    owners.promise(&again, &Delta::blind(above, None).into_record());
    let accepts = owners.asked();
    assert!(
        value_of(&accepts[0]).live().is_empty(),
        "the round is finished as it is"
    );
    for to in &accepts[..2] {
        owners.answer(to, RegisterAnswer::Accepted);
    }
    let replaced = owners.swapped().unwrap_err();
    assert!(matches!(replaced, SwapError::Replaced { .. }));
    assert_eq!(replaced.stored(), Stored::Maybe);
}

#[test]
fn a_time_to_live_out_of_range_is_refused_before_an_owner_is_asked() {
    let mut owners = Owners::new();
    let swap = Swap {
        condition: Condition::Absent,
        value: Some("b".into()),
        ttl: Some(Duration::ZERO),
    };
    owners.bench.start(1, Call::Swap(swap));
    assert!(owners.asked().is_empty());
    let invalid = InvalidRequest::TimeToLive(Duration::ZERO);
    assert_eq!(owners.swapped(), Err(SwapError::Invalid(invalid)));
}

#[test]
fn at_the_deadline_what_was_proposed_is_unknown_and_what_was_not_is_not_applied() {
    let mut owners = Owners::new();
    owners.swap(Condition::Absent, Some("b"));
    let prepares = owners.asked();
    owners.promise(&prepares, &Record::default());
    owners.bench.pass(5_001);
    let Err(SwapError::Unknown { operation, .. }) = owners.swapped() else {
        panic!("its outcome is known");
    };
    assert_eq!(operation.dots().len(), 1);

    owners.asked();
    owners.swap(Condition::Absent, Some("c"));
    owners.bench.pass(5_001);
    assert!(matches!(
        owners.swapped(),
        Err(SwapError::NotApplied { .. })
    ));
}

#[test]
fn an_outcome_is_not_applied_only_once_a_round_has_barred_it() {
    let mut owners = Owners::new();
    let operation: ConditionalOp = "6b.00000000000000070000000000000009".parse().unwrap();
    owners.bench.start(1, Call::Settle(operation));
    let prepares = owners.asked();
    owners.promise(&prepares, &Record::default());
    assert!(
        owners.bench.done().is_none(),
        "it may be pending at the third owner"
    );
    let accepts = owners.asked();
    for to in &accepts[..2] {
        owners.answer(to, RegisterAnswer::Accepted);
    }
    let Some((_, Done::Settle(Ok(settled)))) = owners.bench.done() else {
        panic!("it was not settled");
    };
    assert_eq!(settled, Settled::NotApplied);
}

#[test]
fn a_linearizable_read_looks_and_promises_nothing_unless_owners_differ() {
    let mut owners = Owners::new();
    owners.bench.start(1, Call::Look);
    let looks = owners.asked();
    assert!(looks.iter().all(|to| *ask(to) == RegisterAsk::Look));
    owners.promise(&looks, &there("a"));
    assert_eq!(owners.bench.read(), Ok(there("a")));

    owners.bench.start(2, Call::Look);
    let looks = owners.asked();
    owners.answer(&looks[0], RegisterAnswer::State(state(&there("a"))));
    owners.answer(&looks[1], RegisterAnswer::State(RegisterState::default()));
    let prepares = owners.asked();
    assert!(matches!(ask(&prepares[0]), RegisterAsk::Prepare { .. }));
}

#[test]
fn a_quorum_read_of_a_key_with_a_pending_write_goes_on_as_a_linearizable_one() {
    let mut owners = Owners::new();
    owners.bench.start(
        1,
        Call::Read {
            key: "k".into(),
            plan: plan(),
        },
    );
    let gets = owners.asked();
    let (floor, record) = (Time::ZERO, None);
    owners
        .bench
        .answer(&gets[0], Response::Unsettled { floor, record });
    let looks = owners.asked();
    assert!(looks.len() == 3 && looks.iter().all(|to| *ask(to) == RegisterAsk::Look));
    owners.promise(&looks, &there("a"));
    assert_eq!(owners.bench.read(), Ok(there("a")));
    assert_eq!(owners.bench.occupied(), 0);
}

#[test]
fn a_linearizable_write_takes_no_context_and_a_deadline_out_of_range_is_refused() {
    let plan = Plan {
        deadline: Duration::from_secs(31),
        ..plan()
    };
    assert!(crate::operation::plan::check_register(&plan).is_err());
}
