//! The merge against a model: random owners, pages, failures and epochs; each key that enough owners hold comes once, in
//! order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use quoit_ring::change::{Arcs, Configuration};
use quoit_ring::placement::{Newcomer, grow, join};
use quoit_ring::wire::{ScanRow, record_bytes};
use quoit_ring::{
    Actor, ClusterId, ClusterMap, Delta, Dot, Epoch, LeafBits, Millis, Record, Time, TokenKey,
};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::consistency::Consistency;
use crate::scan::range::Wanted;

const PLAN: Plan = Plan {
    consistency: Consistency::Quorum,
    count: None,
    sloppy: false,
    deadline: Duration::from_secs(5),
    repair: None,
};

fn newcomer(id: u64) -> Newcomer {
    Newcomer {
        id: NodeId(id),
        name: format!("n{id}"),
        address: format!("h{id}:1"),
        zone: "z".into(),
        weight: 3,
    }
}

/// The epochs of a cluster that one more node joins.
fn epochs(members: u64) -> Vec<Topology> {
    let empty = ClusterMap {
        cluster: ClusterId(1),
        epoch: Epoch(1),
        token_key: TokenKey([4; 16]),
        leaf_bits: LeafBits::new(9).unwrap(),
        replication: 3,
        members: vec![],
    };
    let map = grow(empty, (1..=members).map(newcomer), 1).unwrap();
    let mut target = map.clone();
    join(&mut target, newcomer(members + 1), 2).unwrap();
    let first = Configuration::first(map).unwrap();
    let mut next = first.begin(target, Arcs::FULL).ok();
    let mut epochs = vec![Topology::new(&first, None).unwrap()];
    while let Some(configuration) = next {
        let before = epochs.last();
        epochs.push(Topology::new(&configuration, before).unwrap());
        next = configuration.step();
    }
    epochs
}

fn key(number: u16) -> Bytes {
    format!("k{number:04}").into()
}

fn record(time: u64, is_dead: bool) -> Record {
    let dot = Dot {
        time: Time(time),
        actor: Actor(1),
    };
    let value = (!is_dead).then(|| (Bytes::from_static(b"value"), None));
    Delta::blind(dot, value).into_record()
}

fn scan_of(topology: &Topology, wanted: &Wanted, rows: u32) -> Merge {
    let range = ScanRange::new(wanted).unwrap();
    let settings = PageSettings {
        values: true,
        rows,
        bytes: 1 << 16,
    };
    Merge::new(topology.clone(), (range, Place::Start), (PLAN, settings)).unwrap()
}

/// What all nodes hold.
#[derive(Default)]
struct Disks(BTreeMap<NodeId, BTreeMap<Bytes, Record>>);

impl Disks {
    /// What a node answers, as `quoit_node` does.
    fn page(&self, topology: &Topology, node: NodeId, request: &ScanRequest) -> ScanPage {
        let is_within = |key: &&Bytes| {
            **key >= request.start && (request.end.is_empty() || **key < request.end)
        };
        let rows = &self.0[&node];
        let mut keys: Vec<&Bytes> = rows.keys().filter(is_within).collect();
        if request.reverse {
            keys.reverse();
        }
        let examined = keys.len().min(request.rows as usize);
        let is_full = examined == request.rows as usize;
        let mut page = ScanPage {
            through: is_full.then(|| keys[examined - 1].clone()),
            ..ScanPage::default()
        };
        for &key in &keys[..examined] {
            let lists = topology.lists(topology.token_of(key));
            let covering = lists.covering(request.cover.into(), &request.without);
            let Some(place) = covering.iter().position(|&it| it == node) else {
                continue;
            };
            let record = match place {
                0 if request.values => rows[key].clone(),
                _ => rows[key].without_values(),
            };
            page.rows.push(ScanRow {
                key: key.clone(),
                floor: Time::ZERO,
                record: record_bytes(&record),
            });
        }
        page
    }
}

