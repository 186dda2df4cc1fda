//! Whole comparisons: of a result with itself, of results that differ, and of paths without a result.

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

fn compare_runs(a: &RunResult, b: &RunResult) -> anyhow::Result<Comparison> {
    let dir = TempDir::new().unwrap();
    run(&store(&dir, "a.json", a), &store(&dir, "b.json", b), false)
}

#[test]
fn a_result_does_not_differ_from_itself() {
    for run in [sample::tiny(), sample::typical(1)] {
        let comparison = compare_runs(&run, &run).unwrap();
        let all = comparison.operations.values().flatten();
        let all: Vec<_> = all.chain(&comparison.cpu).collect();
        assert!(all.len() >= 9);
        for one in all {
            assert!(
                matches!(one.verdict, Verdict::NoDifference | Verdict::Unknown),
                "{one:?}"
            );
            assert!(one.percent.abs() < 1e-9, "{one:?}");
        }
    }
}

#[test]
fn a_real_difference_between_two_runs_is_found_with_its_direction() {
    let made = |seed, median| {
        Made {
            median,
            ..Made::new(seed)
        }
        .result()
    };
    let (a, b) = (made(1, 400.0), made(2, 320.0));
    let comparison = compare_runs(&a, &b).unwrap();
    let p50 = &comparison.operations["get"][1];
    assert_eq!((p50.figure, p50.verdict), ("p50", Verdict::Better));
    let (low, high) = p50.interval.unwrap();
    assert!(
        low < -20.0 && -20.0 < high,
        "the truth lies inside: {p50:?}"
    );
    assert!(text(&comparison).contains("B is faster: -"));
    let back = compare_runs(&b, &a).unwrap();
    assert_eq!(back.operations["get"][1].verdict, Verdict::Worse);
}

/// Of forty pairs of runs that differ by luck alone, few may be found to differ.
#[test]
fn intervals_of_single_runs_hold_the_truth_nearly_as_often_as_they_say() {
    let uneven = |seed| {
        Made {
            rate: 500.0,
            noise: 0.05,
            ..Made::new(seed)
        }
        .result()
    };
    let mut held = [0; 3];
    for seed in 0..40 {
        let comparison = compare_runs(&uneven(seed), &uneven(seed + 100)).unwrap();
        for (held, one) in held.iter_mut().zip(&comparison.operations["get"]) {
            *held += u32::from(one.verdict == Verdict::NoDifference);
        }
    }
    assert!(held.iter().all(|held| *held >= 34), "{held:?}");
}

#[test]
fn repeated_runs_are_compared_by_how_they_spread() {
    let dir = TempDir::new().unwrap();
    for seed in 0..3 {
        let medians = [400.0 + seed as f64 * 8.0, 500.0 + seed as f64 * 8.0];
        for (side, median) in ["a", "b"].into_iter().zip(medians) {
            let made = Made {
                median,
                ..Made::new(seed)
            };
            store(&dir, &format!("{side}/{seed}/result.json"), &made.result());
        }
    }
    let [a, b] = ["a", "b"].map(|side| dir.path().join(side));
    let comparison = run(&a, &b, false).unwrap();
    assert_eq!((comparison.a.runs, comparison.b.runs), (3, 3));
    let get = &comparison.operations["get"];
    assert_eq!(get[0].verdict, Verdict::NoDifference, "{:?}", get[0]);
    assert_eq!(get[1].verdict, Verdict::Worse, "{:?}", get[1]);
    assert_eq!(comparison.cpu[2].verdict, Verdict::Worse);
    assert!(comparison.notes.is_empty(), "{:?}", comparison.notes);
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
fn paths_without_comparable_results_are_named() {
    let dir = TempDir::new().unwrap();
    let message = |path: &Path| format!("{:#}", runs(path).unwrap_err());
    assert!(message(dir.path()).contains("contains no result.json"));
    assert!(message(&dir.path().join("none")).contains("cannot read"));
    fs::write(dir.path().join("junk.json"), "{").unwrap();
    assert!(message(&dir.path().join("junk.json")).contains("junk.json is no result"));

    let mut other = sample::tiny();
    other.target = "redis".to_owned();
    store(&dir, "1/result.json", &sample::tiny());
    store(&dir, "2/result.json", &other);
    let mixed = message(dir.path());
    assert!(mixed.contains("target: quoit, 3 nodes, fsync, TLS / redis"));
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let mut b = sample::typical(2);
    b.verdicts.push("a verdict that goes on and on ".repeat(9));
    let mut comparison = compare_runs(&sample::typical(1), &b).unwrap();
    comparison.a.from = "x".repeat(90);
    let text = text(&comparison);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
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
