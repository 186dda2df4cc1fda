//! Writes: what counts as an acknowledgement, what is minted again, what can be said of a failure.

use super::*;

#[test]
fn a_put_goes_to_all_owners_and_ends_with_the_second_acknowledgement() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    assert_eq!(sent.len(), 3);
    bench.answer(&sent[0], Response::Joined);
    assert!(bench.done().is_none());
    bench.answer(&sent[2], Response::Joined);
    assert_eq!(bench.written().unwrap().acked, 2);
    assert_eq!(bench.occupied(), 0, "it gave its permit back");
    assert!(!bench.coordinator.is_idle(), "the third may miss it");
    bench.answer(&sent[1], Response::Joined);
    assert!(bench.coordinator.is_idle());
    bench.answer(&sent[1], Response::Joined);
    assert!(
        bench.done().is_none(),
        "an answer that comes twice finds nothing"
    );
}

#[test]
fn an_answer_from_another_node_than_was_asked_counts_for_nobody() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let mut sent = bench.sent();
    let other = sent[1].0;
    sent[0].0 = other;
    bench.answer(&sent[0], Response::Joined);
    bench.answer(&sent[1], Response::Joined);
    assert!(bench.done().is_none());
}

#[test]
fn a_writers_second_put_melts_with_its_first() {
    let mut bench = Bench::new();
    for value in ["a", "b"] {
        bench.start(1, put(value, Some(Context::default())));
    }
    let sent = bench.sent();
    let (first, second) = (record_in(&sent[0].1), record_in(&sent[3].1));
    let mut both = first.clone();
    both.join(&second);
    assert_eq!(both.live().len(), 2, "the second did not see the first");
    assert_eq!(
        both.seen().intervals().len(),
        1,
        "nothing of this actor lies between"
    );
}

#[test]
fn a_superseded_put_is_sent_again_above_what_superseded_it() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    let above = Time::at(Millis(WALL.0 + 300));
    for to in &sent {
        bench.answer(
            to,
            Response::Superseded {
                named: false,
                above,
            },
        );
    }
    let again = bench.sent();
    assert_eq!(again.len(), 3);
    assert!(record_in(&again[0].1).live()[0].dot.time > above);
    let mut both = record_in(&sent[0].1);
    both.join(&record_in(&again[0].1));
    assert_eq!(both.live().len(), 1, "the second dot replaces the first");
    bench.answer(&again[0], Response::Joined);
    bench.answer(&again[1], Response::Joined);
    assert!(bench.written().is_ok());
}

#[test]
fn an_answer_to_an_earlier_attempt_counts_for_none_that_came_later() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    let covered = |ms| Response::Superseded {
        named: false,
        above: Time::at(Millis(WALL.0 + ms)),
    };
    bench.answer(&sent[0], Response::Joined);
    bench.answer(&sent[1], covered(300));
    bench.answer(&sent[2], covered(300));
    let again = bench.sent();
    assert_ne!(sent[0].1.id, again[0].1.id);
    // The first attempt's acknowledgement comes once more, and so does everything else that was said of it.
    for to in &sent {
        bench.answer(to, Response::Joined);
    }
    assert!(bench.done().is_none(), "nobody has the second dot yet");
    bench.answer(&again[0], Response::Joined);
    bench.answer(&again[1], Response::Joined);
    assert_eq!(bench.written().unwrap().acked, 2);
}

#[test]
fn a_failure_of_an_earlier_attempt_counts_for_none_that_came_later() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    let above = Time::at(Millis(WALL.0 + 300));
    let named = false;
    for to in &sent {
        bench.answer(to, Response::Superseded { named, above });
    }
    let again = bench.sent();
    let now = bench.now();
    for (node, frame) in &sent {
        bench.coordinator.handle_unsent(*node, frame.id, now);
    }
    assert!(bench.done().is_none(), "the second attempt is under way");
    for to in &again {
        bench.answer(to, Response::Joined);
    }
    assert!(bench.written().is_ok());
}

