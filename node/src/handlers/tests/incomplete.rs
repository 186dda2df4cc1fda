//! What a node still answers that has lost writes with its power.

use quoit_ring::wire::{MembershipAnswer, MembershipRequest};

use super::*;
use crate::testing::{ring_of, state_of};

const OTHER: NodeId = NodeId(2);

/// A node that holds one row; it and two others own all.
fn world_with(caller: Role) -> World {
    let env = FakeEnv {
        capacity: 100,
        ..FakeEnv::default()
    };
    let (engine, state, sink) = (
        Arc::new(MemoryEngine::new()),
        state_of(ring_of(3, 3)),
        Sink::default(),
    );
    let replica = Replica::new(env, Arc::clone(&engine), &state);
    let session = Session::new(Arc::new(replica), caller, sink.clone());
    let mut world = World {
        engine,
        state,
        session,
        sink,
    };
    let delta = blind(dot(1, WALL), "v");
    assert_eq!(world.ask(put("k", delta.dot(), &delta)), None);
    assert_eq!(world.commit(), [(7, Response::Joined)]);
    world
}

fn refill(after: &'static [u8]) -> Request {
    let after = Bytes::from_static(after);
    Request::Membership(MembershipRequest::Refill { after })
}

#[test]
fn an_incomplete_node_takes_writes_and_says_nothing_of_what_it_holds() {
    let mut world = world_with(Role::Node(OTHER));
    rebuild(&*world.engine, &world.state);
    world.state.completeness.lose();
    let sums = Request::Sums { level: 0, index: 0 };
    let pull = Request::Membership(MembershipRequest::Pull {
        after: Bytes::new(),
    });
    for request in [get("k"), get("absent"), sums.clone(), pull] {
        assert_eq!(world.refusal(request), Refusal::Incomplete);
    }

    let delta = blind(dot(2, WALL), "later");
    assert_eq!(world.ask(put("k", delta.dot(), &delta)), None);
    assert_eq!(world.commit(), [(7, Response::Joined)]);
    assert_eq!(world.refusal(get("k")), Refusal::Incomplete);

    world.state.completeness.complete();
    assert!(matches!(world.ask(get("k")), Some(Response::Record(_))));
    assert!(matches!(world.ask(sums), Some(Response::Sums(_))));
}

#[test]
fn other_owners_get_what_they_own_too_with_a_word_on_whether_it_is_complete() {
    let mut world = world_with(Role::Node(OTHER));
    for is_lost in [false, true] {
        if is_lost {
            world.state.completeness.lose();
        }
        let Some(Response::Membership(answer)) = world.ask(refill(b"")) else {
            panic!("a page");
        };
        let MembershipAnswer::Refill { is_complete, page } = *answer else {
            panic!("{answer:?}");
        };
        assert_eq!(
            (is_complete, page.rows.len(), page.next),
            (!is_lost, 1, None)
        );
    }
    assert_eq!(world.refusal(refill(b"short")), Refusal::BadRecord);
    let later = world.ask_as_of(Epoch(9), refill(b""));
    assert_eq!(later, Some(Response::Refused(Refusal::Behind)));
    let older = world.ask_as_of(Epoch(1), refill(b""));
    assert_eq!(older, Some(Response::Refused(Refusal::OldEpoch)));

    for caller in [Role::Client, Role::Admin, Role::Node(NodeId(9))] {
        let mut world = world_with(Role::Client);
        let replica = Replica::new(FakeEnv::default(), Arc::clone(&world.engine), &world.state);
        world.session = Session::new(Arc::new(replica), caller, world.sink.clone());
        assert_eq!(world.refusal(refill(b"")), Refusal::Forbidden, "{caller:?}");
    }
}
