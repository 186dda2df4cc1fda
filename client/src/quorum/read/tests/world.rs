//! A small world of replicas in which reads and writes lose requests, and reads must never go backwards.

use proptest::prelude::*;
use quoit_ring::{Delta, Seen, Time};

use super::*;
use crate::consistency::Consistency;
use crate::operation::plan::{Plan, read_rules};
use crate::quorum::{WriteQuorum, WriteStep};

/// Replicas that lose requests and answers as the script says.
struct World {
    replicas: Vec<Record>,
    /// Which replica the next read asks first.
    first: usize,
    script: std::vec::IntoIter<u8>,
}

impl World {
    /// 0: the request is lost; 1: it is carried out but the answer is lost; else all goes well.
    fn fate(&mut self) -> u8 {
        self.script.next().unwrap_or(9)
    }

    fn write(&mut self, delta: &Delta, w: usize) -> bool {
        let mut write = WriteQuorum::new(Quorums::one(self.replicas.len()).needs(|_n| w), false);
        while let Some(step) = write.poll_step() {
            match step {
                // It is under way when the next operation begins: at worst it is lost.
                WriteStep::Send(_) if write.has_returned() => {}
                WriteStep::Send(i) => {
                    let fate = self.fate();
                    if fate > 0 {
                        self.replicas[i].join(delta.record());
                    }
                    if fate > 1 {
                        write.acked(i);
                    } else {
                        write.failed(i, Outcome::Lost);
                    }
                }
                WriteStep::Remint(_) => unreachable!("times only rise here"),
                WriteStep::Return(verdict) => return verdict.is_ok(),
                WriteStep::Hint(_) | WriteStep::Finish => unreachable!("after the verdict"),
            }
        }
        false
    }

    fn read(&mut self, rules: Rules) -> Option<Record> {
        let n = self.replicas.len();
        let first = self.first;
        let place = |replica: usize| (first + replica) % n;
        let mut read = started(n, rules);
        let mut returned = None;
        while let Some(step) = read.poll_step() {
            match step {
                ReadStep::Ask { replica, digest } => {
                    let stored = &self.replicas[place(replica)];
                    let stored = if digest {
                        stored.without_values()
                    } else {
                        stored.clone()
                    };
                    match self.fate() {
                        0 | 1 => read.failed(replica, Outcome::Lost),
                        _ => read.answered(replica, stored, NOW),
                    }
                }
                ReadStep::Repair(replica) => {
                    let fate = self.fate();
                    if fate > 0 {
                        self.replicas[place(replica)].join(read.newest());
                    }
                    read.repaired(replica, if fate > 1 { Ok(()) } else { Err(Outcome::Lost) });
                }
                ReadStep::Return(verdict) => {
                    returned = verdict.is_ok().then(|| read.newest().clone());
                }
                ReadStep::Finish => return returned,
            }
        }
        panic!("a read never finished");
    }
}

/// How many replicas must hold what a read of `r` of `n` returns.
type Hold = fn(n: usize, r: usize) -> usize;

/// The rule that ships.
const SHIPPED: Hold = |n, r| {
    let plan = Plan {
        consistency: Consistency::Quorum,
        count: u8::try_from(r).ok(),
        sloppy: false,
        deadline: SECOND,
        repair: None,
    };
    read_rules(&plan, Quorums::one(n)).unwrap().hold.of_any()
};
const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// What a read must not be behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Every write acknowledged before it.
    Acknowledged,
    /// That, and every read before it.
    Read,
}

/// Runs a script of reads and writes, with R between a majority and N; gives back how often a read was behind
/// what is known.
fn inversions(n: usize, hold: Hold, what: Known, script: Vec<u8>) -> usize {
    let majority = n / 2 + 1;
    let replicas = vec![Record::default(); n];
    let mut world = World {
        replicas,
        first: 0,
        script: script.into_iter(),
    };
    let (mut known, mut bad) = (Seen::default(), 0);
    let mut context = Seen::default();
    for time in 1..60 {
        let dot = dot(time % 3, time);
        if world.fate().is_multiple_of(2) {
            let delta = Delta::causal(dot, Time::ZERO, &context, value("v", None));
            if world.write(&delta, majority) {
                known.union(delta.record().seen());
            }
            continue;
        }
        let r = majority + usize::from(world.fate()) % (n - majority + 1);
        world.first = usize::from(world.fate());
        if let Some(read) = world.read(Rules {
            r,
            hold: hold(n, r),
            ..QUORUM
        }) {
            let mut both = known.clone();
            both.union(read.seen());
            bad += usize::from(&both != read.seen());
            if what == Known::Read {
                known = both;
            }
            context = read.seen().clone();
        }
    }
    bad
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]
    #[test]
    fn quorum_reads_see_what_was_acknowledged_and_never_go_backwards(
        n in 1_usize..6,
        script in proptest::collection::vec(0_u8..8, 0..400),
    ) {
        prop_assert_eq!(inversions(n, SHIPPED, Known::Read, script), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    #[test]
    fn a_quorum_read_that_answers_before_it_repairs_still_sees_what_was_acknowledged(
        n in 1_usize..6,
        script in proptest::collection::vec(0_u8..8, 0..400),
    ) {
        prop_assert_eq!(inversions(n, |_n, _r| 0, Known::Acknowledged, script), 0);
    }
}

proptest! {
    #[test]
    fn whatever_a_read_repairs_it_returns_the_answers_joined_and_leaves_them_on_all_that_it_asked(
        held in proptest::collection::vec(1_u64..6, 1..6),
        r in 1_usize..6,
        mode in 0_u8..3,
        ask_all: bool,
    ) {
        let n = held.len();
        let r = r.min(n);
        let rules = Rules {
            r,
            hold: if mode == 0 { n - n / 2 } else { 0 },
            ask_all,
            repair: mode != 2,
        };
        let before: Vec<_> = held.iter().map(|&time| blind(time, "v")).collect();
        let mut world = World { replicas: before.clone(), first: 0, script: Vec::new().into_iter() };
        let returned = world.read(rules).unwrap();
        let newest = held.iter().take(r).max().unwrap();
        let found = returned.live()[0].dot.time;
        // who asks all returns what any R of them say
        prop_assert!(ask_all || found == Time(*newest));
        let holds = |record: &&Record| {
            let mut joined = (*record).clone();
            joined.join(&returned);
            joined == **record
        };
        let holders = world.replicas.iter().filter(holds).count();
        match mode {
            0 => prop_assert!(holders >= rules.hold),
            1 => prop_assert!(holders >= r),
            _ => prop_assert_eq!(&world.replicas, &before, "nothing was repaired"),
        }
    }
}

/// Whether some of 2,000 random scripts goes backwards under a rule.
fn goes_backwards(hold: Hold) -> bool {
    let mut random = 1_u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(random >> 61).unwrap()
    };
    (0..2_000).any(|_| inversions(3, hold, Known::Read, (0..400).map(|_| next()).collect()) > 0)
}

#[test]
fn without_the_write_back_reads_do_go_backwards() {
    assert!(goes_backwards(|_n, _r| 0), "the check above cannot fail");
}

#[test]
fn a_write_back_that_trusts_its_own_r_alone_lets_smaller_reads_go_backwards() {
    assert!(goes_backwards(|n, r| n - r + 1));
    assert!(!goes_backwards(SHIPPED));
}
