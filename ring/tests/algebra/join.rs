//! Join: the laws of a semilattice, the state of every dot, and one form for equal records.
//!
//! ```text
//!   unseen  <  live, with a set of contents  <  dead          per dot; join takes the later state
//! ```
//!
//! The laws are tried on records that random histories made and on arbitrary ones: no history makes
//! some of those, but bytes from outside may hold them.

use std::collections::BTreeSet;

use bytes::BytesMut;
use quoit_ring::wire::{decode_record, encode_record};
use quoit_ring::{Actor, Dot, Record, Seen, Time};

use crate::cluster::{Cluster, REPLICAS};
use crate::grid::{dots, region};
use crate::support::{Rng, arbitrary, property};
use crate::{has_collision, joined, kills};

/// The laws of a semilattice, and that what a join makes is in the one canonical form.
fn check_laws(a: &Record, b: &Record, c: &Record) {
    assert_eq!(&joined(&[a, a]), a, "idempotent");
    let both = joined(&[a, b]);
    assert_eq!(both, joined(&[b, a]), "commutative");
    assert_eq!(both, joined(&[&both, b]), "an upper bound");
    let (left, right) = (joined(&[&both, c]), joined(&[a, &joined(&[b, c])]));
    assert_eq!(left, right, "associative");
    for record in [a, b, &both, &left] {
        check_canonical(record);
    }
}

fn check_canonical(record: &Record) {
    let seen = Seen::from_parts(record.seen().floor(), record.seen().intervals().into());
    assert_eq!(
        seen.as_ref(),
        Some(record.seen()),
        "intervals are cut off and merged"
    );
    let again = Record::from_parts(record.live().into(), record.seen().clone());
    assert_eq!(again.as_ref(), Some(record), "siblings ascend and are seen");
    let mut out = BytesMut::new();
    encode_record(record, &mut out);
    let bytes = out.freeze();
    assert_eq!(
        decode_record(&bytes).as_ref(),
        Ok(record),
        "comes back from its bytes"
    );
}

#[test]
fn join_obeys_its_laws_on_records_of_random_histories() {
    let reaches = [
        ("two or more siblings", 45),
        ("a stale context", 40),
        ("a delete", 50),
        ("a dot minted twice, both contents live", 6),
        ("a join that kills", 50),
    ];
    property("laws, histories", reaches, |rng| {
        let mut cluster = Cluster::new(rng, true);
        for _ in 0..6 + rng.below(25) {
            cluster.step(rng);
        }
        cluster.check();
        let mut pick = || match rng.below(3) {
            0 if !cluster.deltas.is_empty() => rng.pick(&cluster.deltas).record.clone(),
            _ => cluster.replicas[rng.index(REPLICAS)].record.clone(),
        };
        let (a, b, c) = (pick(), pick(), pick());
        check_laws(&a, &b, &c);
        let all = joined(&[&a, &b, &c]);
        [
            all.live().len() > 1,
            cluster.reached.stale,
            cluster.reached.delete,
            has_collision(&all),
            kills(&a, &b) || kills(&b, &c) || kills(&a, &c),
        ]
    });
}

#[test]
fn join_obeys_its_laws_on_arbitrary_records() {
    let reaches = [
        ("two or more siblings", 50),
        ("a join that kills", 30),
        ("a tombstone", 30),
        ("a dot minted twice, both contents live", 30),
    ];
    property("laws, arbitrary", reaches, |rng| {
        let [a, b, c] = [(); 3].map(|()| arbitrary::record(rng));
        check_laws(&a, &b, &c);
        let all = joined(&[&a, &b, &c]);
        [
            all.live().len() > 1,
            kills(&a, &b) || kills(&b, &c) || kills(&a, &c),
            a.is_tombstone() || b.is_tombstone() || c.is_tombstone(),
            has_collision(&all),
        ]
    });
}

/// What a record says of one dot.
#[derive(Debug, PartialEq)]
enum Says {
    Unseen,
    Live(BTreeSet<u64>),
    Dead,
}

fn says(record: &Record, dot: Dot) -> Says {
    let variants: BTreeSet<u64> = record.variants(dot).map(|s| s.hash).collect();
    match (record.seen().contains(dot), variants.is_empty()) {
        (false, true) => Says::Unseen,
        (true, true) => Says::Dead,
        (true, false) => Says::Live(variants),
        (false, false) => unreachable!("{dot} is live and not seen in {record:?}"),
    }
}

