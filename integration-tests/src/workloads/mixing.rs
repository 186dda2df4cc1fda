//! The mix of a run: which workloads, how many keys, how many tasks; drawn from its seed.
//!
//! ```text
//!   seed 1   siblings x 4                         one workload alone: all clients at two keys
//!   seed 2   registers x 2, deletes, counters     several, sharing nodes, clients and faults
//!   all      readers of twins
//! ```
//!
//! Three to six tasks of each client, the readers' included. Few workloads at a time and few keys of each,
//! so that tasks meet: a run of 2,200 operations evenly over all kinds would hardly ever meet.
//!
//! Source: Groce et al., *Swarm Testing* (2012).

use std::rc::Rc;

use rand::Rng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use super::Workload;
use super::conditional::Conditional;
use super::counters::Counters;
use super::deletes::Deletes;
use super::expiring::Expiring;
use super::profile::{WorkloadProfile, one_of, weighed};
use super::registers::Registers;
use super::shared::Shared;
use super::siblings::Siblings;
use super::twins::TwinReaders;
use super::unique_keys::UniqueKeys;
use crate::history::Family;
use crate::sim::chance::happens;

/// Runs with conditional writes, in 1,000.
const CONDITIONAL: u32 = 500;

/// Runs with keys that plain and conditional writes share, in 1,000.
const SHARED: u32 = 400;

/// Runs with free growth of siblings, in 1,000 of those that have siblings.
const FREE_GROWTH: u32 = 60;

/// The workloads of one run over keys of `replication` replicas.
pub fn mix(rng: &mut SmallRng, replication: u8) -> Vec<Rc<dyn Workload>> {
    let profile = WorkloadProfile::draw(rng, replication);
    let mut workloads: Vec<Rc<dyn Workload>> = vec![Rc::new(TwinReaders)];
    for (family, tasks) in shares(rng) {
        workloads.extend(workload(rng, family, tasks, profile));
    }
    if happens(rng, CONDITIONAL) {
        workloads.push(Rc::new(Conditional {
            keys: rng.random_range(1..=3),
            tasks: rng.random_range(1..=2),
            reads: one_of(rng, [200, 500]),
        }));
    }
    if happens(rng, SHARED) {
        workloads.push(Rc::new(Shared {
            keys: rng.random_range(1..=2),
            tasks: rng.random_range(1..=2),
            plain: one_of(rng, [50, 300]),
        }));
    }
    workloads
}

/// Which families, each with its tasks of a client: 2 to 5 together.
fn shares(rng: &mut SmallRng) -> Vec<(Family, u16)> {
    let mut families = Family::ALL.to_vec();
    families.retain(|family| *family != Family::Twins);
    families.shuffle(rng);
    families.truncate(weighed(rng, [(3, 1), (4, 2), (4, 3), (2, 4)]));
    if families == [Family::Unique] {
        families.push(Family::Register); // of unique keys alone there would be too many
    }

    let mut shares: Vec<_> = families.into_iter().map(|family| (family, 1)).collect();
    let tasks = rng.random_range(2..=5_usize);
    for extra in 0..tasks.saturating_sub(shares.len()) {
        let turn = extra % shares.len();
        shares[turn].1 += 1;
    }

    shares
}

fn workload(
    rng: &mut SmallRng,
    family: Family,
    tasks: u16,
    profile: WorkloadProfile,
) -> Option<Rc<dyn Workload>> {
    let keys = rng.random_range(1..=6);
    let workload: Rc<dyn Workload> = match family {
        Family::Register => {
            let puts = one_of(rng, [200, 500, 800]);
            Rc::new(Registers {
                keys,
                tasks,
                puts,
                profile,
            })
        }
        Family::Unique => {
            let puts = one_of(rng, [300, 500]);
            let begun = Rc::default();
            Rc::new(UniqueKeys {
                tasks,
                puts,
                most: 300,
                profile,
                begun,
            })
        }
        Family::Siblings => Rc::new(siblings(rng, keys, tasks, profile)),
        Family::Counter => Rc::new(Counters {
            keys,
            tasks,
            profile,
        }),
        Family::Deleted => Rc::new(Deletes {
            keys,
            tasks,
            profile,
        }),
        Family::Expiring => Rc::new(Expiring {
            keys,
            tasks,
            profile,
        }),
        Family::Twins => return None, // clones are made by the world
    };
    Some(workload)
}

/// Free growth needs one key, and puts that reach their replicas; else anything goes.
fn siblings(rng: &mut SmallRng, keys: u64, tasks: u16, profile: WorkloadProfile) -> Siblings {
    let free = happens(rng, FREE_GROWTH);
    let blind = one_of(rng, [0, 5, 15]);
    let small = WorkloadProfile {
        large: 0,
        middling: 0,
        ..profile
    };
    Siblings {
        keys: if free { 1 } else { keys },
        tasks,
        free,
        blind,
        profile: if free { small } else { profile },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng as _;

    use super::*;

    fn of_seed(seed: u64) -> Vec<Rc<dyn Workload>> {
        mix(&mut SmallRng::seed_from_u64(seed), 3)
    }

    #[test]
    fn one_seed_is_one_mix_and_another_seed_another() {
        let text = |seed| format!("{:?}", of_seed(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn every_workload_occurs_in_a_tenth_of_a_hundred_seeds() {
        let mut counts = BTreeMap::new();
        for workload in (0..100).flat_map(of_seed) {
            *counts.entry(workload.name()).or_insert(0) += 1;
        }
        // Two have no family: conditional writes, and keys that these share with plain ones, have histories of their own.
        assert_eq!(counts.len(), Family::ALL.len() + 2);
        assert!(counts.values().all(|count| *count >= 10), "{counts:?}");
    }

    #[test]
    fn a_client_has_three_to_six_tasks_with_the_readers_of_twins() {
        let mut seen = [false; 7];
        for seed in 0..1_000 {
            let shares = shares(&mut SmallRng::seed_from_u64(seed));
            let tasks = 1 + shares
                .iter()
                .map(|(_, tasks)| usize::from(*tasks))
                .sum::<usize>();
            assert!((3..=6).contains(&tasks), "{shares:?}");
            assert_ne!(
                shares.iter().map(|s| s.0).collect::<Vec<_>>(),
                [Family::Unique]
            );
            seen[tasks] = true;
        }

        assert_eq!(seen, [false, false, false, true, true, true, true]);
    }

    #[test]
    fn siblings_grow_freely_in_one_run_of_some_tens() {
        let free = |seed: &u64| format!("{:?}", of_seed(*seed)).contains("free: true");
        let runs = (0..1_000).filter(free).count();
        assert!((10..50).contains(&runs), "{runs}");
    }
}
