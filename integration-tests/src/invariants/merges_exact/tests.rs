//! Counters that are exact, every way in which they may not be, and random ones of a naive store.

mod naive;

use super::*;
use crate::invariants::testing::{Hand, assert_fails, assert_holds, over};

const LOST: Outcome = Outcome::Unknown("no answer");
const FULL: Outcome = Outcome::Refused("no space");

/// Writer `w` is client `w`; puts differ in their time.
struct Counter {
    hand: Hand,
    time: u64,
}

impl Counter {
    fn new() -> Self {
        let hand = Hand::new(Family::Counter);
        Self { hand, time: 10 }
    }

    /// A put of these counts on `read`.
    fn put(&mut self, writer: u16, read: OpId, counts: &[(u64, u64)]) -> OpId {
        self.put_over(writer, over(&[read]), counts)
    }

    fn put_over(&mut self, writer: u16, basis: Basis, counts: &[(u64, u64)]) -> OpId {
        self.time += 10;
        let counter = counter(counts).to_value(self.time);
        let text = std::str::from_utf8(&counter).unwrap();
        self.hand.put(writer, self.time, basis, text)
    }

    fn acked(&mut self, writer: u16, read: OpId, counts: &[(u64, u64)]) -> OpId {
        let put = self.put(writer, read, counts);
        self.hand.ack(put)
    }
}

fn counter(counts: &[(u64, u64)]) -> GCounter {
    let mut counter = GCounter::default();
    for &(writer, count) in counts {
        for _ in 0..count {
            counter.increment(writer);
        }
    }
    counter
}

/// Two writers that did not see each other.
fn siblings() -> (Counter, OpId, OpId) {
    let mut counter = Counter::new();
    let empty = counter.hand.read(9, &[], &[]);
    let one = counter.acked(1, empty, &[(1, 1)]);
    let two = counter.acked(2, empty, &[(2, 1)]);
    (counter, one, two)
}

#[test]
fn increments_that_were_merged_count_once_each() {
    let (mut counter, one, two) = siblings();
    let read = counter.hand.read(1, &[one, two], &[one, two]);
    let merged = counter.acked(1, read, &[(1, 2), (2, 1)]);
    counter.hand.last_read(&[merged], &[one, two, merged]);
    assert_holds(&INVARIANT, &counter.hand.finish());
}

#[test]
fn a_merge_that_is_done_twice_or_over_more_than_was_read_is_found() {
    let after = |given: &[usize]| {
        let (mut counter, one, two) = siblings();
        let read = counter.hand.read(1, &[one, two], &[one, two]);
        let mut history = counter.hand.finish();
        history.merged.insert(read, given.to_vec());
        history
    };
    assert_holds(&INVARIANT, &after(&[2]));
    for wrong in [&[][..], &[2, 2], &[3], &[1]] {
        let what = format!("called its merge function with {wrong:?} values");
        assert_fails(&INVARIANT, &after(wrong), &what);
    }
}

#[test]
fn a_merge_that_drops_a_sibling_is_found_at_the_next_put() {
    let (mut counter, one, two) = siblings();
    let read = counter.hand.read(1, &[one, two], &[one, two]);
    let put = counter.acked(1, read, &[(1, 2)]);
    let violation = assert_fails(&INVARIANT, &counter.hand.finish(), "{1: 1, 2: 1}");
    assert_eq!(violation.ops, [read, put]);
}

#[test]
fn a_put_of_two_steps_is_found() {
    let mut counter = Counter::new();
    let read = counter.hand.read(1, &[], &[]);
    counter.acked(1, read, &[(1, 2)]);
    assert_fails(&INVARIANT, &counter.hand.finish(), "not one step");
}

#[test]
fn a_read_without_an_acknowledged_increment_is_found() {
    let (mut counter, one, two) = siblings();
    let read = counter.hand.read(3, &[one], &[one]);
    let history = counter.hand.finish();
    let violation = assert_fails(
        &INVARIANT,
        &history,
        "counts 0 increments of writer 2, but 1 were",
    );
    assert_eq!(violation.ops, [two, read]);
}

