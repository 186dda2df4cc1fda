//! Which hints are accepted, and what is reported of them.

use super::*;
use crate::cluster::ClusterView;
use crate::hints::HintScan;
use crate::write::Destination;

/// A key that `node` owns in a ring of three with one copy each, and a put of it to be kept for that node.
fn hint_for(cluster: &ClusterView, node: NodeId) -> Request {
    let newest = cluster.newest();
    let owned = |key: &String| {
        newest
            .topology()
            .owns(node, cluster.leaf_of(key.as_bytes()))
    };
    let delta = blind(dot(1, WALL), "v");
    Request::Hint {
        target: node,
        key: (0..)
            .map(|n: u32| n.to_string())
            .find(owned)
            .unwrap()
            .into(),
        dot: delta.dot(),
        record: encoded(delta.record()),
    }
}

fn world_of_three() -> World {
    let env = FakeEnv {
        capacity: 100,
        ..FakeEnv::default()
    };
    world_of(3, Role::Client, env)
}

#[test]
fn a_hint_for_another_owner_goes_to_the_committer() {
    let mut world = world_of_three();
    let hint = hint_for(&world.state.cluster, NodeId(2));
    assert_eq!(world.ask(hint), None);
    world.session.submit(at(WALL));
    let replica = world.session.replica();
    let taken = replica.env().taken.lock().unwrap();
    assert_eq!(taken[0].destination, Destination::Hint(NodeId(2)));
}

#[test]
fn a_hint_for_who_does_not_own_the_key_or_is_asked_itself_is_refused() {
    let mut world = world_of_three();
    let Request::Hint {
        key, dot, record, ..
    } = hint_for(&world.state.cluster, NodeId(2))
    else {
        unreachable!("it is a hint");
    };
    for target in [NodeId(3), NodeId(9)] {
        let (key, record) = (key.clone(), record.clone());
        let hint = Request::Hint {
            target,
            key,
            dot,
            record,
        };
        assert_eq!(
            world.ask(hint),
            Some(Response::Refused(Refusal::NotReplica))
        );
    }
    let own = hint_for(&world.state.cluster, SELF);
    assert_eq!(world.ask(own), Some(Response::Refused(Refusal::NotReplica)));
}

#[test]
fn what_is_kept_is_told_once_it_is_counted() {
    let mut world = world_of_three();
    let not_ready = Response::Refused(Refusal::NotReady);
    assert_eq!(world.ask(Request::Hints), Some(not_ready));
    let counted = HintScan::new().step(&*world.engine, &world.state.hints, 1);
    assert_eq!(counted, Ok(true));
    assert_eq!(world.ask(Request::Hints), Some(Response::Hints(vec![])));
}
