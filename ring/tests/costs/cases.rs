//! The operations: lookup, hash, join, encode and decode, as a get and a put do them.
//!
//! Keys have 16 bytes, values 100, the ring five nodes of 150 vnodes. Records are what clients write: a blind
//! write (a floor and one sibling), a causal one (an interval besides), or siblings of three writers.

#![expect(clippy::unwrap_used, reason = "what is prepared here is well-formed")]

use core::cell::Cell;

use bytes::{Buf as _, Bytes, BytesMut};
use quoit_ring::placement::{Newcomer, Ring, grow};
use quoit_ring::wire::{
    Frames, Request, RequestFrame, Response, ResponseFrame, decode_record, encode_record,
};
use quoit_ring::{
    Actor, ClusterId, ClusterMap, Delta, Dot, Epoch, LeafBits, MerkleKey, Millis, NodeId, Record,
    Time, TokenKey, content_hash,
};

use crate::meter::{Case, Run};

/// Operations of one run.
const TIMES: u64 = 64;
/// The time of the first write, in milliseconds.
const WALL: u64 = 1_700_000_000_000;
/// A key.
const KEY: &[u8] = b"key-000000012345";

pub(crate) const CASES: &[Case] = &[
    case("look up owners", look_up),
    case("hash a value", || repeated(|| content_hash(&value(), None))),
    case("sum a record", sum),
    case("join, last writer wins", || join(blind(1, 1), blind(2, 2))),
    case("join, causal overwrite", || {
        join(causal(1), overwrite(&causal(1)))
    }),
    case("join, retry", || join(causal(1), causal(1))),
    case("join, three siblings", || join(siblings(2), causal(3))),
    case("encode a record", || encode(blind(1, 1))),
    case("decode a record", || decode(&blind(1, 1))),
    case("encode three siblings", || encode(siblings(3))),
    case("decode three siblings", || decode(&siblings(3))),
    case("encode a get", || encode_request(get())),
    case("decode a get", || decode_request(get())),
    case("encode a put", || encode_request(put())),
    case("decode a put", || decode_request(put())),
    case("encode an answer to a get", || encode_response(found())),
    case("decode an answer to a get", || decode_response(found())),
    case("encode an answer to a put", || {
        encode_response(Response::Joined)
    }),
    case("decode an answer to a put", || {
        decode_response(Response::Joined)
    }),
    case("cut a frame", cut),
];

const fn case(name: &'static str, prepare: fn() -> Run) -> Case {
    Case {
        name,
        operations: TIMES,
        prepare,
    }
}

/// Does one closure again and again.
fn repeated<T>(mut operation: impl FnMut() -> T + 'static) -> Run {
    Box::new(move |meter| {
        meter.count(|| {
            for _ in 0..TIMES {
                core::hint::black_box(operation());
            }
        });
    })
}

fn value() -> Bytes {
    Bytes::from_static(&[7; 100])
}

fn dot(ms: u64, actor: u64) -> Dot {
    Dot {
        time: Time::at(Millis(WALL + ms)),
        actor: Actor(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(actor)),
    }
}

/// What a put without a context writes.
fn blind(ms: u64, actor: u64) -> Record {
    Delta::blind(dot(ms, actor), Some((value(), None))).into_record()
}

/// What a put that has seen nothing writes.
fn causal(actor: u64) -> Record {
    let nothing = Record::default();
    let value = Some((value(), None));
    Delta::causal(dot(actor, actor), Time::ZERO, nothing.seen(), value).into_record()
}

/// What a put with the context of `read` writes, by the same writer.
fn overwrite(read: &Record) -> Record {
    let prev = read.live()[0].dot;
    let dot = Dot {
        time: Time::at(Millis(WALL + 100)),
        ..prev
    };
    Delta::causal(dot, prev.time, read.seen(), Some((value(), None))).into_record()
}

/// What `n` writers left who did not see each other.
fn siblings(n: u64) -> Record {
    let mut record = Record::default();
    for actor in 1..=n {
        record.join(&causal(actor));
    }
    record
}

