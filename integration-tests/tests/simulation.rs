//! A fixed set of simulated runs: clean, whole, and each seed one run.
//!
//! ```text
//!   seeds 1..=200          no violation; every fault fired, every coverage event was seen
//!   20 of them, twice      the same trace
//!   once failed            every seed that ever found a bug, for good
//! ```
//!
//! `QUOIT_SEEDS` sets how many seeds, default 200. A failure prints the command that runs its seed again;
//! `cargo sim --seeds 10000` is the long form of the same, and shrinks what it finds.
//!
//! Left out: that the checkers catch defects. `cargo sim-mutants` shows that, and `MUTANTS.md` has the result.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first failure, and says where"
)]

use std::cell::RefCell;
use std::env;
use std::ops::{ControlFlow, Range};
use std::process::Command;
use std::rc::Rc;

use quoit_integration_tests::mutants::Mutant;
use quoit_integration_tests::sim::campaign::{Judged, Totals, all_cores, in_order};
use quoit_integration_tests::sim::trace::Lines;
use quoit_integration_tests::sim::{FaultFilter, Options, run};
use quoit_ring::Moment;

/// How many seeds are run, unless `QUOIT_SEEDS` says otherwise.
const SEEDS: u64 = 200;
/// Of these every tenth, twice.
const TWICE: u64 = 20;

/// Seeds that found a bug, with what it was. Each of them fails when its bug is put back.
///
/// A seed means another run whenever the simulation draws something more. Seven more seeds found bugs and no longer fail
/// with them; a unit test of the client fails for each:
///
/// | bug | test of `quoit-client` |
/// | --- | --- |
/// | given up after eight new dots | `minting_anew_ends_after_a_bounded_number_of_times` |
/// | minted below its context, after the clock went back | `a_dot_lies_above_what_was_seen_also_when_the_clock_went_back` |
/// | an owner and the holder of its hint count as two | `an_owner_and_who_keeps_the_write_for_it_count_once` |
/// | an unresponsive owner is awaited before a new dot | `a_covered_write_is_minted_anew_without_an_owner_that_is_overdue` |
/// | a later write still being copied is not waited for | `a_superseded_put_waits_for_more_owners_of_a_later_one_that_has_returned` |
/// | earlier writes of the client are waited for | `nobody_waits_for_a_write_that_cannot_overwrite_it` |
/// | an answer that comes twice decides a lifetime | `an_answer_that_comes_twice_decides_nothing_about_a_lifetime` |
const REGRESSIONS: &[(u64, &str)] = &[
    // Fails by acked-by-enough, with the patch `late-answer-counts`.
    (
        25,
        "an answer to a write's first attempt was counted for the re-minted one",
    ),
    // Fails by hints-arrive, if answers to hints say nothing to the driver of changes.
    (
        241,
        "a node whose joining was reverted learned of no later epoch, and kept its hints for ever",
    ),
    // Fails by hints-arrive, if a node refuses hints only until the change that leaves it out has ended.
    (
        1291,
        "a node that had left took a hint in the epoch before, and never started again",
    ),
    // Fails by everything-ends and settles, if the guard of the clock's mark takes its first reading at the first commit.
    (
        2739,
        "a jump of the clock before a new node's first commit was stored as its mark, and every later start refused",
    ),
];

#[test]
fn a_fixed_set_of_seeds_is_clean_and_whole() {
    let mut totals = Totals::default();
    all_clean(
        1..seeds() + 1,
        |seed| Judged::of(seed, FaultFilter::All),
        |run| totals.add(run),
    );
    eprintln!(
        "{} seeds, {} operations, {} faults fired, {} events",
        totals.seeds,
        totals.operations,
        totals.fired(),
        totals.events
    );
    let why = totals.shortfalls();
    assert!(
        why.is_empty(),
        "the set does not count:\n{}",
        why.join("\n")
    );
}

#[test]
fn a_seed_names_one_run() {
    let some = |index| 1 + index * (SEEDS / TWICE);
    all_clean(0..TWICE, |index| Judged::twice(some(index)), |_same| {});
    let traces = [1, 2].map(|seed| run(seed, Options::default()).trace);
    assert_ne!(traces[0], traces[1], "another seed is another run");
}

