//! Scripts of single reads.

mod expiry;
mod world;

use quoit_ring::{Actor, Delta, Dot, Time};

use super::*;

/// Counts of one list.
#[derive(Debug, Clone, Copy)]
struct Rules {
    r: usize,
    hold: usize,
    ask_all: bool,
    repair: bool,
}

/// A read of one list, whose first questions wait to be sent.
fn started(n: usize, rules: Rules) -> ReadQuorum {
    let Rules {
        r,
        hold,
        ask_all,
        repair,
    } = rules;
    let list = Quorums::one(n);
    ReadQuorum::new(ReadRules {
        r: list.needs(|_n| r),
        hold: list.needs(|_n| hold),
        ask_all,
        repair,
    })
}

const NOW: Millis = Millis(1_000);
const QUORUM: Rules = Rules {
    r: 2,
    hold: 2,
    ask_all: false,
    repair: true,
};
/// Quorum reads that answer first.
const LATER: Rules = Rules { hold: 0, ..QUORUM };
const ONE: Rules = Rules {
    r: 1,
    hold: 0,
    ask_all: true,
    repair: true,
};

fn dot(actor: u64, time: u64) -> Dot {
    Dot {
        time: Time(time),
        actor: Actor(actor),
    }
}

fn value(text: &'static str, expiry: Option<Millis>) -> Option<(bytes::Bytes, Option<Millis>)> {
    Some((text.into(), expiry))
}

fn blind(time: u64, text: &'static str) -> Record {
    Delta::blind(dot(1, time), value(text, None)).into_record()
}

fn steps(read: &mut ReadQuorum) -> Vec<ReadStep> {
    core::iter::from_fn(|| read.poll_step()).collect()
}

fn ask(replica: usize, digest: bool) -> ReadStep {
    ReadStep::Ask { replica, digest }
}

/// A read whose first questions are out.
fn asked(n: usize, rules: Rules) -> ReadQuorum {
    let mut read = started(n, rules);
    let first = steps(&mut read);
    let expected = if rules.ask_all { n } else { rules.r };
    assert_eq!(
        first,
        (0..expected).map(|i| ask(i, i > 0)).collect::<Vec<_>>()
    );
    read
}

#[test]
fn equal_answers_are_returned_at_once() {
    let mut read = asked(3, QUORUM);
    read.answered(0, blind(5, "v"), NOW);
    assert_eq!(steps(&mut read), []);
    read.answered(1, blind(5, "v").without_values(), NOW);
    assert_eq!(
        steps(&mut read),
        [ReadStep::Return(Ok(())), ReadStep::Finish]
    );
    assert_eq!(read.newest(), &blind(5, "v"));
}

#[test]
fn differing_answers_are_written_back_before_they_are_returned() {
    let mut read = asked(3, QUORUM);
    read.answered(0, blind(5, "old"), NOW);
    read.answered(1, blind(9, "new"), NOW);
    assert_eq!(steps(&mut read), [ReadStep::Repair(0), ReadStep::Repair(2)]);
    assert_eq!(read.newest(), &blind(9, "new"));
    read.repaired(2, Ok(()));
    assert_eq!(
        steps(&mut read),
        [ReadStep::Return(Ok(())), ReadStep::Finish]
    );
}

#[test]
fn a_state_that_cannot_be_written_back_is_not_returned() {
    let mut read = asked(3, QUORUM);
    read.answered(0, Record::default(), NOW);
    read.answered(1, blind(9, "new"), NOW);
    steps(&mut read);
    read.repaired(0, Err(Outcome::Lost));
    assert_eq!(steps(&mut read), []);
    read.repaired(2, Err(Outcome::Unreachable));
    let [
        ReadStep::Return(Err(ReadFailure::Unstable { held, needed, .. })),
        ReadStep::Finish,
    ] = &steps(&mut read)[..]
    else {
        panic!("it was returned");
    };
    assert_eq!((*held, *needed), (1, 2));
}

#[test]
fn a_tombstone_is_written_back_like_a_value() {
    let delete = Delta::blind(dot(1, 9), None).into_record();
    let mut read = asked(3, QUORUM);
    read.answered(0, delete.clone(), NOW);
    read.answered(1, blind(5, "old"), NOW);
    assert_eq!(steps(&mut read), [ReadStep::Repair(1), ReadStep::Repair(2)]);
    assert_eq!(read.newest(), &delete);
}

