//! Getting back what was lost with the power: whom a node asks, and when it has enough.

use self::Owner::{Away, Complete, Incomplete};
use super::*;

/// A node that has lost writes, in a ring of so many members with so many copies.
fn incomplete(members: u64, copies: u8) -> Bench {
    let settings = (LIMITS, Durability::Buffered);
    let (known, key) = (Known::of(ring_of(members, copies)), MerkleKey([5; 16]));
    let state = NodeState::new(NodeId(1), known, key, Time::ZERO, settings);
    state.completeness.lose();
    let now = Moment(1_000_000);
    Bench {
        driver: ChangeDriver::new(&state, RATE, 7, now),
        state,
        now,
    }
}

fn is_refill(request: &MembershipRequest) -> bool {
    matches!(request, MembershipRequest::Refill { .. })
}

fn refills(acts: &[Act]) -> Vec<u64> {
    nodes_asked(acts, is_refill)
}

fn completes(acts: &[Act]) -> bool {
    acts.iter().any(|act| match act {
        Act::Order { task, .. } => matches!(task, Task::Complete { .. }),
        Act::Send { .. } | Act::Look { .. } => false,
    })
}

fn last_page(is_complete: bool) -> Option<Response> {
    let page = Page::default();
    membership(MembershipAnswer::Refill { is_complete, page })
}

/// What an owner does: it answers with its last page, complete or not, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Complete,
    Incomplete,
    Away,
}

fn owner(owners: &[Owner], node: NodeId) -> Owner {
    owners[usize::try_from(node.0).unwrap() - 2]
}

impl Bench {
    /// Lets all that is asked be answered, by owners 2, 3, ... of these kinds, for so many milliseconds; whether the node
    /// says that it is complete.
    fn completes_with(&mut self, owners: &[Owner], ms: u64) -> bool {
        for _ in 0..ms / 10 {
            let mut acts = self.pass(10);
            while !acts.is_empty() {
                if completes(&acts) {
                    return true;
                }
                let asked_now = refills(&acts).into_iter().map(NodeId);
                for node in asked_now.filter(|&node| owner(owners, node) == Away) {
                    self.driver.handle_lost(node, self.now);
                }
                acts = self.answer(acts, |node, act| match act {
                    Act::Order { .. } => Some(Response::Joined),
                    act if asked(act).is_some_and(|it| is_refill(&it)) => {
                        let owner = owner(owners, node);
                        (owner != Away)
                            .then(|| last_page(owner == Complete))
                            .flatten()
                    }
                    _ => None,
                });
            }
        }
        false
    }
}

#[test]
fn a_complete_node_asks_nobody() {
    let mut bench = Bench::of(1, Known::of(ring_of(3, 3)));
    for _ in 0..100 {
        assert_eq!(refills(&bench.pass(10)), [0; 0]);
    }
    assert_eq!(bench.driver.refills_from(), []);
}

#[test]
fn a_node_is_complete_once_a_majority_of_complete_owners_or_all_others_have_sent_all() {
    // Three copies: both others are asked, since either may be the one that has acknowledged with this node.
    let of_three = [
        ([Complete, Complete], true),
        ([Complete, Incomplete], true), // nobody else is there, so it takes what it gets
        ([Incomplete, Incomplete], true),
        ([Complete, Away], false),
        ([Incomplete, Away], false), // the one that is away may be the one that has all
        ([Away, Away], false),
    ];
    for (owners, expected) in of_three {
        let found = incomplete(3, 3).completes_with(&owners, 3_000);
        assert_eq!(found, expected, "{owners:?}");
    }
    let of_five = [
        ([Complete, Complete, Complete, Away], true),
        ([Incomplete, Complete, Complete, Complete], true),
        ([Incomplete, Incomplete, Complete, Complete], true), // all others
        ([Incomplete, Complete, Complete, Away], false),
        ([Complete, Complete, Away, Away], false),
        ([Incomplete, Incomplete, Incomplete, Away], false),
    ];
    for (owners, expected) in of_five {
        let found = incomplete(5, 5).completes_with(&owners, 5_000);
        assert_eq!(found, expected, "{owners:?}");
    }
}

#[test]
fn a_node_without_other_owners_is_complete_at_once() {
    assert!(incomplete(1, 1).completes_with(&[], 100));
    assert!(incomplete(3, 1).completes_with(&[Away, Away], 100));
}

