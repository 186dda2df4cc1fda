//! Starts and stops: which directories a node refuses, and what a stop and a crash leave behind.

use std::time::Duration;

use quoit_node::engine::layout::{META_CLOCK, META_CLUSTER, META_DISK, META_MERKLE};
use quoit_node::engine::{Batch, Durability, Engine as _, EngineOptions, FjallEngine, Keyspace};
use quoit_node::identity::{DataDir, Expected, IdentityError};
use quoit_node::provision::read_map;
use quoit_node::tls::NodeTls;
use quoit_node::{CloseCode, Node, StartError};
use quoit_ring::wire::{Request, Response};
use quoit_ring::{Millis, Time};

use crate::caller::{Caller, Place, TIMEOUT, get, place, put, value_of, wall, write};

/// Whether the last node in `place` has stopped in order.
fn was_clean(place: &Place, node: quoit_ring::NodeId) -> bool {
    DataDir::open(
        &place.config.data,
        Expected {
            cluster: None,
            node,
        },
    )
    .unwrap()
    .was_clean()
}

#[test]
fn what_is_put_is_read_back_and_outlives_stops_and_crashes() {
    let place = place();
    let node = place.start();
    let id = node.id();
    let mut caller = place.caller(&node, "client");
    assert_eq!(caller.ask(get("k")), Response::Absent);
    assert_eq!(caller.ask(put("k", &write("one", 0))), Response::Joined);
    assert_eq!(value_of(&caller.ask(get("k"))), b"one");
    node.stop(TIMEOUT).unwrap();
    assert!(was_clean(&place, id));

    let node = place.start();
    let mut caller = place.caller(&node, "client");
    assert_eq!(value_of(&caller.ask(get("k"))), b"one");
    assert_eq!(caller.ask(put("k", &write("two", 0))), Response::Joined);
    drop(node); // like a crash
    assert!(!was_clean(&place, id));

    let node = place.start();
    let mut caller = place.caller(&node, "client");
    assert_eq!(value_of(&caller.ask(get("k"))), b"two");
    node.stop(TIMEOUT).unwrap();
}

