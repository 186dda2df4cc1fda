//! What the table of peers says of their runs.

use super::*;

const PLAN: &str = "run\tget-64\tget, 64 in flight\tquoit\n\
                    run\tget-64\tget, 64 in flight\tetcd\n\
                    run\tget-1\tget, 1 in flight\tquoit\n\
                    goal\tget ≥ 10 × etcd\trate\tget-64\tetcd\t10\n\
                    goal\tget p99 ≤ 2.5 ms\tp99\tget-64\t2500\n\
                    goal\tno collapse\tagainst\tget-64\tget-1\t20\n";

fn sample(rate: f64, failed: u64) -> Sample {
    Sample {
        target: format!("store of {failed}"),
        rate,
        p50: 100.0,
        p99: 2000.0,
        cpu: Some((1.0, 2.5)),
        failed,
        longest: 9000.0,
        answers: (100, 0),
        attempts: None,
    }
}

fn plan() -> Plan {
    let mut plan = Plan::parse(PLAN).unwrap();
    // The machine is twice as slow in the second round, and the ratio the same.
    for (round, slow) in [(1, 1.0), (2, 2.0), (3, 1.1)] {
        let both = &mut plan.rows[0].systems;
        both[0].rounds.insert(round, sample(1200.0 / slow, 0));
        both[1].rounds.insert(round, sample(100.0 / slow, 2));
    }
    plan.rows[1].systems[0].rounds.insert(1, sample(100.0, 0));
    plan
}

#[test]
fn ratios_are_taken_within_a_round() {
    let plan = plan();
    let rate = |sample: &Sample| sample.rate;
    let own = plan.first("get-64").unwrap();
    let peer = plan.system("get-64", "etcd").unwrap();
    let ratio = own.ratio(peer, rate).unwrap();
    assert!((ratio.least - 12.0).abs() < 1e-9 && (ratio.most - 12.0).abs() < 1e-9);
    // Only the first round has both.
    let ratio = own.ratio(plan.first("get-1").unwrap(), rate).unwrap();
    assert_eq!((ratio.least, ratio.most), (12.0, 12.0));
}

#[test]
fn a_median_lies_between_two_rounds_if_it_must() {
    let spread = Spread::of(vec![4.0, 1.0, 2.0, 10.0]).unwrap();
    assert_eq!((spread.least, spread.median, spread.most), (1.0, 3.0, 10.0));
    assert_eq!(Spread::of(vec![]), None);
}

#[test]
fn the_table_shows_runs_errors_and_goals() {
    let table = text::markdown(&plan());
    let has = |line: &str| assert!(table.lines().any(|found| found == line), "{line}\n{table}");
    has("| get, 64 in flight | store of 0 | 1091 (600–1200) | 100 | 2000 | 1.0 + 2.5 |  |");
    has("|  | store of 2 | 91 (50–100) | 100 | 2000 | 1.0 + 2.5 | 12.00 × |");
    has("- get, 64 in flight: etcd: 6 operations failed");
    has("| get ≥ 10 × etcd | 12.00 × | yes |");
    has("| get p99 ≤ 2.5 ms | 2.00 ms | yes |");
    has("| no collapse | 12.00 × | **no** |");
}

#[test]
fn attempts_and_mismatches_are_said_and_judged() {
    let text = "run\thot\tone key\tquoit\ngoal\tfew\tattempts\thot\t3\ngoal\tmore\tattempts\thot\t1\n\
                goal\tsoon\tlongest\thot\t500000\ngoal\tat once\tlongest\thot\t8000\n";
    let mut plan = Plan::parse(text).unwrap();
    for round in 1..=3 {
        let conditional = Sample {
            answers: (75, 25),
            attempts: Some(Attempts {
                p50: 1,
                p99: 2,
                max: 4 + u64::from(round),
            }),
            ..sample(100.0, 0)
        };
        plan.rows[0].systems[0].rounds.insert(round, conditional);
    }
    let table = text::markdown(&plan);
    let has = |line: &str| assert!(table.lines().any(|found| found == line), "{line}\n{table}");
    has("- one key: quoit: 25.0 % of the answers were mismatches, which are not in the rate");
    has("- one key: quoit: attempts p99 2, at most 7; longest wait 9.0 ms");
    has("| few | 2 | yes |");
    has("| more | 2 | **no** |");
    has("| soon | 9.00 ms | yes |");
    has("| at once | 9.00 ms | **no** |");
}

#[test]
fn a_run_that_is_missing_is_a_dash_and_judges_nothing() {
    let table = text::markdown(&Plan::parse(PLAN).unwrap());
    assert!(
        table.contains("| get, 1 in flight | quoit | – | – | – | – |  |"),
        "{table}"
    );
    assert!(!table.contains("goal"), "{table}");
}

#[test]
fn only_what_stands_between_the_markers_changes() {
    let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
    let filled = between(&text, "new\n").unwrap();
    assert_eq!(filled, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
    assert_eq!(between(&filled, "new\n").unwrap(), filled);
    assert!(between("nothing here", "new\n").is_err());
    assert!(between(&format!("{END} {BEGIN}"), "new\n").is_err());
}

#[test]
fn a_plan_with_a_line_that_means_nothing_is_refused() {
    for bad in [
        "run\ta\tb",
        "goal\ta\trate\tb",
        "goal\ta\tp99\tb\tc",
        "what",
    ] {
        assert!(Plan::parse(bad).is_err(), "{bad}");
    }
}
