//! Slow, dead and recovered nodes, and how reads treat them.

mod properties;

use super::*;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const HEDGE_ALL_AFTER: u64 = 100_000;

/// Nodes under a clock that the test turns.
struct Bench {
    health: Health,
    now: Moment,
    id: u64,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            health: Health::new(HEDGE_ALL_AFTER),
            now: Moment(1_000_000),
            id: 0,
        };
        for node in [A, B, C] {
            bench.health.set_link(node, Link::Up, bench.now);
        }
        bench
    }

    /// Nodes that have answered a hundred reads each, in so many microseconds.
    fn with_delays(delays: [u64; 3]) -> Self {
        let mut bench = Self::new();
        for _ in 0..100 {
            for (node, micros) in [A, B, C].into_iter().zip(delays) {
                bench.serve(node, micros);
            }
        }
        bench
    }

    fn send(&mut self, node: NodeId) -> u64 {
        self.id += 1;
        self.health.sent(node, self.id, Asked::Read, self.now);
        self.id
    }

    fn answer(&mut self, node: NodeId, id: u64, answer: Answer) {
        self.health.answered(node, id, answer, self.now);
    }

    /// A node answers a read after so many microseconds.
    fn serve(&mut self, node: NodeId, micros: u64) {
        let id = self.send(node);
        self.pass(micros);
        self.answer(node, id, Answer::Served);
    }

    fn pass(&mut self, micros: u64) {
        self.now = self.now.after(micros);
    }

    /// Time passes, and is looked at every 10 ms as the coordinator does.
    fn pass_looking(&mut self, millis: u64) {
        for _ in 0..millis / 10 {
            self.pass(10_000);
            self.health.look(self.now);
        }
    }

    fn ordered(&self) -> [NodeId; 3] {
        let mut nodes = [A, B, C];
        self.health.route(&mut nodes, 3, self.now);
        nodes
    }

    fn is_ejected(&self, node: NodeId) -> bool {
        self.health.nodes[&node].is_ejected()
    }

    /// Has node A leave three reads unanswered until it is ejected.
    fn eject_a(&mut self) {
        for _ in 0..3 {
            self.send(A);
        }
        let begun = self.now;
        while !self.is_ejected(A) {
            self.pass_looking(10);
            assert!(self.now.since(begun) <= 1_000_000);
        }
    }

    /// Nodes as a read ranks them.
    fn ranked(&self, nodes: &[NodeId]) -> Vec<Ranked<'_>> {
        let rank = |id: &NodeId| (Cost::unknown(), *id, self.health.nodes.get(id));
        nodes.iter().map(rank).collect()
    }

    /// How long a read of these nodes would wait before it hedges.
    fn wait(&self, asked: &[NodeId]) -> Option<u64> {
        self.health.hedge_after(&self.ranked(asked))
    }

    /// Whether a read of the others would send node A a probe now.
    fn probes_a(&self) -> bool {
        probe(&self.ranked(&[B, C]), &self.ranked(&[A]), self.now) == Some(A)
    }
}

#[test]
fn reads_ask_the_quickest_first_and_count_what_waits_there() {
    let mut bench = Bench::with_delays([900, 300, 500]);
    assert_eq!(bench.ordered(), [B, C, A]);
    bench.send(B);
    assert_eq!(
        bench.ordered(),
        [C, B, A],
        "two in line at 300 are slower than one at 500"
    );
    bench.send(B);
    bench.send(C);
    bench.send(C);
    assert_eq!(bench.ordered(), [A, B, C]);
}

#[test]
fn an_unknown_node_is_asked_once_the_others_are_busy() {
    let mut bench = Bench::new();
    for _ in 0..9 {
        bench.serve(A, 300);
        bench.serve(B, 300);
    }
    assert_eq!(bench.ordered(), [A, B, C]);
    for node in [A, B, A, B, A, B] {
        bench.send(node);
    }
    assert_eq!(bench.ordered()[0], C);
}

#[test]
fn an_unreachable_node_comes_last_and_has_nothing_in_flight() {
    let mut bench = Bench::with_delays([100, 200, 300]);
    bench.send(A);
    assert_eq!(bench.health.set_link(A, Link::Down, bench.now), Link::Up);
    assert!(!bench.health.reachable(A) && bench.health.reachable(NodeId(99)));
    assert_eq!(bench.ordered(), [B, C, A]);
    assert_eq!(bench.health.set_link(A, Link::Up, bench.now), Link::Down);
    assert_eq!(bench.health.nodes[&A].in_flight(), 0);
}

#[test]
fn a_request_that_is_not_answered_counts_as_delay_while_it_lasts() {
    let mut bench = Bench::with_delays([300; 3]);
    bench.send(A);
    let mean = |bench: &Bench| bench.health.nodes[&A].read_mean();
    bench.pass_looking(90);
    assert!(mean(&bench) < 400, "it may come yet");
    bench.pass_looking(20);
    assert!(mean(&bench) > 12_000);
    bench.pass_looking(300);
    assert!(mean(&bench) > 60_000, "400 ms by now");
}

