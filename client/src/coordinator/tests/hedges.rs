//! Slow, silent and dead replicas: who else is asked, when, and what that may cost.

use super::*;
use crate::health::Budget;
use crate::metrics::RequestKind;

/// What every node takes to answer while it is well, in microseconds.
const USUAL: u64 = 5_000;

fn get_from(r: u8) -> Call {
    let count = Some(r);
    Call::Read {
        key: "k".into(),
        plan: Plan { count, ..plan() },
    }
}

fn micros_later(bench: &mut Bench, micros: u64) {
    bench.micros += micros;
    let now = bench.now();
    bench.coordinator.handle_time(now);
}

/// Time passes as the driver lets it: whenever the coordinator wants to be called, it is.
fn pass_ticking(bench: &mut Bench, millis: u64) {
    let end = bench.micros + millis * 1_000;
    while let Some(next) = bench.coordinator.poll_time()
        && next.0 <= end
    {
        bench.micros = bench.micros.max(next.0);
        let now = bench.now();
        bench.coordinator.handle_time(now);
    }
    bench.micros = end;
}

/// A coordinator that knows its three nodes: each has answered many reads in the usual time.
fn warm() -> Bench {
    let mut bench = Bench::new();
    for node in 1..=3 {
        bench.link(node, Link::Up);
    }
    for _ in 0..100 {
        bench.start(0, get_from(3));
        let asked = bench.sent();
        bench.micros += USUAL;
        for to in &asked {
            bench.answer(to, Response::Absent);
        }
        assert!(bench.read().is_ok());
    }
    bench
}

fn report(bench: &Bench) -> HealthReport {
    bench.coordinator.context.health_report()
}

#[test]
fn a_health_report_is_answered_at_once_and_asks_no_node() {
    let mut bench = warm();
    bench.start(9, Call::Health);
    let Some((9, Done::Health(health))) = bench.done() else {
        panic!("no report");
    };
    assert_eq!(health, report(&bench));
    let node = health.nodes[0];
    assert_eq!((node.node, node.in_flight), (NodeId(1), 0));
    assert_eq!(node.read_mean, Some(Duration::from_micros(USUAL)));
    assert!(node.reachable && !node.ejected);
    assert!(bench.sent().is_empty() && bench.occupied() == 0);
}

#[test]
fn a_hedge_goes_out_after_the_estimate_and_not_before() {
    let mut bench = warm();
    bench.start(1, get());
    let asked = bench.sent();
    assert_eq!(asked.len(), 2);
    micros_later(&mut bench, USUAL);
    assert!(bench.sent().is_empty(), "as late as usual");
    let due = bench.coordinator.poll_time().unwrap();
    assert!(due.0 < bench.micros + USUAL, "the driver is to call soon");
    bench.micros = due.0 - 1;
    micros_later(&mut bench, 0);
    assert!(bench.sent().is_empty());
    micros_later(&mut bench, 1);
    let hedge = bench.sent();
    assert_eq!(hedge.len(), 1);
    assert!(asked.iter().all(|(node, _)| *node != hedge[0].0));
}

#[test]
fn one_replica_is_asked_for_each_hedge_and_nobody_twice() {
    let mut bench = warm();
    bench.start(1, get());
    bench.sent();
    pass_ticking(&mut bench, 90);
    assert_eq!(bench.sent().len(), 1);
    pass_ticking(&mut bench, 100);
    assert!(bench.sent().is_empty(), "all three were asked");
    assert_eq!(report(&bench).hedges, 1);
    let (_, sent, _) = bench.coordinator.counters();
    assert_eq!(sent.attempts[RequestKind::Hedge as usize], 1);
    assert_eq!(
        sent.attempts[RequestKind::Read as usize],
        302,
        "three by each of a hundred, and two"
    );
}

#[test]
fn a_read_that_was_answered_in_time_hedges_no_more() {
    let mut bench = warm();
    bench.start(1, get());
    for to in bench.sent() {
        bench.answer(&to, Response::Absent);
    }
    assert!(bench.read().is_ok());
    assert_eq!(
        bench.coordinator.context.timers.next(),
        Some(Moment(10_000)),
        "an old tick"
    );
    pass_ticking(&mut bench, 200);
    assert!(bench.sent().is_empty());
}

