//! Operations on a key whose range moves: its owners by either map, and counts in both lists.

use quoit_ring::change::{Arcs, Hand};

use super::*;

const NEW: NodeId = NodeId(9);

/// A client of a cluster in which node 9 takes the place of the key's first owner, and the owners before.
fn moving() -> (Bench, Vec<NodeId>) {
    let mut bench = Bench::of(5);
    let topology = &mut bench.coordinator.context.topology;
    let lists = topology.lists(topology.token_of(b"k"));
    let owners: Vec<NodeId> = lists.owners().collect();

    let mut target = map_of(5, 2);
    let place = target.members.iter().position(|it| it.id == owners[0]);
    let mut member = target.members.remove(place.unwrap());
    (member.id, member.name) = (NEW, "n9".into());
    target.members.push(member);
    let target = Arc::new(Ring::new(&target).unwrap());
    let hand = Hand::on_first(Arcs::new(1).unwrap());
    *topology = topology.changing(target, hand, Epoch(2)).unwrap();
    (bench, owners)
}

/// The frames to these nodes, in this order.
fn to(sent: &[(NodeId, RequestFrame)], nodes: &[NodeId]) -> Vec<(NodeId, RequestFrame)> {
    let find = |node: &NodeId| sent.iter().find(|to| to.0 == *node).unwrap().clone();
    nodes.iter().map(find).collect()
}

#[test]
fn a_write_goes_to_the_owners_of_both_maps_and_needs_w_of_either() {
    let (mut bench, owners) = moving();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    assert_eq!(sent.len(), 4);
    assert!(sent.iter().all(|(_, frame)| frame.epoch == Epoch(2)));

    let answers = to(&sent, &[owners[0], owners[1], NEW]);
    bench.answer_from(Epoch(2), &answers[0], Response::Joined);
    bench.answer_from(Epoch(2), &answers[1], Response::Joined);
    assert!(bench.done().is_none(), "of the new owners only one has it");
    bench.answer_from(Epoch(2), &answers[2], Response::Joined);
    assert_eq!(bench.written().unwrap().acked, 3);
}

#[test]
fn a_write_that_the_new_owners_do_not_take_fails_though_a_majority_of_the_old_ones_has_it() {
    let (mut bench, owners) = moving();
    bench.link(NEW.0, Link::Down);
    bench.link(owners[2].0, Link::Down);
    bench.start(1, put("v", None));
    let sent = bench.sent();
    for answer in to(&sent, &owners[..2]) {
        bench.answer_from(Epoch(2), &answer, Response::Joined);
    }
    let error = bench.written().unwrap_err();
    assert!(
        matches!(
            error,
            WriteError::UnderReplicated {
                acked: 2,
                needed: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_read_asks_as_many_of_either_list_and_returns_what_enough_of_either_hold() {
    let (mut bench, owners) = moving();
    bench.start(1, get());
    let mut asked = bench.sent();
    let of_new =
        |asked: &[(NodeId, RequestFrame)]| asked.iter().filter(|to| to.0 != owners[0]).count();
    let of_old = |asked: &[(NodeId, RequestFrame)]| asked.iter().filter(|to| to.0 != NEW).count();
    assert!(of_new(&asked) >= 2 && of_old(&asked) >= 2, "{asked:?}");

    while let Some(next) = asked.pop() {
        bench.answer_from(Epoch(2), &next, Response::Absent);
        asked.extend(bench.sent());
    }
    assert!(bench.read().unwrap().live().is_empty());
}