#[test]
fn three_requests_overdue_in_a_row_eject_a_node_and_one_answer_between_does_not() {
    let mut bench = Bench::with_delays([300; 3]);
    for _ in 0..4 {
        bench.send(A);
        bench.send(A);
        bench.pass_looking(400);
        assert!(!bench.is_ejected(A));
        bench.serve(A, 300);
    }
    bench.eject_a();
    assert_eq!(bench.ordered()[2], A);
    assert_eq!(bench.health.counters.ejections, 1);
}

#[test]
fn a_node_that_dies_under_load_is_ejected_a_tick_after_hedge_all_after() {
    let mut bench = Bench::with_delays([300; 3]);
    for _ in 0..3 {
        bench.send(A);
    }
    bench.pass_looking(100);
    assert!(bench.is_ejected(A));
}

#[test]
fn an_ejected_node_gets_one_probe_after_its_time_and_an_answer_brings_it_back() {
    let mut bench = Bench::with_delays([300; 3]);
    bench.eject_a();
    assert_eq!(bench.ordered(), [B, C, A]);
    bench.pass(199_999);
    assert!(!bench.probes_a());
    bench.pass(1);
    assert!(bench.probes_a());
    let probe = bench.send(A);
    assert!(!bench.probes_a(), "one is under way");
    bench.answer(A, probe, Answer::Served);
    assert!(!bench.is_ejected(A));
}

#[test]
fn a_probe_that_was_not_sent_is_replaced_by_another() {
    let mut bench = Bench::with_delays([300; 3]);
    bench.eject_a();
    bench.pass(200_000);
    let probe = bench.send(A);
    assert!(!bench.probes_a());
    bench.health.unsent(A, probe);
    assert!(bench.probes_a());
}

#[test]
fn each_unanswered_probe_doubles_the_ejection_up_to_five_seconds() {
    let mut bench = Bench::with_delays([300; 3]);
    bench.eject_a();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let begun = bench.now;
        while !bench.probes_a() {
            bench.pass_looking(10);
        }
        pauses.push(bench.now.since(begun) / 1_000);
        bench.send(A);
    }
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert!(
        (5_000..=6_100).contains(&pauses[7]),
        "{pauses:?}: the time, and until the probe is overdue"
    );
    assert_eq!(bench.health.counters.ejections, 8);
}

#[test]
fn a_node_that_fails_again_soon_after_it_came_back_is_ejected_for_twice_as_long() {
    let mut bench = Bench::with_delays([300; 3]);
    bench.eject_a();
    bench.serve(A, 300);
    for _ in 0..3 {
        let id = bench.send(A);
        bench.answer(A, id, Answer::Unfit);
    }
    assert!(
        bench.is_ejected(A),
        "stopping, not ready or broken three times in a row"
    );
    bench.pass(399_999);
    assert!(!bench.probes_a());
    bench.pass(1);
    assert!(bench.probes_a());
}

#[test]
fn writes_to_a_dead_node_do_not_delay_its_probe() {
    let mut bench = Bench::with_delays([300; 3]);
    bench.eject_a();
    let again = |bench: &mut Bench| {
        for _ in 0..20 {
            bench.id += 1;
            let (id, now) = (bench.id, bench.now);
            bench.health.sent(A, id, Asked::Write, now);
            bench.pass_looking(10);
        }
    };
    for _ in 0..200 {
        again(&mut bench);
    }
    let ejections = bench.health.counters.ejections;
    assert!(
        (8..=14).contains(&ejections),
        "{ejections} in 40 s, at most five seconds apart"
    );
}

#[test]
fn slow_writes_eject_a_node_only_once_it_answers_nothing_else() {
    let mut bench = Bench::with_delays([300; 3]);
    let write = |bench: &mut Bench| {
        bench.id += 1;
        let (id, now) = (bench.id, bench.now);
        bench.health.sent(A, id, Asked::Write, now);
    };
    for _ in 0..300 {
        write(&mut bench);
        bench.serve(A, 300);
        bench.pass_looking(10);
        assert!(!bench.is_ejected(A), "it answers reads as ever");
    }
    bench.pass_looking(80);
    assert!(!bench.is_ejected(A));
    bench.pass_looking(10);
    assert!(
        bench.is_ejected(A),
        "nothing was heard for as long as the hedge_all_after"
    );
}

#[test]
fn an_overloaded_node_is_avoided_for_as_long_as_its_queue_and_never_ejected() {
    let mut bench = Bench::with_delays([300, 400, 500]);
    for _ in 0..20 {
        let id = bench.send(A);
        bench.answer(A, id, Answer::Overloaded { queue_ms: 30 });
    }
    assert_eq!(bench.ordered(), [B, C, A]);
    assert!(!bench.is_ejected(A) && !bench.health.can_help(A, bench.now));
    bench.pass(30_000);
    assert_eq!(
        bench.ordered(),
        [A, B, C],
        "quick refusals are not taken for quick answers either"
    );
    assert!(bench.health.can_help(A, bench.now));
}

