//! Requests over the wire: small ones on the lane, large ones beside it.

use std::time::Duration;

use bytes::BytesMut;
use quoit_ring::Epoch;
use quoit_ring::wire::{LANE_FRAME, Refusal, Request, RequestFrame, Response};

use crate::caller::{TIMEOUT, get, place, put, value_of, write};

#[test]
fn many_requests_in_one_write_are_all_answered() {
    let place = place();
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    let mut out = BytesMut::new();
    for id in 0..3000 {
        let request = if id % 2 == 0 {
            put("k", &write("v", 0))
        } else {
            get("k")
        };
        RequestFrame {
            id,
            epoch: Epoch(1),
            budget_ms: 5000,
            request,
        }
        .encode(&mut out);
    }
    while !out.is_empty() {
        let piece = out.split_to(out.len().min(50_000));
        caller.write(&piece);
    }
    let mut seen = vec![false; 3000];
    for _ in 0..3000 {
        let answer = caller.receive();
        let place = &mut seen[usize::try_from(answer.id).unwrap()];
        assert!(!std::mem::replace(place, true), "answered twice");
        assert!(
            !matches!(answer.response, Response::Refused(_)),
            "{:?}",
            answer.response
        );
    }
    node.stop(TIMEOUT).unwrap();
}

#[test]
fn large_values_go_both_ways_beside_small_requests() {
    let place = place();
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    let long = "0123456789abcdef".repeat(1 << 16); // 1 MiB
    assert_eq!(caller.ask(get("large")), Response::Absent);
    let stored = caller.send(put("large", &write(&long, 0)));
    let answer = caller.receive();
    assert_eq!((answer.id, answer.response), (stored, Response::Joined));
    let read = caller.send(get("large"));
    assert_eq!(
        caller.ask(get("small")),
        Response::Absent,
        "not behind the large one"
    );
    let answer = caller.receive_large();
    assert_eq!(answer.id, read);
    assert_eq!(value_of(&answer.response), long.as_bytes());
    node.stop(TIMEOUT).unwrap();
}

#[test]
fn a_caller_that_has_only_sent_large_frames_is_answered_on_its_lane() {
    let place = place();
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    let stored = caller.send(put("large", &write(&"x".repeat(LANE_FRAME), 0)));
    let answer = caller.receive();
    assert_eq!((answer.id, answer.response), (stored, Response::Joined));
    assert_eq!(caller.ask(get("small")), Response::Absent);
}

#[test]
fn answers_carry_a_clock_that_follows_what_was_written() {
    let place = place();
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    let ahead = write("v", 300);
    assert_eq!(caller.ask(put("k", &ahead)), Response::Joined);
    caller.send(get("k"));
    assert!(caller.receive().clock >= ahead.dot().time);
}

#[test]
fn only_a_nodes_certificate_is_shown_the_sums() {
    let place = place();
    let node = place.start();
    let sums = || Request::Sums { level: 0, index: 0 };
    for name in ["client", "admin"] {
        let refused = Response::Refused(Refusal::Forbidden);
        assert_eq!(place.caller(&node, name).ask(sums()), refused);
    }
    let mut peer = place.caller(&node, "node-1");
    let answer = loop {
        match peer.ask(sums()) {
            Response::Refused(Refusal::NotReady) => std::thread::sleep(Duration::from_millis(5)),
            answer => break answer,
        }
    };
    assert!(matches!(answer, Response::Sums(sums) if sums.len() == 16));
}
