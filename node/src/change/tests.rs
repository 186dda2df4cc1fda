//! One node's driver by hand: what it asks and orders, and what answers change.

mod refill;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::{Arcs, Known};
use quoit_ring::wire::{
    Durability, MembershipAnswer, MembershipRequest, Page, Progress, Refusal, Request, Response,
    ResponseFrame,
};
use quoit_ring::{Delta, Epoch, Leaf, MerkleKey, Moment, NodeId, Record, Sum, Time};

use super::*;
use crate::commit::Task;
use crate::state::NodeState;
use crate::testing::{LIMITS, blind, dot, encoded, ring_of, unseeing};

const RATE: TransferRate = TransferRate {
    bytes_per_second: 1 << 30,
};

/// A ring of three nodes with so many copies that becomes one of four, whose only arc moves.
fn begun(copies: u8) -> (Known, Known) {
    growing(3, copies)
}

/// The same with so many nodes before.
fn growing(members: u64, copies: u8) -> (Known, Known) {
    let first = Known::of(ring_of(members, copies));
    let target = ring_of(members + 1, copies).map().clone();
    let begun = first.configuration().begin(target, Arcs::new(1).unwrap());
    let begun = first.later(begun.unwrap()).unwrap();
    (first, begun)
}

/// One driver, and what it has asked for.
struct Bench {
    state: NodeState,
    driver: ChangeDriver,
    now: Moment,
}

impl Bench {
    fn of(node: u64, known: Known) -> Self {
        let settings = (LIMITS, Durability::Fsync);
        let key = MerkleKey([5; 16]);
        let state = NodeState::new(NodeId(node), known, key, Time::ZERO, settings);
        let now = Moment(1_000_000);
        Self {
            driver: ChangeDriver::new(&state, RATE, 7, now),
            state,
            now,
        }
    }

    /// The node with this number, in an epoch in which the ring changes; it has emptied what comes to it, or not.
    fn changing(node: u64, has_taken: bool) -> Self {
        Self::changing_with(node, has_taken, 2)
    }

    fn changing_with(node: u64, has_taken: bool, copies: u8) -> Self {
        let (first, begun) = begun(copies);
        let mut bench = Self::of(node, first);
        let _first_look = bench.pass(0);
        assert!(bench.state.cluster.learn(begun, has_taken));
        bench
    }

    fn epoch(&self) -> Epoch {
        self.state.cluster.newest().epoch()
    }

    /// Lets so many milliseconds pass; what it wants done then.
    fn pass(&mut self, ms: u64) -> Vec<Act> {
        self.now += Duration::from_millis(ms);
        self.driver.handle_time(self.now);
        self.acts()
    }

    fn acts(&mut self) -> Vec<Act> {
        std::iter::from_fn(|| self.driver.poll()).collect()
    }

    /// Answers what was asked of another node, or ordered of this one, as `answer` says; what it wants done then.
    fn answer(
        &mut self,
        acts: Vec<Act>,
        mut answer: impl FnMut(NodeId, &Act) -> Option<Response>,
    ) -> Vec<Act> {
        let own = self.state.cluster.node;
        for act in acts {
            let to = match &act {
                Act::Send { to, .. } => *to,
                _ => own,
            };
            let Some(response) = answer(to, &act) else {
                continue;
            };
            match act {
                Act::Send { to, frame } => {
                    let epoch = self.state.cluster.epoch();
                    let clock = Time::ZERO;
                    let id = frame.id;
                    let frame = ResponseFrame {
                        id,
                        epoch,
                        clock,
                        response,
                    };
                    self.driver.handle_answer(to, frame, self.now);
                }
                Act::Order { ticket, .. } => self.driver.handle_done(ticket, response, self.now),
                Act::Look { .. } => {}
            }
        }
        self.acts()
    }
}

fn membership(answer: MembershipAnswer) -> Option<Response> {
    Some(Response::Membership(Box::new(answer)))
}

/// What is asked about the ring, by a message or an order.
fn asked(act: &Act) -> Option<MembershipRequest> {
    match act {
        Act::Send { frame, .. } => match &frame.request {
            Request::Membership(request) => Some(request.clone()),
            _ => None,
        },
        Act::Order { task, .. } => match task.clone() {
            Task::Prepare { ballot, .. } => Some(MembershipRequest::Prepare { ballot }),
            Task::Accept { ballot, next, .. } => Some(MembershipRequest::Accept { ballot, next }),
            Task::Learn { decided } => Some(MembershipRequest::Learn { decided }),
            Task::Fence { .. } => Some(MembershipRequest::Fence),
            _ => None,
        },
        Act::Look { .. } => None,
    }
}

