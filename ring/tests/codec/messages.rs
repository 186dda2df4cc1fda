//! Random messages of every kind.
//!
//! Numbers lie on all sides of the lengths that the encoding has, records on the small grid of the algebra
//! or stretched over all of time.

use bytes::{Bytes, BytesMut};
use quoit_ring::change::{Arcs, Change, Configuration, Hand};
use quoit_ring::register::Ballot;
use quoit_ring::token::TokenKey;
use quoit_ring::wire::{
    DiskLevel, Durability, Fault, FirstMap, Kept, KeyPage, MemberFacts, MemberSeen, MemberState,
    MembersSeen, MembershipAnswer, MembershipRequest, NodeStatus, Page, PeerSyncStatus, Promised,
    Refusal, RefusedHints, RegisterAnswer, RegisterAsk, RegisterRequest, RegisterState, Request,
    RequestFrame, Response, ResponseFrame, ScanPage, ScanRequest, ScanRow, StabilityStatus,
    SyncAnswer, SyncEnd, SyncOrder, SyncRequest, SyncStatus, Warning, WarningKind, WatchAnswer,
    WatchChanges, WatchRequest, encode_record,
};
use quoit_ring::{
    Actor, ClusterId, ClusterMap, Dot, Epoch, Interval, Leaf, LeafBits, Member, MerkleKey, NodeId,
    Record, Seen, Sibling, Sum, Time,
};

use crate::support::{Rng, arbitrary};

/// Numbers at which the encoding changes its length.
const EDGES: [u64; 9] = [
    0,
    1,
    250,
    251,
    0xffff,
    0x1_0000,
    0xffff_ffff,
    0x1_0000_0000,
    u64::MAX,
];

pub(crate) const REQUESTS: u64 = 15;
pub(crate) const RESPONSES: u64 = 18;
pub(crate) const REFUSALS: u64 = 23;

pub(crate) fn long(rng: &mut Rng) -> u64 {
    match rng.below(3) {
        0 => *rng.pick(&EDGES),
        1 => rng.below(1_000),
        _ => rng.next(),
    }
}

pub(crate) fn short(rng: &mut Rng) -> u32 {
    u32::try_from(long(rng) & 0xffff_ffff).unwrap()
}

fn wide(rng: &mut Rng) -> u128 {
    u128::from(long(rng)) << (rng.below(2) * 64) | u128::from(long(rng))
}

pub(crate) fn bytes(rng: &mut Rng, most: u64) -> Bytes {
    let len = rng.below(most + 1);
    (0..len).map(|_| rng.next().to_le_bytes()[0]).collect()
}

fn dot(rng: &mut Rng) -> Dot {
    Dot {
        time: Time(long(rng)),
        actor: Actor(long(rng)),
    }
}

fn sixteen(rng: &mut Rng) -> [u8; 16] {
    wide(rng).to_le_bytes()
}

pub(crate) fn encoded(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    encode_record(record, &mut out);
    out.freeze()
}

fn seen(rng: &mut Rng) -> MemberSeen {
    let states = [
        MemberState::Alive,
        MemberState::Suspect,
        MemberState::Failed,
    ];
    let disks = [
        DiskLevel::Full,
        DiskLevel::Reserve,
        DiskLevel::Low,
        DiskLevel::Ample,
    ];
    let text = |rng: &mut Rng, most| "x".repeat(usize::try_from(rng.below(most)).unwrap());
    let facts = MemberFacts {
        version: text(rng, 65),
        epoch: Epoch(long(rng)),
        disk: disks[usize::try_from(rng.below(4)).unwrap()],
        free_bytes: long(rng),
        oldest_hint_s: rng.percent(50).then(|| short(rng)),
        address: rng.percent(30).then(|| text(rng, 256)),
    };
    MemberSeen {
        node: NodeId(long(rng)),
        state: states[usize::try_from(rng.below(3)).unwrap()],
        was_heard: rng.percent(50),
        silence_ms: long(rng),
        incarnation: long(rng),
        heartbeat: short(rng),
        facts: rng.percent(80).then_some(facts),
    }
}

