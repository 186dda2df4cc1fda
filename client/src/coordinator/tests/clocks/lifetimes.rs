//! Lifetimes that turn out to be wrong once replicas have joined the write.

use super::*;

/// How far a machine's clocks are behind once it stood still.
const FROZEN: i64 = 50_000;

#[test]
fn a_lifetime_that_is_over_when_owners_join_it_is_given_again_before_the_caller_is_answered() {
    for context in [None, Some(Context::default())] {
        let mut bench = informed();
        let Call::Write { mut update, plan } = put_to_live(TTL) else {
            unreachable!("a put is a write");
        };
        update.context = context;
        bench.start(1, Call::Write { update, plan });
        let first = bench.sent();
        assert_eq!(expiry_of(&first[0].1), 30_000, "20 s ago by the nodes");
        bench.answer_off(&first[0], Response::Joined, FROZEN);
        assert!(bench.sent().is_empty(), "one clock decides nothing");
        bench.answer_off(&first[1], Response::Joined, FROZEN);
        assert!(bench.done().is_none(), "it is not what was asked for");

        let second = bench.sent();
        assert_eq!(second.len(), 3);
        assert_eq!(expiry_of(&second[0].1), 80_000);
        let dot = |frame| record_in(frame).live()[0].dot;
        let (old, new) = (dot(&first[0].1), dot(&second[0].1));
        assert!(new.time > old.time);
        let mut joined = record_in(&first[0].1);
        joined.join(&record_in(&second[0].1));
        assert_eq!(joined.live().len(), 1, "it replaces the first one");

        // An answer to the first one is none to the second.
        bench.answer_off(&first[2], Response::Joined, FROZEN);
        bench.answer_off(&second[0], Response::Joined, FROZEN);
        assert!(bench.done().is_none());
        bench.answer_off(&second[1], Response::Joined, FROZEN);
        assert_eq!(bench.written().unwrap().dot, new);
    }
}

#[test]
fn one_owner_whose_clock_is_off_renews_nothing() {
    let mut bench = informed();
    bench.start(1, put_to_live(TTL));
    let sent = bench.sent();
    bench.answer_off(&sent[0], Response::Joined, FROZEN);
    bench.answer_off(&sent[1], Response::Joined, 0);
    assert!(bench.written().is_ok());
    assert!(bench.sent().is_empty());
}

#[test]
fn a_renewed_write_that_a_later_one_has_replaced_is_written_and_never_comes_back() {
    let mut bench = informed();
    bench.start(1, put_to_live(TTL));
    for to in &bench.sent() {
        bench.answer_off(to, Response::Joined, FROZEN);
    }
    let second = bench.sent();
    let superseded = || Response::Superseded {
        named: false,
        above: Time::at(WALL),
    };
    // The first two had joined it: what they have now came later.
    bench.answer_off(&second[0], superseded(), FROZEN);
    bench.answer_off(&second[1], superseded(), FROZEN);
    assert!(bench.written().is_ok());
    assert!(bench.sent().is_empty());
}

#[test]
fn a_renewed_write_that_fails_may_be_stored_as_it_was_before() {
    let mut bench = informed();
    bench.start(1, put_to_live(TTL));
    for to in &bench.sent() {
        bench.answer_off(to, Response::Joined, FROZEN);
    }
    let second = bench.sent();
    let refusal = Refusal::TooOld {
        age_ms: 70_000,
        max_ms: 60_000,
    };
    for to in &second {
        bench.answer_off(to, Response::Refused(refusal), FROZEN);
    }
    let error = bench.written().unwrap_err();
    assert_eq!(error.stored(), Stored::Maybe, "{error}");
    assert!(bench.coordinator.is_idle());
}

#[test]
fn a_lifetime_is_given_again_only_while_it_is_the_last_word_of_a_client_that_waits() {
    let mut bench = informed();
    bench.start(1, put_to_live(TTL));
    let first = bench.sent();
    bench.start(2, put("later", None));
    bench.sent();
    for to in &first {
        bench.answer_off(to, Response::Joined, FROZEN);
    }
    assert!(bench.written().is_ok());
    assert!(bench.sent().is_empty(), "it would come over the later one");

    let mut bench = informed();
    bench.start(1, put_to_live(TTL));
    let first = bench.sent();
    bench.abandon(1);
    for to in &first {
        bench.answer_off(to, Response::Joined, FROZEN);
    }
    assert!(bench.sent().is_empty(), "nobody waits for it");
}

/// The reason of a write that failed although it may be stored.
fn reasons(error: WriteError) -> Vec<Outcome> {
    let WriteError::Unknown { attempts, .. } = error else {
        panic!("it may be stored: {error}");
    };
    attempts.into_iter().map(|it| it.outcome).collect()
}

const EARLY: Outcome = Outcome::EndsEarly {
    early_ms: FROZEN as u64,
};

#[test]
fn a_clock_that_was_mended_since_sets_no_lifetime_with_one_that_is_off_now() {
    let mut bench = informed();
    let hour = 3_600_000;
    bench.start(1, put("v", None));
    let sent = bench.sent();
    bench.answer_off(&sent[1], Response::Joined, hour); // mended, and not heard of since
    bench.answer_off(&sent[0], Response::Joined, 0);
    assert!(bench.written().is_ok());

    bench.start(2, put_to_live(TTL));
    let sent = bench.sent();
    bench.answer_off(&sent[2], Response::Joined, hour);
    bench.answer_off(&sent[0], Response::Joined, 0);
    assert!(bench.written().is_ok());
    assert!(bench.sent().is_empty(), "its lifetime was right");
}

