//! Pages of a scan.

use quoit_ring::change::Topology;
use quoit_ring::wire::{MAX_SCAN_ROWS, ScanPage, ScanRequest};
use quoit_ring::{Leaf, Time};

use super::*;
use crate::stability::Floors;
use crate::testing::{ring_of, state_of};

/// A node with two others that own all with it, and a hundred rows.
fn filled() -> World {
    let env = FakeEnv {
        capacity: 1_000,
        ..FakeEnv::default()
    };
    let (engine, state, sink) = (
        Arc::new(MemoryEngine::new()),
        state_of(ring_of(3, 3)),
        Sink::default(),
    );
    let replica = Replica::new(env, Arc::clone(&engine), &state);
    let session = Session::new(Arc::new(replica), Role::Client, sink.clone());
    let mut world = World {
        engine,
        state,
        session,
        sink,
    };
    for number in 0..100 {
        let delta = blind(dot(1, WALL), &"v".repeat(200));
        let request = put(&format!("k{number:03}"), delta.dot(), &delta);
        assert_eq!(world.ask(request), None);
    }
    world.commit();
    world
}

fn scan(cover: u8, without: Vec<u64>) -> ScanRequest {
    ScanRequest {
        start: Bytes::new(),
        end: Bytes::new(),
        reverse: false,
        values: true,
        cover,
        without: without.into_iter().map(NodeId).collect(),
        rows: MAX_SCAN_ROWS,
        bytes: 1 << 17,
    }
}

impl World {
    fn page(&mut self, request: ScanRequest) -> ScanPage {
        match self.ask(Request::Scan(request)) {
            Some(Response::Scan(page)) => page,
            other => panic!("{other:?}"),
        }
    }
}

fn topology() -> Topology {
    Topology::of(ring_of(3, 3))
}

#[test]
fn a_node_sends_the_rows_that_it_covers_and_values_of_those_that_it_is_the_first_for() {
    let mut world = filled();
    let topology = topology();
    for (cover, without) in [
        (1, vec![]),
        (2, vec![]),
        (2, vec![2]),
        (3, vec![]),
        (2, vec![1]),
    ] {
        let page = world.page(scan(cover, without.clone()));
        let without: Vec<NodeId> = without.into_iter().map(NodeId).collect();
        let mut expected = Vec::new();
        for number in 0..100 {
            let key = format!("k{number:03}");
            let lists = topology.lists(topology.token_of(key.as_bytes()));
            let covering = lists.covering(cover.into(), &without);
            if let Some(place) = covering.iter().position(|&node| node == SELF) {
                expected.push((Bytes::from(key), place == 0));
            }
        }
        let has_values = |record| {
            let record = decode_record(record).unwrap();
            record.live()[0].value.is_some()
        };
        let rows = page.rows.iter();
        let found: Vec<_> = rows
            .map(|row| (row.key.clone(), has_values(&row.record)))
            .collect();
        assert_eq!(found, expected, "{cover} {without:?}");
        assert_eq!(page.through, None);
    }
    let keys = ScanRequest {
        values: false,
        ..scan(3, vec![])
    };
    let page = world.page(keys);
    let decoded = page
        .rows
        .iter()
        .map(|row| decode_record(&row.record).unwrap());
    assert!(page.rows.len() == 100 && decoded.map(|it| it.value_bytes()).sum::<usize>() == 0);
}

#[test]
fn a_page_is_bounded_by_the_rows_that_it_examines() {
    let mut world = filled();
    let some = ScanRequest {
        start: "k010".into(),
        end: "k090".into(),
        rows: 20,
        ..scan(1, vec![])
    };
    let page = world.page(some.clone());
    assert_eq!(page.through.as_deref(), Some(&b"k029"[..]));
    assert!(page.rows.len() < 20, "some are others' to send");
    let back = ScanRequest {
        reverse: true,
        ..some
    };
    let page = world.page(back);
    assert_eq!(page.through.as_deref(), Some(&b"k070"[..]));
    assert!(page.rows.is_sorted_by(|a, b| a.key > b.key));
}

#[test]
fn floors_come_with_rows_and_with_the_page() {
    let mut world = filled();
    assert_eq!(world.page(scan(3, vec![])).floor, Time::ZERO);
    let all = Leaf(0)..=Leaf((1 << 12) - 1);
    let floors = Floors::default().raised(&[(all, Time(7))]);
    world.state.stability.set_floors(floors.clone());
    let page = world.page(scan(3, vec![]));
    assert_eq!((page.floor, page.rows[0].floor), (Time(7), Time(7)));
    let part = floors.raised(&[(Leaf(0)..=Leaf(2_000), Time(9))]);
    world.state.stability.set_floors(part);
    let page = world.page(scan(3, vec![]));
    assert_eq!(page.floor, Time(7));
    assert!(page.rows.iter().any(|row| row.floor == Time(9)));
}

#[test]
fn who_serves_no_reads_serves_no_scan() {
    let mut world = filled();
    let request = || Request::Scan(scan(2, vec![]));
    world.state.completeness.lose();
    assert_eq!(world.refusal(request()), Refusal::Incomplete);
    world.state.completeness.complete();
    let older = world.ask_as_of(Epoch(1), request());
    assert_eq!(older, Some(Response::Refused(Refusal::OldEpoch)));
    let newer = world.ask_as_of(Epoch(9), request());
    assert_eq!(newer, Some(Response::Refused(Refusal::Behind)));
    world.state.service.drain();
    assert_eq!(world.refusal(request()), Refusal::Draining);
}