#[test]
fn a_hedge_waits_for_the_slowest_of_those_asked_but_not_for_an_ejected_one() {
    let mut bench = Bench::with_delays([300, 2_000, 5_000]);
    assert_eq!(bench.wait(&[A]), Some(1_000), "the floor");
    assert!((2_000..2_400).contains(&bench.wait(&[A, B]).unwrap()));
    assert!((5_000..5_900).contains(&bench.wait(&[A, C]).unwrap()));
    assert_eq!(bench.wait(&[A, NodeId(9)]), None, "nothing is known of one");
    bench.eject_a();
    assert!((2_000..2_400).contains(&bench.wait(&[A, B]).unwrap()));
    assert_eq!(bench.wait(&[A]), None, "there is nobody to wait for");
}

#[test]
fn a_node_slower_than_hedge_all_after_is_not_hedged_earlier() {
    let bench = Bench::with_delays([250_000, 300, 300]);
    assert_eq!(bench.wait(&[A, B]), None);
}

#[test]
fn a_node_that_was_slow_is_probed_once_a_second() {
    let mut bench = Bench::with_delays([200_000, 300, 300]);
    let mut asked = 0;
    for _ in 0..3_000 {
        bench.pass(1_000);
        if bench.probes_a() {
            asked += 1;
            bench.serve(A, 300);
        }
    }
    assert_eq!(asked, 3);
    for _ in 0..60 {
        bench.serve(A, 300);
    }
    bench.pass(5_000_000);
    assert!(!bench.probes_a(), "it is no slower than the others");
}

#[test]
fn an_expired_request_is_no_sign_of_life_and_no_strike() {
    let mut bench = Bench::with_delays([300; 3]);
    for _ in 0..5 {
        let id = bench.send(A);
        bench.pass(1_000);
        bench.answer(A, id, Answer::Expired);
    }
    assert!(!bench.is_ejected(A));
    bench.eject_a();
    bench.pass(200_000);
    let probe = bench.send(A);
    bench.answer(A, probe, Answer::Expired);
    assert!(
        bench.is_ejected(A) && bench.probes_a(),
        "it was never asked"
    );
}

#[test]
fn late_answers_are_samples_too() {
    let mut bench = Bench::with_delays([300; 3]);
    let late = bench.send(A);
    bench.pass_looking(700);
    bench.answer(A, late, Answer::Served);
    assert!(bench.health.nodes[&A].read_p95().unwrap() > HEDGE_ALL_AFTER);
    bench.answer(A, late, Answer::Served);
    assert_eq!(
        bench.health.nodes[&A].in_flight(),
        0,
        "and one that comes twice does no harm"
    );
}

/// Reads one after the other for a second, two replicas each; gives back how often each node was asked first.
fn first_places(bench: &mut Bench, at_once: usize, takes: impl Fn(NodeId) -> u64) -> [u64; 3] {
    let mut firsts = [0; 3];
    let mut under_way: Vec<(Moment, NodeId, u64)> = Vec::new();
    for _ in 0..10_000 {
        bench.pass(100);
        let now = bench.now;
        for (_, node, id) in under_way.extract_if(.., |(due, ..)| *due <= now) {
            bench.health.answered(node, id, Answer::Served, now);
        }
        if now.0.is_multiple_of(10_000) {
            bench.health.look(now);
        }
        if under_way.len() < at_once {
            let first = bench.ordered()[0];
            firsts[usize::try_from(first.0).unwrap() - 1] += 1;
            let id = bench.send(first);
            under_way.push((now.after(takes(first)), first, id));
        }
    }
    firsts
}

#[test]
fn a_slow_node_loses_reads_in_proportion_to_its_delay() {
    let mut bench = Bench::with_delays([1_000; 3]);
    let even = first_places(&mut bench, 60, |_| 1_000);
    assert!(
        even.iter().all(|&n| n.abs_diff(even[0]) * 3 < even[0]),
        "{even:?}"
    );
    for factor in [3, 10] {
        let mut bench = Bench::with_delays([1_000; 3]);
        let slow = |node| if node == A { 1_000 * factor } else { 1_000 };
        let shares = first_places(&mut bench, 60, slow);
        let fair = (shares[1] + shares[2]) / 2;
        assert!(
            shares[0] * factor <= fair * 2,
            "{factor} times as slow: {shares:?}"
        );
        assert!(shares[0] > 0, "{shares:?}");
    }
}

#[test]
fn a_full_disk_is_no_strike_since_its_node_serves_reads_and_takes_deletes() {
    let refused = |fault| Answer::from(&Response::Refused(Refusal::Storage(fault)));
    assert_eq!(refused(Fault::NoSpace), Answer::Refused);
    assert_eq!(refused(Fault::Filled), Answer::Unfit);
}
