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
    let mut read = started(3, QUORUM);
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

fn expiring() -> Record {
    Delta::blind(dot(1, 5), value("v", Some(EXPIRY))).into_record()
}

const fn bound(reached: u64) -> Option<TimeBound> {
    let reached = Millis(reached);
    Some(TimeBound {
        reached,
        max_ms: 500,
    })
}

const BOTH: Rules = Rules {
    r: 2,
    hold: 1,
    ask_all: false,
    repair: true,
};

#[test]
fn an_answer_that_was_left_out_counts_once_another_one_bears_out_its_clock() {
    let mut read = asked(2, BOTH);
    read.believe(bound(4_000));
    read.answered(0, expiring(), Millis(11_000));
    assert_eq!(steps(&mut read), [], "the other one may still come");
    // The bound is what a majority has reached.
    read.believe(bound(4_000));
    read.answered(1, expiring(), Millis(11_010));
    assert_eq!(
        steps(&mut read),
        [ReadStep::Return(Ok(())), ReadStep::Finish]
    );
    assert!(read.newest().live().is_empty());
}

#[test]
fn an_answer_that_stays_left_out_is_blamed_once_nobody_is_awaited() {
    let mut read = asked(2, BOTH);
    read.believe(bound(11_000));
    read.answered(0, expiring(), Millis(11_000));
    assert_eq!(steps(&mut read), []);
    read.believe(bound(11_000));
    read.answered(1, expiring(), Millis(4_000));
    let steps = steps(&mut read);
    let ReadStep::Return(Err(ReadFailure::Unavailable { outcomes, .. })) = &steps[0] else {
        panic!("one answer of two counts: {steps:?}");
    };
    let (ahead_ms, max_ms) = (7_000, 500);
    assert_eq!(outcomes[0], Outcome::ClockAhead { ahead_ms, max_ms });
    assert_eq!(outcomes[1], Outcome::Done);
}

#[test]
fn what_is_remembered_of_a_clock_believes_no_other_one_that_the_answers_contradict() {
    let mut read = asked(3, QUORUM);
    // The third was as far ahead before.
    read.believe(bound(11_000));
    read.answered(0, expiring(), Millis(11_000));
    assert_eq!(steps(&mut read), []);
    read.believe(bound(11_000));
    read.answered(1, expiring(), Millis(4_000));
    assert_eq!(steps(&mut read), [ask(2, false)]);
    read.believe(bound(4_000));
    read.answered(2, expiring(), Millis(4_000));
    assert_eq!(steps(&mut read)[0], ReadStep::Return(Ok(())));
    assert_eq!(read.newest().live().len(), 1);
}

#[test]
fn an_answer_that_was_left_out_is_still_there_when_a_third_one_admits_it() {
    let mut read = asked(3, QUORUM);
    read.believe(bound(4_000));
    read.answered(0, expiring(), Millis(11_000));
    assert_eq!(steps(&mut read), [ask(2, false)]);
    read.believe(bound(4_000));
    read.answered(1, expiring(), Millis(4_000));
    assert_eq!(steps(&mut read), []);
    read.believe(bound(11_000));
    read.answered(2, expiring(), Millis(11_000));
    assert!(read.newest().live().is_empty(), "two of three are past it");
}

#[test]
fn a_right_clock_counts_though_its_replica_lacks_the_value() {
    let mut read = asked(3, QUORUM);
    read.believe(bound(4_000));
    read.answered(0, Record::default(), Millis(11_000));
    assert_eq!(steps(&mut read), [], "nothing that expires is known yet");
    // One of the two clocks is wrong, and by the other one the value is dead.
    read.believe(bound(4_000));
    read.answered(1, expiring(), Millis(4_000));
    assert_eq!(steps(&mut read), [ask(2, false)]);
    read.believe(bound(11_000));
    read.answered(2, Record::default(), Millis(11_000));
    assert!(read.newest().live().is_empty(), "two of three are past it");
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
        let mut clocks = starts;
        clocks.sort_unstable();
        let bounded = clocks[1] + 500;
        let latest = clocks[2].min(step.bound.map_or(u64::MAX, |_remembered| bounded));
        if latest < EXPIRY.0 {
            prop_assert!(found != Some(false), "it died early");
        }
    }
}
