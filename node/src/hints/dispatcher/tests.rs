//! What a dispatcher delivers, to which node, and what it removes.

use super::*;
use crate::testing::{blind, dot, encoded, state};

const AWAY: NodeId = NodeId(2);
const NOW: Moment = Moment(100_000_000);

/// A key that `node` owns in a ring of three with one copy each.
fn key_of(cluster: &ClusterView, node: NodeId) -> Bytes {
    let ring = &cluster.ring;
    let owns = |key: &String| {
        let token = ring.token_of(key.as_bytes());
        ring.preference_list(token).is_owner(node)
    };
    let mut keys = (0..).map(|n: u32| n.to_string());
    keys.find(owns).unwrap().into()
}

fn kept() -> Vec<Kept> {
    vec![Kept {
        target: AWAY,
        count: 1,
        bytes: 9,
    }]
}

fn page(key: &Bytes) -> Page {
    let hint = Hint {
        key: key.clone(),
        record: encoded(blind(dot(1, 5), "v").record()),
    };
    Page {
        target: AWAY,
        hints: vec![hint],
        is_last: true,
    }
}

/// A dispatcher that has sent the hint of `key`, with the request's id and the nodes it went to.
fn sent(key: &Bytes) -> (HintDispatcher, u64, Vec<NodeId>) {
    let mut dispatcher = HintDispatcher::new(state(3).cluster, 1_000);
    dispatcher.handle_time(&kept(), NOW);
    assert!(matches!(
        dispatcher.poll(),
        Some(Act::Load {
            target: AWAY,
            after: None
        })
    ));
    dispatcher.handle_page(AWAY, Some(page(key)), NOW);
    let (mut id, mut sent_to) = (0, Vec::new());
    while let Some(act) = dispatcher.poll() {
        let Act::Send { to, frame } = act else {
            panic!("{act:?}");
        };
        assert!(matches!(&frame.request, Request::Repair { key: sent, .. } if sent == key));
        id = frame.id;
        sent_to.push(to);
    }
    (dispatcher, id, sent_to)
}

#[test]
fn a_hint_is_removed_once_its_target_has_joined_it() {
    let key = key_of(&state(3).cluster, AWAY);
    let (mut dispatcher, id, sent_to) = sent(&key);
    assert_eq!(sent_to, [AWAY]);
    dispatcher.handle_answer(NodeId(3), id, &Response::Joined, NOW);
    assert!(
        dispatcher.poll().is_none(),
        "somebody else's word counts nothing"
    );
    dispatcher.handle_answer(AWAY, id, &Response::Joined, NOW);
    let Some(Act::Remove(delivered)) = dispatcher.poll() else {
        panic!("not removed");
    };
    let removal: Write<crate::testing::Sink> = delivered.removal(NOW);
    assert_eq!(
        (removal.destination, removal.key),
        (Destination::Hint(AWAY), key)
    );
    dispatcher.handle_time(&[], NOW);
    assert!(dispatcher.is_idle());
}

#[test]
fn a_hint_whose_target_owns_the_key_no_more_goes_to_who_does() {
    let other = NodeId(3);
    let key = key_of(&state(3).cluster, other);
    let (mut dispatcher, id, sent_to) = sent(&key);
    assert_eq!(sent_to, [other]);
    dispatcher.handle_answer(other, id, &Response::Joined, NOW);
    assert!(matches!(dispatcher.poll(), Some(Act::Remove(_))));
}

#[test]
fn a_hint_that_did_not_get_through_stays_and_is_tried_again_after_a_rest() {
    let key = key_of(&state(3).cluster, AWAY);
    let refused = |refusal| Response::Refused(refusal);
    type Fails<'a> = &'a dyn Fn(&mut HintDispatcher, u64);
    let failures: [Fails<'_>; 4] = [
        &|dispatcher, _| dispatcher.handle_lost(AWAY, NOW),
        &|dispatcher, id| dispatcher.handle_answer(AWAY, id, &refused(Refusal::Draining), NOW),
        &|dispatcher, id| {
            dispatcher.handle_answer(
                AWAY,
                id,
                &refused(Refusal::Overloaded { queue_ms: 70 }),
                NOW,
            );
        },
        &|dispatcher, _| dispatcher.handle_time(&kept(), NOW + BUDGET),
    ];
    for fails in failures {
        let (mut dispatcher, id, _) = sent(&key);
        fails(&mut dispatcher, id);
        assert!(
            dispatcher.poll().is_none(),
            "neither removed nor sent at once"
        );
        dispatcher.handle_answer(AWAY, id, &Response::Joined, NOW);
        assert!(dispatcher.poll().is_none(), "too late");
        dispatcher.handle_time(&kept(), NOW + 2 * BUDGET);
        assert!(matches!(
            dispatcher.poll(),
            Some(Act::Load { after: None, .. })
        ));
    }
}

#[test]
fn a_hint_refused_for_what_it_is_does_not_hold_up_others() {
    let key = key_of(&state(3).cluster, AWAY);
    let (mut dispatcher, id, _) = sent(&key);
    let refused = Response::Refused(Refusal::BadRecord);
    dispatcher.handle_answer(AWAY, id, &refused, NOW);
    assert!(dispatcher.poll().is_none());
    assert!(
        dispatcher.jobs.is_empty() && !dispatcher.is_idle(),
        "it is kept"
    );
}
