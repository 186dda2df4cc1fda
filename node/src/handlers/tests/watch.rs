//! Polls of subscriptions.

use quoit_ring::wire::{WatchChanges, WatchRequest};

use super::*;

fn request(id: u64, key: &'static str, is_prefix: bool) -> WatchRequest {
    WatchRequest {
        id,
        incarnation: 0,
        after: 0,
        is_prefix,
        key: Bytes::from_static(key.as_bytes()),
    }
}

#[test]
fn a_poll_begins_waits_and_is_answered_with_the_commit() {
    let mut world = world();
    let mut watch = request(1, "k", true);
    let Some(Response::Watch(begun)) = world.ask(Request::Watch(watch.clone())) else {
        panic!("it begins at once");
    };
    assert_eq!(begun.changes, WatchChanges::Begun);
    watch.incarnation = begun.incarnation;
    assert_eq!(world.ask(Request::Watch(watch.clone())), None);
    let delta = blind(dot(1, WALL), "v");
    assert_eq!(world.ask(put("key", delta.dot(), &delta)), None);
    let answers = world.commit();
    let changes = answers.iter().find_map(|(_, answer)| match answer {
        Response::Watch(answer) => Some(answer.changes.clone()),
        _ => None,
    });
    assert_eq!(changes, Some(WatchChanges::Keys(vec!["key".into()])));
    assert_eq!(answers.len(), 2);
}

#[test]
fn only_an_owner_is_subscribed_to_for_a_key_and_nobody_while_a_node_stops() {
    let mut world = world_of(2, Role::Client, FakeEnv::default());
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut owned = 0;
    for (id, key) in (0..).zip(keys) {
        match world.ask(Request::Watch(request(id, key, false))) {
            Some(Response::Watch(_)) => owned += 1,
            Some(Response::Refused(Refusal::NotReplica)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((1..keys.len()).contains(&owned), "{owned}");
    let old = world.ask_as_of(Epoch(1), Request::Watch(request(9, "", true)));
    assert_eq!(old, Some(Response::Refused(Refusal::OldEpoch)));
    world.state.service.drain();
    for is_prefix in [false, true] {
        let refused = world.refusal(Request::Watch(request(9, "a", is_prefix)));
        assert_eq!(refused, Refusal::Draining);
    }
}

#[test]
fn the_subscriptions_of_a_node_are_bounded_by_a_refusal_of_its_own() {
    let mut world = world();
    for id in 0..1_024 {
        let answer = world.ask(Request::Watch(request(id, "", true)));
        assert!(matches!(answer, Some(Response::Watch(_))));
    }
    let refused = world.refusal(Request::Watch(request(5_000, "", true)));
    assert_eq!(refused, Refusal::TooManyWatches { watches: 1_024 });
}