fn look_up() -> Run {
    let empty = ClusterMap {
        cluster: ClusterId(7),
        epoch: Epoch(1),
        token_key: TokenKey([3; 16]),
        leaf_bits: LeafBits::FULL,
        replication: 3,
        members: vec![],
    };
    let newcomers = (1..=5).map(|id| Newcomer {
        id: NodeId(id),
        name: format!("n{id}"),
        address: format!("h:{id}"),
        zone: format!("z{id}"),
        weight: 100,
    });
    let ring = Ring::new(&grow(empty, newcomers, 1).unwrap()).unwrap();
    let next = Cell::new(0_u64);
    repeated(move || {
        let key = next.replace(next.get() + 1).to_le_bytes();
        let list = ring.preference_list(ring.token_of(&key));
        list.owners().fold(0, |sum, node| sum ^ node.0)
    })
}

fn sum() -> Run {
    let (key, record) = (MerkleKey([5; 16]), blind(1, 1));
    repeated(move || key.sum_of(KEY, &record))
}

/// Joins `other` into fresh copies of `record`; copying does not count.
fn join(record: Record, other: Record) -> Run {
    Box::new(move |meter| {
        let mut copies: Vec<Record> = (0..TIMES).map(|_| record.clone()).collect();
        meter.count(|| {
            for copy in &mut copies {
                copy.join(&other);
            }
        });
    })
}

fn encoded(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    encode_record(record, &mut out);
    out.freeze()
}

/// Appends to a buffer with spare capacity, as the lane of a connection has it.
fn append(encode: impl Fn(&mut BytesMut) + 'static) -> Run {
    let mut out = BytesMut::with_capacity(64 << 10);
    repeated(move || {
        out.clear();
        encode(&mut out);
        out.len()
    })
}

fn encode(record: Record) -> Run {
    append(move |out| encode_record(&record, out))
}

fn decode(record: &Record) -> Run {
    let bytes = encoded(record);
    repeated(move || decode_record(&bytes).unwrap())
}

fn get() -> Request {
    Request::Get {
        key: Bytes::from_static(KEY),
        digest: false,
    }
}

fn put() -> Request {
    Request::Put {
        key: Bytes::from_static(KEY),
        dot: dot(1, 1),
        record: encoded(&blind(1, 1)),
    }
}

fn found() -> Response {
    Response::Record(encoded(&blind(1, 1)))
}

fn request_frame(request: Request) -> RequestFrame {
    RequestFrame {
        id: 1 << 40,
        epoch: Epoch(1),
        budget_ms: 5_000,
        request,
    }
}

fn response_frame(response: Response) -> ResponseFrame {
    ResponseFrame {
        id: 1 << 40,
        epoch: Epoch(1),
        clock: Time::at(Millis(WALL)),
        response,
    }
}

fn encode_request(request: Request) -> Run {
    let frame = request_frame(request);
    append(move |out| frame.encode(out))
}

fn encode_response(response: Response) -> Run {
    let frame = response_frame(response);
    append(move |out| frame.encode(out))
}

/// A frame without its length field, as it is cut off a stream that more frames came on.
fn behind_its_length(mut bytes: BytesMut) -> Bytes {
    bytes.advance(4);
    Bytes::copy_from_slice(&bytes).slice(..)
}

fn decode_request(request: Request) -> Run {
    let mut bytes = BytesMut::new();
    request_frame(request).encode(&mut bytes);
    let frame = shared(behind_its_length(bytes));
    repeated(move || RequestFrame::decode(frame.clone()).unwrap())
}

fn decode_response(response: Response) -> Run {
    let mut bytes = BytesMut::new();
    response_frame(response).encode(&mut bytes);
    let frame = shared(behind_its_length(bytes));
    repeated(move || ResponseFrame::decode(frame.clone()).unwrap())
}

/// Bytes that are counted by reference already: the first clone of an owned buffer would allocate the count.
fn shared(bytes: Bytes) -> Bytes {
    drop(bytes.clone());
    bytes
}

/// Cuts frames of gets off a stream that brings all of them at once.
fn cut() -> Run {
    let mut bytes = BytesMut::new();
    for _ in 0..TIMES {
        request_frame(get()).encode(&mut bytes);
    }
    let mut frames = Frames::new(64 << 10);
    Box::new(move |meter| {
        meter.count(|| {
            frames.push(&bytes);
            while let Some(frame) = frames.next().unwrap() {
                core::hint::black_box(frame);
            }
        });
    })
}
