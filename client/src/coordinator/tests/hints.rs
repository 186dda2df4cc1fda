//! Hints: which node is asked to keep a write for which owner, when, and what that counts.

use super::*;

fn sloppy(value: &'static str) -> Call {
    let Call::Write { update, mut plan } = put(value, None) else {
        unreachable!("a put is a write");
    };
    plan.sloppy = true;
    Call::Write { update, plan }
}

/// The target of a frame's hint.
fn target(frame: &RequestFrame) -> Option<NodeId> {
    match &frame.request {
        Request::Hint { target, .. } => Some(*target),
        _ => None,
    }
}

/// A bench of so many nodes, and the owners and fallbacks of the key that it writes.
fn bench(members: u32) -> (Bench, Vec<NodeId>, Vec<NodeId>) {
    let bench = Bench::of(members);
    let topology = bench.coordinator.topology();
    let lists = topology.lists(topology.token_of(b"k"));
    let (owners, fallbacks) = (lists.owners().collect(), lists.fallbacks().collect());
    (bench, owners, fallbacks)
}

#[test]
fn an_owner_without_a_connection_gets_a_hint_at_the_next_fallback() {
    let (mut bench, owners, fallbacks) = bench(5);
    bench.link(owners[0].0, Link::Down);
    bench.start(1, put("v", None));
    let sent = bench.sent();
    assert_eq!(
        sent.len(),
        2,
        "strict: nothing is kept before it is written"
    );
    sent.iter()
        .for_each(|to| bench.answer(to, Response::Joined));
    let written = bench.written().unwrap();
    assert_eq!((written.acked, written.hints), (2, 0));
    let hints = bench.sent();
    assert_eq!(hints.len(), 1);
    assert_eq!(
        (hints[0].0, target(&hints[0].1)),
        (fallbacks[0], Some(owners[0]))
    );
    let refused = Response::Refused(Refusal::HintsFull { bytes: 9, max: 9 });
    bench.answer(&hints[0], refused);
    let next = bench.sent();
    assert_eq!(
        (next[0].0, target(&next[0].1)),
        (fallbacks[1], Some(owners[0]))
    );
    bench.answer(&next[0], Response::Joined);
    assert!(bench.coordinator.is_idle());
    let report = bench.coordinator.context.health_report();
    assert_eq!((report.hints, report.hints_forgone), (1, 0));
}

#[test]
fn without_fallbacks_an_owner_that_has_the_write_keeps_it_for_the_one_that_has_not() {
    let (mut bench, owners, fallbacks) = bench(3);
    assert!(fallbacks.is_empty());
    bench.link(owners[1].0, Link::Down);
    bench.start(1, put("v", None));
    let sent = bench.sent();
    sent.iter()
        .for_each(|to| bench.answer(to, Response::Joined));
    let hints = bench.sent();
    assert_eq!(
        (hints[0].0, target(&hints[0].1)),
        (owners[0], Some(owners[1]))
    );
    bench.answer(&hints[0], Response::Joined);
    assert!(bench.coordinator.is_idle());
}

#[test]
fn a_sloppy_put_succeeds_with_one_owner_and_a_fallback() {
    let (mut bench, owners, fallbacks) = bench(5);
    bench.link(owners[0].0, Link::Down);
    bench.link(owners[1].0, Link::Down);
    bench.start(1, put("v", None));
    let failed = |bench: &mut Bench| {
        let sent = bench.sent();
        sent.iter()
            .for_each(|to| bench.answer(to, Response::Joined));
        bench.written()
    };
    assert!(failed(&mut bench).is_err(), "strict");
    bench.start(2, sloppy("w"));
    let sent = bench.sent();
    let kept: Vec<_> = sent
        .iter()
        .filter(|(_, frame)| target(frame).is_some())
        .collect();
    let holders: Vec<NodeId> = kept.iter().map(|(node, _)| *node).collect();
    assert_eq!(kept.len(), 2);
    assert!(
        fallbacks.iter().all(|node| holders.contains(node)),
        "one each"
    );
    sent.iter()
        .for_each(|to| bench.answer(to, Response::Joined));
    let written = bench.written().unwrap();
    assert_eq!(written.acked, 2);
    assert!(written.hints >= 1);
    assert!(bench.coordinator.is_idle());
}

