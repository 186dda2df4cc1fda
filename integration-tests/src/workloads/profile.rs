//! The workload profile: how the operations of one run are asked, and how large its values are; drawn once from its seed.
//!
//! ```text
//!   run 1   all by majorities, small values            a run with a habit is tried harder in one corner than
//!   run 2   every second read from one replica         one in which everything is mixed evenly: swarm testing
//!   run 3   some puts to all replicas, large values
//! ```
//!
//! Records over 1,024 bytes are read by digest, so some runs have many of them.
//!
//! Source: Groce et al., *Swarm Testing* (2012).

use bytes::Bytes;
use quoit_client::ReadRepair;
use rand::Rng as _;
use rand::rngs::SmallRng;

use crate::sim::chance::happens;
use crate::sim::session::{Ask, Session};

/// How all workloads of one run ask. Shares are in 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WorkloadProfile {
    /// Replicas of a key.
    pub(super) replication: u8,
    /// Reads that ask one replica.
    pub(super) one_reads: u32,
    /// Writes that wait for one replica.
    pub(super) one_writes: u32,
    /// Reads that repair after their answer, or not at all.
    pub(super) loose_reads: u32,
    /// Writes for which hints count.
    pub(super) sloppy: u32,
    /// Of the rest, those that name a number of replicas: a majority or more.
    pub(super) counted: u32,
    /// Values of 128 bytes to 2 KiB.
    pub(super) middling: u32,
    /// Values of 2 to 5 KiB.
    pub(super) large: u32,
    /// Puts that their caller leaves, to go on with another write of the same key.
    pub(super) left: u32,
}

impl WorkloadProfile {
    /// The profile of one run.
    pub(super) fn draw(rng: &mut SmallRng, replication: u8) -> Self {
        Self {
            replication,
            one_reads: one_of(rng, [0, 100, 300, 600]),
            one_writes: one_of(rng, [0, 0, 150, 400]),
            loose_reads: one_of(rng, [0, 0, 100, 400]),
            sloppy: one_of(rng, [0, 0, 150, 500]),
            counted: one_of(rng, [0, 150, 500]),
            middling: one_of(rng, [50, 200, 500]),
            large: one_of(rng, [10, 50, 200]),
            left: one_of(rng, [0, 50, 200]),
        }
    }

    /// How to ask for the next read.
    pub(super) fn read(&self, rng: &mut SmallRng) -> Ask {
        let loose = [ReadRepair::Background, ReadRepair::Off];
        let repair = happens(rng, self.loose_reads).then(|| one_of(rng, loose));
        Ask {
            repair,
            ..self.ask(rng, self.one_reads)
        }
    }

    /// How to ask for the next write.
    pub(super) fn write(&self, rng: &mut SmallRng) -> Ask {
        Ask {
            sloppy: happens(rng, self.sloppy),
            ..self.ask(rng, self.one_writes)
        }
    }

    /// A quorum read or write, of a majority or more.
    pub(super) fn quorum(&self, rng: &mut SmallRng) -> Ask {
        self.ask(rng, 0)
    }

    /// A read of every replica.
    pub(super) const fn of_all(&self) -> Ask {
        Ask {
            count: Some(self.replication),
            ..Ask::QUORUM
        }
    }

    /// The next value.
    pub(super) fn value(&self, session: &mut Session) -> Bytes {
        let filler = self.filler(session.rng());
        session.fresh_value(filler)
    }

    /// How many bytes the next value has above the 8 of its number.
    fn filler(&self, rng: &mut SmallRng) -> usize {
        if happens(rng, self.large) {
            rng.random_range(2_040..=5_112)
        } else if happens(rng, self.middling) {
            rng.random_range(120..=2_040)
        } else {
            rng.random_range(0..=120)
        }
    }

    fn ask(&self, rng: &mut SmallRng, one: u32) -> Ask {
        if happens(rng, one) {
            return Ask::ONE;
        }
        let majority = self.replication / 2 + 1;
        let count = happens(rng, self.counted)
            .then(|| rng.random_range(majority..=self.replication.max(majority)));
        Ask {
            count,
            ..Ask::QUORUM
        }
    }
}

/// One of several, each as likely as the others.
pub(super) fn one_of<T: Copy, const COUNT: usize>(rng: &mut SmallRng, of: [T; COUNT]) -> T {
    of[rng.random_range(0..COUNT)]
}

/// One of several, each as often as its weight says, of which one at least must not be 0.
pub(super) fn weighed<T: Copy, const COUNT: usize>(rng: &mut SmallRng, of: [(u32, T); COUNT]) -> T {
    let total = of.iter().map(|(weight, _)| weight).sum();
    let mut left = rng.random_range(0..total);
    for (weight, what) in of {
        if left < weight {
            return what;
        }
        left -= weight;
    }
    of[COUNT - 1].1
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::history::Mode;

    const PROFILE: WorkloadProfile = WorkloadProfile {
        replication: 5,
        one_reads: 300,
        one_writes: 0,
        loose_reads: 0,
        sloppy: 0,
        counted: 500,
        middling: 200,
        large: 50,
        left: 0,
    };

    #[test]
    fn reads_ask_one_replica_as_often_as_the_habit_says() {
        let mut rng = SmallRng::seed_from_u64(1);
        let reads = (0..10_000).filter(|_| PROFILE.read(&mut rng).mode == Mode::One);
        assert!((2_800..3_200).contains(&reads.count()));
        assert!((0..1_000).all(|_| PROFILE.write(&mut rng).mode == Mode::Quorum));
    }

    #[test]
    fn a_number_of_replicas_is_a_majority_or_more_and_all_of_them_occur() {
        let mut rng = SmallRng::seed_from_u64(2);
        let mut counts: Vec<_> = (0..1_000)
            .filter_map(|_| PROFILE.quorum(&mut rng).count)
            .collect();
        counts.sort_unstable();
        counts.dedup();
        assert_eq!(counts, [3, 4, 5]);
    }

    #[test]
    fn a_single_replica_can_be_asked_in_every_way() {
        let mut rng = SmallRng::seed_from_u64(3);
        let profile = WorkloadProfile {
            replication: 1,
            counted: 1_000,
            ..PROFILE
        };
        assert_eq!(profile.quorum(&mut rng).count, Some(1));
    }

    #[test]
    fn values_are_small_middling_and_large_as_often_as_the_habit_says() {
        let mut rng = SmallRng::seed_from_u64(4);
        let sizes: Vec<_> = (0..10_000).map(|_| 8 + PROFILE.filler(&mut rng)).collect();
        let within = |from, to| {
            sizes
                .iter()
                .filter(|size| (from..=to).contains(*size))
                .count()
        };
        assert!((7_300..7_900).contains(&within(8, 127)));
        assert!((1_700..2_100).contains(&within(129, 2_047)));
        assert!((400..600).contains(&within(2_049, 5_120)));
    }

    #[test]
    fn a_weight_of_nothing_is_never_drawn_and_the_others_in_proportion() {
        let mut rng = SmallRng::seed_from_u64(5);
        let drawn: Vec<_> = (0..8_000)
            .map(|_| weighed(&mut rng, [(1, 'a'), (0, 'b'), (3, 'c')]))
            .collect();
        let count = |what| drawn.iter().filter(|drawn| **drawn == what).count();
        assert_eq!(count('b'), 0);
        assert!((1_800..2_200).contains(&count('a')));
    }
}