#[test]
fn fewer_faults_are_the_same_run_until_the_first_of_them() {
    let (all, none) = (
        Judged::of(3, FaultFilter::All),
        Judged::of(3, FaultFilter::None),
    );
    assert_eq!(all.clients, none.clients);
    let plans = [&all, &none].map(|run| {
        run.faults
            .iter()
            .map(|(planned, _)| planned.clone())
            .collect::<Vec<_>>()
    });
    assert_eq!(plans[0], plans[1], "the plan is made beforehand");
    assert!(all.fired() > 0, "with faults");
    assert_eq!(none.fired(), 0, "without");

    let begins = plans[0].iter().map(|planned| planned.at).min();
    let begins = begins.expect("every plan has faults");
    let before = [FaultFilter::All, FaultFilter::None].map(|faults| lines_before(begins, faults));
    assert!(
        before[0].len() > 100,
        "something happens before the first fault"
    );
    assert!(before[0] == before[1], "the same, up to the first fault");
    assert_ne!(all.trace, none.trace, "and not the same behind it");
}

/// The lines of a run's trace before this moment.
fn lines_before(moment: Moment, faults: FaultFilter) -> Vec<String> {
    let all = Rc::new(RefCell::new(Vec::new()));
    let to = Rc::clone(&all);
    let lines: Lines = Box::new(move |at, words| {
        if at < moment {
            to.borrow_mut().push(format!("{at}  {words}"));
        }
    });
    let lines = Some(lines);
    drop(Judged::with(3, Options { faults, lines }));
    all.take()
}

#[test]
fn what_once_failed_is_clean() {
    for &(seed, found) in REGRESSIONS {
        let run = Judged::of(seed, FaultFilter::All);
        assert!(
            run.found.is_empty(),
            "{}\nit had found: {found}",
            describe(&run)
        );
    }
}

#[test]
fn the_page_of_mutants_names_each_with_its_invariant() {
    let page = include_str!("../MUTANTS.md");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .collect();
    let mutants = Mutant::all().expect("every patch file can be read");
    assert_eq!(
        rows.len(),
        mutants.len(),
        "`cargo sim-mutants --write` rewrites it"
    );

    for Mutant {
        name,
        description,
        caught_by,
        ..
    } in &mutants
    {
        let (cell, row) = (
            format!("`{name}`"),
            format!("| {description} | {caught_by} |"),
        );
        assert!(
            rows.iter()
                .any(|found| found.contains(&cell) && found.contains(&row)),
            "no row for {cell} {row}"
        );
    }
}

#[test]
fn the_exit_code_is_the_verdict() {
    let sim = |args: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_quoit-sim"))
            .args(args)
            .output();
        let done = done.expect("cargo builds it together with this test");
        let text = String::from_utf8(done.stdout).expect("text");
        (done.status.code(), text)
    };
    let (code, text) = sim(&["--seeds", "3", "--twice"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("clean: no violation in 3 seeds"), "{text}");
    let (code, text) = sim(&["--seeds", "2", "--output", "json"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.starts_with(r#"{"verdict":"clean","seeds":2,"#),
        "{text}"
    );
    let (code, text) = sim(&["--seed", "1", "--faults", "none", "--trace"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.lines().count() > 1_000, "every event has a line");
    for nonsense in [
        &["--trace"][..],
        &["--seed", "1", "--faults", "99"],
        &["--seeds", "0"],
        &["hunt", "nobody"],
        &["mutants", "--only", "nobody"],
    ] {
        assert_eq!(sim(nonsense).0, Some(2), "{nonsense:?}");
    }
    let (code, text) = sim(&["hunt", "convergence", "--seeds", "1"]);
    assert_eq!(
        code,
        Some(1),
        "without a mutant it is never violated: {text}"
    );
}

fn seeds() -> u64 {
    match env::var("QUOIT_SEEDS") {
        Ok(count) => count.parse().expect("QUOIT_SEEDS is a number"),
        Err(_unset) => SEEDS,
    }
}

/// Judges so many runs on all cores and stops at the first that violates anything.
fn all_clean(
    runs: Range<u64>,
    judge: impl Fn(u64) -> Judged + Sync,
    mut each: impl FnMut(&Judged),
) {
    let mut failed = None;
    in_order(runs, all_cores(), judge, |_number, run| {
        each(&run);
        if run.found.is_empty() {
            return ControlFlow::Continue(());
        }
        failed = Some(run);
        ControlFlow::Break(())
    });
    if let Some(run) = failed {
        panic!("{}", describe(&run));
    }
}

/// What is wrong with a run, and how to see it again.
fn describe(run: &Judged) -> String {
    let mut text = String::new();
    for found in &run.found {
        text += &format!("{}: {}\n{}", found.invariant, found.what, found.timeline);
    }
    format!(
        "seed {}\n{text}\nreplay: cargo sim --seed {} --trace",
        run.seed, run.seed
    )
}
