//! What a driver makes of the machine's steps, and what it says of its own node.

use quoit_gossip::{Body, Pulse};
use quoit_ring::change::{Arcs, Known};
use quoit_ring::wire::{DiskLevel, WarningKind};

use super::*;
use crate::testing::{SELF, ring, state};

const OTHER: NodeId = NodeId(2);

fn second(seconds: u64) -> Moment {
    Moment(seconds * 1_000_000)
}

fn driver(state: &NodeState) -> GossipDriver {
    let life = (Incarnation(3), Options::default());
    GossipDriver::new(state, life, 7, second(0))
}

fn acts(driver: &mut GossipDriver) -> Vec<Act> {
    std::iter::from_fn(|| driver.poll()).collect()
}

/// The messages that are to be sent.
fn sent(driver: &mut GossipDriver) -> Vec<(NodeId, Message)> {
    let message = |act| match act {
        Act::Send { to, frame } => match frame.request {
            Request::Gossip(bytes) => Some((to, Message::decode(&bytes).unwrap())),
            other => panic!("{other:?}"),
        },
        _ => None,
    };
    acts(driver).into_iter().filter_map(message).collect()
}

fn pulse(incarnation: u64, heartbeat: u32) -> Pulse {
    Pulse {
        incarnation: Incarnation(incarnation),
        heartbeat,
        facts: heartbeat,
    }
}

fn ping(state: &NodeState, epoch: Epoch, heartbeat: u32) {
    let message = Message {
        epoch,
        pulse: pulse(1, heartbeat),
        body: Body::Ping { origin: None },
    };
    assert!(state.gossip.push(OTHER, message));
}

#[test]
fn a_round_is_a_digest_to_a_member_and_names_are_resolved_at_once() {
    let state = state(2);
    let mut driver = driver(&state);
    driver.handle_time(second(0));
    let acts = acts(&mut driver);
    let digest = |act: &Act| matches!(act, Act::Send { to: OTHER, .. });
    assert!(
        acts.iter().any(digest) && acts.contains(&Act::Resolve),
        "{acts:?}"
    );
    assert!(driver.next_wake() <= second(1));
}

#[test]
fn a_ping_is_answered_and_its_sender_is_seen() {
    let state = state(2);
    let mut driver = driver(&state);
    assert!(!state.members.get().members[0].was_heard);
    ping(&state, Epoch(2), 5);
    driver.handle_inbox(second(1));
    let sent = sent(&mut driver);
    let ack = |(to, message): &(NodeId, Message)| {
        *to == OTHER && matches!(message.body, Body::Ack { origin: None })
    };
    assert!(sent.iter().any(ack), "{sent:?}");

    driver.handle_time(second(1));
    let seen = &state.members.get().members[0];
    assert!(
        seen.was_heard && seen.state == MemberState::Alive,
        "{seen:?}"
    );
    assert_eq!((seen.node, seen.incarnation, seen.heartbeat), (OTHER, 1, 5));
}

#[test]
fn a_member_that_knows_a_newer_epoch_is_asked_for_it() {
    let state = state(2);
    let mut driver = driver(&state);
    ping(&state, Epoch(9), 5);
    driver.handle_inbox(second(1));
    assert!(acts(&mut driver).contains(&Act::CatchUp(OTHER)));
}

#[test]
fn a_node_that_listens_elsewhere_than_its_ring_says_announces_that_and_learns_it_of_others() {
    let state = state(2);
    let mut driver = driver(&state);
    assert_eq!(driver.facts(second(1)).address, None);
    state.addresses.listen_at("10.9.9.9:7777".parse().unwrap());
    let address = driver.facts(second(1)).address;
    assert_eq!(address.as_deref(), Some("10.9.9.9:7777"));

    let facts = Facts {
        address,
        ..Facts::default()
    };
    let mark = quoit_gossip::Mark {
        node: OTHER,
        pulse: pulse(1, 5),
    };
    let message = Message {
        epoch: Epoch(1),
        pulse: pulse(1, 5),
        body: Body::Facts(vec![(mark, facts)]),
    };
    assert_eq!(driver.addresses().count(), 0);
    assert!(state.gossip.push(OTHER, message));
    driver.handle_inbox(second(2));
    assert!(driver.addresses().eq([(OTHER, "10.9.9.9:7777")]));
}

