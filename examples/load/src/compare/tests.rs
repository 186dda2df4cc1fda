//! Whole comparisons: of a result with itself, of results that differ, and of junk.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::difference::Verdict;
use super::*;
use crate::report::sample::{self, Made};

fn store(dir: &TempDir, name: &str, run: &RunResult) -> PathBuf {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, serde_json::to_vec(run).unwrap()).unwrap();
    path
}

fn compare_runs(a: &RunResult, b: &RunResult) -> Result<Comparison, CompareError> {
    let dir = TempDir::new().unwrap();
    run(&store(&dir, "a.json", a), &store(&dir, "b.json", b), false)
}

fn differences(comparison: &Comparison) -> impl Iterator<Item = &Difference> {
    comparison
        .operations
        .values()
        .flatten()
        .chain(&comparison.cpu)
}

#[test]
fn a_result_does_not_differ_from_itself() {
    for run in [sample::tiny(), sample::typical(1), Made::new(2).result()] {
        let comparison = compare_runs(&run, &run).unwrap();
        assert!(differences(&comparison).count() >= 9);
        for one in differences(&comparison) {
            assert!(
                matches!(one.verdict, Verdict::NoDifference | Verdict::Unknown),
                "{one:?}"
            );
            assert!(one.percent.abs() < 1e-9, "{one:?}");
        }
    }
}

#[test]
fn a_real_difference_is_told_and_has_the_right_direction() {
    let (a, b) = (
        Made::new(1).result(),
        Made {
            median: 320.0,
            ..Made::new(2)
        }
        .result(),
    );
    let comparison = compare_runs(&a, &b).unwrap();
    let get = &comparison.operations["get"];
    assert_eq!(get[1].figure, "p50");
    assert_eq!(get[1].verdict, Verdict::Better, "{:?}", get[1]);
    let (low, high) = get[1].interval.unwrap();
    assert!(
        low < -20.0 && -20.0 < high,
        "the truth lies inside: {low} {high}"
    );
    assert!(
        text(&comparison).contains("B is faster: -19 % (-21..-17)"),
        "{}",
        text(&comparison)
    );
    let back = compare_runs(&b, &a).unwrap();
    assert_eq!(back.operations["get"][1].verdict, Verdict::Worse);
}

#[test]
fn repeated_runs_are_compared_by_how_they_spread() {
    let dir = TempDir::new().unwrap();
    for seed in 0..3 {
        let medians = [400.0 + seed as f64 * 8.0, 500.0 + seed as f64 * 8.0];
        for (side, median) in ["a", "b"].into_iter().zip(medians) {
            let run = Made {
                median,
                ..Made::new(seed)
            }
            .result();
            store(&dir, &format!("{side}/{seed}/result.json"), &run);
        }
    }
    let [a, b] = ["a", "b"].map(|side| dir.path().join(side));
    let comparison = run(&a, &b, false).unwrap();
    assert_eq!((comparison.a.runs, comparison.b.runs), (3, 3));
    let get = &comparison.operations["get"];
    assert_eq!(get[1].verdict, Verdict::Worse, "{:?}", get[1]);
    assert_eq!(get[0].verdict, Verdict::NoDifference, "{:?}", get[0]);
    assert_eq!(
        comparison.cpu[2].verdict,
        Verdict::Worse,
        "{:?}",
        comparison.cpu[2]
    );
    assert!(comparison.notes.is_empty(), "{:?}", comparison.notes);
}

#[test]
fn the_same_files_always_give_the_same_answer() {
    let (a, b) = (Made::new(1).result(), Made::new(2).result());
    let again = || {
        let mut comparison = compare_runs(&a, &b).unwrap();
        (comparison.a.from, comparison.b.from) = (String::new(), String::new());
        json(&comparison).unwrap()
    };
    assert_eq!(again(), again());
    assert!(again().contains("\"verdict\": \"no-difference\""));
}

#[test]
fn runs_that_were_not_measured_alike_are_refused_unless_forced() {
    let a = Made::new(1).result();
    let mut b = Made {
        rate: 4000.0,
        ..Made::new(1)
    }
    .result();
    b.workload = "ycsb-a".to_owned();
    b.settings.remove("keys");
    b.settings.insert("seed".to_owned(), "7".to_owned());
    let dir = TempDir::new().unwrap();
    let [a, b] = [store(&dir, "a.json", &a), store(&dir, "b.json", &b)];
    let error = run(&a, &b, false).unwrap_err().to_string();
    for part in [
        "workload: ycsb-b / ycsb-a",
        "keys: 100000, zipfian 0.99 / not set",
        "offered: 5000 ops/s /",
        "--force",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("seed"), "{error}");
    let forced = run(&a, &b, true).unwrap();
    assert_eq!(forced.differing.len(), 4);
    assert!(text(&forced).contains("workload: ycsb-b / ycsb-a"));
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let a = sample::typical(1);
    let mut b = sample::typical(2);
    b.verdicts
        .push("a verdict \u{1b}[2J that goes on and on ".repeat(9));
    b.operations
        .insert("read-modify-write".to_owned(), b.operations["put"].clone());
    let mut forced = compare_runs(&a, &b).unwrap();
    forced.differing.push(Differing {
        setting: "x".repeat(90),
        a: "1".repeat(99),
        b: String::new(),
    });
    let text = text(&forced);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn failures_lost_keys_and_verdicts_stand_beside_the_figures() {
    let a = sample::typical(1);
    let mut b = sample::typical(2);
    b.verify.as_mut().unwrap().lost = 3;
    let notes = compare_runs(&a, &b).unwrap().notes.join("\n");
    for part in [
        "A side of one run",
        "B: 80 operations failed",
        "B: 3 keys were lost",
        "A: The target rate",
    ] {
        assert!(notes.contains(part), "{notes}");
    }
}