#[test]
fn a_value_that_only_a_digest_names_is_asked_for() {
    let mut read = asked(3, QUORUM);
    read.answered(0, blind(5, "old"), NOW);
    read.answered(1, blind(9, "new").without_values(), NOW);
    assert_eq!(steps(&mut read), [ask(1, false)]);
    read.answered(1, blind(9, "new"), NOW);
    assert_eq!(steps(&mut read), [ReadStep::Repair(0), ReadStep::Repair(2)]);
    assert_eq!(read.newest(), &blind(9, "new"));
}

#[test]
fn a_failed_replica_is_replaced_by_the_next() {
    let mut read = asked(3, QUORUM);
    read.failed(0, Outcome::Unreachable);
    assert_eq!(steps(&mut read), [ask(2, false)]);
    read.answered(1, Record::default(), NOW);
    read.failed(2, Outcome::Lost);
    let [
        ReadStep::Return(Err(ReadFailure::Unavailable {
            answered, outcomes, ..
        })),
        ReadStep::Finish,
    ] = &steps(&mut read)[..]
    else {
        panic!("one answer is no quorum");
    };
    assert_eq!(*answered, 1);
    assert_eq!(
        outcomes[..],
        [Outcome::Unreachable, Outcome::Done, Outcome::Lost]
    );
}

#[test]
fn a_hedge_asks_one_more_replica_and_whoever_answers_first_counts() {
    let mut read = asked(3, QUORUM);
    assert_eq!(read.next_to_hedge(), Some(2));
    assert!(read.hedge());
    assert!(
        !read.hedge() && read.next_to_hedge().is_none(),
        "nobody is left"
    );
    assert_eq!(steps(&mut read), [ask(2, false)]);
    read.answered(2, blind(5, "v"), NOW);
    assert!(read.is_silent_before(2));
    read.answered(1, blind(5, "v"), NOW);
    assert_eq!(steps(&mut read)[0], ReadStep::Return(Ok(())));
    assert!(
        read.is_silent_before(2),
        "the hedge won against the first replica"
    );
    assert!(!read.hedge(), "enough have answered");
}

#[test]
fn hedges_ask_one_replica_each_in_the_order_of_asking() {
    let rules = Rules {
        r: 3,
        hold: 3,
        ..QUORUM
    };
    let mut read = asked(5, rules);
    for next in [3, 4] {
        assert!(read.hedge());
        assert_eq!(steps(&mut read), [ask(next, false)]);
    }
    assert!(!read.hedge());
}

#[test]
fn what_the_loser_of_a_hedge_says_changes_nothing() {
    let mut read = asked(3, QUORUM);
    read.hedge();
    steps(&mut read);
    read.answered(2, blind(5, "v"), NOW);
    read.answered(1, blind(5, "v"), NOW);
    steps(&mut read);
    read.answered(0, blind(9, "newer"), NOW);
    assert_eq!(steps(&mut read), []);
    assert_eq!(read.newest(), &blind(5, "v"));
}

#[test]
fn one_answer_is_enough_for_mode_one_and_the_rest_is_repair() {
    let mut read = asked(3, ONE);
    read.answered(0, blind(5, "old"), NOW);
    assert_eq!(steps(&mut read), [ReadStep::Return(Ok(()))]);
    read.answered(1, blind(9, "new"), NOW);
    read.failed(2, Outcome::Lost);
    assert_eq!(steps(&mut read), [ReadStep::Repair(0), ReadStep::Finish]);
    assert_eq!(read.newest(), &blind(9, "new"));
}

/// The steps that fetch a value.
fn fetches(steps: &[ReadStep]) -> usize {
    let in_full = |step: &&ReadStep| matches!(step, ReadStep::Ask { digest: false, .. });
    steps.iter().filter(in_full).count()
}

