//! The bytes of one message of every kind, spelt out: a change of the wire shows here, and only on purpose.
//!
//! ```text
//!   ver kind  epoch  incarnation heartbeat lag  | body
//!   01  03    07     02          fb2c01    04   | 00
//! ```
//!
//! Spaces and bars are for the eye.

use quoit_gossip::{Body, Build, Facts, Incarnation, MAX_MESSAGE, Mark, Message, Pulse};
use quoit_ring::wire::DecodeError;
use quoit_ring::wire::DiskLevel;
use quoit_ring::{Epoch, NodeId};

const HEAD: Pulse = Pulse {
    incarnation: Incarnation(2),
    heartbeat: 300,
    facts: 296,
};

const fn mark(node: u64, incarnation: u64, heartbeat: u32, facts: u32) -> Mark {
    Mark {
        node: NodeId(node),
        pulse: Pulse {
            incarnation: Incarnation(incarnation),
            heartbeat,
            facts,
        },
    }
}

fn messages() -> [(Body, &'static str); 8] {
    let facts = Facts {
        build: Build::new("0.1.0"),
        epoch: Epoch(6),
        disk: DiskLevel::Low,
        free_bytes: 70_000,
        oldest_hint_s: Some(9),
        address: Some("h:1".into()),
    };
    let with_mark = (mark(5, 1, 3, 2), facts);
    [
        (
            Body::Digest(vec![mark(4, 0, 0, 0), mark(5, 1, 3, 2)]),
            "01 00 07 02fb2c0104 | 02 0400000000000000 000000 0500000000000000 010301",
        ),
        (
            Body::Reply {
                marks: vec![mark(4, 1, 250, 0)],
                facts: vec![with_mark.clone()],
                wants: vec![NodeId(8)],
            },
            "01 01 07 02fb2c0104 | 01 0400000000000000 01fafa \
             | 01 0500000000000000 010301 06 02 fc70110100 0a 05302e312e30 03683a31 \
             | 01 0800000000000000",
        ),
        (
            Body::Facts(vec![(with_mark.0, Facts::default())]),
            "01 02 07 02fb2c0104 | 01 0500000000000000 010301 00 03 00 00 00 00",
        ),
        (Body::Ping { origin: None }, "01 03 07 02fb2c0104 | 00"),
        (
            Body::Ping {
                origin: Some(NodeId(9)),
            },
            "01 03 07 02fb2c0104 | 01 0900000000000000",
        ),
        (
            Body::PingFor(NodeId(0x0102)),
            "01 04 07 02fb2c0104 | 0201000000000000",
        ),
        (Body::Ack { origin: None }, "01 05 07 02fb2c0104 | 00"),
        (
            Body::Ack {
                origin: Some(NodeId(9)),
            },
            "01 05 07 02fb2c0104 | 01 0900000000000000",
        ),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_every_message_are_these() {
    for (body, golden) in messages() {
        let message = Message {
            epoch: Epoch(7),
            pulse: HEAD,
            body,
        };
        let bytes = message.encode();
        let plain: String = golden.chars().filter(char::is_ascii_hexdigit).collect();
        assert_eq!(hex(&bytes), plain, "{message:?}");
        assert_eq!(Message::decode(&bytes), Ok(message));
    }
}

#[test]
fn another_version_is_refused_by_name() {
    let mut bytes = Message {
        epoch: Epoch(7),
        pulse: HEAD,
        body: Body::Ping { origin: None },
    }
    .encode();
    bytes[0] = 2;
    assert_eq!(
        Message::decode(&bytes),
        Err(DecodeError::Version { found: 2, known: 1 })
    );
}

#[test]
fn a_message_over_the_limit_is_not_looked_at() {
    let too_large = DecodeError::TooLarge {
        what: "gossip",
        bytes: MAX_MESSAGE + 1,
        max: MAX_MESSAGE,
    };
    assert_eq!(Message::decode(&vec![1; MAX_MESSAGE + 1]), Err(too_large));
}

#[test]
fn a_pulse_whose_facts_are_of_no_heartbeat_is_refused() {
    // heartbeat 3, of which 4 are to be behind the facts
    assert!(matches!(
        Message::decode(&[1, 3, 7, 2, 3, 4, 0]),
        Err(DecodeError::Malformed(_))
    ));
    assert!(Message::decode(&[1, 3, 7, 2, 3, 3, 0]).is_ok());
}