#[test]
fn a_read_of_one_replica_may_lack_it_but_not_at_the_end() {
    let (mut counter, one, two) = siblings();
    counter.hand.mode = Mode::One;
    counter.hand.read(3, &[one], &[one]);
    counter.hand.last_read(&[one, two], &[one, two]);
    assert_holds(&INVARIANT, &counter.hand.finish());

    let (mut counter, one, _) = siblings();
    counter.hand.mode = Mode::One;
    counter.hand.last_read(&[one], &[one]);
    assert_fails(&INVARIANT, &counter.hand.finish(), "counts 0 increments");
}

#[test]
fn a_step_that_was_made_twice_because_a_read_was_stale_is_found() {
    let mut counter = Counter::new();
    let empty = counter.hand.read(1, &[], &[]);
    let one = counter.acked(1, empty, &[(1, 1)]);
    let stale = counter.hand.read(1, &[], &[]);
    let again = counter.acked(1, stale, &[(1, 1)]);
    counter.hand.last_read(&[one, again], &[one, again]);
    let expected = "counts 0 increments of writer 1, but 1 were acknowledged";
    let violation = assert_fails(&INVARIANT, &counter.hand.finish(), expected);
    assert_eq!(violation.ops, [one, stale]);
}

#[test]
fn two_acknowledged_increments_that_end_as_one_are_found() {
    let (mut counter, one, two) = siblings();
    let read = counter.hand.read(1, &[one, two], &[one, two]);
    let next = counter.acked(1, read, &[(1, 2), (2, 1)]);
    counter.hand.last_read(&[one, two], &[one, two]);
    let violation = assert_fails(
        &INVARIANT,
        &counter.hand.finish(),
        "counts 1 increments of writer 1, but 2 were",
    );
    assert_eq!(violation.ops[..2], [one, next]);
}

#[test]
fn a_sibling_lost_from_what_the_context_holds_is_found_in_any_mode() {
    let (mut counter, one, two) = siblings();
    counter.hand.mode = Mode::One;
    let read = counter.hand.read(3, &[one], &[one, two]);
    let violation = assert_fails(&INVARIANT, &counter.hand.finish(), "its context holds");
    assert_eq!(violation.ops, [two, read]);
}

#[test]
fn an_unknown_increment_may_count_or_not_and_its_step_may_be_made_again() {
    for late in [true, false] {
        let mut counter = Counter::new();
        let empty = counter.hand.read(1, &[], &[]);
        let maybe = counter.put(1, empty, &[(1, 1)]);
        counter.hand.end(maybe, LOST);
        let nothing = counter.hand.read(1, &[], &[]);
        let again = counter.acked(1, nothing, &[(1, 1)]);
        let both = [maybe, again];
        let here = if late { &both[..] } else { &both[1..] };
        let read = counter.hand.read(1, here, here);
        let next = counter.acked(1, read, &[(1, 2)]);
        let seen = [here, &[next]].concat();
        counter.hand.last_read(&[next], &seen);
        assert_holds(&INVARIANT, &counter.hand.finish());
    }
}

#[test]
fn an_unknown_increment_that_the_context_holds_has_to_count() {
    let mut counter = Counter::new();
    let empty = counter.hand.read(1, &[], &[]);
    let maybe = counter.put(1, empty, &[(1, 1)]);
    counter.hand.end(maybe, LOST);
    counter.hand.last_read(&[], &[maybe]);
    assert_fails(&INVARIANT, &counter.hand.finish(), "its context holds");
}

#[test]
fn a_client_that_died_leaves_an_unknown_increment() {
    let mut counter = Counter::new();
    let empty = counter.hand.read(1, &[], &[]);
    let maybe = counter.put(1, empty, &[(1, 1)]); // never returns
    counter.hand.last_read(&[maybe], &[maybe]);
    assert_holds(&INVARIANT, &counter.hand.finish());
}

