//! A node's certificate that names no member of the map is worth no more than a client's.
//!
//! Such a certificate was issued and never added to the map, or its node was removed: nothing says that who holds it
//! is a node.

use quinn::SendStream;
use quoit_node::provision::Authority;
use quoit_ring::wire::{Refusal, Request, Response};

use crate::caller::{Caller, get, place};

/// What frames longer than a value may take for all clients together.
const LONG: usize = 128 << 20;
/// The length of each frame here.
const FRAME: usize = 4 << 20;

/// Sends the beginning of a large frame with this id: its length, kind, version and id.
fn announce(caller: &Caller, id: u64) -> SendStream {
    let length = u32::try_from(FRAME).unwrap();
    let head = [&length.to_le_bytes()[..], &[1, 1], &id.to_le_bytes()].concat();
    caller.runtime.block_on(async {
        let mut stream = caller.connection.open_uni().await.unwrap();
        stream.write_all(&head).await.unwrap();
        stream
    })
}

#[test]
fn a_node_that_is_no_member_of_the_map_is_not_shown_the_sums() {
    let place = place();
    Authority::open(&place.certs())
        .unwrap()
        .issue_node("gone")
        .unwrap();
    let node = place.start();
    let sums = Request::Sums { level: 0, index: 0 };
    let answer = place.caller(&node, "gone").ask(sums);
    assert_eq!(answer, Response::Refused(Refusal::Forbidden));
}

#[test]
fn a_node_that_is_no_member_of_the_map_shares_the_memory_for_long_frames_with_clients() {
    let place = place();
    let authority = Authority::open(&place.certs()).unwrap();
    authority.issue_node("gone").unwrap();
    let node = place.start();

    let mut holding = Vec::new();
    for _ in 0..LONG / FRAME {
        let mut caller = place.caller(&node, "gone");
        let stream = announce(&caller, 100);
        assert_eq!(caller.ask(get("k")), Response::Absent);
        holding.push((caller, stream));
    }
    let mut one_more = place.caller(&node, "gone");
    let _stream = announce(&one_more, 101);
    let refused = one_more.receive();
    assert_eq!(refused.id, 101);
    assert!(
        matches!(
            refused.response,
            Response::Refused(Refusal::Overloaded { .. })
        ),
        "{refused:?}"
    );
    drop(holding);
}
