//! What a courier delivers, to whom, and what it removes.

use super::*;
use crate::testing::{blind, dot, encoded, shared};

const AWAY: NodeId = NodeId(2);
const NOW: Duration = Duration::from_secs(100);

/// A key that `node` owns in a ring of three with one copy each.
fn key_of(shared: &Shared, node: NodeId) -> Bytes {
    let ring = &shared.ring;
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

/// A courier that has sent the hint of `key`, with whom it was sent to, by id.
fn sent(key: &Bytes) -> (Courier, u64, Vec<NodeId>) {
    let mut courier = Courier::new(shared(3), 1_000);
    courier.handle_time(&kept(), NOW);
    assert!(matches!(
        courier.poll(),
        Some(Act::Load {
            target: AWAY,
            after: None
        })
    ));
    courier.handle_page(AWAY, Some(page(key)), NOW);
    let (mut id, mut sent_to) = (0, Vec::new());
    while let Some(act) = courier.poll() {
        let Act::Send { to, frame } = act else {
            panic!("{act:?}");
        };
        assert!(matches!(&frame.request, Request::Repair { key: sent, .. } if sent == key));
        id = frame.id;
        sent_to.push(to);
    }
    (courier, id, sent_to)
}

#[test]
fn a_hint_is_removed_once_its_target_has_joined_it() {
    let key = key_of(&shared(3), AWAY);
    let (mut courier, id, sent_to) = sent(&key);
    assert_eq!(sent_to, [AWAY]);
    courier.handle_answer(NodeId(3), id, &Response::Joined, NOW);
    assert!(
        courier.poll().is_none(),
        "somebody else's word counts nothing"
    );
    courier.handle_answer(AWAY, id, &Response::Joined, NOW);
    let Some(Act::Remove(delivered)) = courier.poll() else {
        panic!("not removed");
    };
    let removal: Write<crate::testing::Sink> = delivered.removal(NOW);
    assert_eq!((removal.place, removal.key), (Place::Hint(AWAY), key));
    courier.handle_time(&[], NOW);
    assert!(courier.is_idle());
}

#[test]
fn a_hint_whose_target_owns_the_key_no_more_goes_to_who_does() {
    let other = NodeId(3);
    let key = key_of(&shared(3), other);
    let (mut courier, id, sent_to) = sent(&key);
    assert_eq!(sent_to, [other]);
    courier.handle_answer(other, id, &Response::Joined, NOW);
    assert!(matches!(courier.poll(), Some(Act::Remove(_))));
}

#[test]
fn a_hint_that_did_not_get_through_stays_and_is_tried_again_after_a_rest() {
    let key = key_of(&shared(3), AWAY);
    let refused = |refusal| Response::Refused(refusal);
    type Fails<'a> = &'a dyn Fn(&mut Courier, u64);
    let failures: [Fails<'_>; 4] = [
        &|courier, _| courier.handle_lost(AWAY, NOW),
        &|courier, id| courier.handle_answer(AWAY, id, &refused(Refusal::Draining), NOW),
        &|courier, id| {
            courier.handle_answer(
                AWAY,
                id,
                &refused(Refusal::Overloaded { queue_ms: 70 }),
                NOW,
            );
        },
        &|courier, _| courier.handle_time(&kept(), NOW + BUDGET),
    ];
    for fails in failures {
        let (mut courier, id, _) = sent(&key);
        fails(&mut courier, id);
        assert!(courier.poll().is_none(), "neither removed nor sent at once");
        courier.handle_answer(AWAY, id, &Response::Joined, NOW);
        assert!(courier.poll().is_none(), "too late");
        courier.handle_time(&kept(), NOW + 2 * BUDGET);
        assert!(matches!(
            courier.poll(),
            Some(Act::Load { after: None, .. })
        ));
    }
}

#[test]
fn a_hint_refused_for_what_it_is_does_not_hold_up_others() {
    let key = key_of(&shared(3), AWAY);
    let (mut courier, id, _) = sent(&key);
    let refused = Response::Refused(Refusal::BadRecord);
    courier.handle_answer(AWAY, id, &refused, NOW);
    assert!(courier.poll().is_none());
    assert!(courier.jobs.is_empty() && !courier.is_idle(), "it is kept");
}
