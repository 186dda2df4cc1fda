//! Messages that come back as they were, and bytes that nobody should have sent: an error, never a panic.

use quoit_gossip::{Facts, Gossip, Incarnation, Message, Options};
use quoit_ring::{Moment, NodeId};

use crate::messages;
use crate::rng::Rng;

const CASES: u64 = 20_000;

#[test]
fn every_message_comes_back() {
    for seed in 0..CASES {
        let message = messages::any(&mut Rng(seed));
        assert_eq!(
            Message::decode(&message.encode()),
            Ok(message),
            "seed {seed}"
        );
    }
}

/// One to four random injuries; lengths and counts are made huge on purpose.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..=rng.below(4) {
        let at = usize::try_from(rng.below(bytes.len() as u64 + 1)).unwrap();
        let fill = [0, 1, 250, 251, 252, 253, 254, 255][usize::try_from(rng.below(8)).unwrap()];
        match rng.below(5) {
            0 if at < bytes.len() => bytes[at] = fill,
            1 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, [253, 255, 255, 255, 255, 255, 255, 255, 255])),
            _ => bytes.insert(at, fill),
        }
    }
}

#[test]
fn junk_is_an_error_or_a_message_that_comes_back() {
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..CASES {
        let rng = &mut Rng(seed);
        let mut bytes = messages::any(rng).encode();
        damage(rng, &mut bytes);
        match Message::decode(&bytes) {
            Ok(message) => {
                taken += 1;
                assert_eq!(
                    Message::decode(&message.encode()),
                    Ok(message),
                    "seed {seed}"
                );
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        refused > CASES / 4 && taken > CASES / 20,
        "{refused} {taken}"
    );
}

#[test]
fn a_machine_takes_whatever_members_say_and_knows_no_others() {
    let ids: Vec<NodeId> = (0..5).map(NodeId).collect();
    for seed in 0..200 {
        let rng = &mut Rng(seed);
        let facts = Facts::default();
        let mut gossip =
            Gossip::new(ids[0], Incarnation(1), facts, Options::default(), Moment(0)).unwrap();
        gossip.handle_members(ids.iter().copied(), Moment(0));
        for at in 0..100 {
            let now = Moment(at * 400_000);
            let from = NodeId(rng.below(6));
            gossip.handle_message(from, messages::any(rng), now);
            gossip.handle_time(now, rng.next());
            while gossip.poll_step().is_some() {}
            assert!(
                gossip
                    .members()
                    .map(|view| view.id)
                    .eq(ids[1..].iter().copied())
            );
        }
    }
}
