//! The bytes of one message of every kind, spelt out: a change of the wire shows here, and only on purpose.
//!
//! ```text
//!   length    kind ver  id                head length | head      | body
//!   13000000  01   01   0700000000000000  04000000    | 03 64 0201 | 6b
//! ```
//!
//! A request's head is epoch, budget, tag; a response's epoch, clock, tag. Spaces and bars are for the eye.
//! A new variant fails `no_tag_is_without_its_golden_bytes` until it has a row.

use bytes::{Bytes, BytesMut};
use quoit_ring::change::{Arcs, Change, Configuration, Hand, Update};
use quoit_ring::consensus::Ballot;
use quoit_ring::register;
use quoit_ring::token::TokenKey;
use quoit_ring::wire::configuration::{encode_answer, encode_configuration, encode_update};
use quoit_ring::wire::map::encode_map;
use quoit_ring::wire::{
    DecodeError, DiskLevel, Durability, Fault, FirstMap, Kept, KeyPage, MemberFacts, MemberSeen,
    MemberState, MembersSeen, MembershipAnswer, MembershipRequest, NodeStatus, Page,
    PeerSyncStatus, Promised, Refusal, RefusedHints, RegisterAnswer, RegisterAsk, RegisterRequest,
    RegisterState, Request, RequestFrame, Response, ResponseFrame, ScanPage, ScanRequest, ScanRow,
    StabilityStatus, SyncAnswer, SyncEnd, SyncOrder, SyncRequest, SyncStatus, Warning, WarningKind,
    WatchAnswer, WatchChanges, WatchRequest,
};
use quoit_ring::{
    Actor, ClusterId, ClusterMap, Dot, Epoch, Interval, Leaf, LeafBits, Member, MerkleKey, Millis,
    NodeId, Record, Seen, Sibling, Sum, Time,
};

use crate::messages::{REFUSALS, REQUESTS, RESPONSES, encoded};

