//! Gets and puts at one node: from the bytes of a connection to the bytes of the answers.
//!
//! 512 keys of 16 bytes with values of 100. Puts overwrite without a context, as most do, in batches of 1, 32
//! and 512, the most of one commit: the first shows the cost of a batch, the last that of a put. Not counted:
//! sockets and the engine on disk.

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{Request, Response, encode_record};
use quoit_ring::{Actor, Delta, Dot, Millis, Time};

use crate::meter::{Case, Meter, Run};
use crate::world::{WALL, World};

/// Keys that are stored.
const KEYS: u64 = 512;

pub(crate) const CASES: &[Case] = &[
    case("get", 64, || gets(64, false)),
    case("get, digest of a small record", 64, || gets(64, true)),
    case("get, absent", 64, get_nothing),
    case("put, batch of 1", 1, || puts(1)),
    case("put, batch of 32", 32, || puts(32)),
    case("put, batch of 512", 512, || puts(512)),
    case("put of a new key, batch of 32", 32, new_puts),
];

const fn case(name: &'static str, operations: u64, prepare: fn() -> Run) -> Case {
    Case {
        name,
        operations,
        prepare,
    }
}

fn key(index: u64) -> Bytes {
    format!("key-{index:012}").into()
}

/// A put by a client whose clock is the node's.
fn put(index: u64, ms: u64) -> Request {
    let dot = Dot {
        time: Time::at(Millis(WALL + ms)),
        actor: Actor(1 << 50),
    };
    let delta = Delta::blind(dot, Some((Bytes::from_static(&[7; 100]), None)));
    let mut record = BytesMut::new();
    encode_record(delta.record(), &mut record);
    Request::Put {
        key: key(index),
        dot,
        record: record.freeze(),
    }
}

/// Puts of the keys from `first` on, in one batch, a millisecond after what came before.
fn overwrite(world: &mut World, first: u64, count: u64, meter: &mut Meter<'_>) {
    world.ms += 1;
    for index in first..first + count {
        world.send(put(index, world.ms));
    }
    let answers = world.serve(meter);
    let joined = |answer: &Response| *answer == Response::Joined;
    assert!(answers.iter().all(|answer| joined(&answer.response)));
    assert_eq!(answers.len() as u64, count);
}

/// A world in which all keys are stored.
fn filled() -> World {
    let mut world = World::new();
    overwrite(&mut world, 0, KEYS, &mut Meter::nobody());
    world
}

fn gets(count: u64, digest: bool) -> Run {
    let mut world = filled();
    Box::new(move |meter| {
        for index in 0..count {
            let key = key(index);
            world.send(Request::Get { key, digest });
        }
        let answers = world.serve(meter);
        let found = |answer: &Response| matches!(answer, Response::Record(_));
        assert!(answers.iter().all(|answer| found(&answer.response)));
    })
}

fn get_nothing() -> Run {
    let mut world = World::new();
    Box::new(move |meter| {
        for index in 0..64 {
            let (key, digest) = (key(index), false);
            world.send(Request::Get { key, digest });
        }
        let answers = world.serve(meter);
        let absent = |answer: &Response| *answer == Response::Absent;
        assert!(answers.iter().all(|answer| absent(&answer.response)));
    })
}

fn puts(batch: u64) -> Run {
    let mut world = filled();
    Box::new(move |meter| overwrite(&mut world, 0, batch, meter))
}

/// Puts of keys that come after all that are stored.
fn new_puts() -> Run {
    let (mut world, mut next) = (filled(), KEYS);
    Box::new(move |meter| {
        overwrite(&mut world, next, 32, meter);
        next += 32;
    })
}
