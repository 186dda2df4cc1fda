//! Steps of conditional writes: promises, what is pending, and what of it outlives a restart.

use quoit_ring::register::Ballot;
use quoit_ring::wire::{RegisterAnswer, RegisterState, decode_record};

use super::*;
use crate::engine::Durability;
use crate::testing::{Disk, blind, dot, encoded};
use crate::write::Step;

fn ballot(ms: u64) -> Ballot {
    Ballot {
        time: Time::at(Millis(ms)),
        unique: 1,
    }
}

fn value(ms: u64) -> Record {
    blind(dot(9, ms), "v").into_record()
}

impl<G: Engine> World<G> {
    fn step(&mut self, key: &str, step: Step) -> Response {
        self.add(key, Change::Register(Box::new(step)));
        self.commit().pop().unwrap()
    }

    fn look(&mut self, key: &str) -> RegisterState {
        state_of(self.step(key, Step::Look))
    }
}

fn state_of(response: Response) -> RegisterState {
    match response {
        Response::Register(answer) => match *answer {
            RegisterAnswer::State(state) => state,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn outbid(promised: Ballot) -> Response {
    Response::Register(Box::new(RegisterAnswer::Outbid { promised }))
}

fn accepted() -> Response {
    Response::Register(Box::new(RegisterAnswer::Accepted))
}

fn world() -> World<MemoryEngine> {
    World::over(MemoryEngine::new())
}

#[test]
fn a_conditional_write_is_pending_until_its_commit_joins_it() {
    let mut world = world();
    assert_eq!(world.look("k"), RegisterState::default());
    assert_eq!(
        state_of(world.step("k", Step::Prepare(ballot(WALL)))),
        RegisterState::default()
    );
    assert_eq!(
        world.step("k", Step::Accept(ballot(WALL), value(WALL))),
        accepted()
    );
    assert!(world.state.registers.is_pending(b"k") && world.stored("k").is_none());
    let state = world.look("k");
    assert_eq!((state.ballot, state.row), (Some(ballot(WALL)), None));
    assert_eq!(
        state.pending.map(|value| decode_record(&value).unwrap()),
        Some(value(WALL))
    );

    assert_eq!(
        world.step("k", Step::Commit(ballot(WALL), None)),
        Response::Joined
    );
    assert!(!world.state.registers.is_pending(b"k"));
    assert_eq!(world.stored("k"), Some(value(WALL)));
    let state = world.look("k");
    assert_eq!((state.ballot, state.pending), (Some(ballot(WALL)), None));
    assert_eq!(state.row, Some(encoded(&value(WALL))));
}

#[test]
fn within_one_batch_a_step_sees_what_came_before_it() {
    let mut world = world();
    let register = |step| Change::Register(Box::new(step));
    world.add("k", register(Step::Accept(ballot(WALL), value(WALL))));
    world.add("k", register(Step::Prepare(ballot(WALL - 1))));
    world.add("k", register(Step::Commit(ballot(WALL), None)));
    world.add("k", register(Step::Look));
    let mut answers = world.commit();
    let state = state_of(answers.pop().unwrap());
    assert_eq!(state.row, Some(encoded(&value(WALL))));
    assert_eq!(
        answers,
        [accepted(), outbid(ballot(WALL)), Response::Joined]
    );
}

#[test]
fn a_lower_ballot_is_outbid_and_the_same_one_with_another_value_refused() {
    let mut world = world();
    world.step("k", Step::Prepare(ballot(WALL)));
    let late = Step::Accept(ballot(WALL - 1), value(WALL - 1));
    assert_eq!(world.step("k", late), outbid(ballot(WALL)));
    assert_eq!(world.step("other", Step::Prepare(ballot(WALL - 1))), {
        Response::Register(Box::new(RegisterAnswer::State(RegisterState::default())))
    });
    world.step("k", Step::Accept(ballot(WALL), value(WALL)));
    let twice = world.step("k", Step::Accept(ballot(WALL), value(WALL - 1)));
    assert_eq!(
        twice,
        Response::Refused(quoit_ring::wire::Refusal::BallotReused)
    );
    assert_eq!(world.state.registers.reused(), 1);
}

#[test]
fn ballots_from_the_future_or_too_old_are_refused() {
    use quoit_ring::wire::Refusal;
    let mut world = world();
    let refusal = |answer| match answer {
        Response::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let max = LIMITS.max_clock_drift_ms;
    for step in [
        Step::Prepare(ballot(WALL + max + 1)),
        Step::Accept(ballot(WALL + max + 1), value(WALL)),
        Step::Accept(ballot(WALL), value(WALL + max + 1)),
        Step::Commit(ballot(WALL), Some(value(WALL + max + 1))),
    ] {
        let refused = refusal(world.step("k", step));
        assert!(matches!(refused, Refusal::ClockAhead { .. }), "{refused:?}");
    }
    let old = WALL - LIMITS.max_write_age_ms - 1;
    let refused = refusal(world.step("k", Step::Prepare(ballot(old))));
    assert!(matches!(refused, Refusal::TooOld { .. }), "{refused:?}");
    assert_eq!(world.look("k"), RegisterState::default());
}

#[test]
fn after_a_restart_nothing_is_taken_that_may_have_been_barred() {
    let mut world = world();
    world.step("k", Step::Prepare(ballot(WALL)));
    let mut world = world.restarted();
    let mark = world.state.registers.start();
    assert!(
        mark >= Time::at(Millis(WALL)),
        "the mark is above all that was promised"
    );
    let earlier = Step::Accept(ballot(WALL - 1), value(WALL - 1));
    let refused = Response::Refused(quoit_ring::wire::Refusal::NotReady);
    assert_eq!(
        world.step("k", earlier),
        refused,
        "the mark does not leave the node"
    );
}

fn buffered() -> World<Disk> {
    let mut state = state(1);
    state.durability = quoit_ring::wire::Durability::Buffered;
    World::with_state(Disk::default(), state)
}

#[test]
fn what_is_pending_is_so_after_a_restart() {
    let mut world = world();
    world.step("k", Step::Accept(ballot(WALL), value(WALL)));
    let mut world = world.restarted();
    assert!(world.state.registers.is_pending(b"k"));
    assert_eq!(world.look("k").ballot, Some(ballot(WALL)));
}

#[test]
fn accepts_and_the_mark_below_promises_are_synced_in_either_mode() {
    let mut world = buffered();
    world.step("k", Step::Prepare(ballot(WALL)));
    assert_eq!(world.engine.durabilities(), [Durability::Fsync], "the mark");
    world.step("k", Step::Prepare(ballot(WALL + 1)));
    assert_eq!(world.engine.durabilities().len(), 1, "that is far above it");
    world.step("k", Step::Accept(ballot(WALL + 1), value(WALL)));
    world.step("k", Step::Commit(ballot(WALL + 1), None));
    let buffered = Durability::Buffered;
    assert_eq!(
        world.engine.durabilities(),
        [Durability::Fsync, Durability::Fsync, buffered]
    );
}

#[test]
fn after_however_long_a_rest_a_node_takes_part_at_once() {
    let mut world = world();
    world.step("k", Step::Prepare(ballot(WALL)));
    let mut world = world.restarted();
    let later = WALL + 3_600_000;
    let change = Change::Register(Box::new(Step::Prepare(ballot(later))));
    let prepare = write(0, &world.sink, "k", change, at(later));
    world.waiting.push(prepare);
    let answer = world.commit_at(at(later)).pop().unwrap();
    assert_eq!(state_of(answer), RegisterState::default());
}

#[test]
fn a_pending_value_is_as_old_as_the_oldest_write_in_it_that_is_not_here() {
    let mut world = world();
    world.put("seen", blind(dot(9, WALL - 900), "v"));
    world.commit();
    world.step("seen", Step::Accept(ballot(WALL), value(WALL - 900)));
    assert_eq!(world.state.registers.oldest(), Some(Time::at(Millis(WALL))));
    world.step("new", Step::Accept(ballot(WALL), value(WALL - 900)));
    let oldest = Some(Time::at(Millis(WALL - 900)));
    assert_eq!(world.state.registers.oldest(), oldest);
}

#[test]
fn a_commit_keeps_the_bounds_on_ballots_and_records() {
    let mut world = world();
    world.step("k", Step::Accept(ballot(WALL), value(WALL)));
    let future = ballot(WALL + LIMITS.max_clock_drift_ms + 1);
    let refused = world.step("k", Step::Commit(future, Some(Record::default())));
    assert!(matches!(refused, Response::Refused(_)), "{refused:?}");
    assert!(
        world.state.registers.is_pending(b"k"),
        "nothing was dropped"
    );
}

#[test]
fn what_another_owner_has_committed_is_taken_with_its_record_or_not_at_all() {
    use quoit_ring::register::Accepted;
    let theirs = |value| Accepted {
        ballot: ballot(WALL),
        since: Time::at(Millis(WALL)),
        value,
    };
    let take = |accepted| Change::Register(Box::new(Step::Take(accepted)));
    let mut world = world();
    world.step("k", Step::Prepare(ballot(WALL + 5)));
    world.add("k", take(theirs(Some(value(WALL)))));
    assert_eq!(world.commit(), [Response::Joined]);
    assert!(
        world.state.registers.is_pending(b"k"),
        "whatever was promised"
    );
    world.repair("k", value(WALL));
    world.add("k", take(theirs(None)));
    assert_eq!(world.commit(), [Response::Joined, Response::Joined]);
    assert!(!world.state.registers.is_pending(b"k"));

    let future = value(WALL + LIMITS.max_clock_drift_ms + 1);
    world.repair("other", future);
    world.add("other", take(theirs(None)));
    assert!(
        world
            .commit()
            .iter()
            .all(|it| matches!(it, Response::Refused(_)))
    );
    assert_eq!(world.look("other").ballot, None);
}

#[test]
fn a_ballot_is_forgotten_once_it_is_old_and_below_the_floor_and_then_the_floor_bars_it() {
    use crate::stability::Floors;
    let mut world = world();
    world.step("k", Step::Accept(ballot(WALL), value(WALL)));
    world.step("k", Step::Commit(ballot(WALL), None));
    let all = quoit_ring::Leaf(0)..=quoit_ring::Leaf(u32::MAX - 1);
    let later = WALL + 10 * LIMITS.max_write_age_ms + 1;
    let forget = |world: &mut World<MemoryEngine>| {
        let (id, reply) = (7, world.sink.clone());
        let task = Task::ForgetDead {
            epoch: world.state.cluster.newest().epoch(),
        };
        let from = Asker::Caller { id, reply };
        world
            .committer
            .carry_out(Order { from, task }, at(later))
            .unwrap();
        world.sink.answers();
    };
    forget(&mut world);
    assert_eq!(world.keys(Keyspace::Ballots).len(), 1, "there is no floor");
    let floors = Floors::default().raised(&[(all, Time::at(Millis(WALL + 1)))]);
    world.state.stability.set_floors(floors);
    forget(&mut world);
    assert_eq!(world.keys(Keyspace::Ballots), Vec::<Bytes>::new());
    assert_eq!(
        world.keys(Keyspace::Leaves).len(),
        1,
        "the record has its entry"
    );
    let outbid_by = Ballot::last_of(Time::at(Millis(WALL + 1)));
    assert_eq!(
        world.step("k", Step::Prepare(ballot(WALL))),
        outbid(outbid_by)
    );
}

#[test]
fn the_next_ballot_extends_without_a_prepare_what_has_seen_all_that_is_held() {
    let mut world = world();
    let unseen = Response::Register(Box::new(RegisterAnswer::Unseen));
    let first = ballot(WALL);
    let next = first.next().unwrap();
    world.step("k", Step::Accept(first, value(WALL)));

    let mut extended = value(WALL);
    extended.join(&value(WALL + 1));
    assert_eq!(
        world.step("k", Step::Extend(next, extended.clone())),
        accepted()
    );
    assert_eq!(world.step("k", Step::Commit(first, None)), Response::Joined);
    assert!(
        world.stored("k").is_none() && world.state.registers.is_pending(b"k"),
        "a later value is pending, and built on it"
    );
    assert_eq!(world.step("k", Step::Commit(next, None)), Response::Joined);
    assert_eq!(world.stored("k"), Some(extended.clone()));

    world.repair("k", blind(dot(8, WALL + 2), "plain").into_record());
    let third = next.next().unwrap();
    assert_eq!(world.step("k", Step::Extend(third, extended)), unseen);
    let state = world.look("k");
    assert_eq!((state.ballot, state.pending), (Some(next), None));
}