#[test]
fn join_takes_the_later_state_of_every_dot() {
    let reaches = [
        ("two or more siblings", 40),
        ("a join that kills", 20),
        ("a dot minted twice, its contents on both sides", 8),
    ];
    property("per dot", reaches, |rng| {
        let (a, b) = (arbitrary::record(rng), arbitrary::record(rng));
        let both = joined(&[&a, &b]);
        let mut united = false;
        for dot in dots() {
            let expected = match (says(&a, dot), says(&b, dot)) {
                (Says::Unseen, state) | (state, Says::Unseen) => state,
                (Says::Dead, _) | (_, Says::Dead) => Says::Dead,
                (Says::Live(ours), Says::Live(theirs)) => {
                    united |= ours != theirs;
                    Says::Live(&ours | &theirs)
                }
            };
            assert_eq!(says(&both, dot), expected, "{dot} in {a:?} and {b:?}");
        }
        [both.live().len() > 1, kills(&a, &b), united]
    });
}

#[test]
fn equal_records_have_equal_bytes_whatever_made_them() {
    let reaches = [
        ("two or more siblings", 50),
        ("a stale context", 40),
        ("a delete", 50),
    ];
    property("bytes", reaches, |rng| {
        let mut cluster = Cluster::new(rng, true);
        for _ in 0..6 + rng.below(25) {
            cluster.step(rng);
        }
        let bytes = |order: [usize; REPLICAS]| {
            let mut out = BytesMut::new();
            encode_record(
                &joined(&order.map(|i| &cluster.replicas[i].record)),
                &mut out,
            );
            out.freeze()
        };
        let forth = bytes([0, 1, 2]);
        assert_eq!(forth, bytes([2, 1, 0]));
        assert_eq!(forth, bytes([1, 2, 0]));
        [
            cluster.reached.siblings,
            cluster.reached.stale,
            cluster.reached.delete,
        ]
    });
}

fn live_set(record: &Record) -> Vec<(Dot, u64)> {
    record.live().iter().map(|s| (s.dot, s.hash)).collect()
}

#[test]
fn records_have_the_same_versions_exactly_if_region_and_live_set_are_equal() {
    let reaches = [
        ("two or more siblings", 30),
        ("equal versions", 25),
        ("equal live sets, different regions", 20),
        ("equal regions, different live sets", 15),
    ];
    property("same versions", reaches, |rng| {
        let a = arbitrary::record(rng);
        let b = neighbour(rng, &a);
        let regions = region(a.seen()) == region(b.seen());
        let live = live_set(&a) == live_set(&b);
        assert_eq!(a.same_versions(&b), regions && live, "{a:?} and {b:?}");
        assert_eq!(b.same_versions(&a), regions && live);
        assert!(
            a.same_versions(&a.without_values()),
            "values are not compared"
        );
        [
            a.live().len() > 1,
            regions && live,
            live && !regions,
            regions && !live,
        ]
    });
}

/// A record that is `a` built another way, or all but `a`.
fn neighbour(rng: &mut Rng, a: &Record) -> Record {
    let mut seen = Seen::up_to(a.seen().floor());
    let mut dots: Vec<Dot> = dots().filter(|&dot| a.seen().names(dot)).collect();
    while !dots.is_empty() {
        let Dot { actor, time } = dots.swap_remove(rng.index(dots.len()));
        seen.add(actor, time.before(), time);
    }
    let mut live = a.live().to_vec();
    match rng.below(5) {
        0 => {
            let time = rng.below(arbitrary::TIMES);
            seen.add(
                Actor(rng.below(arbitrary::ACTORS)),
                Time(time).before(),
                Time(time),
            );
        }
        1 => seen.raise_floor(Time(rng.below(arbitrary::TIMES))),
        2 if !live.is_empty() => drop(live.remove(rng.index(live.len()))),
        3 if !live.is_empty() => {
            let i = rng.index(live.len());
            live[i].hash ^= 1; // another content; the order stays, or is set right
            live.sort_by_key(|s| (s.dot, s.hash));
        }
        _ => {}
    }
    Record::from_parts(live.into(), seen).expect("canonical parts")
}

#[test]
fn a_record_refuses_every_form_but_the_canonical_one() {
    let reaches = [
        ("two contents of a dot out of order", 5),
        ("siblings out of order", 30),
        ("a sibling unseen", 20),
        ("canonical parts", 20),
    ];
    property("records, parts", reaches, |rng| {
        let record = arbitrary::record(rng);
        let seen = if rng.percent(50) {
            record.seen().clone()
        } else {
            arbitrary::seen(rng)
        };
        let mut live = record.live().to_vec();
        if live.len() > 1 && rng.percent(70) {
            let i = rng.index(live.len() - 1);
            live[i] = live[i + 1].clone();
            if rng.percent(50) {
                live[i + 1] = record.live()[i].clone();
            }
        }
        let ordered = live == record.live();
        let shuffled = !ordered && live.windows(2).all(|w| w[0].dot <= w[1].dot);
        let covered = live.iter().all(|s| seen.contains(s.dot));
        let taken = Record::from_parts(live.as_slice().into(), seen);
        assert_eq!(taken.is_some(), ordered && covered, "{live:?}");
        [shuffled, !ordered, !covered, ordered && covered]
    });
}