const KEY: Bytes = Bytes::from_static(b"k");
const BODY: Bytes = Bytes::from_static(&[0xaa, 0xbb]);
const OF_REGISTER: register::Ballot = register::Ballot {
    time: Time(11),
    unique: 13,
};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn plain(golden: &str) -> String {
    golden.chars().filter(char::is_ascii_hexdigit).collect()
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn requests() -> [(Request, &'static str); 25] {
    let dot = Dot {
        time: Time(300),
        actor: Actor(5),
    };
    let (key, record, digest) = (KEY, BODY, true);
    [
        (
            Request::Map,
            "11000000 01 01 0700000000000000 03000000 | 03 64 00 |",
        ),
        (
            Request::Status,
            "11000000 01 01 0700000000000000 03000000 | 03 64 01 |",
        ),
        (
            Request::Get {
                key: key.clone(),
                digest,
            },
            "13000000 01 01 0700000000000000 04000000 | 03 64 02 01 | 6b",
        ),
        (
            Request::Put {
                key: key.clone(),
                dot,
                record: record.clone(),
            },
            // dot: time, actor; bytes of the key
            "19000000 01 01 0700000000000000 08000000 | 03 64 03 fb2c01 05 01 | 6b aabb",
        ),
        (
            Request::Repair { key, record },
            "15000000 01 01 0700000000000000 04000000 | 03 64 04 01 | 6b aabb",
        ),
        (
            Request::Sums {
                level: 2,
                index: 500,
            },
            "15000000 01 01 0700000000000000 07000000 | 03 64 05 02 fbf401 |",
        ),
        (
            Request::Hint {
                target: NodeId(9),
                key: KEY,
                dot,
                record: BODY,
            },
            // target, dot, bytes of the key
            "1a000000 01 01 0700000000000000 09000000 | 03 64 06 09 fb2c01 05 01 | 6b aabb",
        ),
        (
            Request::Hints,
            "11000000 01 01 0700000000000000 03000000 | 03 64 07 |",
        ),
        (
            Request::Membership(MembershipRequest::Accept {
                ballot: Ballot {
                    round: 2,
                    proposer: NodeId(9),
                },
                next: BODY,
            }),
            // the variant, round and proposer, what shall follow
            "16000000 01 01 0700000000000000 03000000 | 03 64 08 | 01 02 09 aabb",
        ),
        (
            Request::Gossip(BODY),
            "13000000 01 01 0700000000000000 03000000 | 03 64 09 | aabb",
        ),
        (
            Request::Members,
            "11000000 01 01 0700000000000000 03000000 | 03 64 0a |",
        ),
        (
            Request::Sync(SyncRequest::Total),
            "12000000 01 01 0700000000000000 03000000 | 03 64 0b | 00",
        ),
        (
            Request::Sync(SyncRequest::Below {
                level: 4,
                nodes: vec![2, 300],
            }),
            // the variant, the level, two nodes
            "1f000000 01 01 0700000000000000 03000000 | 03 64 0b | 01 04 02000000 02000000 2c010000",
        ),
        (
            Request::Sync(SyncRequest::Keys {
                leaves: vec![300],
                after: KEY,
            }),
            // the variant, one leaf, behind which key
            "1b000000 01 01 0700000000000000 03000000 | 03 64 0b | 02 01000000 2c010000 6b",
        ),
        (
            Request::Sync(SyncRequest::Status),
            "12000000 01 01 0700000000000000 03000000 | 03 64 0b | 03",
        ),
        (
            Request::Sync(SyncRequest::Order(SyncOrder::Resume)),
            "13000000 01 01 0700000000000000 03000000 | 03 64 0b | 04 02",
        ),
        (
            Request::Sync(SyncRequest::Promise { at_most: Time(7) }),
            // the variant, the time
            "1a000000 01 01 0700000000000000 03000000 | 03 64 0b | 05 0700000000000000",
        ),
        (
            Request::Sync(SyncRequest::Restore {
                key: KEY,
                record: BODY,
            }),
            // the variant, the key behind its length, the record
            "17000000 01 01 0700000000000000 03000000 | 03 64 0b | 06 0100 6b aabb",
        ),
        (
            Request::Register(RegisterRequest {
                key: KEY,
                ask: RegisterAsk::Prepare {
                    ballot: OF_REGISTER,
                },
            }),
            // the variant; the ballot: its time, what makes it unique; the key behind its length
            "25000000 01 01 0700000000000000 03000000 | 03 64 0c | 01 0b00000000000000 0d00000000000000 0100 6b",
        ),
        (
            Request::Register(RegisterRequest {
                key: KEY,
                ask: RegisterAsk::Accept {
                    ballot: OF_REGISTER,
                    value: BODY,
                },
            }),
            "27000000 01 01 0700000000000000 03000000 | 03 64 0c | 02 0b00000000000000 0d00000000000000 0100 6b aabb",
        ),
        (
            Request::Register(RegisterRequest {
                key: KEY,
                ask: RegisterAsk::Extend {
                    ballot: OF_REGISTER,
                    value: BODY,
                },
            }),
            "27000000 01 01 0700000000000000 03000000 | 03 64 0c | 04 0b00000000000000 0d00000000000000 0100 6b aabb",
        ),
        (
            Request::Register(RegisterRequest {
                key: KEY,
                ask: RegisterAsk::AwaitTurn,
            }),
            "25000000 01 01 0700000000000000 03000000 | 03 64 0c | 05 0000000000000000 0000000000000000 0100 6b",
        ),
        (
            Request::Register(RegisterRequest {
                key: KEY,
                ask: RegisterAsk::EndTurn,
            }),
            "25000000 01 01 0700000000000000 03000000 | 03 64 0c | 06 0000000000000000 0000000000000000 0100 6b",
        ),
        (
            Request::Scan(ScanRequest {
                start: KEY,
                end: Bytes::from_static(b"l"),
                reverse: true,
                values: true,
                cover: 2,
                without: vec![NodeId(9)],
                rows: 512,
                bytes: 65_536,
            }),
            // flags, cover, rows, bytes; without one node; start and end
            "2d000000 01 01 0700000000000000 03000000 | 03 64 0d | 03 02 00020000 00000100 01000000 0900000000000000 0100 6b 0100 6c",
        ),
        (
            Request::Watch(WatchRequest {
                id: 9,
                incarnation: 10,
                after: 11,
                is_prefix: true,
                key: KEY,
            }),
            // flags, id, incarnation, after; the prefix
            "2b000000 01 01 0700000000000000 03000000 | 03 64 0e | 01 0900000000000000 0a00000000000000 0b00000000000000 6b",
        ),
    ]
}

#[test]
fn the_bytes_of_every_request_are_golden() {
    for (request, golden) in requests() {
        let frame = RequestFrame {
            id: 7,
            epoch: Epoch(3),
            budget_ms: 100,
            request,
        };
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        assert_eq!(hex(&out), plain(golden), "{frame:?}");
    }
}

fn status() -> NodeStatus {
    NodeStatus {
        node: NodeId(10),
        version: "0.1".into(),
        uptime_ms: 5,
        durability: Durability::Fsync,
        records: 6,
        disk_bytes: 7,
        free_bytes: 21,
        pull_bytes_per_second: 22,
        connections: 8,
        queued_writes: 9,
        merkle_root: Some(Sum(11)),
        dot_collisions: 0,
        summed_records: 12,
        unreadable_records: 13,
        refused_hints: None,
        refused_repairs: 18,
        swept_values: 23,
        next_expiry_ms: Some(24),
        warnings: Vec::new(),
    }
}

fn seen() -> MemberSeen {
    MemberSeen {
        node: NodeId(9),
        state: MemberState::Suspect,
        was_heard: true,
        silence_ms: 300,
        incarnation: 2,
        heartbeat: 3,
        facts: Some(MemberFacts {
            version: "0.1".into(),
            epoch: Epoch(4),
            disk: DiskLevel::Low,
            free_bytes: 5,
            oldest_hint_s: Some(6),
            address: Some("h1".into()),
        }),
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn responses() -> [(Response, &'static str); 29] {
    let rebuilding = NodeStatus {
        durability: Durability::Buffered,
        merkle_root: None,
        refused_hints: Some(RefusedHints {
            count: 14,
            target: NodeId(15),
            reason: Refusal::TooOld {
                age_ms: 16,
                max_ms: 17,
            },
        }),
        warnings: vec![Warning {
            kind: WarningKind::Handshakes,
            since_ms: 19,
            count: 20,
            text: "why".into(),
        }],
        ..status()
    };
    [
        (
            Response::Map(BODY),
            "13000000 02 01 0700000000000000 03000000 | 03 09 00 | aabb",
        ),
        (
            Response::Status(Box::new(status())),
            // node, version, uptime, fsync, records, disk, free, pulls, connections, queue, some sum, collisions, summed, unreadable,
            // no refused hints, refused repairs, swept, some next expiry, no warnings
            "29000000 02 01 0700000000000000 1b000000 | 03 09 01 0a 03302e31 05 00 06 07 15 16 08 09 010b 00 0c 0d 00 12 17 0118 00 |",
        ),
        (
            Response::Status(Box::new(rebuilding)),
            // ... some refused: 14, by 15, too old: 16, 17; refused repairs; swept, next expiry; one warning: kind, since, count, text
            "34000000 02 01 0700000000000000 26000000 | 03 09 01 0a 03302e31 05 01 06 07 15 16 08 09 00 00 0c 0d 01 0e 0f 08 10 11 12 17 0118 01 03131403776879 |",
        ),
        (
            Response::Record(BODY),
            "13000000 02 01 0700000000000000 03000000 | 03 09 02 | aabb",
        ),
        (
            Response::Absent,
            "11000000 02 01 0700000000000000 03000000 | 03 09 03 |",
        ),
        (
            Response::Joined,
            "11000000 02 01 0700000000000000 03000000 | 03 09 04 |",
        ),
        (
            Response::Superseded {
                named: true,
                above: Time(12),
            },
            "13000000 02 01 0700000000000000 05000000 | 03 09 05 01 0c |",
        ),
        (
            Response::Sums(vec![Sum(1), Sum(1 << 64)]),
            "24000000 02 01 0700000000000000 16000000 | 03 09 06 02 01 fe00000000000000000100000000000000 |",
        ),
        (
            Response::Refused(Refusal::NotReplica),
            "12000000 02 01 0700000000000000 04000000 | 03 09 07 00 |",
        ),
        (
            Response::Hints(vec![Kept {
                target: NodeId(9),
                count: 2,
                bytes: 300,
            }]),
            "29000000 02 01 0700000000000000 03000000 | 03 09 08 | 0900000000000000 0200000000000000 2c01000000000000",
        ),
        (
            Response::Membership(Box::new(MembershipAnswer::Page(Page {
                rows: vec![(KEY, BODY)],
                registers: vec![(KEY, BODY)],
                next: Some(KEY),
            }))),
            // the variant, one row: key and record behind their lengths, one register likewise; where the next page begins
            "32000000 02 01 0700000000000000 03000000 | 03 09 09 | 09 01000000 01000000 6b 02000000 aabb 01000000 01000000 6b 02000000 aabb 01 6b",
        ),
        (
            Response::Membership(Box::new(MembershipAnswer::Refill {
                is_complete: true,
                page: Page {
                    rows: vec![(KEY, BODY)],
                    registers: vec![],
                    next: None,
                },
            })),
            // the variant, complete; the page, which is the last one
            "27000000 02 01 0700000000000000 03000000 | 03 09 09 | 0b 01 01000000 01000000 6b 02000000 aabb 00000000 00",
        ),
        (
            Response::Heard,
            "11000000 02 01 0700000000000000 03000000 | 03 09 0a |",
        ),
        (
            Response::Members(MembersSeen {
                is_isolated: true,
                members: vec![seen()],
            }),
            // isolated; one entry of 22 bytes: id, suspect, heard, silence, incarnation, heartbeat, some facts: version, epoch,
            // low, free bytes, some hint's age, some address
            "2a000000 02 01 0700000000000000 03000000 | 03 09 0b | 01 1600 09 01 01 fb2c01 02 03 01 03302e31 04 02 05 0106 01026831",
        ),
        (
            Response::Sync(SyncAnswer::Total(Sum(7))),
            "22000000 02 01 0700000000000000 03000000 | 03 09 0c | 00 07000000000000000000000000000000",
        ),
        (
            Response::Sync(SyncAnswer::Below(vec![7, 300])),
            "22000000 02 01 0700000000000000 03000000 | 03 09 0c | 01 0700000000000000 2c01000000000000",
        ),
        (
            Response::Sync(SyncAnswer::Keys(KeyPage {
                rows: vec![(KEY, 7)],
                next: Some(KEY),
            })),
            // the variant, one row: sum, and the key behind its length; behind which key the next page begins
            "23000000 02 01 0700000000000000 03000000 | 03 09 0c | 02 01000000 0700000000000000 0100 6b 01 6b",
        ),
        (
            Response::Sync(SyncAnswer::Status(SyncStatus {
                is_paused: true,
                comparing: Some(NodeId(9)),
                stability: StabilityStatus {
                    lag_ms: Some(1),
                    leaves_without: 2,
                    waits_for: Some(NodeId(9)),
                    forgotten: 3,
                    restored: 4,
                },
                peers: vec![PeerSyncStatus {
                    node: NodeId(9),
                    equal_ago_ms: Some(1),
                    ended_ago_ms: 2,
                    end: SyncEnd::Failed("why".into()),
                    differing: 3,
                    pulled: 4,
                    pushed: 5,
                    failed: 6,
                    damaged: 7,
                    sent: 8,
                    received: 9,
                }],
            })),
            // the variant, paused, with some; lag, leaves, for which it waits, forgotten, restored; one peer of 16 bytes: node,
            // equal, ended, how, counts
            "2e000000 02 01 0700000000000000 03000000 | 03 09 0c | 03 01 0109 0101 02 0109 03 04 1000 09 0101 02 0203776879 03 04 05 06 07 08 09",
        ),
        (
            Response::Sync(SyncAnswer::Promised(Promised {
                refused: Time(7),
                hints: vec![(NodeId(9), Time(5))],
                other_hints: Time(6),
            })),
            // the variant, up to when, the oldest of any key; one target with its oldest hint
            "32000000 02 01 0700000000000000 03000000 | 03 09 0c | 04 0700000000000000 0600000000000000 0900000000000000 0500000000000000",
        ),
        (
            Response::Above {
                floor: Time(12),
                record: Some(BODY),
            },
            "15000000 02 01 0700000000000000 05000000 | 03 09 0d 0c 01 | aabb",
        ),
        (
            Response::Above {
                floor: Time(12),
                record: None,
            },
            "13000000 02 01 0700000000000000 05000000 | 03 09 0d 0c 00 |",
        ),
        (
            Response::Unsettled {
                floor: Time(12),
                record: Some(BODY),
            },
            "15000000 02 01 0700000000000000 05000000 | 03 09 0e 0c 01 | aabb",
        ),
        (
            Response::Register(Box::new(RegisterAnswer::State(RegisterState {
                floor: Time(12),
                row: Some(BODY),
                ballot: Some(OF_REGISTER),
                pending: Some(KEY),
            }))),
            // the variant, the floor, which are there; the ballot; the row behind its length, the pending value
            "32000000 02 01 0700000000000000 03000000 | 03 09 0f | 00 0c00000000000000 07 0b00000000000000 0d00000000000000 02000000 aabb 6b",
        ),
        (
            Response::Register(Box::new(RegisterAnswer::Outbid {
                promised: OF_REGISTER,
            })),
            "22000000 02 01 0700000000000000 03000000 | 03 09 0f | 02 0b00000000000000 0d00000000000000",
        ),
        (
            Response::Register(Box::new(RegisterAnswer::Unseen)),
            "12000000 02 01 0700000000000000 03000000 | 03 09 0f | 03",
        ),
        (
            Response::Register(Box::new(RegisterAnswer::Turn { contended: true })),
            "13000000 02 01 0700000000000000 03000000 | 03 09 0f | 04 01",
        ),
        (
            Response::Scan(ScanPage {
                floor: Time(12),
                rows: vec![ScanRow {
                    key: KEY,
                    floor: Time(5),
                    record: BODY,
                }],
                through: Some(KEY),
            }),
            // floor, through a key; one row: its floor, key and record
            "32000000 02 01 0700000000000000 03000000 | 03 09 10 | 0c00000000000000 01 0100 6b 01000000 0500000000000000 0100 6b 02000000 aabb",
        ),
        (
            Response::Watch(WatchAnswer {
                incarnation: 10,
                through: 12,
                changes: WatchChanges::Begun,
            }),
            // incarnation, through, which changes
            "22000000 02 01 0700000000000000 03000000 | 03 09 11 | 0a00000000000000 0c00000000000000 00",
        ),
        (
            Response::Watch(WatchAnswer {
                incarnation: 10,
                through: 12,
                changes: WatchChanges::Keys(vec![KEY]),
            }),
            "29000000 02 01 0700000000000000 03000000 | 03 09 11 | 0a00000000000000 0c00000000000000 02 01000000 0100 6b",
        ),
    ]
}

fn response_bytes(response: Response) -> String {
    let frame = ResponseFrame {
        id: 7,
        epoch: Epoch(3),
        clock: Time(9),
        response,
    };
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    hex(&out)
}

#[test]
fn the_bytes_of_every_response_are_golden() {
    for (response, golden) in responses() {
        assert_eq!(
            response_bytes(response.clone()),
            plain(golden),
            "{response:?}"
        );
    }
}

/// Each refusal, and the bytes behind the response's tag.
pub(crate) fn refusals() -> [(Refusal, &'static str); 26] {
    let (bytes, max) = (300, 5);
    [
        (Refusal::NotReplica, "00"),
        (Refusal::OldEpoch, "01"),
        (Refusal::Forbidden, "02"),
        (Refusal::BadKey { bytes }, "03 fb2c01"),
        (Refusal::ValueTooLarge { bytes, max }, "04 fb2c01 05"),
        (Refusal::TooManySiblings { max: 64 }, "05 40"),
        (Refusal::RecordTooLarge { bytes, max }, "06 fb2c01 05"),
        (
            Refusal::ClockAhead {
                ahead_ms: 300,
                max_ms: 5,
            },
            "07 fb2c01 05",
        ),
        (
            Refusal::TooOld {
                age_ms: 300,
                max_ms: 5,
            },
            "08 fb2c01 05",
        ),
        (Refusal::BadRecord, "09"),
        (Refusal::Expired, "0a"),
        (Refusal::Overloaded { queue_ms: 70_000 }, "0b fc70110100"),
        (Refusal::Draining, "0c"),
        (Refusal::NotReady, "0d"),
        (Refusal::Storage(Fault::NoSpace), "0e 00"),
        (Refusal::Storage(Fault::Corrupt), "0e 01"),
        (Refusal::Storage(Fault::Failed), "0e 02"),
        (Refusal::Storage(Fault::Filled), "0e 03"),
        (Refusal::HintsFull { bytes, max }, "0f fb2c01 05"),
        (
            Refusal::SeenTooLarge {
                intervals: 300,
                max: 5,
            },
            "10 fb2c01 05",
        ),
        (Refusal::Behind, "11"),
        (Refusal::BadNodes, "12"),
        (Refusal::OtherRecovery, "13"),
        (Refusal::Incomplete, "14"),
        (Refusal::BallotReused, "15"),
        (Refusal::TooManyWatches { watches: 300 }, "16 fb2c01"),
    ]
}

#[test]
fn the_bytes_of_every_refusal_are_golden() {
    for (refusal, golden) in refusals() {
        let found = response_bytes(Response::Refused(refusal));
        let (frame, head) = found.split_at(2 * (4 + 14));
        assert_eq!(head, format!("030907{}", plain(golden)), "{refusal:?}");
        assert_eq!(frame[..8], format!("{:02x}000000", 14 + head.len() / 2));
    }
}

/// How many of the tags behind `head` are known to a decoder.
fn known_tags<T>(kind: u8, head: &[u8], decode: impl Fn(Bytes) -> Result<T, DecodeError>) -> u64 {
    let known = |&tag: &u8| {
        let mut frame = vec![kind, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        frame.extend_from_slice(&[u8::try_from(head.len() + 1).unwrap(), 0, 0, 0]);
        frame.extend_from_slice(head);
        frame.push(tag);
        !matches!(
            decode(frame.into()),
            Err(DecodeError::Malformed("an unknown variant"))
        )
    };
    (0..=250).filter(known).count() as u64
}

#[test]
fn no_tag_is_without_its_golden_bytes() {
    assert_eq!(known_tags(1, &[3, 100], RequestFrame::decode), REQUESTS);
    assert_eq!(known_tags(2, &[3, 9], ResponseFrame::decode), RESPONSES);
    assert_eq!(known_tags(2, &[3, 9, 7], ResponseFrame::decode), REFUSALS);
    assert_eq!(
        known_tags(2, &[3, 9, 7, 14], ResponseFrame::decode),
        4,
        "faults"
    );
}

#[test]
fn the_bytes_of_a_record_are_golden() {
    let (early, late) = (Time(9), Time(300));
    let actor = |id| Actor(id);
    let seen = Seen::from_parts(
        Time(8),
        [
            Interval {
                actor: actor(1),
                lo: Time(8),
                hi: early,
            },
            Interval {
                actor: actor(2),
                lo: early,
                hi: late,
            },
        ][..]
            .into(),
    );
    let live = [
        Sibling {
            dot: Dot {
                time: early,
                actor: actor(1),
            },
            expiry: Some(Millis(5)),
            hash: 0x0102_0304_0506_0708,
            value: Some(Bytes::from_static(b"abc")),
        },
        Sibling {
            dot: Dot {
                time: late,
                actor: actor(2),
            },
            expiry: None,
            hash: 0x1112_1314_1516_1718,
            value: None,
        },
    ];
    let record = Record::from_parts(live[..].into(), seen.unwrap()).unwrap();
    let golden = concat!(
        "01 | 08 02",                                        // version; floor, two intervals:
        "0100000000000000 00 01",                            // actor, from the floor, one long
        "0200000000000000 01 fb2301",                        // actor, one above it, 291 long
        "| 02",                                              // two siblings:
        "09 0100000000000000 05 0807060504030201 04 616263", // time, actor, expiry, hash, value
        "fb2c01 0200000000000000 00 1817161514131211 00",    // never expires, value left out
    );
    assert_eq!(hex(&encoded(&record)), plain(golden));
    assert_eq!(hex(&encoded(&Record::default())), "01000000", "absence");
}

pub(crate) fn map() -> ClusterMap {
    let member = Member {
        id: NodeId(0xff),
        name: "n1".into(),
        address: "h:1".into(),
        zone: String::new(),
        weight: 100,
        vnodes: vec![Leaf(1), Leaf(70_000)],
    };
    ClusterMap {
        cluster: ClusterId(6),
        epoch: Epoch(1),
        token_key: TokenKey([2; 16]),
        leaf_bits: LeafBits::FULL,
        replication: 3,
        members: vec![member],
    }
}

#[test]
fn the_bytes_of_a_map_are_golden() {
    let golden = concat!(
        "01 | 06 01 02020202020202020202020202020202 14 03 | 01 |", // version; cluster, epoch, key, bits, N; members
        "ff00000000000000 026e31 03683a31 00 64 | 02 01 fc70110100", // id, name, address, zone, weight; leaves
    );
    assert_eq!(hex(&encode_map(&map())), plain(golden));
    let first = FirstMap {
        map: map(),
        merkle_key: MerkleKey([3; 16]),
    };
    let file = "71756f69746d6170 | 01 | 03030303030303030303030303030303 |"; // magic; version; Merkle key
    let sum = "9a848d9056a1ca5a";
    assert_eq!(hex(&first.to_bytes()), plain(file) + &plain(golden) + sum);
}

/// A member joins: the first one, its change on the second arc, and the bytes of each.
pub(crate) fn joining() -> [Configuration; 2] {
    let first = Configuration {
        epoch: Epoch(4),
        map: map(),
        change: None,
        voters: vec![NodeId(0xff)],
        removed: vec![NodeId(9)],
    };
    let mut target = map();
    target.epoch = Epoch(5);
    target.members.push(Member {
        id: NodeId(0x100),
        name: "n2".into(),
        vnodes: vec![Leaf(2)],
        ..target.members[0].clone()
    });
    let begun = Configuration {
        epoch: Epoch(5),
        change: Some(Change {
            target,
            hand: Hand::on_first(Arcs::FULL),
        }),
        ..first.clone()
    };
    [first, begun]
}

#[test]
fn the_bytes_of_a_configuration_and_of_updates_are_golden() {
    let [first, begun] = joining();
    let map = concat!(
        "06 01 02020202020202020202020202020202 14 03 | 01 |",
        "ff00000000000000 026e31 03683a31 00 64 | 02 01 fc70110100 |",
    );
    let stable = format!("01 04 | {map} 00 | 01 ff00000000000000 | 01 0900000000000000"); // version, epoch; no change; voters; removed
    assert_eq!(hex(&encode_configuration(&first)), plain(&stable));

    let joiner = "0001000000000000 026e32 03683a31 00 64 | 01 02 |";
    let target = map
        .replacen("06 01", "06 05", 1)
        .replacen("| 01 |", "| 02 |", 1);
    let changing = format!(
        "01 05 | {map} 01 00 10 00 | {target} {joiner} 01 ff00000000000000 | 01 0900000000000000" // a change, on arc 0 of 16, not turned
    );
    assert_eq!(hex(&encode_configuration(&begun)), plain(&changing));

    let begin = concat!(
        "01 04 05 | 00 00 | 01 00 10 00 |", // version, from 4 to 5; the same map; a change, on arc 0 of 16, not turned
        "00 01 05 03 01 0001000000000000 026e32 03683a31 00 64 | 01 02 | 00 |", // target: the map; edits: epoch, N; one member; none gone
        "00 | 00 | e69120b165f1c5da", // the same voters; none removed; digest
    );
    let update = Update::between(&first, &begun).unwrap();
    assert_eq!(hex(&encode_update(&update)), plain(begin));
    let answer = encode_answer(Some(&first), &begun);
    assert_eq!(hex(&answer), "01".to_owned() + &plain(begin));
    let answer = encode_answer(None, &first);
    assert_eq!(hex(&answer), "00".to_owned() + &plain(&stable));

    let step = "01 05 06 | 00 00 | 01 01 10 00 | 01 00 | 00 | 00 | 2b35d9f87cd8df07"; // the hand is on arc 1; the same target
    let update = Update::between(&begun, &begun.step().unwrap()).unwrap();
    assert_eq!(hex(&encode_update(&update)), plain(step));
}