#[test]
fn an_owner_that_becomes_complete_is_asked_for_all_once_more() {
    let mut bench = incomplete(5, 5);
    assert!(!bench.completes_with(&[Incomplete, Complete, Complete, Away], 3_000));
    assert!(bench.driver.refills_from().contains(&NodeId(2)));
    assert!(bench.completes_with(&[Complete, Complete, Complete, Away], 3_000));
}

#[test]
fn pages_of_an_incomplete_owner_are_not_stored_while_another_may_have_more() {
    let mut bench = incomplete(3, 3);
    let acts = bench.pass(10);
    assert_eq!(refills(&acts), [2, 3]);
    let orders = bench.answer(acts, |node, act| {
        asked(act).filter(is_refill)?;
        (node == NodeId(2)).then(|| last_page(false)).flatten()
    });
    assert!(orders.is_empty(), "{orders:?}");
}

#[test]
fn pages_follow_one_another_and_one_that_is_not_stored_is_asked_for_again() {
    let mut bench = incomplete(2, 2);
    let only_refills = |acts: Vec<Act>| -> Vec<Act> {
        let is_it = |act: &Act| asked(act).is_some_and(|it| is_refill(&it));
        acts.into_iter().filter(is_it).collect()
    };
    let after = |acts: &[Act]| -> Vec<Bytes> {
        let after = acts.iter().filter_map(asked).map(|request| match request {
            MembershipRequest::Refill { after } => after,
            other => panic!("{other:?}"),
        });
        after.collect()
    };
    let first_page = || {
        membership(MembershipAnswer::Refill {
            is_complete: true,
            page: Page {
                rows: vec![("k".into(), "r".into())],
                registers: vec![],
                next: Some("behind 1".into()),
            },
        })
    };

    let acts = only_refills(bench.pass(10));
    assert_eq!(after(&acts), [Bytes::new()]);
    let orders = bench.answer(acts, |_, _| first_page());
    assert_eq!(orders.len(), 1, "{orders:?}");
    let refused = Response::Refused(Refusal::Overloaded { queue_ms: 1 });
    let acts = bench.answer(orders, |_, _| Some(refused.clone()));
    assert!(after(&only_refills(acts)).is_empty(), "it rests");
    let acts = only_refills(bench.pass(50));
    assert_eq!(after(&acts), [Bytes::new()]);

    let orders = bench.answer(acts, |_, _| first_page());
    let acts = only_refills(bench.answer(orders, |_, _| Some(Response::Joined)));
    assert_eq!(after(&acts), [Bytes::from("behind 1")]);
}

#[test]
fn nothing_is_asked_before_writes_that_were_under_way_are_too_old() {
    let mut bench = incomplete(3, 3);
    let settles = bench.now + Duration::from_secs(61);
    bench.state.completeness.set_settles_at(settles);
    for _ in 0..60 {
        assert_eq!(refills(&bench.pass(1_000)), [0; 0]);
    }
    assert_eq!(bench.driver.refills_from(), [NodeId(2), NodeId(3)]);
    assert_eq!(refills(&bench.pass(1_000)), [2, 3]);
}

#[test]
fn what_could_not_be_stored_as_complete_is_tried_again_after_a_rest() {
    let mut bench = incomplete(1, 1);
    let acts = bench.pass(10);
    assert!(completes(&acts));
    let full = Response::Refused(Refusal::Storage(quoit_ring::wire::Fault::NoSpace));
    let acts = bench.answer(acts, |_, act| match act {
        Act::Order { .. } => Some(full.clone()),
        Act::Send { .. } | Act::Look { .. } => None,
    });
    assert!(!completes(&acts) && !completes(&bench.pass(10)));
    assert!(completes(&bench.pass(600)));
}

#[test]
fn it_begins_again_in_a_newer_epoch_with_those_who_have_all_of_that() {
    let (first, begun) = begun(2);
    let mut bench = Bench::of(1, first);
    bench.state.completeness.lose();
    bench.driver = ChangeDriver::new(&bench.state, RATE, 7, bench.now);
    assert_eq!(refills(&bench.pass(10)), [2, 3]);
    assert!(bench.state.cluster.learn(begun, true));
    assert_eq!(refills(&bench.pass(10)), [2, 3], "not the newcomer");
}