#[test]
fn what_others_hear_of_this_node_follows_its_disk_and_ring() {
    let state = state(1);
    let mut driver = driver(&state);
    state.stats.set_disk(DiskLevel::Low, 77);
    let facts = driver.facts(second(1));
    assert_eq!((facts.disk, facts.free_bytes), (DiskLevel::Low, 77));
    assert_eq!(facts.epoch, state.cluster.newest().epoch());

    // A second member is on its way in.
    let first = state.cluster.newest();
    let begun = first
        .configuration()
        .begin(ring(2).map().clone(), Arcs::FULL);
    let next: Known = first.later(begun.unwrap()).unwrap();
    assert!(state.cluster.learn(next, true));
    driver.handle_time(second(2));
    assert_eq!(state.members.get().members[0].node, OTHER);
    assert_eq!(
        driver.facts(second(2)).epoch,
        state.cluster.newest().epoch()
    );
}

#[test]
fn a_later_life_of_this_node_is_a_warning() {
    let state = state(2);
    let mut driver = driver(&state);
    let twin = quoit_gossip::Mark {
        node: SELF,
        pulse: pulse(4, 1),
    };
    let message = Message {
        epoch: Epoch(2),
        pulse: pulse(1, 5),
        body: Body::Digest(vec![twin]),
    };
    assert!(state.gossip.push(OTHER, message));
    driver.handle_inbox(second(1));
    let warnings = state.warnings.list(second(2));
    assert_eq!(warnings[0].kind, WarningKind::RunsElsewhere, "{warnings:?}");
}

#[test]
fn a_node_that_hears_too_few_says_so_once_it_has_had_time_to_start() {
    let state = state(3);
    let mut driver = driver(&state);
    let isolated = |state: &NodeState, now| {
        let warnings = state.warnings.list(now);
        warnings.iter().any(|it| it.kind == WarningKind::Isolated)
    };
    driver.handle_time(second(1));
    assert!(!isolated(&state, second(1)), "it has just started");
    driver.handle_time(second(6));
    assert!(isolated(&state, second(6)));
    ping(&state, Epoch(2), 5);
    driver.handle_inbox(second(7));
    driver.handle_time(second(8));
    assert!(!isolated(&state, second(8)), "two of three hear each other");
}

#[test]
fn ids_of_gossip_are_nobody_elses() {
    assert!(GossipDriver::is_ours(OURS + 1));
    assert!(!GossipDriver::is_ours(1) && !GossipDriver::is_ours(1 << 63 | 5));
    assert!(!crate::change::ChangeDriver::is_ours(OURS + 1));
}

#[test]
fn a_full_inbox_refuses() {
    let state = state(2);
    let mut pushed = 0;
    let message = |heartbeat| Message {
        epoch: Epoch(2),
        pulse: pulse(1, heartbeat),
        body: Body::Ack { origin: None },
    };
    while state.gossip.push(OTHER, message(pushed)) {
        pushed += 1;
    }
    assert_eq!(pushed, 64);
    assert_eq!(state.gossip.take().len(), 64);
    assert!(state.gossip.push(OTHER, message(9)));
}

#[test]
fn a_member_in_another_recovery_is_named_and_never_caught_up_with() {
    let state = state(3);
    let first = state.cluster.newest();
    let [one, other] = [vec![NodeId(3)], vec![SELF, NodeId(3)]]
        .map(|lost| first.configuration().recovered(&lost).unwrap());
    assert!(state.cluster.learn(first.later(one.clone()).unwrap(), true));
    let mut driver = driver(&state);
    driver.handle_time(second(1));
    acts(&mut driver);
    let warned = |now| {
        let warnings = state.warnings.list(now);
        let found = (warnings.into_iter()).find(|it| it.kind == WarningKind::OtherRecovery);
        found.map(|it| it.text)
    };

    let facts = |epoch, heartbeat| Message {
        epoch,
        pulse: pulse(1, heartbeat),
        body: Body::Facts(vec![(
            quoit_gossip::Mark {
                node: OTHER,
                pulse: pulse(1, heartbeat),
            },
            Facts {
                epoch,
                ..Facts::default()
            },
        )]),
    };
    // It has gone on by some steps, so it is the later one or the earlier one.
    for (heartbeat, epoch) in [(5, other.epoch.0 + 3), (6, other.epoch.0)] {
        assert!(state.gossip.push(OTHER, facts(Epoch(epoch), heartbeat)));
        driver.handle_inbox(second(2));
        driver.handle_time(second(3));
        let is_catching_up = |act: &Act| matches!(act, Act::CatchUp(_));
        assert!(!acts(&mut driver).iter().any(is_catching_up));
        let text = warned(second(3)).unwrap();
        assert!(
            text.contains("n2 follows recovery 1 with the mark"),
            "{text}"
        );
    }
    assert!(state.gossip.push(OTHER, facts(one.epoch, 7)));
    driver.handle_inbox(second(4));
    driver.handle_time(second(5));
    assert_eq!(warned(second(5)), None);
}
