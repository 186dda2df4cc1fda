//! What the workloads do in whole runs: forty seeds, looked at from their histories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use crate::history::{Basis, Call, Family, History, Mode, Op, OpId, Outcome};
use crate::sim::{Options, run};

/// The histories of the first seeds, made once for all tests.
fn histories() -> &'static [History] {
    static MADE: OnceLock<Vec<History>> = OnceLock::new();
    let made = |seed| run(seed, Options::default()).history;
    MADE.get_or_init(|| (0..40).map(made).collect())
}

fn of(history: &History, family: Family) -> impl Iterator<Item = (OpId, &Op)> {
    let own = move |(_, op): &(OpId, &Op)| history.key(op.key).family == family;
    history.iter().filter(own)
}

#[test]
fn every_family_is_read_and_written_in_the_storm_and_in_the_calm() {
    let mut done = BTreeMap::new();
    for history in histories() {
        for (_, op) in history.iter().filter(|(_, op)| op.succeeded().is_some()) {
            let kind = (history.key(op.key).family, op.is_write(), op.healed);
            *done.entry(kind).or_insert(0) += 1;
        }
    }

    for family in Family::ALL {
        for kind in [(true, false), (true, true), (false, false), (false, true)] {
            let count = done
                .get(&(family, kind.0, kind.1))
                .copied()
                .unwrap_or_default();
            match (family, kind) {
                (Family::Twins, (true, true)) => assert_eq!(count, 0, "clones write once"),
                (Family::Twins, (true, false)) => assert!(count > 10, "{count}"),
                _ => assert!(count > 100, "{family:?} {kind:?}: {count}"),
            }
        }
    }
}

#[test]
fn every_operation_of_the_calm_succeeds() {
    for (seed, history) in histories().iter().enumerate() {
        for (_, op) in history.iter().filter(|(_, op)| op.healed) {
            assert!(op.succeeded().is_some(), "seed {seed}: {op:?}");
        }
    }
}

#[test]
fn no_two_puts_of_a_run_have_the_same_bytes_and_a_unique_key_has_one() {
    for history in histories() {
        let (mut values, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for (_, op) in history.iter() {
            if let Call::Put { value, .. } = &op.call {
                assert!(values.insert(value), "{op:?}");
            }
        }
        for (_, op) in of(history, Family::Unique).filter(|(_, op)| op.is_write()) {
            assert!(keys.insert(op.key), "{op:?}");
        }
    }
}

#[test]
fn writes_of_siblings_build_on_anything_and_some_overtake_others_of_their_client() {
    let mut seen = BTreeSet::new();
    for history in histories() {
        let writes: Vec<_> = of(history, Family::Siblings)
            .filter(|(_, op)| op.is_write())
            .map(|(_, op)| op)
            .collect();
        for op in &writes {
            seen.insert(match op.call.basis() {
                Some(Basis::Seen(ops)) => match ops.as_slice() {
                    [] => "nothing",
                    [one] if history.op(*one).is_write() => "receipt",
                    [_] => "read",
                    _ => "joined",
                },
                _ => "blind",
            });
        }
        let parallel = |pair: &[&Op]| {
            let (a, b) = (pair[0], pair[1]);
            let during = a.succeeded().is_some_and(|returned| b.invoked < returned);
            during && (a.client, a.key) == (b.client, b.key)
        };
        if writes.windows(2).any(parallel) {
            seen.insert("parallel");
        }
    }

    let all = ["blind", "joined", "nothing", "parallel", "read", "receipt"];
    assert_eq!(seen, BTreeSet::from(all));
}

#[test]
fn values_expire_under_readers_and_counters_are_read_by_quorums_alone() {
    let (mut there, mut gone) = (0, 0);
    for history in histories() {
        for (_, op) in of(history, Family::Expiring) {
            if let Some((_, Outcome::Read { siblings, seen })) = &op.returned {
                match (siblings.is_empty(), *seen == quoit_ring::Seen::default()) {
                    (false, _) => there += 1,
                    (true, false) => gone += 1,
                    (true, true) => {}
                }
            }
        }
        assert!(of(history, Family::Counter).all(|(_, op)| op.mode == Mode::Quorum));
    }

    assert!(there > 100 && gone > 100, "{there} there, {gone} gone");
}

#[test]
fn clones_mint_one_dot_for_two_values_and_readers_find_both() {
    let mut both = 0;
    for history in histories() {
        for (_, op) in of(history, Family::Twins) {
            if let Some((_, Outcome::Read { siblings, .. })) = &op.returned {
                both += usize::from(siblings.windows(2).any(|pair| pair[0].dot == pair[1].dot));
            }
        }
    }
    assert!(both > 100, "{both}");
}