/// A frame with a request of one variant, by number.
pub(crate) fn request(rng: &mut Rng, variant: u64) -> RequestFrame {
    let key = bytes(rng, 40);
    let request = match variant {
        0 => Request::Map,
        1 => Request::Status,
        2 => Request::Get {
            key,
            digest: rng.percent(50),
        },
        3 => Request::Put {
            key,
            dot: dot(rng),
            record: encoded(&record(rng)),
        },
        4 => Request::Repair {
            key,
            record: bytes(rng, 100),
        },
        5 => Request::Sums {
            level: short(rng).to_le_bytes()[0],
            index: short(rng),
        },
        6 => Request::Hint {
            target: NodeId(long(rng)),
            key,
            dot: dot(rng),
            record: bytes(rng, 100),
        },
        7 => Request::Hints,
        8 => Request::Gossip(bytes(rng, 100)),
        9 => Request::Members,
        10 => Request::Sync(sync_request(rng)),
        11 => Request::Register(register_request(rng, key)),
        12 => Request::Scan(scan_request(rng)),
        13 => Request::Watch(watch_request(rng)),
        _ => Request::Membership(MembershipRequest::Learn {
            decided: bytes(rng, 100),
        }),
    };
    RequestFrame {
        id: long(rng),
        epoch: Epoch(long(rng)),
        budget_ms: short(rng),
        request,
    }
}

/// A frame with a response of one variant, by number.
pub(crate) fn response(rng: &mut Rng, variant: u64) -> ResponseFrame {
    let response = match variant {
        0 => Response::Map(bytes(rng, 100)),
        1 => Response::Status(Box::new(status(rng))),
        2 => Response::Record(encoded(&record(rng))),
        3 => Response::Absent,
        4 => Response::Joined,
        5 => Response::Superseded {
            named: rng.percent(50),
            above: Time(long(rng)),
        },
        6 => Response::Sums((0..rng.below(17)).map(|_| Sum(wide(rng))).collect()),
        7 => Response::Hints((0..rng.below(40)).map(|_| kept(rng)).collect()),
        8 if rng.percent(30) => Response::Membership(Box::new(MembershipAnswer::Refill {
            is_complete: rng.percent(50),
            page: page(rng),
        })),
        8 => Response::Membership(Box::new(MembershipAnswer::Page(page(rng)))),
        9 => Response::Heard,
        10 => Response::Members(MembersSeen {
            is_isolated: rng.percent(50),
            members: (0..rng.below(20)).map(|_| seen(rng)).collect(),
        }),
        11 => Response::Sync(sync_answer(rng)),
        12 => Response::Above {
            floor: Time(long(rng) | 1),
            record: rng.percent(50).then(|| encoded(&record(rng))),
        },
        13 => Response::Unsettled {
            floor: Time(long(rng)),
            record: rng.percent(50).then(|| encoded(&record(rng))),
        },
        14 => Response::Register(Box::new(register_answer(rng))),
        15 => Response::Scan(scan_page(rng)),
        16 => Response::Watch(watch_answer(rng)),
        _ => {
            let variant = rng.below(REFUSALS);
            Response::Refused(refusal(rng, variant))
        }
    };
    ResponseFrame {
        id: long(rng),
        epoch: Epoch(long(rng)),
        clock: Time(long(rng)),
        response,
    }
}

fn ballot(rng: &mut Rng) -> Ballot {
    Ballot {
        time: Time(long(rng)),
        unique: long(rng),
    }
}

fn register_request(rng: &mut Rng, key: Bytes) -> RegisterRequest {
    let ballot = ballot(rng);
    let ask = match rng.below(7) {
        5 => RegisterAsk::AwaitTurn,
        6 => RegisterAsk::EndTurn,
        0 => RegisterAsk::Look,
        1 => RegisterAsk::Prepare { ballot },
        2 => RegisterAsk::Accept {
            ballot,
            value: bytes(rng, 40),
        },
        3 => RegisterAsk::Commit {
            ballot,
            value: bytes(rng, 40),
        },
        _ => RegisterAsk::Extend {
            ballot,
            value: bytes(rng, 40),
        },
    };
    RegisterRequest { key, ask }
}

