//! Messages about the ring: who may send them, what becomes of them, and pages.

use std::collections::BTreeSet;

use quoit_ring::change::{Arcs, Known};
use quoit_ring::consensus::Ballot;
use quoit_ring::wire::{MembershipAnswer, MembershipRequest, Page};

use super::*;
use crate::cluster::ClusterView;
use crate::commit::{Asker, Order, Task};
use crate::testing::ring;

const NEWCOMER: NodeId = NodeId(2);

fn open() -> FakeEnv {
    FakeEnv {
        capacity: 1000,
        ..FakeEnv::default()
    }
}

/// The ring of one becomes one of two, so many steps on.
fn growing(steps: usize) -> Known {
    let first = Known::of(ring(1));
    let begun = first
        .configuration()
        .begin(ring(2).map().clone(), Arcs::new(2).unwrap());
    let mut known = first.later(begun.unwrap()).unwrap();
    for _ in 0..steps {
        known = known.later(known.configuration().step().unwrap()).unwrap();
    }
    known
}

fn pull(after: Bytes) -> Request {
    Request::Membership(MembershipRequest::Pull { after })
}

fn fence() -> Request {
    Request::Membership(MembershipRequest::Fence)
}

fn page(answer: Option<Response>) -> Page {
    let Some(Response::Membership(answer)) = answer else {
        panic!("{answer:?}");
    };
    let MembershipAnswer::Page(page) = *answer else {
        panic!("{answer:?}");
    };
    page
}

#[test]
fn what_the_committing_thread_does_is_handed_over_with_the_epoch_and_the_caller() {
    let mut world = world_of(1, Role::Node(SELF), open());
    let ballot = Ballot::ZERO.next(SELF);
    let prepare = Request::Membership(MembershipRequest::Prepare { ballot });
    assert_eq!(
        world.ask_as_of(Epoch(9), prepare),
        None,
        "it is answered later"
    );
    let ordered = std::mem::take(&mut *world.session.replica.env.ordered.lock().unwrap());
    let [Order { from, task }] = &ordered[..] else {
        panic!("{ordered:?}");
    };
    assert!(matches!(from, Asker::Caller { id: 7, .. }));
    let after = Epoch(9);
    assert_eq!(*task, Task::Prepare { after, ballot });
}

#[test]
fn an_order_that_is_not_taken_is_answered() {
    let mut closed = open();
    closed.closed = true;
    let mut world = world_of(1, Role::Node(SELF), closed);
    assert_eq!(world.refusal(fence()), Refusal::Draining);
    let mut world = world_of(1, Role::Node(SELF), open());
    world.state.service.drain();
    assert_eq!(world.refusal(fence()), Refusal::Draining);
    assert_eq!(world.refusal(pull(Bytes::new())), Refusal::Draining);
}

#[test]
fn what_nodes_do_is_refused_to_all_but_members_at_the_moment_of_asking() {
    let learn = || {
        let decided = Bytes::new();
        Request::Membership(MembershipRequest::Learn { decided })
    };
    for (caller, may_learn, may_fence) in [
        (Role::Client, false, false),
        (Role::Admin, true, false),
        (Role::Node(SELF), true, true),
        // Of an epoch that is decided anybody may say so who was not removed.
        (Role::Node(NEWCOMER), true, false),
    ] {
        for (request, may) in [(learn(), may_learn), (fence(), may_fence)] {
            let mut world = world_of(1, caller, open());
            let forbidden = Some(Response::Refused(Refusal::Forbidden));
            assert_eq!(world.ask(request) != forbidden, may, "{caller:?}");
        }
    }

    let mut world = world_of(1, Role::Node(NEWCOMER), open());
    let sums = Request::Sums { level: 0, index: 0 };
    rebuild(&*world.engine, &world.state);
    assert_eq!(world.refusal(sums.clone()), Refusal::Forbidden);
    assert!(world.state.cluster.learn(growing(0), true));
    assert!(matches!(world.ask(sums), Some(Response::Sums(_))));
}

