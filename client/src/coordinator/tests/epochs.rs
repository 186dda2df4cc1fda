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

#[test]
fn a_write_that_waits_for_a_later_one_of_its_client_begins_again_like_any_other() {
    let (mut bench, _, next) = moving();
    bench.start(1, put("v", None));
    let first = bench.sent();
    bench.start(2, put("w", None));
    let second = bench.sent();
    for to in &first {
        let above = record_in(&second[0].1).live()[0].dot.time;
        let named = false;
        bench.answer(to, Response::Superseded { named, above });
    }
    assert!(bench.done().is_none(), "it waits for the second");

    let after = move_on(&mut bench, &second[0], &next, None);
    assert_eq!(after.len(), 8);
    bench.pass(100);
    assert!(bench.done().is_none(), "the new owners have not answered");
    for to in &after {
        bench.answer_from(Epoch(2), to, Response::Joined);
    }
    assert!(bench.written().is_ok() && bench.written().is_ok());
}

#[test]
fn nodes_that_are_behind_are_asked_again_and_refuse_in_the_end() {
    let (mut bench, _, next) = moving();
    bench.start(1, put("v", None));
    bench.start(2, get());
    let before = bench.sent();
    for to in &before[1..] {
        bench.answer_from(Epoch(2), to, Response::Refused(Refusal::OldEpoch));
    }
    for _ in 0..2 {
        bench.sent(); // to one for the map, and a while later to the other
        bench.pass(150);
    }
    let mut asked = move_on(&mut bench, &before[0], &next, None);
    let is_put = |to: &&(NodeId, RequestFrame)| matches!(to.1.request, Request::Put { .. });
    for wait in [10, 20, 40, 80, 160, 160] {
        let count = asked.iter().filter(is_put).count();
        for to in &asked {
            bench.answer(to, Response::Refused(Refusal::Behind));
        }
        assert!(bench.done().is_none(), "that decides nothing");
        bench.pass(wait - 5);
        assert!(bench.sent().iter().all(|to| !is_put(&to)), "not yet");
        bench.pass(15);
        asked = bench.sent();
        assert_eq!(asked.iter().filter(is_put).count(), count, "{wait}");
    }
    for to in asked.iter().filter(is_put) {
        bench.answer(to, Response::Refused(Refusal::Behind));
    }
    for to in asked.iter().filter(|to| !is_put(to)) {
        bench.answer_from(Epoch(2), to, Response::Absent);
    }
    assert!(bench.read().is_ok());
    bench.pass(5_100);
    let error = bench.written().unwrap_err();
    assert_eq!(error.stored(), Stored::No, "{error:?}");
}

#[test]
fn a_node_whose_map_cannot_be_used_keeps_no_other_nodes_away() {
    let (mut bench, _, next) = moving();
    bench.start(1, put("v", None));
    let before = bench.sent();
    bench.answer_from(Epoch(9), &before[0], Response::Refused(Refusal::OldEpoch));
    let asked = bench.sent();
    bench.answer_from(Epoch(9), &asked[0], Response::Map(b"junk".to_vec().into()));
    let after = move_on(&mut bench, &before[1], &next, None);
    assert_eq!(after.len(), 4);
}

#[test]
fn an_update_of_something_else_is_followed_by_a_request_for_all() {
    let (mut bench, _, next) = moving();
    bench.start(1, put("v", None));
    let before = bench.sent();
    let mut other = Configuration::first(map_of(5, 1)).unwrap();
    other.map.members[4].name = "another".into();
    let begun = other.begin(next.change.as_ref().unwrap().target.clone(), Arcs::FULL);
    let diverged = encode_answer(Some(&other), &begun.unwrap());
    bench.answer_from(Epoch(2), &before[0], Response::Refused(Refusal::OldEpoch));
    let asked = bench.sent();
    assert_eq!(asked[0].1.epoch, Epoch(1));
    bench.answer_from(Epoch(2), &asked[0], Response::Map(diverged.into()));

    bench.answer_from(Epoch(2), &before[1], Response::Refused(Refusal::OldEpoch));
    let asked = bench.sent();
    assert_eq!(asked[0].1.epoch, Epoch(0), "it knows nothing that leads on");
    let whole = Response::Map(encode_answer(None, &next).into());
    bench.answer_from(Epoch(2), &asked[0], whole);
    assert_eq!(bench.sent().len(), 4);
}