/// A cluster in which everybody does at once what it is asked; `pulled` says whether the newcomer has pulled.
fn willing(epoch: Epoch, pulled: bool) -> impl FnMut(NodeId, &Act) -> Option<Response> {
    move |node, act| {
        let progress = Progress {
            newest: epoch,
            fence: epoch,
            pulled: if pulled && node == NodeId(4) {
                [1, 2, 3].map(NodeId).to_vec()
            } else {
                Vec::new()
            },
            has_leftovers: false,
            hints: Some(0),
        };
        membership(match asked(act)? {
            MembershipRequest::Learn { .. } => MembershipAnswer::Learned(epoch),
            MembershipRequest::Fence => MembershipAnswer::Progress(progress),
            MembershipRequest::Prepare { .. } => MembershipAnswer::Promised { accepted: None },
            MembershipRequest::Accept { .. } => MembershipAnswer::Accepted,
            _ => return None,
        })
    }
}

/// The nodes that a driver asks this, in order.
fn nodes_asked(acts: &[Act], is_it: impl Fn(&MembershipRequest) -> bool) -> Vec<u64> {
    let to = acts
        .iter()
        .filter(|act| asked(act).is_some_and(|it| is_it(&it)));
    let to = to.map(|act| match act {
        Act::Send { to, .. } => to.0,
        _ => 1,
    });
    let mut to: Vec<u64> = to.collect();
    to.sort_unstable();
    to
}

#[test]
fn a_step_is_learned_fenced_waited_for_and_then_decided_by_the_voters() {
    let mut bench = Bench::changing(1, true);
    let epoch = bench.epoch();
    let acts = bench.pass(10);
    assert_eq!(
        nodes_asked(&acts, |it| matches!(it, MembershipRequest::Learn { .. })),
        [1, 2, 3, 4]
    );
    bench.answer(acts, willing(epoch, false));

    let acts = bench.pass(10);
    assert_eq!(
        nodes_asked(&acts, |it| *it == MembershipRequest::Fence),
        [1, 2, 3, 4]
    );
    bench.answer(acts, willing(epoch, false));
    let acts = bench.pass(10);
    let waits = bench.driver.waits(bench.now).unwrap();
    assert_eq!(
        (waits.what, waits.nodes),
        (WaitingFor::Pull, vec![NodeId(4)])
    );
    bench.answer(acts, willing(epoch, false));

    let acts = bench.pass(25);
    assert_eq!(
        nodes_asked(&acts, |it| *it == MembershipRequest::Fence),
        [4],
        "the one that it waits for"
    );
    bench.answer(acts, willing(epoch, true));
    let acts = bench.pass(10);
    assert_eq!(
        nodes_asked(&acts, |it| matches!(it, MembershipRequest::Prepare { .. })),
        [1, 2, 3]
    );
    let acts = bench.answer(acts, willing(epoch, true));
    assert_eq!(
        nodes_asked(&acts, |it| matches!(it, MembershipRequest::Accept { .. })),
        [1, 2, 3]
    );
    let acts = bench.answer(acts, willing(epoch, true));
    assert_eq!(
        nodes_asked(&acts, |it| matches!(it, MembershipRequest::Learn { .. })),
        [1, 2, 3, 4],
        "it is decided, and everybody hears of it"
    );
    let is_prepare = |it: &MembershipRequest| matches!(it, MembershipRequest::Prepare { .. });
    assert!(nodes_asked(&bench.pass(10), is_prepare).is_empty());
}

#[test]
fn a_voter_waits_for_its_turn_and_nobody_else_drives() {
    let is_learn = |it: &MembershipRequest| matches!(it, MembershipRequest::Learn { .. });
    let mut second = Bench::changing(2, true);
    assert!(nodes_asked(&second.pass(10), is_learn).is_empty());
    assert_eq!(nodes_asked(&second.pass(1_600), is_learn).len(), 4);
    let mut newcomer = Bench::changing(4, true);
    assert!(
        nodes_asked(&newcomer.pass(20_000), is_learn).is_empty(),
        "it is no voter"
    );
}

