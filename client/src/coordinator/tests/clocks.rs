//! Clients, or nodes, with wrong clocks.

mod lifetimes;

use bytes::BytesMut;
use quoit_ring::wire::encode_record;
use quoit_ring::{Actor, Dot};

use super::*;
use crate::error::{ClockSkew, Outcome};

const TTL: Duration = Duration::from_secs(30);

fn put_to_live(ttl: Duration) -> Call {
    let Call::Write { mut update, plan } = put("v", None) else {
        unreachable!("a put is a write");
    };
    update.ttl = Some(ttl);
    Call::Write { update, plan }
}

/// A stored value that expires so many milliseconds after the start.
fn expiring(ms: u64) -> Response {
    let dot = Dot {
        time: Time::at(Millis(WALL.0 - 60_000)),
        actor: Actor(9),
    };
    let value = Some(("v".into(), Some(Millis(WALL.0 + ms))));
    let mut out = BytesMut::new();
    encode_record(Delta::blind(dot, value).record(), &mut out);
    Response::Record(out.freeze())
}

fn expiry_of(frame: &RequestFrame) -> u64 {
    let record = record_in(frame);
    record.live()[0].expiry.unwrap().0 - WALL.0
}

/// Answers the questions for the time by nodes whose clocks are right.
fn tell_the_time(bench: &mut Bench) {
    for to in &bench.sent() {
        assert!(matches!(to.1.request, Request::Get { digest: true, .. }));
        bench.answer_off(to, Response::Absent, 0);
    }
}

#[test]
fn a_reader_finds_expired_dead_whatever_its_own_clock_says() {
    for wall_off in [-3_600_000, -600, 0, 600, 3_600_000] {
        let mut bench = Bench::new();
        bench.wall_off = wall_off;
        bench.start(1, get());
        for to in &bench.sent() {
            bench.answer_off(to, expiring(0), 1);
        }
        let found = bench.read().unwrap();
        assert!(found.is_tombstone(), "off by {wall_off} ms");

        // And nothing dies before its time.
        bench.start(2, get());
        for to in &bench.sent() {
            bench.answer_off(to, expiring(100), 1);
        }
        assert_eq!(bench.read().unwrap().live().len(), 1);
    }
}

#[test]
fn a_node_with_a_clock_far_ahead_ends_nobodys_values() {
    let mut bench = Bench::new();
    bench.start(1, get());
    let first = bench.sent();
    bench.answer_off(&first[0], expiring(60_000), 3_600_000);
    bench.answer_off(&first[1], expiring(60_000), 0);
    let third = bench.sent();
    assert_eq!(third.len(), 1, "another is asked in its place");
    bench.answer_off(&third[0], expiring(60_000), 0);
    assert_eq!(bench.read().unwrap().live().len(), 1);
    assert!(bench.sent().is_empty(), "no death is written back");
}

#[test]
fn a_read_that_only_a_fast_clock_could_decide_names_its_milliseconds() {
    let mut bench = Bench::new();
    bench.link(3, Link::Down);
    bench.start(1, get());
    let first = bench.sent();
    bench.answer_off(&first[0], expiring(60_000), 3_600_000);
    bench.answer_off(&first[1], expiring(60_000), 0);
    let Err(ReadError::Unavailable { attempts, .. }) = bench.read() else {
        panic!("one answer of two counts");
    };
    let (ahead_ms, max_ms) = (3_600_000, 500);
    let fast = Outcome::ClockAhead { ahead_ms, max_ms };
    assert!(attempts.iter().any(|a| a.outcome == fast), "{attempts:?}");
}

#[test]
fn a_reader_whose_memory_of_clocks_is_old_finds_dead_what_the_nodes_agree_is_dead() {
    for down in [None, Some(3)] {
        let mut bench = informed();
        // Its machine slept: no time passed for it.
        let slept = 3_600_000;
        if let Some(node) = down {
            bench.link(node, Link::Down);
        }
        bench.start(1, get());
        let mut asked = bench.sent();
        while let Some(to) = asked.pop() {
            bench.answer_off(&to, expiring(60_000), slept);
            asked.extend(bench.sent());
        }
        let found = bench.read().unwrap();
        assert!(found.is_tombstone(), "{down:?} is down");
    }
}

#[test]
fn a_clock_that_was_mended_since_ends_no_value_with_one_that_is_off_now() {
    let mut bench = Bench::new();
    let hour = 3_600_000;
    bench.start(9, put("v", None));
    let sent = bench.sent();
    let mended = sent[2].0;
    for (to, off) in sent.iter().zip([0, 0, hour]) {
        bench.answer_off(to, Response::Joined, off);
    }
    assert!(bench.written().is_ok());

    bench.start(1, get());
    let mut asked = bench.sent();
    let first = asked.iter().find(|to| to.0 != mended).unwrap().0;
    while let Some(to) = asked.pop() {
        let off = if to.0 == first { hour } else { 0 };
        bench.answer_off(&to, expiring(60_000), off);
        asked.extend(bench.sent());
    }
    assert_eq!(bench.read().unwrap().live().len(), 1);
}

