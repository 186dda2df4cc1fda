//! One page of a scan from one node: answered, refused, asked for again, given up.

use quoit_ring::wire::{ScanPage, ScanRequest};

use super::*;
use crate::error::Outcome;
use crate::operation::page::PageAnswer;

const NODE: NodeId = NodeId(2);

fn page_of(epoch: u64) -> Call {
    Call::Page {
        node: NODE,
        epoch: Epoch(epoch),
        request: ScanRequest {
            start: Bytes::new(),
            end: Bytes::new(),
            reverse: false,
            values: true,
            cover: 2,
            without: Vec::new(),
            rows: 9,
            bytes: 900,
        },
    }
}

impl Bench {
    fn page(&mut self) -> PageAnswer {
        match self.done() {
            Some((_, Done::Page(answer))) => answer,
            other => panic!("no page came: {other:?}"),
        }
    }
}

#[test]
fn a_page_comes_with_its_nodes_clock() {
    let mut bench = Bench::new();
    bench.start(1, page_of(1));
    let asked = bench.sent();
    assert_eq!((asked.len(), asked[0].0), (1, NODE));
    bench.answer_off(&asked[0], Response::Scan(ScanPage::default()), 40);
    let PageAnswer::Page(page, clock) = bench.page() else {
        panic!("a page");
    };
    assert_eq!((page, clock.0), (ScanPage::default(), WALL.0 + 40));
    assert!(bench.coordinator.is_idle() && bench.occupied() == 0);
}

#[test]
fn a_node_that_is_behind_is_asked_again_until_the_deadline() {
    let mut bench = Bench::new();
    bench.start(1, page_of(1));
    for _ in 0..3 {
        let asked = bench.sent();
        assert_eq!(asked.len(), 1);
        bench.answer(&asked[0], Response::Refused(Refusal::Behind));
        assert!(bench.sent().is_empty());
        bench.pass(100);
    }
    let asked = bench.sent();
    bench.answer(&asked[0], Response::Refused(Refusal::Behind));
    bench.micros += 4_700_000;
    bench.pass(100);
    let PageAnswer::Failed(outcome) = bench.page() else {
        panic!("it was too late");
    };
    assert_eq!(outcome, Outcome::Refused(Refusal::Behind));
}

#[test]
fn a_page_of_another_epoch_is_none() {
    let mut bench = Bench::new();
    bench.start(1, page_of(2));
    assert!(matches!(bench.page(), PageAnswer::Moved));

    bench.start(2, page_of(1));
    let asked = bench.sent();
    bench.answer_from(Epoch(2), &asked[0], Response::Refused(Refusal::OldEpoch));
    let refresh = bench.sent();
    assert!(bench.done().is_none(), "the newer ring is on its way");
    bench.answer_from(Epoch(2), &refresh[0], Response::Map(whole(map(2))));
    assert!(matches!(bench.page(), PageAnswer::Moved));
    assert!(bench.coordinator.is_idle());
}

#[test]
fn what_refuses_or_does_not_answer_is_a_failure() {
    let mut bench = Bench::new();
    bench.start(1, page_of(1));
    let asked = bench.sent();
    bench.answer(&asked[0], Response::Refused(Refusal::Incomplete));
    let failed = |answer| match answer {
        PageAnswer::Failed(outcome) => outcome,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(bench.page()), Outcome::Refused(Refusal::Incomplete));

    bench.start(2, page_of(1));
    bench.sent();
    bench.pass(5_100);
    assert_eq!(failed(bench.page()), Outcome::TimedOut);

    bench.link(NODE.0, Link::Down);
    bench.start(3, page_of(1));
    assert_eq!(failed(bench.page()), Outcome::Unreachable);
}