#[test]
fn mode_one_fetches_a_large_value_once_in_whatever_order_the_replicas_answer() {
    let digest = blind(9, "v").without_values();
    for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut read = started(3, ONE);
        let mut seen = steps(&mut read);
        for replica in order {
            let record = match replica {
                0 => blind(9, "v"),
                _ => digest.clone(),
            };
            read.answered(replica, record, NOW);
            seen.extend(steps(&mut read));
        }
        assert_eq!(fetches(&seen), 1, "answers in the order {order:?}");
        assert_eq!(seen.last(), Some(&ReadStep::Finish), "{order:?}");
        assert_eq!(read.newest(), &blind(9, "v"));
    }
}

#[test]
fn mode_one_asks_for_a_large_value_again_if_the_full_record_lacks_it_or_fails() {
    for fails in [false, true] {
        let mut read = asked(3, ONE);
        read.answered(2, blind(9, "v").without_values(), NOW);
        assert_eq!(steps(&mut read), []);
        if fails {
            read.failed(0, Outcome::Lost);
        } else {
            read.answered(0, blind(5, "old"), NOW);
        }
        assert_eq!(steps(&mut read), [ask(2, false)]);
        read.answered(1, blind(9, "v").without_values(), NOW);
        assert_eq!(steps(&mut read), [], "it is under way");
        read.answered(2, blind(9, "v"), NOW);
        assert_eq!(steps(&mut read)[0], ReadStep::Return(Ok(())));
        assert_eq!(read.newest(), &blind(9, "v"));
    }
}

#[test]
fn a_hedge_asks_for_a_large_value_where_a_digest_has_named_it() {
    let mut read = asked(3, ONE);
    assert!(
        !read.hedge() && read.next_to_hedge().is_none(),
        "all were asked, and nobody has named a value"
    );
    read.answered(1, Record::default(), NOW);
    assert_eq!(steps(&mut read)[0], ReadStep::Return(Ok(())));

    let mut read = asked(3, ONE);
    read.answered(1, blind(9, "v").without_values(), NOW);
    assert_eq!(read.next_to_hedge(), Some(1));
    assert!(read.hedge());
    assert_eq!(steps(&mut read), [ask(1, false)]);
    assert!(!read.hedge(), "it is asked already");
    read.answered(1, blind(9, "v"), NOW);
    assert_eq!(steps(&mut read), [ReadStep::Return(Ok(()))]);
}

#[test]
fn a_digest_that_comes_after_the_hedge_is_asked_for_its_value_at_once() {
    let mut read = asked(3, ONE);
    assert!(!read.hedge());
    read.answered(1, blind(9, "v").without_values(), NOW);
    assert_eq!(steps(&mut read), [ask(1, false)]);
}

#[test]
fn a_damaged_value_is_a_failed_answer() {
    let mut sibling = blind(5, "v").live()[0].clone();
    sibling.value = Some("w".into());
    let damaged = Record::from_parts(smallvec![sibling], blind(5, "v").seen().clone()).unwrap();
    let mut read = asked(3, QUORUM);
    read.answered(0, damaged, NOW);
    assert_eq!(steps(&mut read), [ask(2, false)]);
}

#[test]
fn an_expiry_that_too_few_clocks_have_reached_is_written_back() {
    let expiring = Delta::blind(dot(1, 5), value("v", Some(NOW))).into_record();
    let mut read = asked(3, QUORUM);
    read.answered(0, expiring.clone(), NOW);
    read.answered(1, expiring, Millis(NOW.0 - 1));
    assert_eq!(steps(&mut read), [ReadStep::Repair(1), ReadStep::Repair(2)]);
    assert!(
        read.newest().is_tombstone(),
        "the kill is what is written back"
    );
}

#[test]
fn the_deadline_names_the_silent() {
    let mut read = asked(3, QUORUM);
    read.answered(1, Record::default(), NOW);
    read.expired();
    let ReadStep::Return(Err(ReadFailure::Unavailable { outcomes, .. })) = &steps(&mut read)[0]
    else {
        panic!("no verdict");
    };
    assert_eq!(
        outcomes[..],
        [Outcome::TimedOut, Outcome::Done, Outcome::NotAsked]
    );
}

#[test]
fn a_read_that_repairs_in_the_background_answers_first_and_writes_back_to_whom_it_found_stale() {
    let mut read = asked(3, LATER);
    read.answered(0, blind(5, "old"), NOW);
    read.answered(1, blind(9, "new"), NOW);
    assert_eq!(
        steps(&mut read),
        [
            ReadStep::Return(Ok(())),
            ReadStep::Repair(0),
            ReadStep::Finish
        ]
    );
    assert_eq!(read.newest(), &blind(9, "new"));
}

