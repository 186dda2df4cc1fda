//! What a dispatcher delivers, to which node, and what it removes.

use quoit_ring::wire::Fault;

use super::*;
use crate::engine::MemoryEngine;
use crate::hints::HintDelta;
use crate::testing::{blind, dot, encoded, state};

const AWAY: NodeId = NodeId(2);
const NOW: Moment = Moment(100_000_000);

/// A key that `node` owns in a ring of three with one copy each.
fn key_of(cluster: &ClusterView, node: NodeId) -> Bytes {
    let newest = cluster.newest();
    let owns = |key: &String| {
        newest
            .topology()
            .owns(node, cluster.leaf_of(key.as_bytes()))
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
        unreadable: 0,
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

/// Every refusal there is, and whether a target that gives it to one hint may take another one.
fn refusals() -> Vec<Refusal> {
    let (bytes, max) = (9, 8);
    let faults = [Fault::NoSpace, Fault::Corrupt, Fault::Failed, Fault::Filled];
    let mut all = vec![
        Refusal::NotReplica,
        Refusal::OldEpoch,
        Refusal::Forbidden,
        Refusal::BadKey { bytes },
        Refusal::ValueTooLarge { bytes, max },
        Refusal::TooManySiblings { max: 8 },
        Refusal::RecordTooLarge { bytes, max },
        Refusal::ClockAhead {
            ahead_ms: 9,
            max_ms: 8,
        },
        Refusal::TooOld {
            age_ms: 9,
            max_ms: 8,
        },
        Refusal::BadRecord,
        Refusal::Expired,
        Refusal::Overloaded { queue_ms: 9 },
        Refusal::Draining,
        Refusal::NotReady,
        Refusal::Behind,
        Refusal::HintsFull { bytes, max },
        Refusal::SeenTooLarge {
            intervals: bytes,
            max,
        },
    ];
    all.extend(faults.map(Refusal::Storage));
    all
}

/// Lets a dispatcher deliver `left` for so many seconds, and its target answer; how often each key was sent, and under
/// an empty key how many pages were read.
fn deliver_for(
    seconds: u64,
    dispatcher: &mut HintDispatcher,
    left: &mut Vec<Hint>,
    answer: impl Fn(&Bytes) -> Response,
) -> BTreeMap<Bytes, u32> {
    let (mut sent, mut now) = (BTreeMap::<Bytes, u32>::new(), NOW);
    while now < NOW + Duration::from_secs(seconds) {
        let mut kept = kept();
        kept[0].count = left.len().try_into().unwrap();
        kept.retain(|kept| kept.count > 0);
        dispatcher.handle_time(&kept, now);
        while let Some(act) = dispatcher.poll() {
            match act {
                Act::Load { target, after } => {
                    *sent.entry(Bytes::new()).or_default() += 1;
                    let is_behind =
                        |hint: &&Hint| after.as_ref().is_none_or(|after| hint.key > after);
                    let page = Page {
                        target,
                        hints: left.iter().filter(is_behind).cloned().collect(),
                        is_last: true,
                        unreadable: 0,
                    };
                    dispatcher.handle_page(target, Some(page), now);
                }
                Act::Send { to, frame } => {
                    let Request::Repair { key, .. } = &frame.request else {
                        panic!("{frame:?}");
                    };
                    *sent.entry(key.clone()).or_default() += 1;
                    dispatcher.handle_answer(to, frame.id, &answer(key), now);
                }
                Act::Remove(delivered) => left.retain(|hint| hint.key != delivered.key),
            }
        }
        now += Duration::from_millis(100);
    }
    sent
}

/// The hints of twenty keys of the target, in the order of their keys.
fn twenty(cluster: &ClusterView) -> Vec<Hint> {
    let newest = cluster.newest();
    let owned = |key: &String| {
        newest
            .topology()
            .owns(AWAY, cluster.leaf_of(key.as_bytes()))
    };
    let keys = (0..).map(|n: u32| n.to_string()).filter(owned).take(20);
    let record = encoded(blind(dot(1, 5), "v").record());
    let mut hints: Vec<Hint> = keys
        .map(|key| Hint {
            key: key.into(),
            record: record.clone(),
        })
        .collect();
    hints.sort_by(|a, b| a.key.cmp(&b.key));
    hints
}

#[test]
fn a_hint_that_is_refused_for_ever_holds_up_no_other_whatever_the_reason() {
    let cluster = state(3).cluster;
    for reason in refusals() {
        let mut dispatcher = HintDispatcher::new(Arc::clone(&cluster), 1_000);
        let mut left = twenty(&cluster);
        let bad = left[3].key.clone();
        let answer = |key: &Bytes| {
            if *key == bad {
                Response::Refused(reason)
            } else {
                Response::Joined
            }
        };
        let sent = deliver_for(600, &mut dispatcher, &mut left, answer);
        assert_eq!(left.len(), 1, "{reason}: {sent:?}");
        assert_eq!(left[0].key, bad);
        let most = match reason.scope() {
            RefusalScope::Request => 20,
            RefusalScope::Node | RefusalScope::Sender => 140,
        };
        assert!((2..most).contains(&sent[&bad]), "{reason}: {}", sent[&bad]);
        let refused = RefusedHints {
            count: 1,
            target: AWAY,
            reason,
        };
        assert_eq!(dispatcher.refused(), Some(refused));
    }
}

#[test]
fn a_refused_hint_that_is_taken_in_the_end_is_counted_no_more() {
    let cluster = state(3).cluster;
    let mut dispatcher = HintDispatcher::new(Arc::clone(&cluster), 1_000);
    let mut left = twenty(&cluster);
    let refuse = |_: &Bytes| Response::Refused(Refusal::BadRecord);
    deliver_for(10, &mut dispatcher, &mut left, refuse);
    assert_eq!(dispatcher.refused().map(|refused| refused.count), Some(20));
    let kept = kept();
    for second in 10..100 {
        let now = NOW + Duration::from_secs(second);
        dispatcher.handle_time(&kept, now);
        while let Some(act) = dispatcher.poll() {
            match act {
                Act::Load { target, .. } => {
                    let (hints, is_last) = (std::mem::take(&mut left), true);
                    let page = Page {
                        target,
                        hints,
                        is_last,
                        unreadable: 0,
                    };
                    dispatcher.handle_page(target, Some(page), now);
                }
                Act::Send { to, frame } => {
                    dispatcher.handle_answer(to, frame.id, &Response::Joined, now);
                }
                Act::Remove(_) => {}
            }
        }
    }
    assert_eq!(dispatcher.refused(), None);
}

/// What is kept for the target, as a node's committer and scan leave it.
fn usage_of(count: i64) -> HintUsage {
    let usage = HintUsage::default();
    let scanned = crate::hints::HintScan::new().step(&MemoryEngine::new(), &usage, 1);
    assert_eq!(scanned, Ok(true));
    usage.add(&[HintDelta {
        target: AWAY,
        count,
        bytes: 9,
        minted: quoit_ring::Time(1),
        is_stray: false,
    }]);
    usage
}

#[test]
fn nothing_is_read_or_sent_while_removals_are_not_stored() {
    let key = key_of(&state(3).cluster, AWAY);
    let (mut dispatcher, id, _) = sent(&key);
    let usage = usage_of(1);
    usage.set_takes_removals(false);
    dispatcher.handle_answer(AWAY, id, &Response::Joined, NOW);
    assert!(
        matches!(dispatcher.poll(), Some(Act::Remove(_))),
        "not taken"
    );
    for second in 1..600 {
        dispatcher.look_after(&usage, NOW + Duration::from_secs(second));
        assert!(
            dispatcher.poll().is_none(),
            "{second} s: the hint is still there"
        );
    }

    usage.set_takes_removals(true);
    dispatcher.look_after(&usage, NOW + Duration::from_secs(601));
    assert!(matches!(dispatcher.poll(), Some(Act::Load { .. })));
}

#[test]
fn a_removal_that_is_not_taken_makes_its_queue_rest() {
    let key = key_of(&state(3).cluster, AWAY);
    let mut dispatcher = HintDispatcher::new(state(3).cluster, 1_000);
    let (mut sent, mut now) = (0, NOW);
    while now < NOW + Duration::from_secs(60) {
        dispatcher.handle_time(&kept(), now);
        while let Some(act) = dispatcher.poll() {
            match act {
                Act::Load { target, .. } => dispatcher.handle_page(target, Some(page(&key)), now),
                Act::Send { to, frame } => {
                    sent += 1;
                    dispatcher.handle_answer(to, frame.id, &Response::Joined, now);
                }
                Act::Remove(_) => dispatcher.handle_unremoved(AWAY, now),
            }
        }
        now += Duration::from_millis(100);
    }
    assert!((30..=60).contains(&sent), "{sent}: about once a second");
}

#[test]
fn hints_that_are_all_paused_are_not_read_before_one_of_them_is_due() {
    let cluster = state(3).cluster;
    let mut dispatcher = HintDispatcher::new(Arc::clone(&cluster), 1_000);
    let mut left = twenty(&cluster);
    let refuse = |_: &Bytes| Response::Refused(Refusal::BadRecord);
    let sent = deliver_for(600, &mut dispatcher, &mut left, refuse);
    let pages = sent[&Bytes::new()];
    // Pauses of 1, 2, 4 ... 60 s, and 60 s from then on.
    assert!((8..30).contains(&pages), "{pages} pages");
    assert!(left.iter().all(|hint| sent[&hint.key] > 10), "{sent:?}");
}

#[test]
fn a_new_hint_does_not_wait_for_those_that_are_paused() {
    let (mut queue, now) = (TargetQueue::new(MAX_WINDOW), NOW);
    queue.note_kept(1, now);
    assert!(queue.step(Duration::ZERO, now).is_some());
    let key = Bytes::from_static(b"k");
    queue.loaded(page(&key), now);
    for _ in 0..8 {
        let Page { hints, .. } = page(&key);
        queue.refused(&hints[0], Refusal::BadRecord, None, now);
    }
    assert_eq!(queue.step(Duration::ZERO, now), None);
    assert_eq!(
        queue.step(Duration::ZERO, now + 2 * LONGEST_REST),
        None,
        "paused"
    );
    queue.note_kept(2, now + 2 * LONGEST_REST);
    assert!(queue.step(Duration::ZERO, now + 3 * LONGEST_REST).is_some());
}
