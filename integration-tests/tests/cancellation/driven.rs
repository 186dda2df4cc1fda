//! Every number of polls, under many orders of events, with a way that breaks or a node that is late.
//!
//! ```text
//!   seed --> order of events       for each order, kind and trouble:
//!   kind     put, delete, get that repairs, put that waits for a permit
//!   trouble  none, a way that breaks after 1, 2, 4, 7 events, a node that hears last
//!                                     poll, event, poll, event ... drop, for 0, 1, 2 ... polls until it ends by itself
//! ```
//!
//! What is checked is stronger than "all or nothing" where it can be: nothing is sent before the first poll, and what was
//! handed over is carried out, whether or not a caller still waits. The same for closing a client and for dropping its driver: both
//! happen after every number of events.

use core::future::IntoFuture;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use quoit_client::{Stored, WriteError};

use crate::world::{NODES, PERMITS, Trouble, World};

/// Orders of events that are tried for each number of polls.
const SEEDS: u64 = 40;
const KEY: &str = "key";

/// What becomes of an operation; `None` if it is a read.
type Ended = Result<(), Option<WriteError>>;
type Running = Pin<Box<dyn Future<Output = Ended>>>;

/// What is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Put,
    Delete,
    /// Of a key that one replica has missed, so that reading repairs.
    Get,
    /// A put that has to wait for a permit.
    PutWithoutRoom,
}

const KINDS: [Kind; 4] = [Kind::Put, Kind::Delete, Kind::Get, Kind::PutWithoutRoom];

fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T>>>) -> Option<T> {
    let mut cx = Context::from_waker(Waker::noop());
    match future.as_mut().poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn put(world: &World, key: String) -> Running {
    let put = world.client.put(key, "new").into_future();
    Box::pin(async { put.await.map(drop).map_err(Some) })
}

fn start(world: &World, kind: Kind) -> Running {
    let client = &world.client;
    match kind {
        Kind::Put | Kind::PutWithoutRoom => put(world, KEY.to_owned()),
        Kind::Delete => {
            let delete = client.delete(KEY).into_future();
            Box::pin(async { delete.await.map(drop).map_err(Some) })
        }
        Kind::Get => {
            let get = client.get(KEY).into_future();
            Box::pin(async { get.await.map(drop).map_err(|_failed| None) })
        }
    }
}

/// Polls until the operation has ended, letting one thing happen after each poll.
fn finish(world: &mut World, running: &mut Running) -> Ended {
    loop {
        if let Some(ended) = poll(running) {
            return ended;
        }
        assert!(world.step(), "nothing can happen and it has not ended");
    }
}

/// A world with what an operation of this kind finds.
fn scene(kind: Kind, seed: u64) -> (World, Vec<Running>) {
    let mut world = World::new(seed);
    if matches!(kind, Kind::Delete | Kind::Get) {
        let mut before = put(&world, KEY.to_owned());
        finish(&mut world, &mut before).unwrap();
        world.settle();
    }
    if kind == Kind::Get {
        world.forget(NODES[usize::try_from(seed % 3).unwrap()], KEY);
    }
    let mut others = Vec::new();
    if kind == Kind::PutWithoutRoom {
        others.extend((0..PERMITS).map(|number| put(&world, format!("other-{number}"))));
        assert!(others.iter_mut().all(|other| poll(other).is_none()));
    }
    (world, others)
}

/// Drops an operation after so many polls, and looks at what is left; whether it had ended by then.
fn drop_after(polls: usize, kind: Kind, trouble: Trouble, seed: u64) -> bool {
    let (mut world, mut others) = scene(kind, seed);
    let mut running = start(&world, kind);
    world.begin(trouble);
    let mut ended = None;
    for _ in 0..polls {
        ended = poll(&mut running);
        if ended.is_some() {
            break;
        }
        world.step();
        others.retain_mut(|other| poll(other).is_none());
    }
    drop(running);
    while world.step() {
        others.retain_mut(|other| poll(other).is_none());
    }
    assert!(others.is_empty(), "a caller waits for ever");
    check_outcome(&world, kind, polls, ended.as_ref());
    check_nothing_is_left(&mut world);
    ended.is_some()
}

/// What was handed over is carried out, whether or not a caller waits.
fn check_outcome(world: &World, kind: Kind, polls: usize, ended: Option<&Ended>) {
    let held = world.held(KEY);
    let of = |wanted: usize| held.iter().filter(|values| values.len() == wanted).count();
    let handed_over = polls > 0 && kind != Kind::PutWithoutRoom;
    match kind {
        Kind::Put | Kind::PutWithoutRoom if handed_over || ended.is_some() => {
            assert!(of(1) >= 2, "{held:?}");
        }
        Kind::Put => assert_eq!(of(0), 3, "nothing is sent before the first poll: {held:?}"),
        Kind::PutWithoutRoom => assert!(of(1) >= 2 || of(0) == 3, "half a write: {held:?}"),
        Kind::Delete if handed_over => assert!(of(0) >= 2, "{held:?}"),
        Kind::Delete => assert_eq!(of(1), 3, "{held:?}"),
        Kind::Get => assert!(of(1) >= 2, "a read takes nothing away: {held:?}"),
    }
    let values = held.iter().flatten();
    assert!(values.into_iter().all(|value| value == "new"), "{held:?}");
    if let Some(ended) = ended {
        assert_eq!(*ended, Ok(()), "two replicas answer in any case");
    }
}

fn check_nothing_is_left(world: &mut World) {
    world.mend();
    world.settle();
    assert!(world.is_idle());
    let client = world.client.clone();
    let mut health: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(async move { client.health().await });
    assert!(poll(&mut health).is_none());
    world.settle();
    let report = poll(&mut health).unwrap().unwrap();
    for node in &report.nodes {
        assert_eq!(node.in_flight, 0, "{report:?}");
    }
    check_room(world);
}

/// As many operations as ever are taken at once, and not one more.
fn check_room(world: &mut World) {
    let puts = (0..=PERMITS).map(|number| put(world, format!("permit-{number}")));
    let mut puts: Vec<_> = puts.collect();
    assert!(puts.iter_mut().all(|put| poll(put).is_none()));
    world.take_in();
    assert_eq!(
        world.requests(),
        PERMITS * NODES.len(),
        "a permit was lost, or made"
    );
    for put in &mut puts {
        assert_eq!(finish(world, put), Ok(()));
    }
    world.settle();
    assert!(world.is_idle());
}

fn troubles() -> impl Iterator<Item = Trouble> {
    let breaks = NODES
        .into_iter()
        .flat_map(|node| [1, 2, 4, 7].map(|at| Trouble::Break(node, at)));
    let late = NODES.map(Trouble::Late);
    [Trouble::Nothing].into_iter().chain(breaks).chain(late)
}

#[test]
fn an_operation_dropped_at_any_await_point_leaves_nothing_behind() {
    for kind in KINDS {
        let mut cases = 0;
        for trouble in troubles() {
            for seed in 0..SEEDS {
                let points = (0..).take_while(|&polls| !drop_after(polls, kind, trouble, seed));
                cases += points.count();
            }
        }
        println!("{kind:?}: {cases} drops");
        assert!(
            cases > 1_000,
            "{kind:?} ends at once, so nothing was dropped"
        );
    }
}

#[test]
fn closing_answers_everyone_and_is_done_once_all_is_done() {
    for trouble in troubles() {
        for seed in 0..SEEDS {
            let points = (0..).take_while(|&steps| !close_after(steps, trouble, seed));
            assert!(points.count() > 5);
        }
    }
}

/// Closes the client after so many steps of four operations; whether they had ended by then.
fn close_after(steps: usize, trouble: Trouble, seed: u64) -> bool {
    let (mut world, _) = scene(Kind::Get, seed);
    world.begin(trouble);
    let mut running = vec![start(&world, Kind::Get)];
    running.extend((0..PERMITS).map(|number| put(&world, format!("put-{number}"))));
    let mut left: Vec<_> = running.into_iter().map(Some).collect();
    let mut refused = 0;
    let mut poll_all = |left: &mut Vec<Option<Running>>| {
        for running in left.iter_mut() {
            match running.as_mut().map(poll) {
                Some(Some(Ok(()))) => *running = None,
                // The last one waited for a permit, and a closed client has none.
                Some(Some(Err(Some(WriteError::Closed)))) => {
                    refused += 1;
                    *running = None;
                }
                Some(Some(Err(error))) => panic!("{error:?}"),
                Some(None) | None => {}
            }
        }
        left.iter().all(Option::is_none)
    };
    let mut ended = poll_all(&mut left);
    for _ in 0..steps {
        world.step();
        ended = poll_all(&mut left);
    }
    let client = world.client.clone();
    let mut close: Pin<Box<dyn Future<Output = ()>>> =
        Box::pin(async move { client.close().await });
    assert!(poll(&mut close).is_none(), "closed before all is done");
    while world.step() {
        poll_all(&mut left);
    }
    poll_all(&mut left);
    assert!(left.iter().all(Option::is_none), "a caller waits for ever");
    assert!(world.is_finished());
    world.drop_driver();
    assert_eq!(poll(&mut close), Some(()));
    let stored = (0..PERMITS).filter(|number| is_on_a_quorum(&world, &format!("put-{number}")));
    assert_eq!(stored.count() + refused, PERMITS);
    ended
}

/// Whether a write is on two replicas of three; if it is on fewer it must be on none.
fn is_on_a_quorum(world: &World, key: &str) -> bool {
    let holders = world.knows(key).into_iter().filter(|knows| *knows).count();
    assert!(holders != 1, "half a write");
    holders >= 2
}

#[test]
fn a_driver_dropped_at_any_moment_tells_everyone_what_may_be_stored() {
    for trouble in troubles() {
        for seed in 0..SEEDS {
            let points = (0..).take_while(|&steps| !drop_driver_after(steps, trouble, seed));
            assert!(points.count() > 2);
        }
    }
}

/// Drops the driver after so many steps of a put; whether it had ended by then.
fn drop_driver_after(steps: usize, trouble: Trouble, seed: u64) -> bool {
    let (mut world, _) = scene(Kind::Put, seed);
    world.begin(trouble);
    let mut running = start(&world, Kind::Put);
    let mut ended = poll(&mut running);
    for _ in 0..steps {
        if ended.is_some() {
            return true;
        }
        world.step();
        ended = poll(&mut running);
    }
    if ended.is_some() {
        return true;
    }
    world.drop_driver();
    let error = poll(&mut running).expect("it waits for ever").unwrap_err();
    let stored = error.as_ref().unwrap().stored();
    let sent = world.knows(KEY).contains(&true);
    assert!(!sent || stored == Stored::Maybe, "{error:?}");
    let mut late = put(&world, "late".to_owned());
    assert_eq!(poll(&mut late), Some(Err(Some(WriteError::Closed))));
    false
}
