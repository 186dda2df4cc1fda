//! The linearizability checker against itself, against another one, and against histories made to hurt.
//!
//! ```text
//!   a seed --> clients, one register, time --> history --+--> checker    --> verdict, its order done again
//!                 answers falsified now and then --------'--> stateright --> the same verdict
//! ```
//!
//! stateright's tester tries every interleaving, remembers nothing and shares no code with ours: good for ten
//! operations, and there beyond doubt.
//!
//! `QUOIT_CASES` is how many histories the two are given, default 10,000; `QUOIT_SEED` runs one alone and
//! prints it. A failure names its seed.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `main` | both checkers agree on small histories, whether the model declares effects or not |
//! | `long` | long histories with much overlap are decided in few steps, right and wrong ones |
//! | `turns` | what really happened in some order is always accepted |
//! | `world` | random histories that are linearizable by the way they are made |
//!
//! Left out: histories with a known verdict, which stand beside the checker.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod long;
mod turns;
mod world;

use std::collections::HashMap;
use std::env;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester};

use quoit_integration_tests::history::OpId;
use quoit_integration_tests::invariants::linearizable::{
    End, Limits, Model, Operation, Register, RegisterOp, RegisterRet, Verdict, check,
};

use crate::world::{Cell, Shape, World};

type Op = RegisterOp<u16>;
type Ret = RegisterRet<u16>;
type History = Vec<Operation<Op, Ret>>;

/// Histories given to both checkers unless `QUOIT_CASES` says otherwise.
const CASES: u64 = 10_000;

#[test]
fn both_checkers_come_to_the_same_verdict() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("QUOIT_SEED") {
        let history = small_history(seed);
        let verdict = judge(&history);
        println!("{history:#?}\n{verdict}");
        compare(seed, &history, &verdict);
        return;
    }
    let cases = number("QUOIT_CASES").unwrap_or(CASES).max(1);
    let (mut passed, mut with_unknown) = (0, 0);
    for seed in 0..cases {
        let history = small_history(seed);
        let verdict = judge(&history);
        compare(seed, &history, &verdict);
        passed += u64::from(verdict.is_linearizable());
        with_unknown += u64::from(
            history
                .iter()
                .any(|operation| operation.returned().is_none()),
        );
    }
    println!("{cases} histories: {passed} linearizable, {with_unknown} with unknown outcomes");
    for (share, what) in [
        (passed, "linearizable"),
        (cases - passed, "not linearizable"),
        (with_unknown, "of unknown outcome"),
    ] {
        assert!(share * 5 >= cases, "only {share} of {cases} are {what}");
    }
}

/// Longer ones, beyond stateright: there the checker without the effects is the judge.
#[test]
fn what_a_model_tells_beforehand_changes_no_verdict() {
    let mut passed = 0;
    for seed in 0..2_000 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let shape = Shape {
            clients: 5,
            operations: 40,
            values: [Some(3), Some(8), None][rng.random_range(0..3)],
            unknown: 0.2,
        };
        let mut history = World::new(rng.clone(), shape).run();
        if rng.random_bool(0.75) {
            falsify(&mut rng, &mut history);
        }
        let passes = judge(&history).is_linearizable();
        let untold = silent(&history);
        let decided = !matches!(untold, Verdict::Undecided { .. });
        assert!(
            decided && passes == untold.is_linearizable(),
            "seed {seed}: {untold}"
        );
        passed += u64::from(passes);
    }
    assert!(
        (400..=1_600).contains(&passed),
        "{passed} of 2,000 are linearizable"
    );
}

fn compare(seed: u64, history: &History, verdict: &Verdict) {
    let again = format!("QUOIT_SEED={seed} runs it alone");
    let other = second_opinion(history);
    assert_eq!(verdict.is_linearizable(), other, "{again}: {verdict}");
    let silent = silent(history);
    assert_eq!(
        silent.is_linearizable(),
        other,
        "{again}, without effects: {silent}"
    );
    match verdict {
        Verdict::Linearizable { order, .. } => {
            replay(history, order);
            let placed = |id| order.contains(&id);
            let mut due = history
                .iter()
                .filter(|operation| operation.returned().is_some());
            assert!(due.all(|operation| placed(operation.id)), "{again}");
        }
        Verdict::NotLinearizable(violation) => {
            replay(history, &violation.placed);
            assert!(!violation.placed.contains(&violation.stuck), "{again}");
        }
        Verdict::Undecided { .. } => panic!("{again}: {verdict}"),
    }
}