#[test]
fn a_lifetime_is_not_given_again_to_what_somebody_has_superseded() {
    let mut bench = informed();
    bench.start(1, put_to_live(TTL));
    let sent = bench.sent();
    let above = Time::at(WALL);
    let superseded = Response::Superseded {
        named: false,
        above,
    };
    bench.answer_off(&sent[0], Response::Joined, FROZEN);
    bench.answer_off(&sent[2], superseded, FROZEN);
    bench.answer_off(&sent[1], Response::Joined, FROZEN);
    let reasons = reasons(bench.written().unwrap_err());
    assert_eq!(reasons, [Outcome::Done, EARLY, Outcome::Superseded]);
    assert!(bench.sent().is_empty(), "it would come back over that");
}

#[test]
fn the_clock_of_who_keeps_a_sloppy_write_counts_where_owners_are_away() {
    let mut bench = Bench::of(5);
    bench.start(9, put_to_live(TTL));
    tell_the_time(&mut bench);
    for to in &bench.sent() {
        bench.answer_off(to, Response::Joined, 0);
    }
    assert!(bench.written().is_ok());

    let Call::Write { update, mut plan } = put_to_live(TTL) else {
        unreachable!("a put is a write");
    };
    plan.sloppy = true;
    bench.start(1, Call::Write { update, plan });
    let sent = bench.sent();
    for to in &sent[1..] {
        bench.link(to.0.0, Link::Down);
    }
    let hints = bench.sent();
    bench.answer_off(&sent[0], Response::Joined, FROZEN);
    bench.answer_off(&hints[0], Response::Joined, FROZEN);
    assert!(bench.done().is_none(), "it is over already");
    assert_eq!(expiry_of(&bench.sent()[0].1), 80_000);
}

#[test]
fn a_lifetime_that_a_holder_shows_to_be_over_is_the_reason_of_the_failure() {
    let mut bench = Bench::of(5);
    bench.start(9, put_to_live(TTL));
    tell_the_time(&mut bench);
    for to in &bench.sent() {
        bench.answer_off(to, Response::Joined, 0);
    }
    assert!(bench.written().is_ok());

    let Call::Write { update, mut plan } = put_to_live(TTL) else {
        unreachable!("a put is a write");
    };
    plan.sloppy = true;
    bench.start(1, Call::Write { update, plan });
    let sent = bench.sent();
    bench.answer_off(&sent[0], Response::Joined, FROZEN);
    let superseded = Response::Superseded {
        named: false,
        above: Time::at(WALL),
    };
    bench.answer_off(&sent[1], superseded, FROZEN);
    bench.link(sent[2].0.0, Link::Down);
    let hints = bench.sent();
    bench.answer_off(&hints[0], Response::Joined, FROZEN);
    assert!(reasons(bench.written().unwrap_err()).contains(&EARLY));
}

#[test]
fn a_lifetime_that_may_not_be_given_again_is_none_that_was_written() {
    let mut bench = informed();
    bench.start(1, put_to_live(TTL));
    let first = bench.sent();
    bench.start(2, put("beside", Some(Context::default())));
    bench.sent();
    for to in &first {
        bench.answer_off(to, Response::Joined, FROZEN);
    }
    assert!(reasons(bench.written().unwrap_err()).contains(&EARLY));
    assert!(bench.sent().is_empty());
}

#[test]
fn a_short_lifetime_is_no_less_than_half_of_what_was_asked_for() {
    let mut bench = informed();
    bench.start(1, put_to_live(Duration::from_millis(800)));
    for to in &bench.sent() {
        bench.answer_off(to, Response::Joined, 900);
    }
    assert!(bench.done().is_none(), "it is over already");
    assert_eq!(expiry_of(&bench.sent()[0].1), 1_700);
}

#[test]
fn a_lifetime_is_not_given_again_by_a_clock_that_went_back() {
    let mut bench = informed();
    bench.start(1, put_to_live(TTL));
    let first = bench.sent();
    bench.wall_off = -60_000;
    for to in &first {
        bench.answer_off(to, Response::Joined, FROZEN);
    }
    assert!(reasons(bench.written().unwrap_err()).contains(&EARLY));
    assert!(bench.sent().is_empty(), "it would lie below the first one");
}

#[test]
fn an_answer_that_comes_twice_decides_nothing_about_a_lifetime() {
    let mut bench = informed();
    bench.start(1, put_to_live(TTL));
    let sent = bench.sent();
    bench.answer_off(&sent[0], Response::Joined, FROZEN);
    let refused = Response::Refused(Refusal::Overloaded { queue_ms: 1 });
    bench.answer_off(&sent[1], refused, FROZEN);
    bench.answer_off(&sent[0], Response::Joined, FROZEN);
    assert!(bench.done().is_none() && bench.sent().is_empty());
    bench.answer_off(&sent[2], Response::Joined, FROZEN);
    assert_eq!(expiry_of(&bench.sent()[0].1), 80_000);
}
