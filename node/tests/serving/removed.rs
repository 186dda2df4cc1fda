//! A node's certificate that names no member of the map is worth no more than a client's, and one of a removed member nothing.
//!
//! A certificate may be issued and never added to the map: nothing says that who holds it is a node, until the ring changes
//! and it is one.

use bytes::Bytes;
use quinn::{ConnectionError, SendStream};
use quoit_node::provision::Authority;
use quoit_node::{CloseCode, Node};
use quoit_ring::change::{Arcs, Configuration};
use quoit_ring::placement::{Newcomer, join};
use quoit_ring::wire::configuration::{ConfigurationAnswer, decode_answer, encode_answer};
use quoit_ring::wire::{MembershipAnswer, MembershipRequest, Refusal, Request, Response};
use quoit_ring::{Epoch, NodeId};

use crate::caller::{Caller, Place, get, place, put, write};

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

/// A node, and the certificate of one that is to join it.
fn joining() -> (Place, Node, NodeId) {
    let place = place();
    let authority = Authority::open(&place.certs()).unwrap();
    let (joiner, _files) = authority.issue_node("joiner").unwrap();
    let node = place.start();
    (place, node, joiner)
}

/// What the node announces.
fn configuration(caller: &mut Caller) -> Configuration {
    let Response::Map(answer) = caller.ask_in(Epoch(0), Request::Map) else {
        panic!("no map");
    };
    match decode_answer(&answer).unwrap() {
        ConfigurationAnswer::Whole(configuration) => *configuration,
        ConfigurationAnswer::Update(_) => panic!("an update of nothing"),
    }
}

/// The same while a member joins.
fn with_joiner(before: &Configuration, joiner: NodeId) -> Configuration {
    let mut target = before.map.clone();
    let newcomer = Newcomer {
        id: joiner,
        name: "joiner".into(),
        address: "127.0.0.1:1".into(),
        zone: "other".into(),
        weight: 100,
    };
    join(&mut target, newcomer, 7).unwrap();
    before.begin(target, Arcs::new(1).unwrap()).unwrap()
}

fn learn(operator: &mut Caller, next: &Configuration) {
    let decided = encode_answer(None, next).into();
    let message = MembershipRequest::Learn { decided };
    let answer = operator.ask(Request::Membership(message));
    let learned = Box::new(MembershipAnswer::Learned(next.epoch));
    assert_eq!(answer, Response::Membership(learned));
}

#[test]
fn a_node_that_becomes_a_member_pulls_on_the_connection_that_it_has() {
    let (place, node, joiner) = joining();
    let mut pulling = place.caller(&node, "joiner");
    let mut operator = place.caller(&node, "admin");
    let before = configuration(&mut operator);
    for number in 0..50 {
        let stored = operator.ask(put(&format!("k{number}"), &write("v", 0)));
        assert_eq!(stored, Response::Joined);
    }
    let pull = || {
        let after = Bytes::new();
        Request::Membership(MembershipRequest::Pull { after })
    };
    let fence = || Request::Membership(MembershipRequest::Fence);
    let forbidden = Response::Refused(Refusal::Forbidden);
    assert_eq!(pulling.ask(pull()), forbidden);

    let next = with_joiner(&before, joiner);
    learn(&mut operator, &next);
    assert_eq!(
        operator.ask_in(next.epoch, fence()),
        forbidden,
        "it is no node"
    );
    let behind = Response::Refused(Refusal::Behind);
    assert_eq!(
        pulling.ask_in(next.epoch, pull()),
        behind,
        "it is not fenced"
    );
    let Response::Membership(progress) = pulling.ask_in(next.epoch, fence()) else {
        panic!("a member may fence");
    };
    assert!(matches!(*progress, MembershipAnswer::Progress(it) if it.fence == next.epoch));
    let Response::Membership(page) = pulling.ask_in(next.epoch, pull()) else {
        panic!("a member may pull");
    };
    let MembershipAnswer::Page(page) = *page else {
        panic!("{page:?}");
    };
    assert!((1..50).contains(&page.rows.len()) && page.next.is_none());
    node.stop(std::time::Duration::from_secs(5)).unwrap();
}

/// How the joiner's connection is closed, while it is being set up or right after.
fn refused(place: &Place, node: &Node) -> (Option<CloseCode>, String) {
    match Caller::connect(&place.certs(), "joiner", node.address()) {
        Ok(caller) => caller.closed(),
        Err(ConnectionError::ApplicationClosed(close)) => (
            CloseCode::from_code(close.error_code.into_inner()),
            String::from_utf8(close.reason.to_vec()).unwrap(),
        ),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_removed_node_is_let_in_no_more_and_hears_why() {
    let (place, node, joiner) = joining();
    let mut operator = place.caller(&node, "admin");
    let mut next = configuration(&mut operator);
    next.epoch = Epoch(next.epoch.0 + 1);
    next.removed = vec![joiner];
    learn(&mut operator, &next);

    let (code, reason) = refused(&place, &node);
    assert_eq!(code, Some(CloseCode::Removed));
    assert!(reason.contains("was removed from this cluster"), "{reason}");

    // The same after a restart: it is on the disk.
    node.stop(std::time::Duration::from_secs(5)).unwrap();
    let node = place.start();
    let (code, _) = refused(&place, &node);
    assert_eq!(code, Some(CloseCode::Removed));
}