#[test]
fn a_refused_increment_that_counts_is_found() {
    let mut counter = Counter::new();
    let empty = counter.hand.read(1, &[], &[]);
    let no = counter.put(1, empty, &[(1, 1)]);
    counter.hand.end(no, FULL);
    let read = counter.hand.read(2, &[no], &[no]);
    let violation = assert_fails(&INVARIANT, &counter.hand.finish(), "stored nowhere");
    assert_eq!(violation.ops, [no, read]);
}

#[test]
fn a_refused_increment_may_be_made_again() {
    let mut counter = Counter::new();
    let empty = counter.hand.read(1, &[], &[]);
    let no = counter.put(1, empty, &[(1, 1)]);
    counter.hand.end(no, FULL);
    let yes = counter.acked(1, empty, &[(1, 1)]);
    counter.hand.last_read(&[yes], &[yes]);
    assert_holds(&INVARIANT, &counter.hand.finish());
}

#[test]
fn a_count_beyond_all_attempts_is_found() {
    let mut counter = Counter::new();
    let empty = counter.hand.read(1, &[], &[]);
    let one = counter.acked(1, empty, &[(1, 1)]);
    let read = counter.hand.read(1, &[one], &[one]);
    let two = counter.put(1, read, &[(1, 2)]);
    counter.hand.end(two, FULL);
    let mut history = counter.hand.finish();
    assert_holds(&INVARIANT, &history);
    // A read found one value, and the next builds on one that no client had put.
    let Some((_, Outcome::Read { siblings, .. })) = &mut history.ops[read.0 as usize].returned
    else {
        panic!("it is the read");
    };
    siblings[0].value = "#7\n1 1\n".into();
    assert_fails(&INVARIANT, &history, "which no client had put yet");
}

#[test]
fn steps_are_counted_as_attempts_only_from_their_beginning() {
    let (counter, ..) = siblings();
    let mut history = counter.hand.finish();
    let keyed = &Keyed::all(&history)[0];
    let doubts = Doubts::of(&history);
    let mut judge = Judge::new(&history, &doubts, keyed);

    for &id in &keyed.ops {
        judge.add_step(id).unwrap();
    }

    let writer = &judge.writers[&2];
    let begun = writer.attempted[0];
    let judged = |at, count| judge.nothing_twice(OpId(0), at, (2, count), writer);
    assert!(
        judged(begun, 1)
            .unwrap_err()
            .what
            .contains("only 0 were asked for")
    );
    assert_eq!(judged(begun.after(1), 1), Ok(()));
    assert!(
        judged(begun.after(1), 2)
            .unwrap_err()
            .what
            .contains("only 1 were asked for")
    );
    history.ops.clear();
    assert_holds(
        &INVARIANT,
        &History {
            minted: vec![],
            ..history
        },
    );
}

#[test]
fn a_write_that_is_no_increment_is_found() {
    let mut counter = Counter::new();
    counter.put_over(1, Basis::Blind, &[(1, 1)]);
    assert_fails(&INVARIANT, &counter.hand.finish(), "is no increment");

    let mut counter = Counter::new();
    counter.hand.delete(1, 10, over(&[]));
    assert_fails(&INVARIANT, &counter.hand.finish(), "is no increment");

    let mut counter = Counter::new();
    let read = counter.hand.read(1, &[], &[]);
    counter.hand.put(1, 10, over(&[read]), "junk");
    assert_fails(&INVARIANT, &counter.hand.finish(), "put \"junk\"");

    let mut counter = Counter::new();
    let failed = counter.hand.get(1);
    counter.hand.end(failed, Outcome::ReadFailed("not read"));
    counter.put(1, failed, &[(1, 1)]);
    assert_fails(&INVARIANT, &counter.hand.finish(), "gave out no context");
}

#[test]
fn a_correct_store_passes() {
    for seed in 0..300 {
        assert_holds(&INVARIANT, &naive::run(seed, naive::Flaw::None));
    }
}

#[test]
fn every_flaw_of_a_store_is_found_in_one_of_300_runs() {
    for flaw in naive::Flaw::ALL {
        let found = |seed| (INVARIANT.check)(&naive::run(seed, flaw)).is_err();
        let runs = (0..300).filter(|&seed| found(seed)).count();
        assert!(runs > 0, "{flaw:?} was never found");
    }
}
