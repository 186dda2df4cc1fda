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

    /// A conditional write that two rounds of all three carry out.
    fn write(&mut self, condition: Condition, value: &'static str, there: &Record) -> Record {
        self.swap(condition, Some(value));
        let prepares = self.asked();
        self.promise(&prepares, there);
        let accepts = self.asked();
        let written = value_of(&accepts[0]);
        for to in &accepts {
            self.answer(to, RegisterAnswer::Accepted);
        }
        assert!(matches!(self.swapped(), Ok(Compared::Applied(_))));
        self.asked(); // the commits
        written
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
        RegisterAsk::Accept { value, .. } | RegisterAsk::Extend { value, .. } => {
            decode_record(value).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn ballot_of(to: &(NodeId, RequestFrame)) -> Ballot {
    match ask(to) {
        RegisterAsk::Prepare { ballot }
        | RegisterAsk::Accept { ballot, .. }
        | RegisterAsk::Extend { ballot, .. }
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
    let line = owners.asked();
    assert!(line.len() == 1 && *ask(&line[0]) == RegisterAsk::AwaitTurn);
    owners.answer(&line[0], RegisterAnswer::Turn { contended: true });
    let second = owners.asked();
    assert_eq!(second.len(), 3);
    assert!(ballot_of(&second[0]) > promised);

    // Once more: by chance.
    let promised = Ballot {
        time: Time::at(Millis(WALL.0 + 4)),
        unique: 1,
    };
    for to in &second[..2] {
        owners.answer(to, RegisterAnswer::Outbid { promised });
    }
    let end = owners.asked();
    assert!(end.len() == 1 && *ask(&end[0]) == RegisterAsk::EndTurn);
    owners.bench.pass(20); // after a pause
    assert_eq!(*ask(&owners.asked()[0]), RegisterAsk::AwaitTurn);
    // Whoever is to answer that may be dead.
    owners.bench.pass(220);
    let third = owners.asked();
    assert!(third.len() == 3 && ballot_of(&third[0]) > promised);
}

#[test]
fn on_a_contended_key_writes_line_up_first_and_let_the_next_one_in() {
    let mut owners = Owners::new();
    owners.swap(Condition::Any, Some("a"));
    let first = owners.asked();
    let promised = Ballot {
        time: Time::at(Millis(WALL.0 + 3)),
        unique: 1,
    };
    for to in &first[..2] {
        owners.answer(to, RegisterAnswer::Outbid { promised });
    }
    let line = owners.asked();
    owners.answer(&line[0], RegisterAnswer::Turn { contended: true });
    let prepares = owners.asked();
    owners.promise(&prepares, &there("p"));
    let accepts = owners.asked();
    for to in &accepts {
        owners.answer(to, RegisterAnswer::Accepted);
    }
    assert!(matches!(owners.swapped(), Ok(Compared::Applied(_))));
    let commits = owners.asked();
    let is_commit = |to: &_| matches!(ask(to), RegisterAsk::Commit { .. });
    assert!(commits.len() == 3 && commits.iter().all(is_commit));

    owners.swap(Condition::Absent, Some("b"));
    let line = owners.asked();
    assert_eq!(*ask(&line[0]), RegisterAsk::AwaitTurn);
    owners.answer(&line[0], RegisterAnswer::Turn { contended: false });
    let prepares = owners.asked();
    owners.promise(&prepares, &there("a"));
    assert!(matches!(owners.swapped(), Ok(Compared::Mismatch(_))));
    let end = owners.asked();
    assert!(end.len() == 1 && *ask(&end[0]) == RegisterAsk::EndTurn);
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

#[test]
fn a_repeated_proposer_writes_in_one_round() {
    let mut owners = Owners::new();
    owners.swap(Condition::Absent, Some("a"));
    let prepares = owners.asked();
    let first = ballot_of(&prepares[0]);
    owners.promise(&prepares, &Record::default());
    let accepts = owners.asked();
    for to in &accepts {
        owners.answer(to, RegisterAnswer::Accepted);
    }
    assert!(matches!(owners.swapped(), Ok(Compared::Applied(_))));
    owners.asked();

    owners.swap(Condition::Value("a".into()), Some("b"));
    let extends = owners.asked();
    assert!(extends.len() == 3 && matches!(ask(&extends[0]), RegisterAsk::Extend { .. }));
    assert_eq!(Some(ballot_of(&extends[0])), first.next());
    let written = value_of(&extends[0]);
    assert!(written.seen().includes(value_of(&accepts[0]).seen()));
    for to in &extends[..2] {
        owners.answer(to, RegisterAnswer::Accepted);
    }
    let Ok(Compared::Applied(applied)) = owners.swapped() else {
        panic!("it was not applied");
    };
    assert_eq!((applied.acked, applied.dot), (2, written.live()[0].dot));
}

#[test]
fn what_a_repeated_proposer_would_refuse_it_asks_about_first() {
    let mut owners = Owners::new();
    owners.write(Condition::Absent, "a", &Record::default());
    owners.swap(Condition::Absent, Some("b"));
    let asked = owners.asked();
    assert!(matches!(ask(&asked[0]), RegisterAsk::Prepare { .. }));
}

#[test]
fn an_owner_that_holds_more_sends_a_repeated_proposer_to_ask_at_once() {
    let mut owners = Owners::new();
    let written = owners.write(Condition::Absent, "a", &Record::default());
    owners.swap(Condition::Any, Some("b"));
    let extends = owners.asked();
    let ballot = ballot_of(&extends[0]);
    for to in &extends[..2] {
        owners.answer(to, RegisterAnswer::Unseen);
    }
    let prepares = owners.asked();
    assert!(matches!(ask(&prepares[0]), RegisterAsk::Prepare { .. }));
    assert!(ballot_of(&prepares[0]) > ballot);
    // What it proposed is nowhere, and what another one put is seen.
    let mut record = written;
    record.join(&there("p"));
    owners.promise(&prepares, &record);
    let accepts = owners.asked();
    assert!(value_of(&accepts[0]).seen().includes(record.seen()));
    for to in &accepts[..2] {
        owners.answer(to, RegisterAnswer::Accepted);
    }
    assert!(matches!(owners.swapped(), Ok(Compared::Applied(_))));
}

#[test]
fn a_ballot_that_was_not_chosen_is_not_used_again() {
    let mut owners = Owners::new();
    owners.write(Condition::Absent, "a", &Record::default());
    owners.swap(Condition::Any, Some("b"));
    let extends = owners.asked();
    owners.answer(&extends[0], RegisterAnswer::Accepted);
    owners.bench.pass(5_001);
    assert!(matches!(owners.swapped(), Err(SwapError::Unknown { .. })));
    owners.asked();

    owners.swap(Condition::Any, Some("c"));
    let prepares = owners.asked();
    assert!(matches!(ask(&prepares[0]), RegisterAsk::Prepare { .. }));
    assert!(ballot_of(&prepares[0]) > ballot_of(&extends[0]));
}

#[test]
fn of_one_clients_writes_of_a_key_each_waits_for_the_one_before() {
    let mut owners = Owners::new();
    owners.swap(Condition::Absent, Some("a"));
    owners.bench.start(
        2,
        Call::Swap(Swap {
            condition: Condition::Value("a".into()),
            value: Some("b".into()),
            ttl: None,
        }),
    );
    let prepares = owners.asked();
    assert_eq!(prepares.len(), 3, "of the first");
    owners.promise(&prepares, &Record::default());
    let accepts = owners.asked();
    for to in &accepts {
        owners.answer(to, RegisterAnswer::Accepted);
    }
    let then = owners.asked();
    let is_extend = |to: &&_| matches!(ask(to), RegisterAsk::Extend { .. });
    let extends: Vec<_> = then.iter().filter(is_extend).collect();
    assert_eq!(extends.len(), 3);
    assert_eq!(then.len(), 6, "and the commits of the first");
    for to in extends {
        owners.answer(to, RegisterAnswer::Accepted);
    }
    let applied = |done| matches!(done, Some((_, Done::Swap(Ok(Compared::Applied(_))))));
    assert!(applied(owners.bench.done()) && applied(owners.bench.done()));
    assert_eq!(owners.bench.occupied(), 0);
}

#[test]
fn one_that_finds_something_else_keeps_its_turn_for_the_write_on_that() {
    let mut owners = Owners::new();
    let stale = Context::of(&Record::default());
    let swap = |context: &Context| {
        Call::Swap(Swap {
            condition: Condition::Unchanged(context.clone()),
            value: Some("b".into()),
            ttl: None,
        })
    };
    owners.bench.start(1, swap(&stale));
    owners.bench.start(2, swap(&stale));
    let prepares = owners.asked();
    owners.promise(&prepares, &there("a"));
    let Ok(Compared::Mismatch(entry)) = owners.swapped() else {
        panic!("it was applied");
    };
    assert!(owners.asked().is_empty(), "the second waits");
    owners.bench.start(3, swap(entry.context()));
    let prepares = owners.asked();
    owners.promise(&prepares, &there("a"));
    let accepts = owners.asked();
    for to in &accepts {
        owners.answer(to, RegisterAnswer::Accepted);
    }
    assert!(matches!(owners.swapped(), Ok(Compared::Applied(_))));
    let then = owners.asked();
    let is_prepare = |to: &&_| matches!(ask(to), RegisterAsk::Prepare { .. });
    assert_eq!(then.iter().filter(is_prepare).count(), 3, "of the second");

    // Nobody comes back: the next one does not wait for long.
    let prepares: Vec<_> = then.into_iter().filter(|to| is_prepare(&to)).collect();
    owners.bench.start(4, swap(&stale));
    owners.promise(&prepares, &there("a"));
    assert!(matches!(owners.swapped(), Ok(Compared::Mismatch(_))));
    assert!(owners.asked().is_empty());
    owners.bench.pass(4);
    assert_eq!(owners.asked().len(), 3);
}

#[test]
fn turns_that_are_kept_for_nobody_are_forgotten() {
    let mut owners = Owners::new();
    let stale = Condition::Unchanged(Context::of(&Record::default()));
    owners.swap(stale, Some("b"));
    let prepares = owners.asked();
    owners.promise(&prepares, &there("a"));
    assert!(matches!(owners.swapped(), Ok(Compared::Mismatch(_))));
    assert_eq!(owners.bench.coordinator.context.turns.kept(), 1);
    // Something is under way, of another key perhaps: nothing else comes for this one.
    owners.bench.start(2, Call::Look);
    owners.bench.pass(20);
    assert_eq!(owners.bench.coordinator.context.turns.kept(), 0);
}

#[test]
fn one_that_gives_up_while_a_turn_is_kept_leaves_the_next_one_its_turn() {
    let mut owners = Owners::new();
    let swap = |condition| {
        Call::Swap(Swap {
            condition,
            value: Some("b".into()),
            ttl: None,
        })
    };
    let stale = Condition::Unchanged(Context::of(&Record::default()));
    owners.bench.start(1, swap(stale));
    owners.bench.start(2, swap(Condition::Any));
    let mut prepares = owners.asked();
    owners.bench.pass(4_990);
    owners.bench.start(3, swap(Condition::Any));
    prepares.extend(owners.asked());
    let latest: Vec<_> = prepares.into_iter().rev().take(3).rev().collect();
    owners.bench.pass(9);
    owners.promise(&latest, &there("a"));
    assert!(matches!(owners.swapped(), Ok(Compared::Mismatch(_))));
    // The second one's deadline comes while the turn is kept.
    owners.bench.pass(1);
    owners.bench.pass(30);
    assert!(matches!(
        owners.swapped(),
        Err(SwapError::NotApplied { .. })
    ));
    let prepares = owners.asked();
    assert_eq!(prepares.len(), 3, "of the third");
}

#[test]
fn one_that_waits_for_its_turn_until_the_deadline_has_done_nothing() {
    let mut owners = Owners::new();
    for id in [1, 2] {
        owners.bench.start(
            id,
            Call::Swap(Swap {
                condition: Condition::Any,
                value: Some("a".into()),
                ttl: None,
            }),
        );
    }
    let prepares = owners.asked();
    owners.promise(&prepares, &Record::default());
    owners.asked();
    owners.bench.pass(5_001);
    let Err(SwapError::Unknown { .. }) = owners.swapped() else {
        panic!("the first has proposed");
    };
    let Err(SwapError::NotApplied { attempts, .. }) = owners.swapped() else {
        panic!("the second has not");
    };
    assert!(attempts.iter().all(|it| it.outcome == Outcome::Outbid));
    assert_eq!(owners.bench.occupied(), 0);
}

#[test]
fn what_passes_in_a_chain_of_one_round_writes_is_counted_once() {
    let mut owners = Owners::new();
    let swap = |owners: &mut Owners| {
        owners.bench.start(
            1,
            Call::Swap(Swap {
                condition: Condition::Any,
                value: Some("a".into()),
                ttl: Some(Duration::from_secs(60)),
            }),
        );
        let mut asked = owners.asked();
        if matches!(ask(&asked[0]), RegisterAsk::Prepare { .. }) {
            owners.promise(&asked, &Record::default());
            asked = owners.asked();
        } else {
            assert!(matches!(ask(&asked[0]), RegisterAsk::Extend { .. }));
        }
        let written = value_of(&asked[0]);
        for to in &asked {
            owners.answer(to, RegisterAnswer::Accepted);
        }
        assert!(matches!(owners.swapped(), Ok(Compared::Applied(_))));
        owners.asked();
        written.live()[0].expiry.unwrap().0
    };
    let first = swap(&mut owners);
    let mut last = first;
    let mut passed = 0;
    for _ in 0..19 {
        owners.bench.pass(40);
        passed += 40;
        last = swap(&mut owners);
    }
    assert_eq!(last - first, passed);
}

#[test]
fn a_round_that_asks_bars_the_ballot_that_this_client_has_kept() {
    let mut owners = Owners::new();
    let written = owners.write(Condition::Absent, "a", &Record::default());
    // A linearizable read: one owner has no commit yet, so it is not agreed.
    owners.bench.start(2, Call::Look);
    let looks = owners.asked();
    assert_eq!(*ask(&looks[0]), RegisterAsk::Look);
    owners.answer(&looks[0], RegisterAnswer::State(state(&written)));
    owners.answer(&looks[1], RegisterAnswer::State(state(&Record::default())));
    let prepares = owners.asked();
    let barred = ballot_of(&prepares[0]);
    owners.promise(&prepares, &written);
    assert!(owners.bench.done().is_some());
    owners.asked();
    // The same client writes again.
    owners.swap(Condition::Any, Some("b"));
    let asked = owners.asked();
    assert!(
        ballot_of(&asked[0]) > barred,
        "{:?} is barred by the own {barred:?}",
        ask(&asked[0])
    );
}

#[test]
fn one_that_is_outbid_pauses_where_no_more_contended_keys_are_remembered() {
    let mut owners = Owners::new();
    let now = owners.bench.now();
    for n in 0..1024 {
        let key = Bytes::from(format!("other{n}"));
        owners.bench.coordinator.context.turns.contend(&key, now.at);
    }
    owners.swap(Condition::Any, Some("b"));
    let mut rounds = 0;
    for n in 0..200_u64 {
        let asked = owners.asked();
        if asked.is_empty() {
            break;
        }
        rounds += 1;
        let promised = Ballot {
            time: Time::at(Millis(WALL.0 + 3 + n / 100)),
            unique: u64::MAX,
        };
        for to in &asked[..2] {
            owners.answer(to, RegisterAnswer::Outbid { promised });
        }
    }
    assert!(rounds <= 2, "{rounds} rounds without a pause, in no time");
}

#[test]
fn a_turn_is_waited_for_no_longer_at_its_owner_than_here() {
    let mut owners = Owners::new();
    owners.swap(Condition::Any, Some("a"));
    let first = owners.asked();
    let promised = Ballot {
        time: Time::at(Millis(WALL.0 + 3)),
        unique: 1,
    };
    for to in &first[..2] {
        owners.answer(to, RegisterAnswer::Outbid { promised });
    }
    let line = owners.asked();
    assert_eq!(*ask(&line[0]), RegisterAsk::AwaitTurn);
    // Its turn has not come when it is no use any more.
    assert!(
        line[0].1.budget_ms <= 200,
        "it leaves the line after 200 ms, but waits at the owner for {} ms",
        line[0].1.budget_ms
    );
}

#[test]
fn one_that_has_no_turn_ends_none() {
    let mut owners = Owners::new();
    owners.swap(Condition::Any, Some("a"));
    let first = owners.asked();
    let promised = Ballot {
        time: Time::at(Millis(WALL.0 + 3)),
        unique: 1,
    };
    for to in &first[..2] {
        owners.answer(to, RegisterAnswer::Outbid { promised });
    }
    let line = owners.asked();
    assert_eq!(*ask(&line[0]), RegisterAsk::AwaitTurn);
    owners.bench.pass(5_001);
    let asked = owners.asked();
    assert!(
        asked.iter().all(|to| *ask(to) != RegisterAsk::EndTurn),
        "it had none"
    );
}

#[test]
fn a_late_answer_to_a_look_is_no_damage() {
    let mut owners = Owners::new();
    owners.swap(Condition::Any, Some("a"));
    owners.asked();
    owners.bench.start(2, Call::Look);
    let looks = owners.asked();
    owners.answer(&looks[0], RegisterAnswer::State(state(&there("p"))));
    owners.answer(&looks[1], RegisterAnswer::State(state(&Record::default())));
    owners.answer(&looks[2], RegisterAnswer::State(state(&there("p"))));
    owners.bench.pass(5_001);
    while let Some((ticket, done)) = owners.bench.done() {
        if let (2, Done::Read(Err(error))) = (ticket, done) {
            let ReadError::Unavailable { attempts, .. } = error else {
                panic!("{error:?}")
            };
            assert!(
                attempts
                    .iter()
                    .all(|it| !matches!(it.outcome, Outcome::Damaged(_))),
                "{attempts:?}"
            );
        }
    }
}