#[test]
fn a_hedge_that_answers_first_wins_and_the_losers_late_answer_is_harmless() {
    let mut bench = warm();
    bench.start(1, get());
    let asked = bench.sent();
    bench.answer(&asked[0], Response::Absent);
    micros_later(&mut bench, 3 * USUAL);
    let hedge = bench.sent();
    bench.answer(&hedge[0], Response::Absent);
    assert!(bench.read().is_ok());
    let health = report(&bench);
    assert_eq!((health.hedges, health.hedges_won), (1, 1));
    bench.micros += 300_000;
    bench.answer(&asked[1], Response::Absent);
    assert!(bench.done().is_none() && bench.sent().is_empty());
    assert_eq!(bench.occupied(), 0);
    let late = asked[1].0;
    let health = report(&bench);
    let slow = health
        .nodes
        .iter()
        .max_by_key(|node| node.read_mean)
        .unwrap();
    assert_eq!(slow.node, late, "how late it was is learnt");
}

#[test]
fn a_loser_is_repaired_with_the_others_when_the_hedge_has_found_something_newer() {
    let mut bench = warm();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    let record = record_bytes(&sent[0].1);
    for to in &sent {
        bench.answer(to, Response::Joined);
    }
    bench.written().unwrap();
    bench.start(2, get());
    let asked = bench.sent();
    bench.answer(&asked[0], Response::Absent);
    micros_later(&mut bench, 3 * USUAL);
    let hedge = bench.sent();
    bench.answer(&hedge[0], Response::Record(record.clone()));
    let repairs = bench.sent();
    let repaired: Vec<_> = repairs.iter().map(|(node, _)| *node).collect();
    assert_eq!(
        repaired,
        [asked[0].0, asked[1].0],
        "the loser is written to as well"
    );
    bench.answer(&asked[1], Response::Absent);
    assert!(bench.done().is_none(), "one holds it");
    bench.answer(&repairs[1], Response::Joined);
    assert_eq!(bench.read().unwrap().live().len(), 1);
}

#[test]
fn a_hedge_that_loses_is_not_counted_as_won() {
    let mut bench = warm();
    bench.start(1, get());
    let asked = bench.sent();
    micros_later(&mut bench, 3 * USUAL);
    assert_eq!(bench.sent().len(), 1);
    for to in &asked {
        bench.answer(to, Response::Absent);
    }
    assert!(bench.read().is_ok());
    let health = report(&bench);
    assert_eq!((health.hedges, health.hedges_won), (1, 0));
}

#[test]
fn without_a_token_no_hedge_goes_out_and_all_are_asked_in_the_end() {
    let mut bench = warm();
    while bench.coordinator.context.budget.take() {}
    bench.start(1, get());
    assert_eq!(bench.sent().len(), 2);
    pass_ticking(&mut bench, 90);
    assert!(bench.sent().is_empty());
    assert_eq!(report(&bench).hedges_refused, 1);
    pass_ticking(&mut bench, 20);
    assert_eq!(bench.sent().len(), 1, "asked for its quorum's sake");
    assert_eq!(report(&bench).hedges, 0);
}

#[test]
fn a_write_minted_again_costs_a_token() {
    let mut bench = warm();
    let tokens = |mut budget: Budget| core::iter::from_fn(|| budget.take().then_some(())).count();
    let before = tokens(bench.coordinator.context.budget);
    bench.start(1, put("v", None));
    let above = Time::at(Millis(WALL.0 + 600));
    for to in &bench.sent() {
        let named = false;
        bench.answer(to, Response::Superseded { named, above });
    }
    assert_eq!(bench.sent().len(), 3);
    assert_eq!(tokens(bench.coordinator.context.budget), before - 1);
}

#[test]
fn a_coordinator_that_knows_no_delays_waits_for_hedge_all_after() {
    let mut bench = Bench::new();
    bench.start(1, get());
    bench.sent();
    pass_ticking(&mut bench, 90);
    assert!(bench.sent().is_empty());
    pass_ticking(&mut bench, 20);
    assert_eq!(bench.sent().len(), 1);
    assert_eq!(report(&bench).hedges, 0);
}

/// Has a node leave everything unanswered until it is ejected; gives back which one.
fn silence_one(bench: &mut Bench) -> NodeId {
    bench.start(1, get());
    let dead = bench.sent()[0].0;
    let mut rounds = 0;
    while !report(bench).nodes.iter().any(|node| node.ejected) {
        for to in bench.sent() {
            if to.0 != dead {
                bench.answer(&to, Response::Joined);
            }
        }
        bench.start(2, put("v", None));
        pass_ticking(bench, 20);
        rounds += 1;
        assert!(rounds < 30, "a dead node is found out within 600 ms");
    }
    bench.sent();
    while bench.done().is_some() {}
    dead
}