fn register_answer(rng: &mut Rng) -> RegisterAnswer {
    match rng.below(7) {
        0 => RegisterAnswer::Accepted,
        6 => RegisterAnswer::Turn {
            contended: rng.percent(50),
        },
        5 => RegisterAnswer::Unseen,
        1 => RegisterAnswer::Outbid {
            promised: ballot(rng),
        },
        kind => RegisterAnswer::State(RegisterState {
            floor: Time(long(rng)),
            row: rng.percent(50).then(|| encoded(&record(rng))),
            ballot: (kind > 2).then(|| ballot(rng)),
            pending: (kind > 3).then(|| encoded(&record(rng))),
        }),
    }
}

fn scan_request(rng: &mut Rng) -> ScanRequest {
    let mut without: Vec<_> = (0..rng.below(9)).map(|_| NodeId(long(rng))).collect();
    without.sort_unstable();
    without.dedup();
    ScanRequest {
        start: bytes(rng, 40),
        end: bytes(rng, 40),
        reverse: rng.percent(50),
        values: rng.percent(50),
        cover: short(rng).to_le_bytes()[0] | 1,
        without,
        rows: short(rng) | 1,
        bytes: short(rng),
    }
}

fn scan_page(rng: &mut Rng) -> ScanPage {
    let row = |rng: &mut Rng| ScanRow {
        key: [&bytes(rng, 40)[..], b"k"].concat().into(),
        floor: Time(long(rng)),
        record: encoded(&record(rng)),
    };
    ScanPage {
        floor: Time(long(rng)),
        rows: (0..rng.below(9)).map(|_| row(rng)).collect(),
        through: rng.percent(50).then(|| Bytes::from_static(b"last")),
    }
}

fn watch_request(rng: &mut Rng) -> WatchRequest {
    WatchRequest {
        id: long(rng),
        incarnation: long(rng),
        after: long(rng),
        is_prefix: rng.percent(50),
        key: [&bytes(rng, 40)[..], b"k"].concat().into(),
    }
}

fn watch_answer(rng: &mut Rng) -> WatchAnswer {
    let key = |rng: &mut Rng| Bytes::from([&bytes(rng, 40)[..], b"k"].concat());
    WatchAnswer {
        incarnation: long(rng),
        through: long(rng),
        changes: match rng.below(4) {
            0 => WatchChanges::Begun,
            1 => WatchChanges::Overflow,
            _ => WatchChanges::Keys((0..rng.below(9)).map(|_| key(rng)).collect()),
        },
    }
}

fn sync_request(rng: &mut Rng) -> SyncRequest {
    let nodes = |rng: &mut Rng| (0..rng.below(20)).map(|_| short(rng)).collect();
    match rng.below(7) {
        0 => SyncRequest::Total,
        5 => SyncRequest::Promise {
            at_most: Time(long(rng)),
        },
        6 => SyncRequest::Restore {
            key: key(rng),
            record: bytes(rng, 40),
        },
        3 => SyncRequest::Status,
        4 => SyncRequest::Order(*rng.pick(&[SyncOrder::Now, SyncOrder::Pause, SyncOrder::Resume])),
        1 => SyncRequest::Below {
            level: short(rng).to_le_bytes()[0],
            nodes: nodes(rng),
        },
        _ => SyncRequest::Keys {
            leaves: nodes(rng),
            after: bytes(rng, 40),
        },
    }
}

fn peer_sync(rng: &mut Rng) -> PeerSyncStatus {
    PeerSyncStatus {
        node: NodeId(long(rng)),
        equal_ago_ms: rng.percent(50).then(|| long(rng)),
        ended_ago_ms: long(rng),
        end: match rng.below(3) {
            0 => SyncEnd::Equal,
            1 => SyncEnd::Differ(long(rng)),
            _ => SyncEnd::Failed(text(rng, 120)),
        },
        differing: long(rng),
        pulled: long(rng),
        pushed: long(rng),
        failed: long(rng),
        damaged: long(rng),
        sent: long(rng),
        received: long(rng),
    }
}

fn key(rng: &mut Rng) -> Bytes {
    [&b"k"[..], &bytes(rng, 20)].concat().into()
}