#[test]
fn nobody_is_fenced_while_a_member_may_still_learn_and_one_that_is_dead_is_not_waited_for() {
    let mut bench = Bench::changing_with(1, true, 3);
    let epoch = bench.epoch();
    let mut all_but_one = move |node: NodeId, act: &Act| {
        (node != NodeId(3))
            .then(|| willing(epoch, true)(node, act))
            .flatten()
    };
    let acts = bench.pass(10);
    bench.answer(acts, &mut all_but_one);
    let is_fence = |it: &MembershipRequest| *it == MembershipRequest::Fence;
    assert!(nodes_asked(&bench.pass(50), is_fence).is_empty());
    assert_eq!(
        bench.driver.waits(bench.now).unwrap().what,
        WaitingFor::Learning
    );
    let acts = bench.pass(200);
    assert_eq!(nodes_asked(&acts, is_fence), [1, 2, 4]);
}

#[test]
fn whoever_does_not_serve_the_epoch_is_taught_it() {
    let mut bench = Bench::changing(4, true);
    bench.state.cluster.fence(Epoch(3));
    let acts = bench.pass(10);
    let is_pull = |it: &MembershipRequest| matches!(it, MembershipRequest::Pull { .. });
    assert!(!nodes_asked(&acts, is_pull).is_empty());
    let (now, id) = (
        bench.now,
        acts.iter().find_map(|act| match act {
            Act::Send { to, frame } if asked(act).is_some_and(|it| is_pull(&it)) => {
                Some((*to, frame.id))
            }
            _ => None,
        }),
    );
    let (to, id) = id.unwrap();
    let frame = ResponseFrame {
        id,
        epoch: Epoch(2),
        clock: Time::ZERO,
        response: Response::Refused(Refusal::Behind),
    };
    bench.driver.handle_answer(to, frame, now);
    let taught = bench.acts();
    assert_eq!(
        nodes_asked(&taught, |it| matches!(it, MembershipRequest::Learn { .. })),
        [to.0]
    );
}

#[test]
fn a_source_that_fails_gives_its_place_to_another_and_one_that_is_behind_keeps_it() {
    let is_pull = |it: &MembershipRequest| matches!(it, MembershipRequest::Pull { .. });
    let mut bench = Bench::changing(4, true);
    let acts = bench.pass(10);
    let first = nodes_asked(&acts, is_pull);
    // Two copies: a majority of each old list is both of its owners, so all three are asked.
    assert_eq!(first, [1, 2, 3]);
    bench.answer(acts, |_, _| Some(Response::Refused(Refusal::Behind)));
    assert!(nodes_asked(&bench.pass(10), is_pull).is_empty(), "it rests");
    let acts = bench.pass(20);
    assert_eq!(nodes_asked(&acts, is_pull), [1, 2, 3]);
    let page = Page::default();
    let orders = bench.answer(acts, |_, act| {
        asked(act).filter(is_pull)?;
        membership(MembershipAnswer::Page(page.clone()))
    });
    let stores = orders.iter().filter(|act| {
        matches!(
            act,
            Act::Order {
                task: Task::Store { .. },
                ..
            }
        )
    });
    assert_eq!(stores.count(), 3);
    assert!(!bench.driver.is_complete(), "nothing is on the disk yet");
}

#[test]
fn nothing_is_pulled_before_what_is_left_from_earlier_is_gone() {
    let mut bench = Bench::changing(4, false);
    let is_pull = |it: &MembershipRequest| matches!(it, MembershipRequest::Pull { .. });
    assert!(nodes_asked(&bench.pass(10), is_pull).is_empty());
    bench.state.cluster.take(bench.epoch());
    assert_eq!(nodes_asked(&bench.pass(10), is_pull).len(), 3);
}

/// A node after a change, with a leaf that it owns no more; it looks at what is left.
fn former_owner() -> (Bench, Leaf) {
    former_owner_with(0)
}

/// The same with so many of the leaf's two owners written off.
fn former_owner_with(lost: usize) -> (Bench, Leaf) {
    former_owner_of(begun(2), lost)
}