#[test]
fn a_page_holds_what_its_receiver_is_to_own_and_is_read_behind_the_fence_alone() {
    let mut world = world_of(1, Role::Node(NEWCOMER), open());
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    for key in &keys {
        let delta = blind(dot(1, WALL), "v");
        assert_eq!(world.ask(put(key, delta.dot(), &delta)), None);
    }
    world.commit();

    let (first, second) = (growing(0), growing(1));
    assert_eq!(world.refusal(pull(Bytes::new())), Refusal::Forbidden);
    assert!(world.state.cluster.learn(first.clone(), true));
    let mut pulled = BTreeSet::new();
    for (known, at) in [(&first, Epoch(3)), (&second, Epoch(4))] {
        world.state.cluster.learn(known.clone(), true);
        let ask = |world: &mut World, epoch| world.ask_as_of(epoch, pull(Bytes::new()));
        let refused = |refusal| Some(Response::Refused(refusal));
        assert_eq!(
            ask(&mut world, at),
            refused(Refusal::Behind),
            "it is not fenced"
        );
        world.state.cluster.fence(at);
        let later = Epoch(at.0 + 1);
        assert_eq!(ask(&mut world, later), refused(Refusal::Behind));
        let before = Epoch(at.0 - 1);
        assert_eq!(ask(&mut world, before), refused(Refusal::OldEpoch));

        let page = page(ask(&mut world, at));
        assert_eq!(page.next, None);
        for (key, record) in page.rows {
            let lists = known.topology().lists(known.topology().token_of(&key));
            assert!(lists.is_newcomer(NEWCOMER), "it is to own {key:?}");
            assert_eq!(record, encoded(blind(dot(1, WALL), "v").record()));
            pulled.insert(key);
        }
    }
    let target = ring(2);
    let its = keys
        .iter()
        .map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let its: BTreeSet<Bytes> = its
        .filter(|key| target.owns(NEWCOMER, target.leaf_bits().leaf_of(target.token_of(key))))
        .collect();
    assert!(!its.is_empty() && its.len() < keys.len());
    assert_eq!(pulled, its, "both arcs together");
}

#[test]
fn a_cursor_that_is_none_is_refused() {
    let mut world = world_of(1, Role::Node(NEWCOMER), open());
    assert!(world.state.cluster.learn(growing(0), true));
    world.state.cluster.fence(Epoch(3));
    let short = Bytes::from_static(b"short");
    let asked = world.ask_as_of(Epoch(3), pull(short));
    assert_eq!(asked, Some(Response::Refused(Refusal::BadRecord)));
}

#[test]
fn who_is_to_own_a_key_and_has_not_taken_it_is_behind() {
    for (has_taken, answer) in [
        (false, Response::Refused(Refusal::Behind)),
        (true, Response::Absent),
    ] {
        let mut world = world();
        // Back from two to one: what the second had moves to this node.
        let first = Known::of(ring(2));
        let state = crate::testing::state_of(ring(2));
        let left = first
            .configuration()
            .begin(ring(1).map().clone(), Arcs::new(1).unwrap());
        let known = first.later(left.unwrap()).unwrap();
        let keys = (0..99).map(|number| format!("k{number}"));
        let is_moving = |key: &String| {
            let token = known.topology().token_of(key.as_bytes());
            known.topology().lists(token).is_newcomer(SELF)
        };
        let key = keys.into_iter().find(is_moving).unwrap();
        assert!(state.cluster.learn(known.clone(), has_taken));
        let replica = Replica::new(open(), Arc::clone(&world.engine), &state);
        world.session = Session::new(Arc::new(replica), Role::Client, world.sink.clone());
        assert_eq!(world.ask_as_of(Epoch(3), get(&key)), Some(answer));
    }
}

#[test]
fn a_node_that_is_to_join_gets_what_nodes_know_and_nobody_else_does() {
    let join = || Request::Membership(MembershipRequest::Join);
    for caller in [Role::Client, Role::Admin] {
        let mut world = world_of(1, caller, open());
        assert_eq!(world.refusal(join()), Refusal::Forbidden, "{caller:?}");
    }
    let mut world = world_of(1, Role::Node(NEWCOMER), open());
    let Some(Response::Membership(answer)) = world.ask_as_of(Epoch(0), join()) else {
        panic!("it needs not be a member");
    };
    let welcome = MembershipAnswer::Welcome {
        merkle_key: world.state.sums.key(),
        configuration: world.state.cluster.newest_answer(Epoch(0)),
    };
    assert_eq!(*answer, welcome);
}

#[test]
fn a_node_that_is_no_member_says_that_it_waits() {
    use quoit_ring::wire::WarningKind;

    let kinds = |answer: Option<Response>| {
        let Some(Response::Status(status)) = answer else {
            panic!("{answer:?}");
        };
        let kinds = status.warnings.iter().map(|warning| warning.kind);
        kinds.collect::<Vec<_>>()
    };
    let mut world = world_of(1, Role::Client, open());
    assert_eq!(kinds(world.ask(Request::Status)), []);
    let state = NodeState {
        cluster: Arc::new(ClusterView::new(NEWCOMER, Known::of(ring(1)))),
        ..world.state.clone()
    };
    let engine = Arc::clone(world.session.replica.engine());
    world.session.replica = Arc::new(Replica::new(open(), engine, &state));
    assert_eq!(kinds(world.ask(Request::Status)), [WarningKind::Waiting]);
}