fn sync_answer(rng: &mut Rng) -> SyncAnswer {
    match rng.below(5) {
        4 => SyncAnswer::Promised(Promised {
            refused: Time(long(rng)),
            other_hints: Time(long(rng)),
            hints: (0..rng.below(9))
                .map(|n| (NodeId(n), Time(long(rng))))
                .collect(),
        }),
        3 => SyncAnswer::Status(SyncStatus {
            is_paused: rng.percent(50),
            comparing: rng.percent(50).then(|| NodeId(long(rng))),
            stability: StabilityStatus {
                lag_ms: rng.percent(50).then(|| long(rng)),
                leaves_without: long(rng),
                waits_for: rng.percent(50).then(|| NodeId(long(rng))),
                forgotten: long(rng),
                restored: long(rng),
            },
            peers: (0..rng.below(9)).map(|_| peer_sync(rng)).collect(),
        }),
        0 => SyncAnswer::Total(Sum(wide(rng))),
        1 => SyncAnswer::Below((0..rng.below(40)).map(|_| rng.next()).collect()),
        _ => SyncAnswer::Keys(KeyPage {
            rows: (0..rng.below(9)).map(|_| (key(rng), rng.next())).collect(),
            next: rng.percent(50).then(|| key(rng)),
        }),
    }
}

fn page(rng: &mut Rng) -> Page {
    Page {
        rows: (0..rng.below(9))
            .map(|_| (bytes(rng, 20), bytes(rng, 60)))
            .collect(),
        registers: (0..rng.below(3))
            .map(|_| (bytes(rng, 20), bytes(rng, 60)))
            .collect(),
        next: rng.percent(50).then(|| bytes(rng, 20)),
    }
}

fn kept(rng: &mut Rng) -> Kept {
    Kept {
        target: NodeId(long(rng)),
        count: long(rng),
        bytes: long(rng),
    }
}

fn status(rng: &mut Rng) -> NodeStatus {
    NodeStatus {
        node: NodeId(long(rng)),
        version: text(rng, 64),
        uptime_ms: long(rng),
        durability: *rng.pick(&[Durability::Fsync, Durability::Buffered]),
        records: long(rng),
        disk_bytes: long(rng),
        free_bytes: long(rng),
        pull_bytes_per_second: long(rng),
        connections: short(rng),
        queued_writes: short(rng),
        merkle_root: rng.percent(50).then(|| Sum(wide(rng))),
        dot_collisions: long(rng),
        summed_records: long(rng),
        unreadable_records: long(rng),
        refused_hints: rng.percent(50).then(|| refused(rng)),
        refused_repairs: long(rng),
        swept_values: long(rng),
        next_expiry_ms: rng.percent(50).then(|| long(rng)),
        warnings: (0..rng.below(17)).map(|_| warning(rng)).collect(),
    }
}

fn warning(rng: &mut Rng) -> Warning {
    Warning {
        kind: *rng.pick(&WarningKind::ALL),
        since_ms: long(rng),
        count: long(rng),
        text: text(rng, 200),
    }
}

fn refused(rng: &mut Rng) -> RefusedHints {
    let variant = rng.below(REFUSALS);
    RefusedHints {
        count: long(rng),
        target: NodeId(long(rng)),
        reason: refusal(rng, variant),
    }
}

/// A refusal of one variant, by number.
pub(crate) fn refusal(rng: &mut Rng, variant: u64) -> Refusal {
    let (bytes, max) = (long(rng), long(rng));
    match variant {
        0 => Refusal::NotReplica,
        1 => Refusal::OldEpoch,
        2 => Refusal::Forbidden,
        3 => Refusal::BadKey { bytes },
        4 => Refusal::ValueTooLarge { bytes, max },
        5 => Refusal::TooManySiblings { max: short(rng) },
        6 => Refusal::RecordTooLarge { bytes, max },
        7 => Refusal::ClockAhead {
            ahead_ms: bytes,
            max_ms: max,
        },
        8 => Refusal::TooOld {
            age_ms: bytes,
            max_ms: max,
        },
        9 => Refusal::BadRecord,
        10 => Refusal::Expired,
        11 => Refusal::Overloaded {
            queue_ms: short(rng),
        },
        12 => Refusal::Draining,
        13 => Refusal::NotReady,
        14 => Refusal::HintsFull { bytes, max },
        15 => Refusal::SeenTooLarge {
            intervals: bytes,
            max,
        },
        16 => Refusal::Behind,
        17 => Refusal::BadNodes,
        18 => Refusal::OtherRecovery,
        19 => Refusal::Incomplete,
        20 => Refusal::BallotReused,
        21 => Refusal::TooManyWatches {
            watches: short(rng),
        },
        _ => Refusal::Storage(*rng.pick(&[
            Fault::NoSpace,
            Fault::Corrupt,
            Fault::Failed,
            Fault::Filled,
        ])),
    }
}