fn former_owner_of((first, begun): (Known, Known), lost: usize) -> (Bench, Leaf) {
    let after = begun.later(begun.configuration().step().unwrap()).unwrap();
    let leaves = (0..1 << 12).map(Leaf);
    let is_lost = |leaf: &Leaf| {
        first.topology().owns(NodeId(1), *leaf) && !after.topology().owns(NodeId(1), *leaf)
    };
    let leaf = leaves.into_iter().find(is_lost).unwrap();
    let mut bench = Bench::of(1, first);
    let _first_look = bench.pass(0);
    let owners = after.topology().lists_of_leaf(leaf).owners();
    let lost: Vec<NodeId> = owners.take(lost).collect();
    let less = after.configuration().without_copies_of(&lost);
    let less = less.ok().map(|less| after.later(less).unwrap());
    for known in [Some(begun), Some(after), less].into_iter().flatten() {
        assert!(bench.state.cluster.learn(known, true));
    }
    let is_look = |acts: &[Act]| acts.iter().any(|act| matches!(act, Act::Look { .. }));
    assert!(!is_look(&bench.pass(10)), "older epochs are still served");
    bench.state.cluster.fence(bench.epoch());
    assert!(is_look(&bench.pass(10)));
    (bench, leaf)
}

/// What a former owner does about one record of a leaf whose owners have the same sum; and what comes of it if they hold
/// `theirs`.
fn hand_over(ours: &Record, theirs: &Record) -> (usize, usize, usize) {
    hand_over_with(former_owner(), ours, theirs)
}

fn hand_over_with(former: (Bench, Leaf), ours: &Record, theirs: &Record) -> (usize, usize, usize) {
    hand_over_but_to(&[], former, ours, theirs)
}

/// The same while these nodes refuse whatever they are asked.
fn hand_over_but_to(
    away: &[NodeId],
    (mut bench, leaf): (Bench, Leaf),
    ours: &Record,
    theirs: &Record,
) -> (usize, usize, usize) {
    let row = LeftRow {
        leaf,
        key: "k".into(),
        record: encoded(ours),
    };
    let page = LeftRows {
        rows: vec![row],
        sums: [(leaf, Sum(9))].into(),
        ..LeftRows::default()
    };
    let (epoch, now) = (bench.epoch(), bench.now);
    bench.driver.handle_leftovers(epoch, Some(page), now);

    let (mut looked_up, mut pushed, mut forgotten) = (0, 0, 0);
    let mut acts = bench.acts();
    while !acts.is_empty() {
        acts = bench.answer(acts, |_, act| match act {
            Act::Send { to, .. } if away.contains(to) => Some(Response::Refused(Refusal::NotReady)),
            Act::Send { frame, .. } => match &frame.request {
                Request::Sums { .. } => Some(Response::Sums(vec![Sum(9); 16])),
                Request::Get { digest: true, .. } => {
                    looked_up += 1;
                    Some(Response::Record(encoded(theirs)))
                }
                Request::Repair { .. } => {
                    pushed += 1;
                    Some(Response::Joined)
                }
                _ => None,
            },
            Act::Order { task, .. } => {
                let Task::Forget { rows, .. } = task else {
                    return None;
                };
                forgotten += rows.len();
                Some(Response::Joined)
            }
            Act::Look { .. } => None,
        });
    }
    (looked_up, pushed, forgotten)
}

#[test]
fn a_row_whose_leaf_has_the_same_sum_at_its_owners_is_forgotten_unasked() {
    let record = blind(dot(1, 10), "v").into_record();
    assert_eq!(hand_over(&record, &record), (0, 0, 1));
}

#[test]
fn a_row_goes_once_enough_owners_that_are_left_have_it_and_stays_if_there_are_none() {
    let ours = blind(dot(1, 10), "v").into_record();
    let theirs = Record::default();
    assert_eq!(
        hand_over_with(former_owner_with(1), &ours, &ours),
        (0, 0, 1)
    );
    // Its leaf has another sum there, so it is looked up.
    let other = unseeing(dot(2, 10), "b").into_record();
    assert_eq!(
        hand_over_with(former_owner_with(1), &other, &theirs),
        (1, 1, 1)
    );
    assert_eq!(
        hand_over_with(former_owner_with(2), &ours, &ours),
        (0, 0, 0)
    );
}