#[test]
fn a_read_that_repairs_nothing_waits_for_nobody_after_its_answer() {
    let never = Rules {
        ask_all: false,
        repair: false,
        ..ONE
    };
    for rules in [never, Rules { r: 2, ..never }] {
        let mut read = asked(3, rules);
        read.answered(0, blind(9, "new"), NOW);
        read.answered(1, blind(5, "old"), NOW);
        let end = [ReadStep::Return(Ok(())), ReadStep::Finish];
        assert_eq!(steps(&mut read), end);
        assert!(!read.awaits(1));
    }
}

#[test]
fn a_value_that_only_a_digest_names_is_asked_for_even_if_nothing_is_repaired() {
    let rules = Rules {
        repair: false,
        ..LATER
    };
    let mut read = asked(3, rules);
    read.answered(0, blind(5, "old"), NOW);
    read.answered(1, blind(9, "new").without_values(), NOW);
    assert_eq!(steps(&mut read), [ask(1, false)]);
    read.answered(1, blind(9, "new"), NOW);
    let end = [ReadStep::Return(Ok(())), ReadStep::Finish];
    assert_eq!(steps(&mut read), end);
}

#[test]
fn an_answer_that_only_a_clock_beyond_the_bound_makes_a_death_of_is_replaced() {
    let expiring = |at| Delta::blind(dot(1, 5), value("v", Some(Millis(at)))).into_record();
    let bound = TimeBound {
        reached: NOW,
        max_ms: 500,
    };
    // Expired by the fast clock alone; by both; by neither.
    for (expiry, asks) in [(NOW.0 + 501, true), (NOW.0 + 500, false), (9_001, false)] {
        let mut read = asked(3, QUORUM);
        read.believe(Some(bound));
        read.answered(0, expiring(expiry), Millis(9_000));
        read.answered(1, expiring(expiry), NOW);
        let is_asked = steps(&mut read).contains(&ask(2, false));
        assert_eq!(is_asked, asks, "expiry {expiry}");
    }
}

/// Replicas 0 1 2 before, 1 2 3 after: two of either are needed, and hold.
fn joint() -> ReadQuorum {
    let list = |replicas: [usize; 3]| replicas.into_iter().collect::<OwnerSet>();
    let needs = Quorums::both(list([0, 1, 2]), list([1, 2, 3])).needs(|n| n / 2 + 1);
    ReadQuorum::new(ReadRules {
        r: needs,
        hold: needs,
        ask_all: false,
        repair: true,
    })
}

#[test]
fn while_a_range_moves_as_many_are_asked_as_either_list_needs() {
    let mut read = joint();
    assert_eq!(
        steps(&mut read),
        [ask(0, false), ask(1, true), ask(2, true)],
        "1 and 2 are in both lists, 0 only in one"
    );
    read.failed(2, Outcome::Lost);
    assert_eq!(steps(&mut read), [ask(3, false)], "the new list lacks one");
    read.answered(0, blind(5, "v"), NOW);
    read.answered(1, blind(5, "v"), NOW);
    assert_eq!(
        steps(&mut read),
        [],
        "two of the old list are one of the new"
    );
    read.answered(3, blind(5, "v"), NOW);
    assert_eq!(
        steps(&mut read),
        [ReadStep::Return(Ok(())), ReadStep::Finish]
    );
}

#[test]
fn while_a_range_moves_enough_of_either_list_hold_what_is_returned() {
    let mut read = joint();
    steps(&mut read);
    read.answered(0, blind(9, "new"), NOW);
    read.answered(1, blind(9, "new"), NOW);
    read.answered(2, blind(5, "old"), NOW);
    let repairs = [ReadStep::Repair(2), ReadStep::Repair(3)];
    assert_eq!(steps(&mut read), repairs, "one of the new list holds it");
    read.repaired(3, Ok(()));
    assert_eq!(
        steps(&mut read),
        [ReadStep::Return(Ok(())), ReadStep::Finish]
    );
}
