//! A cluster that goes on to another epoch while operations are under way.

use quoit_ring::change::Arcs;

use super::*;

const NEW: NodeId = NodeId(9);

/// A client of five nodes, the owners of the key in epoch 1, and what is agreed on in epoch 2, in which node 9 begins to
/// take the place of the first of them.
fn moving() -> (Bench, Vec<NodeId>, Configuration) {
    let bench = Bench::of(5);
    let topology = bench.coordinator.topology();
    let lists = topology.lists(topology.token_of(b"k"));
    let owners: Vec<NodeId> = lists.owners().collect();

    let mut target = map_of(5, 2);
    let place = target.members.iter().position(|it| it.id == owners[0]);
    let mut member = target.members.remove(place.unwrap());
    (member.id, member.name) = (NEW, "n9".into());
    target.members.push(member);
    let first = Configuration::first(map_of(5, 1)).unwrap();
    let next = first.begin(target, Arcs::new(1).unwrap()).unwrap();
    (bench, owners, next)
}

/// One replica refuses the old epoch, the client fetches the new one, and gets it as a whole or as what has changed.
fn move_on(
    bench: &mut Bench,
    refuses: &(NodeId, RequestFrame),
    next: &Configuration,
    known: Option<&Configuration>,
) -> Vec<(NodeId, RequestFrame)> {
    bench.answer_from(Epoch(2), refuses, Response::Refused(Refusal::OldEpoch));
    let asked = bench.sent();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].1.request, Request::Map);
    let answer = Response::Map(encode_answer(known, next).into());
    bench.answer_from(Epoch(2), &asked[0], answer);
    bench.sent()
}

#[test]
fn a_write_is_sent_again_under_its_dot_and_earlier_acknowledgements_count_no_more() {
    let first = Configuration::first(map_of(5, 1)).unwrap();
    for known in [None, Some(&first)] {
        let (mut bench, owners, next) = moving();
        bench.start(1, put("v", None));
        let before = bench.sent();
        bench.answer(&before[0], Response::Joined);
        let after = move_on(&mut bench, &before[1], &next, known);
        assert_eq!(after.len(), 4, "to the owners by both maps");
        assert!(after.iter().all(|(_, frame)| frame.epoch == Epoch(2)));
        assert!(
            after
                .iter()
                .all(|(_, frame)| record_in(frame) == record_in(&before[0].1))
        );

        bench.answer(&before[2], Response::Joined);
        assert!(bench.done().is_none(), "those are two of epoch 1");
        let is_old = |to: &&(NodeId, RequestFrame)| owners.contains(&to.0);
        for to in after.iter().filter(is_old).take(2) {
            bench.answer_from(Epoch(2), to, Response::Joined);
        }
        assert!(bench.done().is_none(), "that is one of the new owners");
        let last = after.iter().find(|to| to.0 == NEW).unwrap();
        bench.answer_from(Epoch(2), last, Response::Joined);
        assert_eq!(bench.written().unwrap().acked, 3);
        assert_eq!(bench.coordinator.context.counters.remints, 0);
    }
}

#[test]
fn a_read_is_asked_again_and_earlier_answers_count_no_more() {
    let (mut bench, _, next) = moving();
    bench.start(1, get());
    let before = bench.sent();
    bench.answer(&before[0], Response::Absent);
    let after = move_on(&mut bench, &before[1], &next, None);
    assert!(after.len() >= 3 && after.iter().all(|(_, frame)| frame.epoch == Epoch(2)));
    for to in &after[..after.len() - 1] {
        bench.answer_from(Epoch(2), to, Response::Absent);
    }
    assert!(bench.done().is_none());
    bench.answer_from(Epoch(2), &after[after.len() - 1], Response::Absent);
    assert!(bench.read().unwrap().live().is_empty());
}

#[test]
fn an_owner_that_joined_a_write_before_acknowledges_it_though_it_was_overwritten_since() {
    let (mut bench, _, next) = moving();
    bench.start(1, put("v", None));
    let before = bench.sent();
    bench.answer(&before[0], Response::Joined);
    let after = move_on(&mut bench, &before[1], &next, None);
    let superseded = Response::Superseded {
        named: false,
        above: Time::at(Millis(WALL.0 + 300)),
    };
    for to in &after {
        let has_joined = to.0 == before[0].0;
        let answer = if has_joined {
            superseded.clone()
        } else {
            Response::Joined
        };
        bench.answer_from(Epoch(2), to, answer);
    }
    assert!(bench.written().is_ok());
    assert_eq!(bench.coordinator.context.counters.remints, 0);
}

#[test]
fn refusals_of_an_old_epoch_are_the_reason_if_no_newer_one_comes() {
    let (mut bench, _, _) = moving();
    bench.start(1, put("v", None));
    bench.start(2, get());
    for to in bench.sent() {
        let refused = Response::Refused(Refusal::OldEpoch);
        bench.answer_from(Epoch(2), &to, refused);
    }
    assert!(bench.done().is_none(), "the newer one is on its way");
    bench.pass(5_100);
    let error = bench.written().unwrap_err();
    assert!(matches!(error, WriteError::NotStored { .. }), "{error:?}");
    let Err(ReadError::Unavailable { attempts, .. }) = bench.read() else {
        panic!("nobody has answered it");
    };
    let why = Outcome::Refused(Refusal::OldEpoch);
    assert!(attempts.iter().any(|attempt| attempt.outcome == why));
}

#[test]
fn a_write_that_fails_in_the_new_epoch_may_be_stored_by_the_old_one() {
    let (mut bench, _, next) = moving();
    bench.start(1, put("v", None));
    let before = bench.sent();
    bench.answer(&before[0], Response::Joined);
    let after = move_on(&mut bench, &before[1], &next, None);
    for to in &after {
        let refused = Response::Refused(Refusal::Overloaded { queue_ms: 9 });
        bench.answer_from(Epoch(2), to, refused);
    }
    let error = bench.written().unwrap_err();
    assert!(matches!(error, WriteError::Unknown { .. }), "{error:?}");
}

#[test]
fn a_write_that_is_sent_again_in_another_epoch_asks_those_too_who_have_it() {
    let (mut bench, _, next) = moving();
    bench.start(1, put("v", None));
    let before = bench.sent();
    bench.answer(&before[0], Response::Joined);
    bench.pass(5_100);
    let error = bench.written().unwrap_err();

    bench.start(2, get());
    let asked = bench.sent();
    move_on(&mut bench, &asked[0], &next, None);
    bench.start(3, Call::Retry(error));
    let sent = bench.sent();
    let puts = sent
        .iter()
        .filter(|to| matches!(to.1.request, Request::Put { .. }));
    assert_eq!(puts.count(), 4);
}
