//! Misbehaving peers: junk, truncated frames, floods. Each is closed with a reason, and other peers are still served.

use std::time::Duration;

use quinn::ConnectionError;
use quoit_node::CloseCode;
use quoit_ring::wire::{Refusal, Response};

use crate::caller::{Caller, get, place, put, wall, write};

#[test]
fn bytes_that_are_no_frames_close_the_connection_with_a_reason() {
    let place = place();
    let node = place.start();
    let table: [(&[u8], &str); 3] = [
        (
            &[0xff; 64],
            "a frame of 4294967295 bytes is over the limit of 65536",
        ),
        (
            &[20; 64],
            "a frame of 336860180 bytes is over the limit of 65536",
        ),
        (
            &[14, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "format version 9",
        ),
    ];
    for (junk, expected) in table {
        let mut caller = place.caller(&node, "client");
        caller.write(junk);
        let (code, reason) = caller.closed();
        assert_eq!(code, Some(CloseCode::Malformed));
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(
        place.caller(&node, "client").ask(get("k")),
        Response::Absent,
        "others are served"
    );
}

#[test]
fn a_connection_without_a_proper_lane_is_closed_with_a_reason() {
    let place = place();
    let node = place.start();
    let table: [(&[u8], &str); 3] = [
        (b"", "the lane was not opened"), // after ten seconds
        (b"lan", "the lane was not opened"),
        (
            &[14, 0, 0, 0],
            "the lane does not begin with the preface of this protocol",
        ),
    ];
    // All at the same time, since two of them wait for the deadline.
    let callers = table.map(|(preface, reason)| {
        let certs = place.certs();
        let caller = Caller::connect_with(&certs, "client", node.address(), preface);
        (caller.unwrap(), reason)
    });
    for (caller, reason) in callers {
        let ended = (Some(CloseCode::Malformed), reason.to_owned());
        assert_eq!(caller.closed(), ended);
    }
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_an_error() {
    let place = place();
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    caller.write(&[50, 0, 0, 0, 1]);
    caller.lane.0.finish().unwrap();
    let ended = (
        Some(CloseCode::Malformed),
        "the lane ended inside a frame".to_owned(),
    );
    assert_eq!(caller.closed(), ended);

    let caller = place.caller(&node, "client");
    caller.runtime.block_on(async {
        let mut stream = caller.connection.open_uni().await.unwrap();
        stream.write_all(&[50, 0, 0, 0, 1]).await.unwrap();
        stream.finish().unwrap();
    });
    let ended = (
        Some(CloseCode::Malformed),
        "a stream ended inside a frame".to_owned(),
    );
    assert_eq!(caller.closed(), ended);
}

#[test]
fn a_large_frame_over_the_bound_is_refused_by_its_length_alone() {
    let place = place();
    let node = place.start();
    let caller = place.caller(&node, "client");
    caller.runtime.block_on(async {
        let mut stream = caller.connection.open_uni().await.unwrap();
        stream.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    });
    assert_eq!(caller.closed().0, Some(CloseCode::Malformed));
}

#[test]
fn a_record_larger_than_this_node_handles_is_refused_and_the_connection_lives_on() {
    let mut place = place();
    place.config.max_value_bytes = 1 << 10;
    place.config.max_record_bytes = Some(65 << 10);
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    assert_eq!(caller.ask(get("k")), Response::Absent);
    let long = "x".repeat(3 << 20);
    let refused = caller.ask(put("k", &write(&long, 0)));
    assert!(
        matches!(refused, Response::Refused(Refusal::RecordTooLarge { bytes, .. }) if bytes > 3 << 20),
        "{refused:?}"
    );
    assert_eq!(caller.ask(get("k")), Response::Absent);
    assert_eq!(caller.ask(put("k", &write("short", 0))), Response::Joined);
}

#[test]
fn a_peer_that_ends_its_lane_is_let_go() {
    let place = place();
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    assert_eq!(caller.ask(get("k")), Response::Absent);
    caller.lane.0.finish().unwrap();
    assert_eq!(caller.closed().0, Some(CloseCode::Done));
}

#[test]
fn connections_over_the_cap_are_told_so() {
    let mut place = place();
    place.config.max_connections = 1;
    let node = place.start();
    let mut first = place.caller(&node, "client");
    assert_eq!(first.ask(get("k")), Response::Absent);
    let turned_away = || {
        // The close reason arrives before or after the lane opens, but it arrives.
        let connected = Caller::connect(&place.certs(), "client", node.address());
        let closed = connected.map_or_else(Some, |caller| {
            let closed = caller.connection.closed();
            let wait = async { tokio::time::timeout(Duration::from_millis(300), closed).await };
            caller.runtime.block_on(wait).ok()
        });
        closed.map(|error| match error {
            ConnectionError::ApplicationClosed(close) => close.error_code,
            other => panic!("{other}"),
        })
    };
    assert_eq!(turned_away(), Some(CloseCode::TooManyConnections.code()));
    assert_eq!(first.ask(get("k")), Response::Absent);
    first.connection.close(CloseCode::Done.code(), b"");
    // The seat is free as soon as the node has heard of it.
    let began = wall();
    while turned_away().is_some() {
        assert!(wall().0 - began.0 < 10_000, "the seat was never free again");
    }
}

#[test]
fn a_frame_that_comes_too_slowly_closes_the_connection() {
    let place = place();
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    let began = wall();
    caller.write(&[50, 0, 0, 0]);
    std::thread::sleep(Duration::from_secs(6));
    caller.write(&[1]); // a byte now and then buys no time
    let (code, reason) = caller.closed();
    assert_eq!(
        (code, &reason[..]),
        (Some(CloseCode::Malformed), "a frame came too slowly")
    );
    assert!((9_000..15_000).contains(&(wall().0 - began.0)));
}

#[test]
fn a_peer_that_never_reads_is_left_unread_and_others_are_served() {
    let mut place = place();
    place.config.max_value_bytes = 1 << 20;
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    assert_eq!(caller.ask(get("k")), Response::Absent);
    let long = "x".repeat(1 << 20);
    assert_eq!(caller.ask(put("k", &write(&long, 0))), Response::Joined);
    // Far more is asked for than may wait: what is not taken off the stream stays with the sender.
    for _ in 0..100 {
        caller.send(get("k"));
    }
    let mut other = place.caller(&node, "client");
    assert_eq!(other.ask(get("absent")), Response::Absent);
    // Once it reads, all of it comes.
    for _ in 0..100 {
        assert!(caller.receive_large().response.record().is_some());
    }
}