/// A world with its random choices.
struct World {
    rng: SmallRng,
    epochs: Vec<Topology>,
    epoch: usize,
    disks: Disks,
    /// Who answers nothing at present.
    dead: BTreeSet<NodeId>,
    /// Keys that all owners hold alike, alive.
    whole: BTreeSet<Bytes>,
    /// Keys that none holds alive.
    gone: BTreeSet<Bytes>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let members = rng.random_range(3..6);
        let epochs = epochs(members);
        let mut world = Self {
            epoch: rng.random_range(0..epochs.len()),
            epochs,
            disks: Disks::default(),
            dead: BTreeSet::new(),
            whole: BTreeSet::new(),
            gone: BTreeSet::new(),
            rng,
        };
        for id in 1..=members + 1 {
            world.disks.0.insert(NodeId(id), BTreeMap::new());
        }
        for number in 0..world.rng.random_range(0..120) {
            world.write(key(number));
        }
        world
    }

    fn write(&mut self, key: Bytes) {
        let time = self.rng.random_range(1..50);
        match self.rng.random_range(0..10) {
            0 => drop(self.gone.insert(key)),
            1..3 => {
                self.gone.insert(key.clone());
                self.put(&key, time, true, 100);
            }
            3..5 => {
                let is_dead = self.rng.random_bool(0.3);
                self.put(&key, time, false, 60);
                self.put(&key, time + 1, is_dead, 40);
            }
            _ => {
                self.whole.insert(key.clone());
                self.put(&key, time, false, 100);
            }
        }
    }

    fn put(&mut self, key: &Bytes, time: u64, is_dead: bool, percent: u32) {
        for rows in self.disks.0.values_mut() {
            if self.rng.random_ratio(percent, 100) {
                rows.insert(key.clone(), record(time, is_dead));
            }
        }
    }

    fn topology(&self) -> &Topology {
        &self.epochs[self.epoch]
    }

    /// One node dies, or another one in its place, or none.
    fn strike(&mut self) {
        self.dead.clear();
        if self.rng.random_bool(0.7) {
            let id = self.rng.random_range(1..=self.disks.0.len() as u64);
            self.dead.insert(NodeId(id));
        }
    }

    /// Scans to the end: keys in their order, with the record of those that need no read.
    fn scan(&mut self, wanted: &Wanted, most: u32) -> Vec<(Bytes, Option<Record>)> {
        let mut merge = scan_of(self.topology(), wanted, most);
        let (mut asked, mut found): (Vec<PageAsk>, Vec<_>) = (Vec::new(), Vec::new());
        for _ in 0..100_000 {
            asked.extend(core::iter::from_fn(|| merge.poll_page()));
            let before = merge.place().clone();
            let next = merge.poll();
            // Before anything comes: a scan that has not gone further since one node failed need not outlive another failure.
            if *merge.place() != before && self.rng.random_ratio(1, 20) {
                self.strike();
            }
            match next {
                Next::Row(key, record) => found.push((key, Some(record))),
                Next::Read(key) => found.push((key, None)),
                Next::Done => return found,
                Next::Failed(failure) => panic!("{failure:?}"),
                Next::Wait => self.come_next(&mut merge, &mut asked),
            }
        }
        panic!("it does not end: {merge:?}");
    }

    /// Some answer comes, or a failure, or an epoch.
    fn come_next(&mut self, merge: &mut Merge, asked: &mut Vec<PageAsk>) {
        asked.extend(core::iter::from_fn(|| merge.poll_page()));
        let goes_on = self.epoch + 1 < self.epochs.len() && self.rng.random_ratio(1, 30);
        if goes_on {
            self.epoch += 1;
            return merge.moved(self.topology().clone());
        }
        assert!(!asked.is_empty(), "it waits for nothing: {merge:?}");
        let at = self.rng.random_range(0..asked.len());
        let ask = asked.swap_remove(at);
        let from = (ask.generation, ask.node);
        if self.dead.contains(&ask.node) {
            return merge.failed(from, Outcome::TimedOut);
        }
        let topology = merge.topology().clone();
        let page = self.disks.page(&topology, ask.node, &ask.request);
        assert!(page.rows.len() <= ask.request.rows as usize);
        merge.page(from, page, Millis(1_000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_key_that_enough_owners_hold_comes_once_and_in_order(
        seed: u64, reverse: bool, most in 1_u32..20, prefix in prop::sample::select(vec!["", "k00", "k001"]),
    ) {
        let mut world = World::new(seed);
        let wanted = Wanted { prefix: prefix.into(), reverse, ..Wanted::default() };
        let found = world.scan(&wanted, most);
        let keys: Vec<&Bytes> = found.iter().map(|(key, _)| key).collect();
        let goes_on = |two: &[&Bytes]| if reverse { two[0] > two[1] } else { two[0] < two[1] };
        prop_assert!(keys.windows(2).all(goes_on), "{:?}", keys);
        prop_assert!(keys.iter().all(|key| key.starts_with(prefix.as_bytes())));

        let keys: BTreeSet<Bytes> = keys.into_iter().cloned().collect();
        let is_wanted = |key: &&Bytes| key.starts_with(prefix.as_bytes());
        let missing: Vec<_> = world.whole.iter().filter(is_wanted).filter(|key| !keys.contains(*key)).collect();
        prop_assert!(missing.is_empty(), "{:?}", missing);
        for (key, record) in found {
            prop_assert!(!world.gone.contains(&key), "{:?} is dead everywhere", key);
            prop_assert!(!world.whole.contains(&key) || record.is_some(), "{:?} needs no read", key);
            if let Some(record) = record {
                let holders = world.disks.0.values().filter(|rows| rows.get(&key) == Some(&record));
                prop_assert!(holders.count() >= 2);
            }
        }
    }
}

#[test]
fn too_few_owners_end_it_and_are_named() {
    let topology = epochs(3).swap_remove(0);
    let mut merge = scan_of(&topology, &Wanted::default(), 9);
    for round in 0..2 {
        let ask = merge.poll_page().unwrap();
        merge.failed((ask.generation, ask.node), Outcome::Lost);
        if round == 0 {
            assert_eq!(merge.poll(), Next::Wait, "one may be away");
        }
    }
    let Next::Failed(failure) = merge.poll() else {
        panic!("two may not");
    };
    let named: Vec<NodeId> = failure.failed.iter().map(|(node, _)| *node).collect();
    let NoCoverage::TooFew { needed: 2, owners } = failure.why else {
        panic!("{failure:?}");
    };
    assert!(named.len() == 2 && named.iter().all(|node| owners.contains(node)));
    assert_eq!(merge.poll_page(), None);
}

#[test]
fn nodes_may_be_away_one_after_the_other() {
    let topology = epochs(3).swap_remove(0);
    let mut disks = Disks::default();
    for id in 1..=3 {
        let rows = (0..40).map(|number| (key(number), record(9, false)));
        disks.0.insert(NodeId(id), rows.collect());
    }
    let mut merge = scan_of(&topology, &Wanted::default(), 4);
    let mut found = 0;
    loop {
        while let Some(ask) = merge.poll_page() {
            let from = (ask.generation, ask.node);
            if ask.node == NodeId(1 + found / 14) {
                merge.failed(from, Outcome::Lost);
            } else {
                let page = disks.page(&topology, ask.node, &ask.request);
                merge.page(from, page, Millis(1));
            }
        }
        match merge.poll() {
            Next::Row(..) => found += 1,
            Next::Wait => {}
            Next::Done => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(found, 40);
}

#[test]
fn rows_out_of_order_are_a_failure_of_their_node() {
    let topology = epochs(3).swap_remove(0);
    let mut merge = scan_of(&topology, &Wanted::default(), 4);
    let ask = merge.poll_page().unwrap();
    let row = |number| ScanRow {
        key: key(number),
        floor: Time::ZERO,
        record: record_bytes(&record(1, false)),
    };
    let page = ScanPage {
        rows: vec![row(2), row(1)],
        ..ScanPage::default()
    };
    merge.page((ask.generation, ask.node), page, Millis(1));
    let next = merge.poll_page().unwrap();
    assert_eq!(next.request.without, [ask.node]);
    assert!(next.generation > ask.generation);
}

#[test]
fn a_prefix_with_a_whole_tag_asks_those_who_cover_it_and_nobody_else() {
    let topology = epochs(5).swap_remove(0);
    let asked = |prefix: &'static str| -> BTreeSet<NodeId> {
        let wanted = Wanted {
            prefix: prefix.into(),
            ..Wanted::default()
        };
        let mut merge = scan_of(&topology, &wanted, 4);
        let asks = core::iter::from_fn(|| merge.poll_page());
        asks.map(|ask| ask.node).collect()
    };
    let lists = topology.lists(topology.token_of(b"cart:{42}:items"));
    let covering: BTreeSet<NodeId> = lists.covering(2, &[]).into_iter().collect();
    assert_eq!(asked("cart:{42}:"), covering);
    assert_eq!(asked("cart:{4").len(), 5);
}
