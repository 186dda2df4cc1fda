//! What an outbox gives to its writers, and what it drops or refuses.

use core::cell::Cell;
use core::future::Future;
use core::pin::pin;
use core::task::Context;
use std::time::Duration;

use quoit_ring::wire::{Frames, LANE_FRAME, Request};
use quoit_ring::{Actor, Dot, Epoch, Time};

use super::*;

thread_local! {
    static BEGAN: Instant = queued::clock();
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A clock that each test turns by itself.
fn clock() -> Instant {
    BEGAN.with(|began| *began + PASSED.get())
}

fn pass(ms: u64) {
    PASSED.set(PASSED.get() + Duration::from_millis(ms));
}

fn outbox(limit: usize) -> RequestOutbox {
    RequestOutbox::new(limit, clock)
}

fn frame(id: u64, record: usize) -> RequestFrame {
    RequestFrame {
        id,
        epoch: Epoch(1),
        budget_ms: 1_000,
        request: Request::Put {
            key: Bytes::from_static(b"k"),
            dot: Dot {
                time: Time(1),
                actor: Actor(1),
            },
            record: vec![7; record].into(),
        },
    }
}

fn repair(id: u64, record: usize) -> RequestFrame {
    let (key, record) = (Bytes::from_static(b"k"), vec![7; record].into());
    RequestFrame {
        request: Request::Repair { key, record },
        ..frame(id, 0)
    }
}

fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn ids(taken: Option<Take<Batch>>) -> Vec<u64> {
    let Some(Take::Some(Batch { bytes, expired })) = taken else {
        panic!("no bytes: {taken:?}");
    };
    assert_eq!(expired, []);
    decoded(&bytes).iter().map(|frame| frame.id).collect()
}

fn decoded(bytes: &[u8]) -> Vec<RequestFrame> {
    let mut frames = Frames::new(usize::MAX);
    frames.push(bytes);
    let mut decoded = Vec::new();
    while let Some(frame) = frames.next().unwrap() {
        decoded.push(RequestFrame::decode(frame).unwrap());
    }
    assert!(frames.is_empty());
    decoded
}

fn large_id(taken: Option<Take<Queued>>) -> Option<u64> {
    match taken {
        Some(Take::Some(frame)) => Some(frame.id()),
        Some(end) => panic!("no frame: {end:?}"),
        None => None,
    }
}

#[test]
fn small_frames_leave_together_and_large_ones_alone() {
    let outbox = outbox(1 << 20);
    for (id, record) in [(1, 10), (2, 100_000), (3, 20), (4, 70_000)] {
        outbox.push(&frame(id, record));
    }
    assert_eq!(ids(now(outbox.take_lane())), [1, 3]);
    assert_eq!(large_id(now(outbox.take_large())), Some(2));
    assert_eq!(large_id(now(outbox.take_large())), Some(4));
    assert_eq!(now(outbox.take_lane()), None);
    assert_eq!(large_id(now(outbox.take_large())), None);
}

#[test]
fn the_whole_frame_decides_which_way_it_goes() {
    for record in LANE_FRAME - queued::AROUND - 8..LANE_FRAME + 8 {
        let (outbox, frame) = (outbox(1 << 20), frame(9, record));
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        outbox.push(&frame);
        let small = now(outbox.take_lane());
        assert_eq!(small.is_some(), bytes.len() <= LANE_FRAME, "{record}");
        match small {
            Some(small) => assert_eq!(ids(Some(small)), [9]),
            None => assert_eq!(large_id(now(outbox.take_large())), Some(9)),
        }
    }
}

#[test]
fn frames_wait_while_the_link_opens_and_are_dropped_while_it_is_down() {
    let outbox = outbox(1 << 20);
    outbox.push(&frame(1, 1));
    outbox.open();
    assert_eq!(ids(now(outbox.take_lane())), [1]);
    outbox.push(&frame(2, 1));
    outbox.push(&frame(3, 100_000));
    assert!(outbox.close());
    assert!(!outbox.close(), "known already");
    outbox.push(&frame(4, 1));
    outbox.open();
    assert_eq!(now(outbox.take_lane()), None);
    assert_eq!(large_id(now(outbox.take_large())), None);
}

#[test]
fn a_node_that_does_not_read_is_given_up() {
    let outbox = outbox(200_000);
    outbox.push(&frame(1, 100_000));
    outbox.push(&frame(2, 99_000));
    assert_eq!(large_id(now(outbox.take_large())), Some(1));
    outbox.push(&frame(3, 100_000));
    outbox.push(&frame(4, 2_000));
    assert_eq!(now(outbox.take_lane()), Some(Take::Overflowed));
    assert_eq!(now(outbox.take_large()), Some(Take::Overflowed));
    assert!(outbox.close());
    outbox.open();
    assert_eq!(now(outbox.take_lane()), None, "a new connection may try");
}

#[test]
fn repairs_beyond_half_of_the_limit_are_refused_and_harm_no_other_request() {
    let outbox = outbox(200_000);
    assert!(
        outbox.push(&repair(1, 150_000)),
        "one alone is always taken"
    );
    assert!(!outbox.push(&repair(2, 10_000)));
    assert!(outbox.push(&frame(3, 10)));
    assert_eq!(large_id(now(outbox.take_large())), Some(1));
    assert!(outbox.push(&repair(4, 10_000)));
    assert_eq!(ids(now(outbox.take_lane())), [3, 4]);
}

#[test]
fn repairs_that_wait_never_make_other_requests_overflow() {
    let outbox = outbox(200_000);
    assert!(outbox.push(&repair(1, 99_000)));
    assert!(outbox.push(&frame(2, 150_000)), "249,000 in all");
    assert_eq!(now(outbox.overflowed()), None);
    assert_eq!(large_id(now(outbox.take_large())), Some(1));
    assert!(outbox.push(&frame(3, 60_000)));
    assert_eq!(
        now(outbox.overflowed()),
        Some(()),
        "210,000 without repairs"
    );
}

#[test]
fn a_repair_longer_than_the_limit_is_taken_alone_and_the_connection_stays() {
    let outbox = outbox(200_000);
    assert!(outbox.push(&repair(1, 300_000)));
    assert_eq!(now(outbox.overflowed()), None);
    assert!(!outbox.push(&repair(2, 10)));
    assert!(outbox.push(&frame(3, 10)));
    assert_eq!(large_id(now(outbox.take_large())), Some(1));
    assert_eq!(ids(now(outbox.take_lane())), [3]);
}

#[test]
fn a_sweep_takes_back_what_nobody_waits_for_but_no_repairs() {
    let outbox = outbox(1_000_000);
    for id in 1..=6 {
        outbox.push(&frame(id, if id % 2 == 0 { 100_000 } else { 10 }));
    }
    outbox.push(&repair(7, 10));
    let before = outbox.waiting();
    let swept = outbox.sweep(&mut |id| id > 4);
    assert_eq!(swept, [1, 3, 2, 4]);
    assert!(before - outbox.waiting() > 200_000);
    assert_eq!(ids(now(outbox.take_lane())), [5, 7]);
    assert_eq!(large_id(now(outbox.take_large())), Some(6));
    assert!(outbox.is_empty());
}

#[test]
fn an_overflow_is_reported_while_the_writers_are_busy() {
    let outbox = outbox(1_000);
    assert_eq!(now(outbox.overflowed()), None);
    outbox.push(&frame(1, 2_000));
    assert_eq!(now(outbox.overflowed()), Some(()));
}

#[test]
fn what_is_queued_before_the_end_is_still_taken() {
    let outbox = outbox(1 << 20);
    outbox.push(&frame(1, 1));
    outbox.finish();
    outbox.push(&frame(2, 1));
    assert_eq!(ids(now(outbox.take_lane())), [1]);
    assert_eq!(
        now(outbox.take_lane()),
        None,
        "large frames may still be on their way"
    );
    assert_eq!(now(outbox.take_large()), Some(Take::Finished));
    outbox.large_done();
    assert_eq!(now(outbox.take_lane()), Some(Take::Finished));
}

#[test]
fn a_frame_carries_what_is_left_of_its_budget_and_an_expired_one_is_not_written() {
    let outbox = outbox(1 << 20);
    outbox.push(&frame(1, 10));
    pass(400);
    outbox.push(&frame(2, 10));
    outbox.push(&frame(3, 100_000));
    pass(600);
    let Some(Take::Some(batch)) = now(outbox.take_lane()) else {
        panic!("something waits");
    };
    assert_eq!(batch.expired, [1]);
    let left: Vec<_> = decoded(&batch.bytes)
        .iter()
        .map(|frame| (frame.id, frame.budget_ms))
        .collect();
    assert_eq!(left, [(2, 400)]);
    let Some(Take::Some(large)) = now(outbox.take_large()) else {
        panic!("it waits");
    };
    assert!(!large.is_expired(outbox.now()));
    pass(100);
    assert_eq!(decoded(&large.encoded(outbox.now()))[0].budget_ms, 300);
}

#[test]
fn expired_frames_no_longer_count_against_the_limit() {
    let outbox = outbox(10_000);
    for id in 0..9 {
        outbox.push(&frame(id, 700));
    }
    pass(2_000);
    let Some(Take::Some(batch)) = now(outbox.take_lane()) else {
        panic!("something waits");
    };
    assert_eq!((batch.bytes.len(), batch.expired.len()), (0, 9));
    for id in 0..9 {
        outbox.push(&frame(id, 700));
    }
    assert_eq!(ids(now(outbox.take_lane())).len(), 9);
}

#[test]
fn no_more_is_taken_than_one_write_soon_sends() {
    let outbox = outbox(64 << 20);
    for id in 0..1_000 {
        outbox.push(&frame(id, 1_000));
    }
    let (mut taken, mut writes) = (Vec::new(), 0);
    while let Some(Take::Some(batch)) = now(outbox.take_lane()) {
        assert!(batch.bytes.len() < BATCH + LANE_FRAME);
        taken.extend(decoded(&batch.bytes).iter().map(|frame| frame.id));
        writes += 1;
    }
    assert_eq!(taken, (0..1_000).collect::<Vec<_>>());
    assert!(writes > 1);
}