#[test]
fn a_sloppy_put_whose_hint_may_have_arrived_is_never_reported_as_not_stored() {
    let (mut bench, owners, fallbacks) = bench(4);
    bench.link(fallbacks[0].0, Link::Up);
    bench.link(owners[0].0, Link::Down);
    bench.start(1, sloppy("v"));
    let sent = bench.sent();
    assert_eq!(sent[2].0, fallbacks[0]);
    bench.link(fallbacks[0].0, Link::Down);
    let above = Time::at(Millis(WALL.0 + 300));
    let named = false;
    for to in &sent[..2] {
        bench.answer(to, Response::Superseded { named, above });
    }
    let again = bench.sent();
    assert_eq!(again.len(), 2, "minted again");
    for to in &again {
        bench.answer(to, Response::Refused(Refusal::NotReplica));
    }
    let error = bench.written().unwrap_err();
    assert_eq!(error.stored(), Stored::Maybe, "{error}");
}

#[test]
fn a_node_that_keeps_a_write_for_two_owners_counts_once() {
    let (mut bench, owners, fallbacks) = bench(4);
    assert_eq!(fallbacks.len(), 1);
    bench.link(owners[0].0, Link::Down);
    bench.link(owners[1].0, Link::Down);
    bench.start(1, sloppy("v"));
    let sent = bench.sent();
    assert_eq!(
        sent.iter()
            .filter(|(node, _)| *node == fallbacks[0])
            .count(),
        2
    );
    for to in sent.iter().filter(|(node, _)| *node == fallbacks[0]) {
        bench.answer(to, Response::Joined);
    }
    assert!(bench.done().is_none());
    let owner = sent.iter().find(|(node, _)| *node == owners[2]).unwrap();
    bench.answer(owner, Response::Joined);
    assert_eq!(bench.written().unwrap().acked, 2);
}

#[test]
fn an_owner_that_does_not_answer_is_given_a_second_and_then_a_hint() {
    let (mut bench, owners, fallbacks) = bench(5);
    bench.start(1, put("v", None));
    let sent = bench.sent();
    bench.answer(&sent[0], Response::Joined);
    bench.answer(&sent[1], Response::Joined);
    bench.written().unwrap();
    bench.pass(900);
    assert!(bench.sent().is_empty());
    bench.pass(101);
    bench.pass(10);
    let hints = bench.sent();
    let hint = (hints[0].0, target(&hints[0].1));
    assert_eq!(hint, (fallbacks[0], Some(owners[2])));
    assert!(hints[0].1.budget_ms > 900, "it has time of its own");
    bench.pass(1_000);
    bench.pass(10);
    assert!(
        bench.coordinator.is_idle(),
        "nobody is waited for any longer"
    );
    assert_eq!(bench.coordinator.context.health_report().hints_forgone, 1);
}

#[test]
fn a_connection_that_breaks_brings_the_hint_at_once() {
    let (mut bench, owners, _) = bench(5);
    bench.start(1, put("v", None));
    let sent = bench.sent();
    for node in &owners {
        bench.link(node.0, Link::Up);
    }
    bench.answer(&sent[0], Response::Joined);
    bench.answer(&sent[1], Response::Joined);
    bench.written().unwrap();
    bench.link(owners[2].0, Link::Down);
    let hints = bench.sent();
    assert_eq!(target(&hints[0].1), Some(owners[2]));
}

#[test]
fn writes_beyond_the_bound_of_pending_handoff_are_forgotten_and_counted() {
    let (mut bench, _, _) = bench(5);
    let many = 8 << 10; // one owner is late: 8 MiB
    let mut waiting = 0;
    for ticket in 0..2 * many {
        bench.start(ticket, put("v", None));
        let sent = bench.sent();
        bench.answer(&sent[0], Response::Joined);
        bench.answer(&sent[1], Response::Joined);
        bench.written().unwrap();
        waiting = ticket + 1
            - u32::try_from(bench.coordinator.context.health_report().hints_forgone).unwrap();
    }
    assert!((many..2 * many).contains(&waiting), "{waiting} wait");
    assert_eq!(bench.occupied(), 0);
}

#[test]
fn a_failed_send_is_handled_once_the_other_sends_are_out() {
    let (mut bench, owners, fallbacks) = bench(5);
    bench.link(owners[0].0, Link::Down);
    bench.start(1, sloppy("v"));
    let sent = bench.sent();
    let nodes: Vec<NodeId> = sent.iter().map(|(node, _)| *node).collect();
    assert_eq!(nodes, [owners[1], owners[2], fallbacks[0]]);
    assert_eq!(target(&sent[2].1), Some(owners[0]));
}