#[test]
fn a_put_minted_again_spares_what_its_client_wrote_in_between() {
    let mut bench = Bench::new();
    bench.start(1, put("x", Some(Context::default())));
    let first = bench.sent();
    bench.start(2, put("y", Some(Context::default())));
    let between = bench.sent();
    for to in &between[..2] {
        bench.answer(to, Response::Joined);
    }
    bench.written().unwrap();
    let above = Time::at(Millis(WALL.0 + 300));
    for to in &first {
        bench.answer(
            to,
            Response::Superseded {
                named: false,
                above,
            },
        );
    }
    let again = bench.sent();
    let mut stored = record_in(&first[0].1);
    stored.join(&record_in(&between[0].1));
    stored.join(&record_in(&again[0].1));
    let live: Vec<_> = stored
        .live()
        .iter()
        .filter_map(|s| s.value.as_deref())
        .collect();
    assert_eq!(
        live,
        [b"y", b"x"],
        "the acknowledged write lives, the first attempt does not"
    );
}

#[test]
fn a_superseding_stamp_too_far_ahead_is_not_followed() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    for to in &bench.sent() {
        let above = Time::at(Millis(WALL.0 + 60_000));
        bench.answer(
            to,
            Response::Superseded {
                named: false,
                above,
            },
        );
    }
    assert_eq!(bench.written().unwrap_err().stored(), Stored::No);
}

#[test]
fn nodes_out_of_reach_fail_at_once_and_surely_stored_nothing() {
    let mut bench = Bench::new();
    for node in 1..=3 {
        bench.link(node, Link::Down);
    }
    bench.start(1, put("v", None));
    assert!(bench.sent().is_empty());
    assert_eq!(bench.written().unwrap_err().stored(), Stored::No);
}

#[test]
fn a_connection_that_breaks_after_the_send_leaves_the_outcome_unknown() {
    let mut bench = Bench::new();
    for node in 1..=3 {
        bench.link(node, Link::Up);
    }
    bench.start(1, put("v", None));
    bench.sent();
    for node in 1..=3 {
        bench.link(node, Link::Down);
    }
    let error = bench.written().unwrap_err();
    assert_eq!(error.stored(), Stored::Maybe);
    assert!(
        error.to_string().contains("n2: the connection broke"),
        "{error}"
    );
}

#[test]
fn a_connection_that_never_opened_leaves_nothing_unknown() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    bench.sent();
    for node in 1..=3 {
        bench.link(node, Link::Down);
    }
    assert_eq!(bench.written().unwrap_err().stored(), Stored::No);
}

#[test]
fn one_acknowledgement_of_two_is_under_replicated() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    bench.answer(&sent[0], Response::Joined);
    bench.answer(
        &sent[1],
        Response::Refused(Refusal::Overloaded { queue_ms: 9 }),
    );
    bench.answer(&sent[2], Response::Refused(Refusal::Draining));
    assert_eq!(
        bench.written().unwrap_err().stored(),
        Stored::UnderReplicated
    );
}

#[test]
fn an_answer_to_another_question_leaves_a_write_unknown() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    for to in &bench.sent() {
        bench.answer(to, Response::Absent);
    }
    assert_eq!(bench.written().unwrap_err().stored(), Stored::Maybe);
}

#[test]
fn a_write_of_which_an_earlier_attempt_was_stored_is_never_reported_as_not_stored() {
    let mut bench = Bench::new();
    bench.start(1, put("v", None));
    let sent = bench.sent();
    let above = Time::at(Millis(WALL.0 + 300));
    bench.answer(&sent[0], Response::Joined);
    for to in &sent[1..] {
        bench.answer(
            to,
            Response::Superseded {
                named: false,
                above,
            },
        );
    }
    for to in &bench.sent() {
        bench.answer(to, Response::Refused(Refusal::Draining));
    }
    assert_eq!(
        bench.written().unwrap_err().stored(),
        Stored::UnderReplicated
    );
}
