//! Quorum gets and puts, each as a whole: from the caller's builder to the caller's answer.
//!
//! 64 in flight over 64 keys of 16 bytes with values of 100, N = 3, R = W = 2, nodes that agree unless stated
//! otherwise. Counted is all of the client but its sockets: the future, the inbox, routing, minting, encoding,
//! framing, decoding, joining, the answer and dropping it.

use bytes::{Bytes, BytesMut};
use quoit_client::{Client, Context, Get, Put};
use quoit_ring::wire::{Request, Response, encode_record};
use quoit_ring::{Actor, Delta, Dot, Millis, NodeId, Record, Time};

use crate::by_hand::World;
use crate::meter::{Case, Run};

/// Operations in flight.
const IN_FLIGHT: usize = 64;
/// When what is stored was written, in milliseconds.
const WRITTEN: u64 = 1_600_000_000_000;

pub(crate) const CASES: &[Case] = &[
    case("quorum get", get),
    case("quorum get, absent", get_nothing),
    case("quorum get, three siblings", get_siblings),
    case("quorum get, one replica stale", get_stale),
    case("quorum put", put),
    case("quorum put with a context", put_with_context),
    case("quorum delete", delete),
];

const fn case(name: &'static str, prepare: fn() -> Run) -> Case {
    Case {
        name,
        operations: IN_FLIGHT as u64,
        prepare,
    }
}

fn key(index: usize) -> Bytes {
    const KEYS: &[u8] =
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123456789abcdef";
    Bytes::from_static(&KEYS[index..index + 16])
}

fn value() -> Bytes {
    Bytes::from_static(&[7; 100])
}

fn written(ms: u64, actor: u64) -> Record {
    let dot = Dot {
        time: Time::at(Millis(WRITTEN + ms)),
        actor: Actor(actor << 40),
    };
    let nothing = Record::default();
    let value = Some((value(), None));
    match actor {
        0 => Delta::blind(dot, value).into_record(),
        _ => Delta::causal(dot, Time::ZERO, nothing.seen(), value).into_record(),
    }
}

fn stored(record: &Record) -> Response {
    let mut bytes = BytesMut::new();
    encode_record(record, &mut bytes);
    Response::Record(bytes.freeze())
}

/// Gets of all keys, answered as `answer` says.
fn gets(answer: impl Fn(NodeId, &Request) -> Response + 'static) -> Run {
    let mut world = World::new();
    let start = |client: &Client, index| -> Get { client.get(key(index)) };
    Box::new(move |meter| {
        let mut read = world.run(meter, IN_FLIGHT, start, &answer);
        meter.count(|| read.clear());
    })
}

fn get() -> Run {
    let answer = stored(&written(0, 0));
    gets(move |_, _| answer.clone())
}

fn get_nothing() -> Run {
    gets(|_, _| Response::Absent)
}

fn get_siblings() -> Run {
    let mut record = written(1, 1);
    record.join(&written(2, 2));
    record.join(&written(3, 3));
    let answer = stored(&record);
    gets(move |_, _| answer.clone())
}

/// One of the two replicas asked holds an earlier write: the read writes the later one back to it and to the node
/// that it did not ask.
fn get_stale() -> Run {
    let (later, earlier) = (stored(&written(2, 0)), stored(&written(1, 0)));
    gets(move |_, request| match request {
        Request::Get { digest: true, .. } => earlier.clone(),
        Request::Get { .. } => later.clone(),
        _repair => Response::Joined,
    })
}

/// Writes of all keys, which every node joins.
fn writes<O>(start: impl Fn(&Client, usize) -> O + 'static) -> Run
where
    O: IntoFuture<IntoFuture: Unpin> + 'static,
{
    let mut world = World::new();
    Box::new(move |meter| {
        let mut written = world.run(meter, IN_FLIGHT, &start, |_, _| Response::Joined);
        meter.count(|| written.clear());
    })
}

fn put() -> Run {
    writes(|client, index| -> Put { client.put(key(index), value()) })
}

fn put_with_context() -> Run {
    let mut bytes = BytesMut::new();
    let seen = written(0, 1).seen().clone();
    let tombstone = Record::from_parts([].as_slice().into(), seen).unwrap_or_default();
    encode_record(&tombstone, &mut bytes);
    let context = Context::from_bytes(&bytes).unwrap_or_default();
    writes(move |client, index| client.put(key(index), value()).context(&context))
}

fn delete() -> Run {
    writes(|client, index| client.delete(key(index)))
}