fn judge(history: &History) -> Verdict {
    check(&Register::default(), history, Limits::default()).unwrap()
}

/// The verdict without the effects.
fn silent(history: &History) -> Verdict {
    check(&Silent(Register::default()), history, Limits::default()).unwrap()
}

/// Does the operations one after the other: each is possible, and none comes after one that was called only
/// when it had returned.
fn replay(history: &History, order: &[OpId]) {
    let operations: HashMap<_, _> = history
        .iter()
        .map(|operation| (operation.id, operation))
        .collect();
    let register = Register::default();
    let (mut state, mut now) = (register.init(), 0);
    for id in order {
        let operation = operations[id];
        let ret = match &operation.end {
            End::Returned { ret, .. } => Some(ret),
            End::Unknown => None,
        };
        state = register
            .step(&state, &operation.op, ret)
            .expect("a possible step");
        now = now.max(operation.called);
        assert!(
            operation.returned().is_none_or(|at| at >= now),
            "{id:?} comes too late"
        );
    }
}

/// A register of which nothing is known in advance.
struct Silent(Register<u16>);

impl Model for Silent {
    type State = Option<u16>;
    type Op = Op;
    type Ret = Ret;

    fn init(&self) -> Option<u16> {
        self.0.init()
    }

    fn step(&self, state: &Option<u16>, op: &Op, ret: Option<&Ret>) -> Option<Option<u16>> {
        self.0.step(state, op, ret)
    }
}

/// What stateright says. A thread of its has one operation at a time, so an unknown one gets a thread.
fn second_opinion(history: &History) -> bool {
    let mut events = Vec::new();
    for operation in history {
        let thread = match operation.end {
            End::Returned { .. } => operation.client,
            End::Unknown => 1_000 + u64::from(operation.id.0),
        };
        events.push((operation.called, thread, Ok(operation.op.clone())));
        if let End::Returned { at, ret } = &operation.end {
            events.push((*at, thread, Err(ret.clone())));
        }
    }
    events.sort_by_key(|(at, ..)| *at);
    let mut tester = LinearizabilityTester::new(Cell::default());
    for (_, thread, event) in events {
        match event {
            Ok(op) => tester.on_invoke(thread, op).unwrap(),
            Err(ret) => tester.on_return(thread, ret).unwrap(),
        };
    }
    tester.is_consistent()
}

/// At most ten operations of two to four clients, three in four with a falsified answer or two.
fn small_history(seed: u64) -> History {
    let mut rng = SmallRng::seed_from_u64(seed);
    let shape = Shape {
        clients: rng.random_range(2..=4),
        operations: rng.random_range(4..=10),
        values: [Some(2), Some(4), None][rng.random_range(0..3)],
        unknown: 0.15,
    };
    let mut history = World::new(rng, shape).run();
    let mut rng = SmallRng::seed_from_u64(!seed);
    if rng.random_bool(0.75) {
        for _ in 0..rng.random_range(1..=2) {
            falsify(&mut rng, &mut history);
        }
    }
    history
}

/// Changes an answer to another of its kind, which may well be as good.
fn falsify(rng: &mut SmallRng, history: &mut History) {
    let index = rng.random_range(0..history.len());
    if let End::Returned { ret, .. } = &mut history[index].end {
        let value = Some(rng.random_range(0..4));
        *ret = match ret {
            RegisterRet::Value(_) => RegisterRet::Value(value),
            RegisterRet::Swapped => RegisterRet::Kept(value),
            RegisterRet::Kept(_) => RegisterRet::Swapped,
            RegisterRet::Done => return,
        };
    }
}