#[test]
fn of_five_owners_with_one_written_off_one_more_may_be_away_and_no_further() {
    let ours = unseeing(dot(2, 10), "b").into_record();
    let forgotten = |lost: usize, away: usize| {
        let (bench, leaf) = former_owner_of(growing(6, 5), lost);
        let known = bench.state.cluster.newest();
        let owners = known.topology().lists_of_leaf(leaf).owners();
        let owners: Vec<NodeId> = owners.collect();
        assert_eq!(owners.len(), 5);
        let away = &owners[lost..lost + away];
        let (_, _, forgotten) = hand_over_but_to(away, (bench, leaf), &ours, &Record::default());
        forgotten
    };
    assert_eq!([0, 1, 2, 3].map(|away| forgotten(0, away)), [1, 1, 1, 0]);
    assert_eq!([0, 1, 2].map(|away| forgotten(1, away)), [1, 1, 0]);
    assert_eq!([0, 1].map(|away| forgotten(2, away)), [1, 0]);
    // A majority is written off: none of those that are left may lack it.
    assert_eq!([0, 1].map(|away| forgotten(3, away)), [1, 0]);
}

#[test]
fn what_a_record_has_seen_is_in_no_sum_so_it_is_looked_up_and_pushed_where_it_is_not_known() {
    // One of two siblings is dead here, by a write that is nowhere else.
    let mut theirs = unseeing(dot(1, 10), "a").into_record();
    let mut ours = theirs.clone();
    let other = unseeing(dot(2, 10), "b");
    ours.join(other.record());
    let killed = Delta::causal(dot(3, 11), Time::ZERO, other.record().seen(), None);
    ours.join(killed.record());
    assert_eq!(ours.live().len(), 1);
    assert_eq!(hand_over(&ours, &theirs), (2, 2, 1));

    theirs.join(&ours);
    assert_eq!(hand_over(&ours, &theirs), (2, 0, 1), "they know");
}

#[test]
fn a_page_that_cannot_be_read_is_looked_at_again_later() {
    let (mut bench, _) = former_owner();
    let (epoch, now) = (bench.epoch(), bench.now);
    bench.driver.handle_leftovers(epoch, None, now);
    let is_look = |acts: &[Act]| acts.iter().any(|act| matches!(act, Act::Look { .. }));
    assert!(!is_look(&bench.acts()) && bench.driver.clean_in().is_none());
    assert!(is_look(&bench.pass(1_000)));
    bench
        .driver
        .handle_leftovers(epoch, Some(LeftRows::default()), bench.now);
    assert_eq!(bench.driver.clean_in(), Some(epoch));
}

#[test]
fn answers_to_what_was_asked_in_an_earlier_epoch_change_nothing() {
    let mut bench = Bench::changing(4, true);
    let acts = bench.pass(10);
    let (_, begun) = begun(2);
    let next = begun
        .later(begun.configuration().revert().unwrap())
        .unwrap();
    assert!(bench.state.cluster.learn(next, true));
    let page = Page {
        rows: vec![("k".into(), Bytes::new())],
        registers: vec![],
        next: None,
    };
    let orders = bench.answer(acts, |_, act| {
        matches!(asked(act), Some(MembershipRequest::Pull { .. }))
            .then(|| membership(MembershipAnswer::Page(page.clone())))
            .flatten()
    });
    let is_store = |act: &Act| {
        matches!(
            act,
            Act::Order {
                task: Task::Store { .. },
                ..
            }
        )
    };
    assert!(!bench.pass(10).iter().chain(&orders).any(is_store));
    assert!(
        Arc::strong_count(&bench.state.cluster) > 1,
        "the driver looks at it"
    );
}

#[test]
fn a_node_that_is_no_member_hears_of_an_epoch_by_the_answer_to_a_hint() {
    let (known, _begun) = begun(2);
    let mut bench = Bench::of(4, known.clone());
    let asked_for_map = |acts: &[Act]| {
        acts.iter().any(|act| {
            matches!(act, Act::Send { to: NodeId(1), frame } if frame.request == Request::Map)
        })
    };
    let acts = bench.pass(200);
    assert!(
        !asked_for_map(&acts),
        "nobody knows more, as far as it has heard"
    );

    (bench.driver).handle_announced(NodeId(1), known.epoch(), bench.now);
    assert!(!asked_for_map(&bench.acts()));
    (bench.driver).handle_announced(NodeId(1), Epoch(known.epoch().0 + 5), bench.now);
    assert!(asked_for_map(&bench.acts()));
}
