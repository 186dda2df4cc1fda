//! The golden summary, and that large numbers and long names keep the table whole.

use super::*;
use crate::report::sample;
use crate::result::PhaseOp;

#[test]
fn the_tiny_result_reads_like_this() {
    assert_eq!(text(&sample::tiny()), include_str!("../golden/tiny.txt"));
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let mut result = sample::tiny();
    let op = result.operations["get"].clone();
    let most = OpResult {
        count: 123_456_789_012,
        rate: 1e9,
        ..op
    };
    result
        .operations
        .insert("read-modify-write and more".to_owned(), most);
    result.verdicts.push("word ".repeat(60) + &"x".repeat(200));
    result.target = "t".repeat(100);
    for line in text(&result).lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
}

#[test]
fn a_result_of_nothing_has_a_summary_too() {
    let mut result = sample::tiny();
    result.operations.clear();
    (result.cpu, result.verify) = (None, None);
    assert!(text(&result).contains("operation"));
}

#[test]
fn the_time_between_faults_and_what_the_client_did_are_shown() {
    let mut result = sample::tiny();
    let health = HealthNote {
        hedges: 1_200,
        won: 1_000,
        refused: 3,
        ejections: 1,
        probes: 7,
    };
    let op = PhaseOp {
        count: 5_000,
        failed: 2,
        intended: Percentiles {
            p50: 400,
            p99: 2_500,
            p999: 9_000,
            ..Percentiles::default()
        },
    };
    result.health = Some(health);
    result.phases = vec![PhaseNote {
        what: "after slow n2 200ms".to_owned(),
        from: 7.0,
        to: 14.0,
        operations: [("get".to_owned(), op)].into(),
        health: Some(HealthNote::default()),
    }];
    let text = text(&result);
    for line in [
        "health     1,200 hedges (1,000 won), 3 refused, 1 ejection, 7 probes",
        "phase      7 to 14 s, after slow n2 200ms",
        "           get: 5,000, 2 failed, p50 400 µs, p99 2.50 ms, p99.9 9.00 ms",
        "           no hedges, 0 refused, 0 ejections, 0 probes",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line}\nin\n{text}"
        );
    }
    let page = crate::report::html(&result).unwrap();
    assert!(page.contains("Between the faults") && page.contains("7 to 14 s, after slow"));
}

#[test]
fn failures_show_how_long_they_took() {
    let mut result = sample::tiny();
    let of = result.operations.get_mut("get").unwrap();
    let after = Percentiles {
        p50: 700,
        p99: 4_000,
        ..Percentiles::default()
    };
    of.failed_after = [("timeout".to_owned(), after)].into();
    assert!(text(&result).contains("get: timeout 80 (after 700 µs, p99 4.00 ms)"));
}
