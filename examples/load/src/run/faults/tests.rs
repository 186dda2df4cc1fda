//! When faults come, and what is reported about them.

use super::*;

/// A time line of tenths of a second, from successes and errors.
fn line(slices: impl IntoIterator<Item = (u64, u64)>) -> Vec<Slice> {
    let slice = |(index, (count, errors))| {
        let at = f64::from(u32::try_from(index).unwrap()) / 10.0;
        Slice {
            at,
            count,
            errors,
            p50: 0,
            p99: 0,
            max: 0,
        }
    };
    slices.into_iter().enumerate().map(slice).collect()
}

fn act(at: f64) -> Done {
    Done {
        at,
        what: "kill n2".to_owned(),
        gap: Duration::from_millis(7),
        failure: None,
    }
}

fn parts(parts: &[(usize, u64, u64)]) -> Vec<Slice> {
    line(
        parts
            .iter()
            .flat_map(|(times, count, errors)| std::iter::repeat_n((*count, *errors), *times)),
    )
}

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 1e-6)
}

#[test]
fn the_time_to_recover_ends_where_a_good_second_begins() {
    // Two seconds as usual, 0.7 of nothing, 0.3 with errors, then as before.
    let timeline = parts(&[(20, 100, 0), (7, 0, 0), (3, 90, 2), (20, 100, 0)]);
    let note = &notes(&[act(2.0)], &timeline, 0.1)[0];
    assert!(near(note.recovered_after, 1.0), "{note:?}");
    assert_eq!(note.failed, 6);
}

#[test]
fn what_never_showed_recovered_at_once() {
    let timeline = parts(&[(50, 100, 0)]);
    let note = &notes(&[act(2.04)], &timeline, 0.1)[0];
    assert_eq!((note.recovered_after, note.failed), (Some(0.0), 0));
}

#[test]
fn a_store_that_stays_slow_or_failing_did_not_recover() {
    let slow = parts(&[(20, 100, 0), (30, 70, 0)]);
    assert_eq!(notes(&[act(2.0)], &slow, 0.1)[0].recovered_after, None);
    let failing = parts(&[(20, 100, 0), (30, 100, 1)]);
    let note = &notes(&[act(2.0)], &failing, 0.1)[0];
    assert_eq!((note.recovered_after, note.failed), (None, 30));
}

#[test]
fn every_act_answers_for_the_time_up_to_the_next() {
    let timeline = parts(&[(20, 100, 0), (10, 0, 5), (10, 0, 1), (20, 100, 0)]);
    let notes = notes(&[act(2.0), act(3.0)], &timeline, 0.1);
    assert_eq!((notes[0].recovered_after, notes[0].failed), (None, 50));
    assert_eq!(notes[1].failed, 10);
    assert!(near(notes[1].recovered_after, 1.0), "{notes:?}");
}

#[test]
fn an_act_at_the_very_begin_needs_no_rate_before() {
    let timeline = parts(&[(5, 0, 3), (20, 100, 0)]);
    assert!(near(
        notes(&[act(0.0)], &timeline, 0.1)[0].recovered_after,
        0.5
    ));
}

#[test]
fn the_longest_gap_is_found_in_a_sentence() {
    let found = sentences(&[act(1.0)]);
    assert_eq!(
        found,
        ["After `kill n2` the longest time without a success was 7 ms."]
    );
}
