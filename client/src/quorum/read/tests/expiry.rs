//! Replicas and readers with any clocks: what one read found dead no later one returns.

use proptest::prelude::*;
use quoit_ring::Delta;

use super::*;

const EXPIRY: Millis = Millis(10_000);

/// One read: how its world is when it begins, and what becomes of its requests.
#[derive(Debug, Clone)]
struct Step {
    /// By how much each replica's clock goes on before it.
    passed: [u64; 3],
    /// Up to when this reader believes a clock.
    bound: Option<u64>,
    /// Which replica it asks first.
    first: usize,
    /// 0: a request is lost; 1: it is carried out and the answer is lost; else all goes well.
    fates: Vec<u8>,
}

fn step() -> impl Strategy<Value = Step> {
    let passed = prop_oneof![Just(0_u64), 0_u64..300, 0_u64..8_000];
    let bound = proptest::option::of(4_000_u64..16_000);
    (
        [passed.clone(), passed.clone(), passed],
        bound,
        0_usize..3,
        proptest::collection::vec(0_u8..9, 8),
    )
        .prop_map(|(passed, bound, first, fates)| Step {
            passed,
            bound,
            first,
            fates,
        })
}

/// What a read returns: whether the value lives; nothing if it fails.
fn read(replicas: &mut [Record; 3], clocks: [u64; 3], step: &Step) -> Option<bool> {
    let mut fates = step.fates.iter().copied();
    let mut fate = || fates.next().unwrap_or(9);
    let place = |replica: usize| (step.first + replica) % 3;
    let mut read = ReadQuorum::new(3, QUORUM);
    read.believe(step.bound.map(|reached| TimeBound {
        reached: Millis(reached),
        max_ms: 500,
    }));

    let mut returned = None;
    while let Some(next) = read.poll_step() {
        match next {
            ReadStep::Ask { replica, .. } => {
                let at = place(replica);
                if fate() > 1 {
                    read.answered(replica, replicas[at].clone(), Millis(clocks[at]));
                } else {
                    read.failed(replica, Outcome::Lost);
                }
            }
            ReadStep::Repair(replica) => {
                let fate = fate();
                if fate > 0 {
                    replicas[place(replica)].join(read.newest());
                }
                read.repaired(replica, if fate > 1 { Ok(()) } else { Err(Outcome::Lost) });
            }
            ReadStep::Return(verdict) => {
                returned = verdict.is_ok().then(|| !read.newest().live().is_empty());
            }
            ReadStep::Finish => return returned,
        }
    }
    panic!("a read never finished");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_one_reader_found_dead_no_reader_finds_again(
        starts in [4_000_u64..14_000, 4_000..14_000, 4_000..14_000],
        steps in proptest::collection::vec(step(), 2..8),
    ) {
        let value = Delta::blind(dot(1, 5), value("v", Some(EXPIRY))).into_record();
        let mut replicas = [value.clone(), value.clone(), value];
        let mut clocks = starts;
        let mut is_dead = false;
        for step in &steps {
            for (clock, passed) in clocks.iter_mut().zip(step.passed) {
                *clock += passed;
            }
            let found = read(&mut replicas, clocks, step);
            prop_assert!(!(is_dead && found == Some(true)), "it came back");
            is_dead |= found == Some(false);
        }
    }

    #[test]
    fn a_value_dies_by_no_clock_beyond_the_bound(starts in [4_000_u64..14_000, 4_000..14_000, 4_000..14_000], step in step()) {
        let value = Delta::blind(dot(1, 5), value("v", Some(EXPIRY))).into_record();
        let mut replicas = [value.clone(), value.clone(), value];
        let found = read(&mut replicas, starts, &step);
        let latest = step.bound.map_or(u64::MAX, |bound| bound + 500);
        if starts.iter().all(|&clock| clock.min(latest) < EXPIRY.0) {
            prop_assert!(found != Some(false), "it died early");
        }
    }
}
