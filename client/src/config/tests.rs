//! Which settings are refused, and that nothing has begun then.

use quoit_ring::change::Topology;
use quoit_ring::wire::RequestFrame;
use quoit_ring::{
    ClusterId, ClusterMap, Epoch, Leaf, LeafBits, Member, Millis, Moment, NodeId, TokenKey,
};

use super::*;
use crate::env::Now;

/// Counts how often it is called.
#[derive(Debug, Default)]
struct Counted<'a>(Option<&'a core::cell::Cell<u32>>);

impl Counted<'_> {
    fn count(&self) {
        self.0.inspect(|calls| calls.set(calls.get() + 1));
    }
}

impl Env for Counted<'_> {
    fn now(&mut self) -> Now {
        self.count();
        Now {
            at: Moment(0),
            wall: Millis(0),
            random: 1,
        }
    }

    fn send(&mut self, _to: NodeId, _frame: &RequestFrame) -> bool {
        self.count();
        true
    }

    fn members(&mut self, _topology: &Topology) {
        self.count();
    }
}

fn ring() -> Ring {
    let member = Member {
        id: NodeId(1),
        name: "n1".into(),
        address: "10.0.0.1:7440".into(),
        zone: "z".into(),
        weight: 100,
        vnodes: vec![Leaf(1)],
    };
    let map = ClusterMap {
        cluster: ClusterId(7),
        epoch: Epoch(1),
        token_key: TokenKey([2; 16]),
        leaf_bits: LeafBits::FULL,
        replication: 1,
        members: vec![member],
    };
    Ring::new(&map).unwrap()
}

fn refused(builder: ClientBuilder) -> ConnectError {
    let calls = core::cell::Cell::new(0);
    let error = builder.drive(ring(), Counted(Some(&calls))).err().unwrap();
    assert_eq!(calls.get(), 0, "nothing was begun: {error}");
    error
}

#[test]
fn a_driven_client_refuses_the_settings_that_every_client_refuses() {
    let new = ClientBuilder::default;
    let name = |builder| match refused(builder) {
        ConnectError::Setting { name, .. } => name,
        other => panic!("{other}"),
    };
    assert_eq!(name(new().deadline(Duration::ZERO)), "deadline");
    assert_eq!(name(new().deadline(Duration::from_secs(31))), "deadline");
    assert_eq!(name(new().max_value_bytes(0)), "max_value_bytes");
    assert_eq!(
        name(new().max_value_bytes(MAX_VALUE + 1)),
        "max_value_bytes"
    );
    assert_eq!(name(new().max_in_flight(0)), "max_in_flight");
    assert_eq!(name(new().max_in_flight(65_537)), "max_in_flight");
    let repair = |bytes| name(new().repair_bytes_per_second(bytes));
    assert_eq!(repair(1_023), "repair_bytes_per_second");
    assert_eq!(repair((1 << 30) + 1), "repair_bytes_per_second");
    let background = |bytes| name(new().max_background_bytes(bytes));
    assert_eq!(background((4 << 10) - 1), "max_background_bytes");
    assert_eq!(background((1 << 30) + 1), "max_background_bytes");
    let unreadable = refused(new().profile("no such file"));
    assert!(matches!(unreadable, ConnectError::Profile(_)));
}

#[test]
fn a_driven_client_needs_nothing_to_find_its_cluster_with() {
    let builder = ClientBuilder::default().connect_timeout(Duration::ZERO);
    assert!(builder.drive(ring(), Counted::default()).is_ok());
}