#[test]
fn a_node_that_is_silent_is_ejected_and_reads_neither_ask_it_nor_hedge_to_it() {
    let mut bench = warm();
    let dead = silence_one(&mut bench);
    bench.start(3, get());
    let asked = bench.sent();
    assert!(asked.len() == 2 && asked.iter().all(|(node, _)| *node != dead));
    pass_ticking(&mut bench, 90);
    assert!(
        bench.sent().is_empty(),
        "no node is left that a hedge would help"
    );
    pass_ticking(&mut bench, 20);
    assert_eq!(bench.sent()[0].0, dead, "better than nobody");
}

#[test]
fn one_read_sends_an_ejected_node_a_probe_beside_its_quorum_and_its_answer_brings_it_back() {
    let mut bench = warm();
    let dead = silence_one(&mut bench);
    bench.micros += 300_000;
    bench.start(3, get());
    let asked = bench.sent();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[2].0, dead);
    assert!(matches!(
        asked[2].1.request,
        Request::Get { digest: true, .. }
    ));
    bench.start(4, get());
    assert_eq!(bench.sent().len(), 2, "one probe is enough");
    for to in &asked[..2] {
        bench.answer(to, Response::Absent);
    }
    assert!(bench.read().is_ok(), "nobody waits for a probe");
    bench.answer(&asked[2], Response::Absent);
    let health = report(&bench);
    assert!(health.nodes.iter().all(|node| !node.ejected), "{health:?}");
    assert_eq!((health.ejections, health.probes), (1, 1));
}

#[test]
fn a_probe_that_was_not_queued_is_tried_again() {
    let mut bench = warm();
    let dead = silence_one(&mut bench);
    bench.micros += 300_000;
    for ticket in [3, 4] {
        bench.start(ticket, get());
        let asked = bench.sent();
        assert_eq!((asked.len(), asked[2].0), (3, dead));
        let now = bench.now();
        bench.coordinator.handle_unsent(dead, asked[2].1.id, now);
    }
}

#[test]
fn a_quorum_of_ejected_nodes_is_asked_all_the_same() {
    let mut bench = warm();
    for node in 1..=3 {
        for ticket in 0..3 {
            bench.start(
                ticket,
                Call::Ask {
                    node: NodeId(node),
                    request: Request::Status,
                    deadline: Duration::from_secs(1),
                },
            );
        }
    }
    for to in bench.sent() {
        bench.answer(&to, Response::Refused(Refusal::NotReady));
    }
    while bench.done().is_some() {}
    assert!(report(&bench).nodes.iter().all(|node| node.ejected));
    bench.start(1, get());
    let asked = bench.sent();
    assert_eq!(asked.len(), 2);
    for to in &asked {
        bench.answer(to, Response::Absent);
    }
    assert!(bench.read().is_ok());
}

#[test]
fn a_client_that_slept_accuses_nobody() {
    let mut bench = warm();
    for _ in 0..5 {
        bench.start(1, get());
    }
    micros_later(&mut bench, 10_000);
    micros_later(&mut bench, 30_000_000);
    assert!(report(&bench).nodes.iter().all(|node| !node.ejected));
}

#[test]
fn the_third_answer_to_a_write_is_learnt_from_when_nobody_waits_for_it() {
    let mut bench = warm();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    for to in &sent[..2] {
        bench.answer(to, Response::Joined);
    }
    bench.written().unwrap();
    let owed = |bench: &Bench| {
        report(bench)
            .nodes
            .iter()
            .map(|node| node.in_flight)
            .sum::<u32>()
    };
    assert_eq!(owed(&bench), 1);
    bench.answer(&sent[2], Response::Joined);
    assert_eq!(owed(&bench), 0);
}

#[test]
fn a_write_that_has_returned_stops_waiting_for_an_owner_once_that_is_ejected() {
    let mut bench = warm();
    let began = bench.micros;
    bench.start(1, get());
    let dead = bench.sent()[0].0;
    let mut hints = 0;
    for _ in 0..40 {
        for to in bench.sent() {
            match &to.1.request {
                Request::Hint { target, .. } => {
                    assert_eq!(*target, dead);
                    hints += 1;
                }
                _ if to.0 != dead => bench.answer(&to, Response::Joined),
                _ => {}
            }
        }
        bench.start(2, put("v", None));
        pass_ticking(&mut bench, 20);
    }
    assert!(
        bench.micros - began < 900_000,
        "a write would wait for a second"
    );
    assert!(report(&bench).nodes.iter().any(|node| node.ejected));
    assert!(hints > 0, "another owner keeps it meanwhile");
}
