//! Limits, refusals, keys, and how a violation prints.

use super::{DONE, Op, READ, cas, history, judge, returned, unknown, value, violation, write};
use crate::history::OpId;
use crate::invariants::linearizable::{
    HistoryError, KeyError, Limits, MAX_OPERATIONS, Register, Verdict, check, check_by_key,
};

#[test]
fn the_first_state_is_the_models() {
    let history = history([returned((0, 1), READ, value(3))]);
    let register = Register { initial: Some(3) };
    let verdict = check(&register, &history, Limits::default()).unwrap();
    assert!(verdict.is_linearizable());
    assert!(!judge(&history).is_linearizable());
}

#[test]
fn a_search_that_runs_out_of_steps_is_undecided() {
    let history = history([
        returned((0, 9), write(1), DONE),
        returned((0, 9), write(2), DONE),
        returned((10, 11), READ, value(1)),
    ]);
    let needed = judge(&history).steps();
    for steps in 0..needed {
        let verdict = check(&Register::default(), &history, Limits { steps }).unwrap();
        assert_eq!(verdict, Verdict::Undecided { steps });
        assert!(!verdict.is_linearizable());
    }

    let limits = Limits { steps: needed };
    assert!(
        check(&Register::default(), &history, limits)
            .unwrap()
            .is_linearizable()
    );
}

#[test]
fn a_history_that_cannot_be_is_refused() {
    let refusal =
        |history: &[Op]| check(&Register::default(), history, Limits::default()).unwrap_err();
    assert_eq!(refusal(&[]), HistoryError::Empty);
    let backwards = history([returned((5, 4), READ, DONE)]);
    let expected = HistoryError::ReturnBeforeCall {
        id: OpId(1),
        called: 5,
        returned: 4,
    };
    assert_eq!(refusal(&backwards), expected);
    let twice = [unknown(0, READ), unknown(1, READ)];
    assert_eq!(refusal(&twice), HistoryError::Duplicate { id: OpId(0) });
    let count = MAX_OPERATIONS + 1;
    let long = vec![unknown(0, READ); count];
    assert_eq!(refusal(&long), HistoryError::TooLong { count });
}

#[test]
fn the_longest_history_is_judged() {
    let mut long = Vec::new();
    for (id, called) in (0..10_000).zip((0..).step_by(2)) {
        let mut operation = returned((called, called + 1), write(1), DONE);
        operation.id = OpId(id);
        long.push(operation);
    }
    assert_eq!(long.len(), MAX_OPERATIONS);
    let verdict = judge(&long);
    assert_eq!(verdict.steps(), 10_000);
    assert!(verdict.is_linearizable());
}

#[test]
fn keys_are_judged_one_by_one() {
    let write = returned((0, 1), write(1), DONE);
    let mut read = returned((2, 3), READ, value(1));
    read.id = OpId(1);
    let limits = Limits::default();
    let operations = [("a", write.clone()), ("b", read.clone()), ("a", read)];
    let verdicts = check_by_key(&Register::default(), operations, limits).unwrap();
    let passed: Vec<_> = verdicts.values().map(Verdict::is_linearizable).collect();
    assert_eq!(passed, [true, false]);

    let operations = [("a", write.clone()), ("b", write.clone()), ("b", write)];
    let error = check_by_key(&Register::default(), operations, limits).unwrap_err();
    let source = HistoryError::Duplicate { id: OpId(0) };
    assert_eq!(error, KeyError { key: "b", source });
}

#[test]
fn a_violation_prints_as_a_table_of_what_happened_around_it() {
    let found = violation([
        returned((0, 10), write(1), DONE),
        returned((12, 22), write(2), DONE),
        returned((24, 34), READ, value(1)),
        unknown(5, cas(7, 8)),
        returned((40, 50), write(3), DONE),
    ]);
    let expected = "\
not linearizable: 2 of 5 operations have a place, then the state is Some(2) and #3 has none
  place     id  client    called  returned  timeline                          operation
      1     #1       1         0        10  |--------|                        Write(1) -> Done
      -     #4       4         5        ..      |-------------------------->  CompareAndSet { expect: Some(7), set: Some(8) } -> unknown
      2     #2       2        12        22            |---------|             Write(2) -> Done
  stuck     #3       3        24        34                       |---------|  Read -> Value(Some(1))";
    assert_eq!(found.to_string(), expected, "\n{found}");
}

#[test]
fn a_violation_in_a_long_history_prints_only_what_is_near() {
    let mut long = Vec::new();
    for (id, called) in (0..1_000).zip((0..).step_by(2)) {
        let mut operation = returned((called, called + 1), write(1), DONE);
        operation.id = OpId(id);
        if id == 900 {
            operation.op = READ;
        }
        long.push(operation);
    }

    let Verdict::NotLinearizable(found) = judge(&long) else {
        panic!("a read that is done");
    };
    assert_eq!((found.placed.len(), found.stuck), (900, OpId(900)));
    let text = found.to_string();
    assert_eq!(text.lines().count(), 2 + 10 + 1, "{text}");
    assert!(text.ends_with("Read -> Done"), "{text}");
}