fn text(rng: &mut Rng, most: u64) -> String {
    let letters = ['a', 'z', '-', '.', ':', '0'];
    (0..rng.below(most + 1))
        .map(|_| *rng.pick(&letters))
        .collect()
}

/// A record of the small grid, or one stretched over all of time with actors far apart.
pub(crate) fn record(rng: &mut Rng) -> Record {
    let small = arbitrary::record(rng);
    let step = *rng.pick(&[1, 1, 200, 1 << 20, 1 << 44, u64::MAX / arbitrary::TIMES]);
    let spread = *rng.pick(&[1, 1 << 30, u64::MAX / arbitrary::ACTORS]);
    let time = |t: Time| Time(t.0 * step);
    let actor = |a: Actor| Actor(a.0 * spread);
    let intervals = small.seen().intervals().iter().map(|i| Interval {
        actor: actor(i.actor),
        lo: time(i.lo),
        hi: time(i.hi),
    });
    let seen = Seen::from_parts(time(small.seen().floor()), intervals.collect());
    let live = small.live().iter().map(|s| Sibling {
        dot: Dot {
            time: time(s.dot.time),
            actor: actor(s.dot.actor),
        },
        value: s.value.as_ref().map(|_small| bytes(rng, 300)),
        ..s.clone()
    });
    let live = live.collect();
    Record::from_parts(live, seen.expect("ordered as before")).expect("ordered as before")
}

/// A map, rarely one that makes a ring.
pub(crate) fn map(rng: &mut Rng) -> ClusterMap {
    let bits = 1 + rng.below(20).to_le_bytes()[0];
    ClusterMap {
        cluster: ClusterId(wide(rng)),
        epoch: Epoch(long(rng)),
        token_key: TokenKey(sixteen(rng)),
        leaf_bits: LeafBits::new(bits).unwrap(),
        replication: short(rng).to_le_bytes()[0],
        members: (0..rng.below(6)).map(|_| member(rng)).collect(),
    }
}

fn member(rng: &mut Rng) -> Member {
    Member {
        id: NodeId(long(rng)),
        name: text(rng, 64),
        address: text(rng, 255),
        zone: text(rng, 64),
        weight: short(rng),
        vnodes: (0..rng.below(20)).map(|_| Leaf(short(rng))).collect(),
    }
}

pub(crate) fn first_map(rng: &mut Rng) -> FirstMap {
    FirstMap {
        map: map(rng),
        merkle_key: MerkleKey(sixteen(rng)),
    }
}

/// A configuration, rarely one that is valid.
pub(crate) fn configuration(rng: &mut Rng) -> Configuration {
    let ids = |rng: &mut Rng, most| (0..rng.below(most)).map(|_| NodeId(long(rng))).collect();
    Configuration {
        epoch: Epoch(long(rng)),
        map: map(rng),
        change: rng.percent(60).then(|| Change {
            target: map(rng),
            hand: hand(rng),
        }),
        voters: ids(rng, 6),
        removed: ids(rng, 10),
    }
}

pub(crate) fn hand(rng: &mut Rng) -> Hand {
    let arcs = Arcs::new(*rng.pick(&[1, 2, 4, 8, 16])).unwrap();
    let mut hand = Hand::on_first(arcs);
    for _ in 0..rng.below(u64::from(arcs.count())) {
        hand = hand.next().unwrap();
    }
    if rng.percent(30) { hand.turned() } else { hand }
}