#[test]
fn a_read_that_begins_again_asks_all_replicas_if_some_stay_silent() {
    let (mut bench, _, next) = moving();
    bench.start(1, get());
    let before = bench.sent();
    bench.answer_from(Epoch(2), &before[0], Response::Refused(Refusal::OldEpoch));
    let asked = bench.sent();
    bench.pass(150); // it has asked all in its first epoch by then
    bench.sent();
    let whole = Response::Map(encode_answer(None, &next).into());
    bench.answer_from(Epoch(2), &asked[0], whole);
    let first = bench.sent().len();
    bench.pass(40);
    bench.pass(40);
    bench.pass(40);
    let asked: Vec<_> = bench.sent();
    assert_eq!(first + asked.len(), 4, "{asked:?}");
}

#[test]
fn an_owner_that_is_behind_when_a_write_has_returned_gets_a_hint() {
    let (mut bench, _, _) = moving();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    bench.answer(&sent[0], Response::Joined);
    bench.answer(&sent[1], Response::Joined);
    bench.written().unwrap();
    bench.answer(&sent[2], Response::Refused(Refusal::Behind));
    let mut hints = 0;
    for _ in 0..120 {
        bench.pass(10);
        for to in bench.sent() {
            match to.1.request {
                Request::Hint { .. } => hints += 1,
                _ => bench.answer(&to, Response::Refused(Refusal::Behind)),
            }
        }
    }
    assert_eq!(hints, 1);
}

/// The puts among these frames: to whom.
fn puts(sent: &[(NodeId, RequestFrame)]) -> Vec<NodeId> {
    let puts = sent
        .iter()
        .filter(|(_, frame)| matches!(frame.request, Request::Put { .. }));
    puts.map(|(node, _)| *node).collect()
}

/// The hints among them: for whom.
fn hints(sent: &[(NodeId, RequestFrame)]) -> Vec<NodeId> {
    let target = |(_, frame): &(NodeId, RequestFrame)| match frame.request {
        Request::Hint { target, .. } => Some(target),
        _ => None,
    };
    sent.iter().filter_map(target).collect()
}

/// A put that has returned although the last owner has not answered: what was sent to that one.
fn returned(bench: &mut Bench) -> (NodeId, RequestFrame) {
    bench.start(1, put("v", None));
    let mut sent = bench.sent();
    let last = sent.pop().unwrap();
    for to in &sent {
        bench.answer(to, Response::Joined);
    }
    bench.written().unwrap();
    last
}

fn forgone(bench: &Bench) -> u64 {
    bench.coordinator.context.health_report().hints_forgone
}

#[test]
fn a_write_that_has_returned_goes_on_to_the_owners_of_the_new_epoch_that_lack_it() {
    let (mut bench, owners, next) = moving();
    let last = returned(&mut bench);
    let after = move_on(&mut bench, &last, &next, None);
    let mut asked = puts(&after);
    asked.sort();
    let mut lacking = vec![owners[2], NEW];
    lacking.sort();
    assert_eq!(asked, lacking, "two have it");
    for to in &after {
        assert_eq!(record_in(&to.1), record_in(&last.1), "the same dot");
        assert_eq!(to.1.epoch, Epoch(2));
        bench.answer_from(Epoch(2), to, Response::Joined);
    }
    assert!(bench.coordinator.is_idle());
    assert_eq!((forgone(&bench), bench.occupied()), (0, 0));
    assert_eq!(bench.coordinator.context.counters.remints, 0);
}

#[test]
fn an_owner_of_the_new_epoch_that_misses_a_returned_write_gets_a_hint() {
    let (mut bench, _, next) = moving();
    let last = returned(&mut bench);
    let after = move_on(&mut bench, &last, &next, None);
    for to in after.iter().filter(|to| to.0 != NEW) {
        bench.answer_from(Epoch(2), to, Response::Joined);
    }
    for _ in 0..12 {
        bench.pass(100);
    }
    let kept = bench.sent();
    assert_eq!(hints(&kept), [NEW]);
    assert_eq!(kept[0].1.epoch, Epoch(2));
    bench.answer_from(Epoch(2), &kept[0], Response::Joined);
    assert!(bench.coordinator.is_idle());
    assert_eq!(forgone(&bench), 0);
}