#[test]
fn a_lifetime_counts_from_the_clocks_of_the_nodes() {
    let mut bench = Bench::new();
    bench.wall_off = -700;
    bench.start(1, put_to_live(TTL));
    tell_the_time(&mut bench);
    let sent = bench.sent();
    assert_eq!(sent.len(), 3);
    assert_eq!(expiry_of(&sent[0].1), 30_000);
    for to in &sent {
        bench.answer_off(to, Response::Joined, 0);
    }
    assert!(bench.written().is_ok());

    // The clocks are known from now on, and need no question.
    bench.pass(2_000);
    bench.start(2, put_to_live(TTL));
    assert_eq!(expiry_of(&bench.sent()[0].1), 32_000);
}

#[test]
fn a_lifetime_by_a_clock_that_is_off_is_refused_with_the_milliseconds_and_the_side() {
    for (wall_off, side) in [(-50_000, "behind"), (50_000, "ahead of")] {
        let mut bench = Bench::new();
        bench.wall_off = wall_off;
        bench.start(1, put_to_live(TTL));
        tell_the_time(&mut bench);
        let error = bench.written().unwrap_err();
        assert!(matches!(error, WriteError::ClockSkew(_)), "{error}");
        assert_eq!(error.stored(), Stored::No);
        let expected = format!("this machine's clock is 50000 ms {side}");
        assert!(error.to_string().contains(&expected), "{error}");
        assert!(bench.sent().is_empty() && bench.coordinator.is_idle());
    }
}

#[test]
fn a_client_that_is_off_learns_it_from_its_first_answers_and_writes_again_once_its_clock_is_set() {
    let mut bench = Bench::new();
    bench.wall_off = -50_000;
    bench.start(1, get());
    for to in &bench.sent() {
        bench.answer_off(to, Response::Absent, 0);
    }
    bench.read().unwrap();

    bench.start(2, put("v", None));
    tell_the_time(&mut bench);
    let (behind_ms, max_ms) = (50_000, 1_000);
    let skew = ClockSkew::Behind { behind_ms, max_ms };
    assert_eq!(bench.written().unwrap_err(), skew.into());

    bench.wall_off = 0;
    bench.start(3, put("v", None));
    for to in &bench.sent() {
        bench.answer_off(to, Response::Joined, 0);
    }
    assert!(bench.written().is_ok());
}

#[test]
fn one_node_with_a_wrong_clock_keeps_nobody_from_writing() {
    for off in [-3_600_000, 3_600_000] {
        let mut bench = Bench::new();
        bench.start(1, put_to_live(TTL));
        let asked = bench.sent();
        bench.answer_off(&asked[0], Response::Absent, off);
        bench.answer_off(&asked[1], Response::Absent, 0);
        bench.answer_off(&asked[2], Response::Absent, 0);
        let sent = bench.sent();
        assert_eq!(expiry_of(&sent[0].1), 30_000, "off by {off} ms");
    }
}

#[test]
fn a_wrong_clock_that_is_heard_first_neither_refuses_a_write_nor_sets_its_lifetime() {
    for off in [-2_000, 900, 2_000] {
        let mut bench = Bench::new();
        bench.start(1, put_to_live(TTL));
        let asked = bench.sent();
        bench.answer_off(&asked[0], Response::Absent, off);
        bench.pass(150);
        assert!(bench.done().is_none(), "two more may answer: {off} ms");
        assert!(bench.sent().is_empty(), "two more may answer: {off} ms");

        bench.answer_off(&asked[1], Response::Absent, 0);
        bench.answer_off(&asked[2], Response::Absent, 0);
        let sent = bench.sent();
        assert_eq!(sent.len(), 3, "off by {off} ms");
        assert_eq!(expiry_of(&sent[0].1), 30_150, "off by {off} ms");
    }
}

#[test]
fn clocks_that_disagree_refuse_nothing_before_the_last_one_was_heard() {
    let mut bench = Bench::new();
    bench.start(1, put_to_live(TTL));
    let asked = bench.sent();
    bench.answer_off(&asked[0], Response::Absent, -50_000);
    bench.answer_off(&asked[1], Response::Absent, 0);
    for _ in 0..45 {
        bench.pass(100);
        assert!(bench.done().is_none() && bench.sent().is_empty());
    }
    bench.pass(600);
    let error = bench.written().unwrap_err();
    assert!(matches!(error, WriteError::ClockSkew(_)), "{error}");
    assert!(bench.sent().is_empty() && bench.coordinator.is_idle());
}

