//! One key cannot hold up the others: no record outgrows its bounds, whoever sends what is joined.
//!
//! ```text
//!   caller "client"   repairs of one key, 3.9 MB each     puts of 100 bytes to that key, one after the other
//!   caller "admin"                                        puts of 100 bytes to other keys: how long does each take?
//! ```
//!
//! The last test prints times and asserts none, since it depends on the machine:
//! `cargo nextest run --run-ignored only --no-capture -E 'test(one_key)'`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{Refusal, Request, Response, encode_record};
use quoit_ring::{Actor, Delta, Dot, Interval, Record, Seen, Time};
use smallvec::SmallVec;

use crate::caller::{Caller, TIMEOUT, place, put, wall};

/// Bytes of the value in each repair: a frame of a node with one copy of each key has space for it.
const REPAIR: usize = 3_900_000;

/// A write that has seen nothing, by its own actor.
fn unseeing(actor: u64, value: Bytes) -> Delta {
    let dot = Dot {
        time: Time::at(wall()),
        actor: Actor(actor),
    };
    let nothing = Record::default();
    Delta::causal(dot, Time::ZERO, nothing.seen(), Some((value, None)))
}

fn repair(actor: u64) -> Request {
    let delta = unseeing(actor, Bytes::from(vec![7; REPAIR]));
    let mut record = BytesMut::new();
    encode_record(delta.record(), &mut record);
    Request::Repair {
        key: Bytes::from_static(b"huge"),
        record: record.freeze(),
    }
}

/// A repair of nothing but 14,000 intervals, of actors from `first` on.
fn intervals(first: u64) -> Request {
    let hi = Time::at(wall());
    let interval = |actor| Interval {
        actor: Actor(actor),
        lo: hi.before(),
        hi,
    };
    let intervals = (first..first + 14_000).map(interval).collect();
    let seen = Seen::from_parts(Time::ZERO, intervals).unwrap();
    let mut record = BytesMut::new();
    encode_record(
        &Record::from_parts(SmallVec::new(), seen).unwrap(),
        &mut record,
    );
    Request::Repair {
        key: Bytes::from_static(b"seen"),
        record: record.freeze(),
    }
}

fn small(key: &str, actor: u64) -> Request {
    put(key, &unseeing(actor, Bytes::from_static(&[7; 100])))
}

#[test]
fn repairs_stop_at_the_bound_on_a_record() {
    let place = place();
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    assert_eq!(caller.ask(repair(1)), Response::Joined);
    let refused = caller.ask(repair(2));
    assert!(
        matches!(refused, Response::Refused(Refusal::RecordTooLarge { bytes, .. }) if bytes > 7_000_000),
        "{refused:?}"
    );
    assert_eq!(caller.ask(small("other", 1)), Response::Joined);
    node.stop(TIMEOUT).unwrap();
}

/// How long each of so many puts takes that come one after the other.
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement, which only prints"
)]
fn timed(caller: &mut Caller, times: u64, mut next: impl FnMut(u64) -> Request) -> Vec<Duration> {
    let one = |n| {
        let began = Instant::now();
        caller.ask(next(n));
        began.elapsed()
    };
    (0..times).map(one).collect()
}

/// A line of the report.
fn line(what: &str, mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let (median, longest) = (times.get(times.len() / 2), times.last());
    format!("{what}: median {median:?}, longest {longest:?}")
}

/// What the others wait while somebody puts 100 bytes to `key` again and again, and then 200 times at once.
fn attack(key: &str, attacker: &mut Caller, other: &mut Caller) -> [String; 3] {
    let over = AtomicBool::new(false);
    let (puts, meanwhile) = std::thread::scope(|scope| {
        let puts = scope.spawn(|| {
            let puts = timed(attacker, 30, |n| small(key, n + 100));
            over.store(true, Ordering::Release);
            puts
        });
        let (mut during, mut n) = (Vec::new(), 0);
        while !over.load(Ordering::Acquire) {
            during.extend(timed(other, 1, |_| small(&format!("other-{n}"), n + 1_000)));
            n += 1;
        }
        (puts.join().unwrap(), during)
    });

    for n in 0..200 {
        attacker.send(small(key, n + 10_000));
    }
    let behind = timed(other, 20, |n| small(&format!("other-{n}"), n + 100_000));
    for _ in 0..200 {
        attacker.receive();
    }
    [
        line("  puts of 100 bytes to it", puts),
        line("  others, meanwhile", meanwhile),
        line("  others, behind 200 puts at once", behind),
    ]
}

#[test]
#[ignore = "prints times, which differ from machine to machine"]
fn what_one_huge_key_costs_the_others() {
    let place = place();
    let node = place.start();
    let mut attacker = place.caller(&node, "client");
    let mut other = place.caller(&node, "admin");
    let quiet = timed(&mut other, 50, |n| small(&format!("other-{n}"), n + 1));
    println!("{}", line("others, before", quiet));

    let joined = |actor: &u64| attacker.ask(repair(*actor)) == Response::Joined;
    let repairs = (1..=8).filter(joined).count();
    println!("a key of {repairs} repairs of 3.9 MB (8 were sent):");
    println!("{}", attack("huge", &mut attacker, &mut other).join("\n"));

    let joined = |n: &u64| attacker.ask(intervals(n * 14_000)) == Response::Joined;
    let repairs = (0..5).filter(joined).count();
    println!("a key that has seen {repairs} times 14,000 intervals (5 were sent):");
    println!("{}", attack("seen", &mut attacker, &mut other).join("\n"));
}