#[test]
fn an_owner_for_which_a_holder_keeps_the_write_is_not_asked_again_in_the_new_epoch() {
    let (mut bench, owners, next) = moving();
    bench.link(owners[2].0, Link::Down);
    let Call::Write { update, mut plan } = put("v", None) else {
        unreachable!("a put is a write");
    };
    plan.consistency = Consistency::One;
    bench.start(1, Call::Write { update, plan });
    let sent = bench.sent();
    bench.answer(&sent[1], Response::Joined);
    bench.written().unwrap();
    let hint = bench.sent();
    assert_eq!(hints(&hint), [owners[2]]);
    bench.answer(&hint[0], Response::Joined);

    let after = move_on(&mut bench, &sent[0], &next, None);
    let mut asked = puts(&after);
    asked.sort();
    let mut lacking = vec![sent[0].0, NEW];
    lacking.sort();
    assert_eq!((asked, after.len()), (lacking, 2));
    for to in &after {
        bench.answer_from(Epoch(2), to, Response::Joined);
    }
    assert!(bench.coordinator.is_idle());
    assert_eq!(forgone(&bench), 0);
}

#[test]
fn a_hint_that_its_holder_refuses_for_its_old_epoch_is_kept_in_the_new_one() {
    let (mut bench, owners, next) = moving();
    bench.link(owners[2].0, Link::Down);
    bench.start(1, put("v", None));
    for to in bench.sent() {
        bench.answer(&to, Response::Joined);
    }
    bench.written().unwrap();
    let hint = bench.sent();
    assert_eq!(hints(&hint), [owners[2]]);

    let after = move_on(&mut bench, &hint[0], &next, None);
    assert_eq!((puts(&after), hints(&after)), (vec![NEW], vec![owners[2]]));
    for to in &after {
        bench.answer_from(Epoch(2), to, Response::Joined);
    }
    assert!(bench.coordinator.is_idle());
    assert_eq!(forgone(&bench), 0);
}

#[test]
fn a_hint_refused_for_its_old_epoch_is_forgone_if_no_newer_one_comes() {
    let (mut bench, owners, _) = moving();
    bench.link(owners[2].0, Link::Down);
    bench.start(1, put("v", None));
    for to in bench.sent() {
        bench.answer(&to, Response::Joined);
    }
    let hint = bench.sent();
    let refused = Response::Refused(Refusal::OldEpoch);
    bench.answer_from(Epoch(2), &hint[0], refused);
    for _ in 0..12 {
        bench.pass(100);
    }
    for _ in 0..12 {
        bench.pass(100);
    }
    assert!(bench.coordinator.is_idle());
    assert_eq!(forgone(&bench), 1);
}

#[test]
fn a_returned_write_in_its_last_second_has_a_holder_found_for_each_owner_of_the_new_epoch() {
    let (mut bench, owners, next) = moving();
    let last = returned(&mut bench);
    for _ in 0..11 {
        bench.pass(100);
    }
    assert_eq!(hints(&bench.sent()), [owners[2]]);
    let mut after = move_on(&mut bench, &last, &next, None);
    let mut kept = hints(&after);
    kept.sort();
    let mut lacking = vec![owners[2], NEW];
    lacking.sort();
    assert_eq!(kept, lacking);
    after.retain(|(_, frame)| matches!(frame.request, Request::Hint { .. }));
    for to in &after {
        bench.answer_from(Epoch(2), to, Response::Joined);
    }
    assert!(bench.coordinator.is_idle());
    assert_eq!(forgone(&bench), 0);
}

#[test]
fn returned_writes_hold_no_more_than_their_bound_in_any_epoch() {
    let (mut bench, _, next) = moving();
    let mut last = None;
    while forgone(&bench) == 0 {
        last = Some(returned(&mut bench)); // one owner is late: 8 MiB
    }
    let after = move_on(&mut bench, &last.unwrap(), &next, None);
    let of_new = puts(&after).iter().filter(|&&node| node == NEW).count();
    assert!(of_new > 4_096, "{of_new} writes go on");
    assert_eq!(forgone(&bench), 1, "they have the room that they had");

    let missed = |bench: &mut Bench| {
        let before = forgone(bench);
        bench.start(1, put("v", None));
        let mut sent = bench.sent();
        sent.retain(|to| to.0 != NEW);
        for to in &sent {
            bench.answer_from(Epoch(2), to, Response::Joined);
        }
        bench.written().unwrap();
        forgone(bench) - before
    };
    assert_eq!(missed(&mut bench), 1, "there is no more for the new owner");
    for to in &after {
        bench.answer_from(Epoch(2), to, Response::Joined);
    }
    assert!(bench.coordinator.is_idle());
    assert_eq!(missed(&mut bench), 0, "there is room again");
}