#[test]
fn the_time_that_passes_after_a_clock_was_heard_excuses_no_wrong_one() {
    let mut bench = Bench::new();
    bench.wall_off = 2_000;
    bench.start(1, put_to_live(TTL));
    let asked = bench.sent();
    bench.answer_off(&asked[0], Response::Absent, 0);
    bench.answer_off(&asked[1], Response::Absent, 0);
    for _ in 0..51 {
        bench.pass(100);
        assert!(bench.sent().is_empty(), "it is still 2 s ahead");
    }
    let error = bench.written().unwrap_err();
    assert!(error.to_string().contains("2000 ms ahead"), "{error}");
}

#[test]
fn a_single_clock_refuses_no_quorum_and_begins_none_unless_the_others_have_failed() {
    for off in [-50_000, 0] {
        let mut bench = Bench::new();
        bench.start(1, put_to_live(TTL));
        let asked = bench.sent();
        bench.answer_off(&asked[0], Response::Absent, off);
        bench.pass(5_100);
        let error = bench.written().unwrap_err();
        assert!(matches!(error, WriteError::NotStored { .. }), "{error}");
        assert!(bench.sent().is_empty(), "it had no time left");

        let mut bench = Bench::new();
        bench.link(2, Link::Down);
        bench.link(3, Link::Down);
        bench.start(1, put_to_live(TTL));
        let asked = bench.sent();
        bench.answer_off(&asked[0], Response::Absent, off);
        if off == 0 {
            assert_eq!(bench.sent().len(), 1, "it may be stored thinly");
        } else {
            let error = bench.written().unwrap_err();
            assert!(matches!(error, WriteError::NotStored { .. }), "{error}");
        }
    }
}

#[test]
fn an_answer_that_was_long_under_way_has_nobody_refused() {
    let mut bench = Bench::new();
    bench.start(1, put_to_live(TTL));
    let asked = bench.sent();
    bench.micros += 3_000_000;
    for to in &asked {
        bench.answer_off(to, Response::Absent, -3_000);
    }
    assert_eq!(
        expiry_of(&bench.sent()[0].1),
        33_000,
        "by this machine's clock"
    );
}

#[test]
fn mode_one_needs_the_clock_of_one_node_and_without_any_nothing_is_sent() {
    let one = |call| match call {
        Call::Write { update, mut plan } => {
            plan.consistency = Consistency::One;
            Call::Write { update, plan }
        }
        other => other,
    };
    let mut bench = Bench::new();
    bench.start(1, one(put_to_live(TTL)));
    let asked = bench.sent();
    bench.answer_off(&asked[0], Response::Absent, 0);
    assert!(bench.sent().is_empty(), "others may come");
    bench.pass(150);
    let sent = bench.sent();
    assert_eq!(expiry_of(&sent[0].1), 30_150);

    let mut bench = Bench::new();
    for node in 1..=3 {
        bench.link(node, Link::Down);
    }
    bench.start(2, one(put_to_live(TTL)));
    let error = bench.written().unwrap_err();
    assert!(matches!(error, WriteError::NotStored { .. }), "{error}");
    assert!(bench.sent().is_empty() && bench.coordinator.is_idle());
}

/// A client that knows the clocks of its owners.
fn informed() -> Bench {
    let mut bench = Bench::new();
    bench.start(9, put_to_live(TTL));
    tell_the_time(&mut bench);
    for to in &bench.sent() {
        bench.answer_off(to, Response::Joined, 0);
    }
    assert!(bench.written().is_ok());
    bench
}

#[test]
fn a_write_whose_caller_left_while_clocks_were_asked_for_is_not_begun() {
    let mut bench = Bench::new();
    bench.start(1, put_to_live(TTL));
    bench.abandon(1);
    tell_the_time(&mut bench);
    assert!(
        bench.sent().is_empty(),
        "its dot would lie above later ones"
    );
    assert!(bench.coordinator.is_idle());
    assert_eq!(bench.occupied(), 0);
}

#[test]
fn a_write_that_waits_for_the_time_ends_at_its_deadline() {
    let mut bench = Bench::new();
    bench.start(1, put_to_live(TTL));
    bench.sent();
    bench.pass(4_900);
    assert!(bench.done().is_none());
    bench.pass(200);
    assert_eq!(bench.written().unwrap_err().stored(), Stored::No);
    assert!(bench.coordinator.is_idle());
}

#[test]
fn what_cannot_be_written_above_says_by_how_much_the_clock_is_behind() {
    let mut bench = Bench::new();
    bench.wall_off = -50_000;
    bench.start(1, put("v", None));
    for to in &bench.sent() {
        let above = Time::at(WALL);
        let superseded = Response::Superseded {
            named: false,
            above,
        };
        bench.answer_off(to, superseded, 0);
    }
    let error = bench.written().unwrap_err();
    assert_eq!(error.stored(), Stored::No);
    let text = error.to_string();
    assert!(
        text.contains("50000 ms ahead of this machine's clock"),
        "{text}"
    );
}
