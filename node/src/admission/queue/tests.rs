//! What a queue takes in and what it refuses.

mod overload;

use quoit_ring::wire::ResponseFrame;
use quoit_ring::{Delta, MerkleKey, Record};

use super::*;

use crate::commit::{Asker, Task};
use crate::testing::{Sink, WALL, at, dot, write};
use crate::write::{Change, Destination};

const KEY: MerkleKey = MerkleKey([7; 16]);

#[test]
fn a_full_queue_takes_what_fits_and_says_how_long_it_is() {
    let sink = Sink::default();
    let bounds = WriteQueue {
        requests: 2,
        bytes: 100,
    };
    let queue = Queue::new(bounds, KEY);
    let one = |id| write(id, &sink, "k", Change::Repair(Record::default()), at(WALL));
    let mut writes = vec![one(0), one(1), one(2)];
    let later = || at(WALL + 30).mono;
    let full = queue.push(&mut writes, later);
    assert_eq!(full, Err(Rejected::Overloaded { queue_ms: 30 }));
    assert_eq!(writes.len(), 1);

    let mut taken = Vec::new();
    assert!(matches!(
        queue.take(&mut taken, 1, Duration::ZERO, || at(WALL).mono),
        Taken::Some
    ));
    assert_eq!(queue.push(&mut writes, later), Ok(()));
    queue.close();
    let closed = queue.push(&mut vec![one(3)], later);
    assert_eq!(closed, Err(Rejected::Closed));
    assert!(matches!(
        queue.take(&mut taken, 512, Duration::ZERO, || at(WALL).mono),
        Taken::Some
    ));
    assert_eq!(
        taken.iter().map(|write| write.id).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert!(matches!(
        queue.take(&mut taken, 512, Duration::ZERO, || at(WALL).mono),
        Taken::Closed
    ));
}

/// Writes of so many bytes each.
fn of(sink: &Sink, bytes: &[usize]) -> Vec<Write<Sink>> {
    let one = |&bytes: &usize| Write {
        bytes,
        ..write(0, sink, "k", Change::Repair(Record::default()), at(WALL))
    };
    bytes.iter().map(one).collect()
}

const BOUNDS: WriteQueue = WriteQueue {
    requests: 9,
    bytes: 100,
};

#[test]
fn bytes_bound_the_queue_as_well() {
    let sink = Sink::default();
    let queue = Queue::new(BOUNDS, KEY);
    let mut heavy = of(&sink, &[60, 41]);
    assert!(queue.push(&mut heavy, || at(WALL).mono).is_err());
    assert_eq!(heavy.len(), 1);
    let mut taken = Vec::new();
    queue.take(&mut taken, 9, Duration::ZERO, || at(WALL).mono);
    assert!(
        queue.push(&mut heavy, || at(WALL).mono).is_ok(),
        "what is taken counts no more"
    );
}

#[test]
fn a_write_larger_than_the_queue_gets_in_alone() {
    let sink = Sink::default();
    let queue = Queue::new(BOUNDS, KEY);
    let mut writes = of(&sink, &[101, 1]);
    assert!(queue.push(&mut writes, || at(WALL).mono).is_err());
    assert_eq!((queue.len(), writes.len()), (1, 1), "nothing beside it");
    let mut taken = Vec::new();
    queue.take(&mut taken, 9, Duration::ZERO, || at(WALL).mono);
    assert!(queue.push(&mut writes, || at(WALL).mono).is_ok());
    let mut large = of(&sink, &[101]);
    assert!(
        queue.push(&mut large, || at(WALL).mono).is_err(),
        "not behind others"
    );
}

/// A caller of whom only the priority counts.
#[derive(Debug, Clone, Copy)]
struct Caller(Priority);

impl Reply for Caller {
    fn send(&self, _answer: &ResponseFrame) {}

    fn flush(&self) {}

    fn priority(&self) -> Priority {
        self.0
    }
}

/// So many writes of so many bytes each by a caller of this priority, to be done within `left` of `now`.
fn by(
    priority: Priority,
    count: usize,
    bytes: usize,
    (now, left): (Moment, Duration),
) -> Vec<Write<Caller>> {
    let one = |id| Write {
        id,
        epoch: None,
        reply: Some(Caller(priority)),
        destination: Destination::Record,
        key: bytes::Bytes::from_static(b"k"),
        leaf: quoit_ring::Leaf(0),
        change: Change::Put(Delta::blind(dot(1, id), None)),
        bytes,
        arrived: now,
        deadline: now + left,
    };
    (0..u64::try_from(count).unwrap()).map(one).collect()
}

const LONG: (Moment, Duration) = (Moment(0), Duration::from_secs(9));

#[test]
fn neither_clients_nor_peers_take_the_others_room() {
    let bounds = WriteQueue {
        requests: 80,
        bytes: 8_000,
    };
    for (greedy, modest, (most, rest)) in [
        (Priority::Client, Priority::Peer, (70, 10)),
        (Priority::Peer, Priority::Client, (10, 70)),
    ] {
        for bytes in [1, 100, 300] {
            let queue = Queue::new(bounds.clone(), KEY);
            let mut flood = by(greedy, 200, bytes, LONG);
            assert!(queue.push(&mut flood, || LONG.0).is_err());
            let taken = most.min(most * 100 / bytes);
            assert_eq!(flood.len(), 200 - taken, "{greedy:?} of {bytes} bytes");
            let mut others = by(modest, rest.min(rest * 100 / bytes), bytes, LONG);
            assert_eq!(queue.push(&mut others, || LONG.0), Ok(()), "{modest:?}");
        }
    }
}

#[test]
fn a_peers_large_repair_gets_in_whatever_clients_have_waiting() {
    let queue = Queue::new(BOUNDS, KEY);
    assert!(
        queue
            .push(&mut by(Priority::Client, 50, 10, LONG), || LONG.0)
            .is_err()
    );
    let mut repair = by(Priority::Peer, 2, 5_000, LONG);
    assert!(queue.push(&mut repair, || LONG.0).is_err());
    assert_eq!(repair.len(), 1, "one");
}

#[test]
fn what_is_refused_keeps_its_order_and_what_fits_behind_it_is_taken() {
    let queue = Queue::new(BOUNDS, KEY);
    let mut writes = Vec::new();
    for (id, bytes) in (0..).zip([40, 60, 20, 60, 20]) {
        let write = by(Priority::Client, 1, bytes, LONG).remove(0);
        writes.push(Write { id, ..write });
    }
    assert!(queue.push(&mut writes, || LONG.0).is_err());
    let ids = |writes: &[Write<Caller>]| writes.iter().map(|write| write.id).collect::<Vec<_>>();
    assert_eq!(ids(&writes), [1, 3]);
    let mut taken = Vec::new();
    queue.take(&mut taken, 9, Duration::ZERO, || at(WALL).mono);
    assert_eq!(ids(&taken), [0, 2, 4]);
}

#[test]
fn a_write_whose_turn_comes_too_late_is_refused_with_the_wait_and_others_are_taken() {
    let queue = Queue::new(WriteQueue::default(), KEY);
    let (begin, now) = (Moment(0), Moment(100_000));
    assert_eq!(
        queue.push(&mut by(Priority::Client, 2_000, 1, LONG), || begin),
        Ok(())
    );
    queue.take(&mut Vec::new(), 1_000, Duration::ZERO, || at(WALL).mono);
    // 1,000 went in 100 ms: as many are left.
    let hasty = (now, Duration::from_millis(99));
    for priority in [Priority::Client, Priority::Peer] {
        let refused = queue.push(&mut by(priority, 1, 1, hasty), || now);
        assert_eq!(refused, Err(Rejected::Overloaded { queue_ms: 100 }));
        let patient = (now, Duration::from_millis(200));
        assert_eq!(queue.push(&mut by(priority, 1, 1, patient), || now), Ok(()));
    }
}

fn order(bytes: usize) -> Order<Sink> {
    let from = Asker::Node { ticket: 1 };
    let decided = vec![0; bytes].into();
    let task = Task::Learn { decided };
    Order { from, task }
}

#[test]
fn orders_and_batches_take_turns() {
    let queue = Queue::new(BOUNDS, KEY);
    let mut writes = of(&Sink::default(), &[1, 1, 1]);
    queue.push(&mut writes, Moment::default).unwrap();
    for _ in 0..3 {
        queue.order(order(1)).unwrap();
    }
    let mut taken = Vec::new();
    let mut next = || match queue.take(&mut taken, 1, Duration::ZERO, || at(WALL).mono) {
        Taken::Some => "batch",
        Taken::Order(_) => "order",
        Taken::Idle | Taken::Closed => "nothing",
    };
    let turns: Vec<_> = (0..7).map(|_| next()).collect();
    let (order, batch) = ("order", "batch");
    assert_eq!(turns, [order, batch, order, batch, order, batch, "nothing"]);
}

#[test]
fn orders_are_bounded_in_count_and_bytes_and_given_back_when_it_is_over() {
    let queue = Queue::new(BOUNDS, KEY);
    queue.order(order(1 << 25)).unwrap(); // alone it may be of any size
    assert!(queue.order(order(1)).is_err());
    assert!(matches!(
        queue.take(&mut vec![], 1, Duration::ZERO, || at(WALL).mono),
        Taken::Order(_)
    ));
    for _ in 0..1024 {
        queue.order(order(1)).unwrap();
    }
    assert!(queue.order(order(1)).is_err());
    let waiting = (queue.is_empty(), queue.len());
    assert_eq!(waiting, (false, 0), "orders wait, and no write");

    queue.close();
    assert!(matches!(
        queue.take(&mut vec![], 1, Duration::ZERO, || at(WALL).mono),
        Taken::Order(_)
    ));
    assert!(queue.order(order(1)).is_err());
    assert_eq!(queue.abandon().orders.len(), 1023);
    assert!(matches!(
        queue.take(&mut vec![], 1, Duration::ZERO, || at(WALL).mono),
        Taken::Closed
    ));
}