#[test]
fn the_sums_after_a_restart_are_those_before_it() {
    let place = place();
    let root = |caller: &mut Caller| loop {
        let Response::Status(status) = caller.ask(Request::Status) else {
            panic!("no status")
        };
        if let Some(root) = status.merkle_root {
            return root;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    for n in 0..50 {
        assert_eq!(
            caller.ask(put(&format!("key-{n}"), &write("v", 0))),
            Response::Joined
        );
    }
    let before = root(&mut caller);
    assert_ne!(before, quoit_ring::Sum::default());
    drop(node);
    let node = place.start();
    assert_eq!(root(&mut place.caller(&node, "client")), before);
}

#[test]
fn a_stop_in_order_says_so_to_whoever_is_connected() {
    let place = place();
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    assert_eq!(caller.ask(get("k")), Response::Absent);
    let idle = &mut place.caller(&node, "client");
    let began = wall();
    node.stop(TIMEOUT).unwrap();
    assert!(
        wall().0 - began.0 < 10_000,
        "nothing was waited for in vain"
    );
    assert_eq!(caller.closed().0, Some(CloseCode::Draining));
    assert_eq!(idle.closed().0, Some(CloseCode::Draining));
}

#[test]
fn a_second_node_on_the_directory_or_the_port_is_refused() {
    let place = place();
    let node = place.start();
    let taken = Node::start(&place.config).unwrap_err();
    assert!(
        matches!(taken, StartError::Identity(IdentityError::InUse { .. })),
        "{taken:?}"
    );
    let mut other = place.config.clone();
    other.data = place.folder.path().join("other");
    other.listen = node.address();
    Node::init(&other).unwrap();
    let taken = Node::start(&other).unwrap_err();
    assert!(matches!(taken, StartError::PortInUse { address } if address == node.address()));
}

#[test]
fn the_map_is_needed_once_and_must_be_of_this_cluster() {
    let place = place();
    let mut config = place.config.clone();
    config.map = None;
    let mut new = config.clone();
    new.data = place.folder.path().join("new");
    let missing = Node::init(&new).unwrap_err();
    assert!(matches!(missing, StartError::NoMap), "{missing:?}");
    assert!(!new.data.exists());
    place.start().stop(TIMEOUT).unwrap();
    Node::start(&config).unwrap().stop(TIMEOUT).unwrap();
    let cut = place.folder.path().join("cut.map");
    std::fs::write(&cut, b"quoit").unwrap();
    config.map = Some(cut);
    Node::start(&config).unwrap().stop(TIMEOUT).unwrap();
    let other = self::place();
    config.map.clone_from(&other.config.map);
    let foreign = Node::start(&config).unwrap_err();
    assert!(
        matches!(
            foreign,
            StartError::Identity(IdentityError::OtherCluster { .. })
        ),
        "{foreign:?}"
    );
}

#[test]
fn a_node_that_the_map_does_not_name_is_refused() {
    let (place, other) = (place(), place());
    let mut config = place.config.clone();
    config.map.clone_from(&other.config.map);
    config.data = place.folder.path().join("new");
    let stranger = Node::init(&config).unwrap_err();
    assert!(
        matches!(stranger, StartError::NotAMember { .. }),
        "{stranger:?}"
    );
    assert!(!config.data.exists(), "nothing was written");
}

#[test]
fn a_node_whose_whole_disk_is_gone_does_not_start_empty_under_its_old_id() {
    let place = place();
    place.start().stop(TIMEOUT).unwrap();
    std::fs::remove_dir_all(&place.config.data).unwrap();
    let wiped = Node::start(&place.config).unwrap_err();
    assert!(
        matches!(
            wiped,
            StartError::Identity(IdentityError::NoDirectory { .. })
        ),
        "{wiped:?}"
    );
    assert!(!place.config.data.exists(), "nothing is put in its place");

    std::fs::create_dir(&place.config.data).unwrap();
    let unmounted = Node::start(&place.config).unwrap_err();
    assert!(
        matches!(
            unmounted,
            StartError::Identity(IdentityError::NotInitialised { .. })
        ),
        "{unmounted:?}"
    );
    assert!(!unmounted.may_pass(), "somebody must look at it");
    assert_eq!(std::fs::read_dir(&place.config.data).unwrap().count(), 0);
}

#[test]
fn a_node_is_initialised_once_and_then_starts_without_its_map() {
    let mut place = place();
    place.config.data = place.folder.path().join("mount/point");
    let identity = Node::init(&place.config).unwrap();
    let again = Node::init(&place.config).unwrap_err();
    assert!(
        matches!(
            again,
            StartError::Identity(IdentityError::Initialised { .. })
        ),
        "{again:?}"
    );

    place.config.map = None;
    let node = place.start();
    assert_eq!(node.id(), identity.node);
    let mut caller = place.caller(&node, "client");
    assert_eq!(caller.ask(put("k", &write("v", 0))), Response::Joined);
    node.stop(TIMEOUT).unwrap();
    place.start().stop(TIMEOUT).unwrap();
}

#[test]
fn an_initialisation_that_was_cut_short_anywhere_is_refused_to_run_and_gone_on_with() {
    let mut place = place();
    place.config.data = place.folder.path().join("cut");
    let data = &place.config.data;
    let node = NodeTls::load(&place.config.tls).unwrap().node();
    let first = read_map(place.config.map.as_deref().unwrap()).unwrap();
    let expected = Expected {
        cluster: Some(first.map.cluster),
        node,
    };
    // Up to: the identity, a half-made store, a store without its map.
    for stores in 0..3 {
        drop(DataDir::init(data, expected).unwrap());
        if stores == 1 {
            std::fs::create_dir_all(data.join("store/store.new/keyspaces")).unwrap();
        }
        if stores == 2 {
            let options = EngineOptions::default();
            drop(FjallEngine::create_or_open(&data.join("store"), options).unwrap());
        }
        let refused = Node::start(&place.config).unwrap_err();
        assert!(
            matches!(
                refused,
                StartError::Identity(IdentityError::Incomplete { .. })
            ),
            "{refused:?}"
        );

        Node::init(&place.config).unwrap();
        place.start().stop(TIMEOUT).unwrap();
        std::fs::remove_dir_all(data).unwrap();
    }
}

fn is_store_gone(error: &StartError) -> bool {
    matches!(error, StartError::Identity(IdentityError::StoreGone { .. }))
}

#[test]
fn a_store_that_has_vanished_is_not_started_anew() {
    let place = place();
    let node = place.start();
    node.stop(TIMEOUT).unwrap();
    std::fs::remove_dir_all(place.config.data.join("store")).unwrap();
    let gone = Node::start(&place.config).unwrap_err();
    assert!(is_store_gone(&gone), "{gone:?}");
}

#[test]
fn an_inner_store_that_has_vanished_is_not_started_anew_even_with_the_first_map_at_hand() {
    for crashed in [false, true] {
        let place = place();
        let node = place.start();
        if crashed {
            drop(node);
        } else {
            node.stop(TIMEOUT).unwrap();
        }
        let inner = place.config.data.join("store").join("store");
        std::fs::remove_dir_all(&inner).unwrap();
        assert!(place.config.map.is_some());
        for _ in 0..2 {
            let gone = Node::start(&place.config).unwrap_err();
            assert!(is_store_gone(&gone), "{gone:?}");
            assert!(!inner.exists(), "nothing is put in its place");
        }
    }
}

/// Changes what the node in `place`, which is stopped, has stored about itself.
fn change_meta(place: &Place, change: impl FnOnce(&mut Batch)) {
    let store = place.config.data.join("store");
    let engine = FjallEngine::open(&store, EngineOptions::default()).unwrap();
    let mut batch = Batch::new();
    change(&mut batch);
    engine.commit(batch, Durability::Fsync).unwrap();
}

#[test]
fn a_store_without_its_map_is_not_given_the_first_one_again() {
    let place = place();
    place.start().stop(TIMEOUT).unwrap();
    change_meta(&place, |batch| {
        for name in [META_CLUSTER, META_MERKLE, META_DISK] {
            batch.remove(Keyspace::Meta, name);
        }
    });
    let gone = Node::start(&place.config).unwrap_err();
    assert!(is_store_gone(&gone), "{gone:?}");
}

#[test]
fn another_members_store_is_refused_and_the_own_one_still_accepted() {
    let (place, other) = (place(), place());
    for place in [&place, &other] {
        place.start().stop(TIMEOUT).unwrap();
    }
    let (mine, aside) = (
        place.config.data.join("store"),
        place.folder.path().join("aside"),
    );
    std::fs::rename(&mine, &aside).unwrap();
    std::fs::rename(other.config.data.join("store"), &mine).unwrap();
    let foreign = Node::start(&place.config).unwrap_err();
    assert!(
        matches!(foreign, StartError::OtherStore { .. }),
        "{foreign:?}"
    );
    std::fs::remove_dir_all(&mine).unwrap();
    std::fs::rename(&aside, &mine).unwrap();
    place.start().stop(TIMEOUT).unwrap();
}

#[test]
fn a_clock_mark_far_ahead_of_the_wall_clock_is_told_at_the_start() {
    let place = place();
    place.start().stop(TIMEOUT).unwrap();
    let mark_at = |ahead: u64| {
        let mark = Time::at(Millis(wall().0 + ahead)).0.to_be_bytes();
        change_meta(&place, |batch| {
            batch.insert(Keyspace::Meta, META_CLOCK, mark.to_vec());
        });
    };
    mark_at(50_000);
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    assert_eq!(caller.ask(put("k", &write("v", 0))), Response::Joined);
    drop(node);

    let year = 365 * 86_400_000;
    mark_at(year);
    let behind = Node::start(&place.config).unwrap_err();
    assert!(
        matches!(behind, StartError::ClockBehind { behind, .. } if behind.as_millis() > u128::from(year - 60_000)),
        "{behind:?}"
    );
    assert!(behind.to_string().contains("set the clock"), "{behind}");
}

#[test]
fn a_clock_that_was_ahead_and_is_right_now_is_accepted_if_an_operator_says_so_and_then_for_good() {
    let mut place = place();
    place.start().stop(TIMEOUT).unwrap();
    let year = 365 * 86_400_000;
    change_meta(&place, |batch| {
        let mark = Time::at(Millis(wall().0 + year)).0.to_be_bytes();
        batch.insert(Keyspace::Meta, META_CLOCK, mark.to_vec());
    });
    let refused = Node::start(&place.config).unwrap_err();
    let flag = "--accept-clock-set-back";
    assert!(refused.to_string().contains(flag), "{refused}");

    place.config.accept_clock_set_back = true;
    let node = place.start();
    let mut caller = place.caller(&node, "client");
    let write = put("k", &write("v", 0));
    assert_eq!(caller.ask(write), Response::Joined, "no write is too old");
    node.stop(TIMEOUT).unwrap();

    place.config.accept_clock_set_back = false;
    place.start().stop(TIMEOUT).unwrap();
}

/// The wait keeps a value dead that readers saw expired: each time that a node reports lies above all it reported in
/// its last run.
#[test]
fn a_node_serves_no_earlier_than_its_mark_allows() {
    let place = place();
    place.start().stop(TIMEOUT).unwrap();
    let mark = Millis(wall().0 + 400);
    change_meta(&place, |batch| {
        let bytes = Time::at(mark).0.to_be_bytes();
        batch.insert(Keyspace::Meta, META_CLOCK, bytes.to_vec());
    });
    let node = place.start();
    assert!(wall() >= mark, "it served while its clock was behind");
    drop(node);
}
