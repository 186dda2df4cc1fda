//! Properties of health under any order of requests, answers, link failures and pauses.

use proptest::prelude::*;

use super::*;

/// Something that happens to node A.
#[derive(Debug, Clone, Copy)]
enum Event {
    Sent(bool),
    Answered(u8),
    Unsent,
    Link(u8),
    Time(u64),
    Look,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any::<bool>().prop_map(Event::Sent),
        2 => any::<u8>().prop_map(Event::Answered),
        1 => Just(Event::Unsent),
        1 => any::<u8>().prop_map(Event::Link),
        4 => prop_oneof![0_u64..400_000, 0_u64..3_000, Just(u64::MAX / 1_024)].prop_map(Event::Time),
        4 => Just(Event::Look),
    ]
}

/// A bench after anything at all, and the ids of what may be under way.
fn after(events: &[Event]) -> Bench {
    let (mut bench, mut ids) = (Bench::new(), Vec::new());
    for &event in events {
        let (now, last) = (bench.now, ids.last().copied().unwrap_or(0));
        match event {
            Event::Sent(read) => {
                bench.id += 1;
                let asked = if read { Asked::Read } else { Asked::Write };
                bench.health.sent(A, bench.id, asked, now);
                ids.push(bench.id);
            }
            Event::Answered(kind) => {
                let answer = match kind % 5 {
                    0 => Answer::Served,
                    1 => Answer::Refused,
                    4 => Answer::Expired,
                    2 => Answer::Overloaded {
                        queue_ms: u32::from(kind) << 24,
                    },
                    _ => Answer::Unfit,
                };
                ids.pop();
                bench.answer(A, last, answer);
            }
            Event::Unsent => {
                ids.pop();
                bench.health.unsent(A, last);
            }
            Event::Link(kind) => {
                let link = [Link::Opening, Link::Up, Link::Down][usize::from(kind % 3)];
                bench.health.set_link(A, link, now);
            }
            Event::Time(micros) => bench.pass(micros),
            Event::Look => bench.health.look(now),
        }
    }
    bench
}

proptest! {
    #[test]
    fn an_ejected_node_is_always_probed_within_the_longest_ejection(
        events in proptest::collection::vec(event(), 0..200),
        patient_writes in any::<bool>(),
    ) {
        let mut bench = after(&events);
        bench.health.set_link(A, Link::Up, bench.now);
        for _ in 0..3 {
            let id = bench.send(A);
            bench.answer(A, id, Answer::Unfit);
        }
        prop_assert!(bench.is_ejected(A));
        let begun = bench.now;
        while !bench.probes_a() && bench.is_ejected(A) {
            if patient_writes && !bench.health.nodes[&A].wants_probe(bench.now) {
                bench.id += 1;
                let (id, now) = (bench.id, bench.now);
                bench.health.sent(A, id, Asked::Write, now);
            }
            bench.pass_looking(10);
            // its time, until a probe that is under way is overdue, its time again
            prop_assert!(bench.now.since(begun) < 2 * 5_000_000 + 1_100_000);
        }
        let probe = bench.send(A);
        bench.answer(A, probe, Answer::Served);
        prop_assert!(!bench.is_ejected(A), "an answer brings it back");
    }

    #[test]
    fn estimates_and_orders_survive_anything(
        events in proptest::collection::vec(event(), 0..200),
    ) {
        let bench = after(&events);
        let node = &bench.health.nodes[&A];
        prop_assert!(node.read_mean() <= delay::MAX_DELAY);
        prop_assert!(node.read_p95().is_none_or(|p95| p95 >= node.read_mean()));
        let mut ordered = bench.ordered();
        ordered.sort();
        prop_assert_eq!(ordered, [A, B, C], "nobody is left out");
        prop_assert!(bench.wait(&[A, B]).is_none_or(|wait| (HEDGE_FLOOR..HEDGE_ALL_AFTER).contains(&wait)));
        bench.probes_a();
        prop_assert_eq!(bench.health.nodes().count(), 3);
    }

    #[test]
    fn a_dead_node_is_out_of_first_place_within_three_timeouts_and_half_a_second(
        delay in 50_u64..20_000,
        gap_ms in 1_u64..15,
        patience_for_others in 1_u64..4,
    ) {
        let mut bench = Bench::with_delays([delay; 3]);
        let begun = bench.now;
        let mut silences = 0;
        // one read at a time, each sent on after the `hedge_all_after` if it was A's turn
        while bench.ordered()[0] == A {
            bench.send(A);
            silences += 1;
            bench.pass_looking(100 + 10 * gap_ms);
            bench.serve(B, delay * patience_for_others);
            bench.serve(C, delay * patience_for_others);
        }
        prop_assert!(silences <= 3 && bench.now.since(begun) < 1_000_000, "{silences} silences");
        // and it stays there, though nobody asks it
        for _ in 0..100 {
            bench.pass_looking(10);
            bench.serve(B, delay * patience_for_others);
            prop_assert!(bench.ordered()[0] != A);
        }
    }
}
