//! Intervals against those that a statistics library gives, and laws that every ratio obeys.

use proptest::prelude::*;

use super::*;

fn exact(figures: &[f64]) -> Vec<Figure> {
    figures
        .iter()
        .map(|figure| Figure::new(*figure, None).unwrap())
        .collect()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.05
}

#[test]
fn three_runs_each_give_welchs_interval() {
    let (a, b) = (exact(&[100.0, 110.0, 105.0]), exact(&[130.0, 141.0, 134.0]));
    let ratio = Ratio::of(&a, &b).unwrap();
    let (low, high) = ratio.interval().unwrap();
    // exp of what scipy.stats.ttest_ind(log b, log a, equal_var=False) gives
    assert!(close(ratio.percent(), 28.60), "{}", ratio.percent());
    assert!(close(low, 16.16) && close(high, 42.36), "{low} {high}");
}

#[test]
fn intervals_of_one_run_each_join_without_being_symmetric() {
    let a = Figure::new(100.0, Some((100.0, 100.0))).unwrap();
    let b = Figure::new(120.0, Some((110.0, 150.0))).unwrap();
    let (low, high) = Ratio::of(&[a], &[b]).unwrap().interval().unwrap();
    assert!(close(low, 10.0) && close(high, 50.0), "{low} {high}");
}

#[test]
fn without_an_interval_on_both_sides_there_is_none() {
    let (known, unknown) = (Figure::new(1.0, Some((0.9, 1.1))).unwrap(), exact(&[1.2]));
    assert_eq!(Ratio::of(&[known], &unknown).unwrap().interval(), None);
    assert_eq!(Ratio::of(&[], &unknown), None);
    assert_eq!(Figure::new(0.0, None), None);
    assert_eq!(Figure::new(f64::NAN, None), None);
}

#[test]
fn one_run_against_many_is_told_apart_only_when_far_from_all() {
    let many = exact(&[100.0, 103.0, 98.0, 101.0]);
    let holds_zero = |one: f64| {
        let (low, high) = Ratio::of(&many, &exact(&[one]))
            .unwrap()
            .interval()
            .unwrap();
        low <= 0.0 && 0.0 <= high
    };
    assert!(holds_zero(104.0));
    assert!(!holds_zero(130.0));
}

#[test]
fn equal_runs_still_vary_by_what_each_varies_within() {
    let runs = [Figure::new(100.0, Some((90.0, 111.0))).unwrap(); 3];
    let (low, high) = Ratio::of(&runs, &runs).unwrap().interval().unwrap();
    assert!(low < -8.0 && high > 8.0, "{low} {high}");
}

#[test]
fn students_t_is_right_between_the_points_listed() {
    for (freedom, right) in [
        (1.0, 12.706),
        (3.914, 2.802),
        (7.0, 2.365),
        (10.0, 2.228),
        (30.0, 2.042),
        (1e3, 1.962),
    ] {
        assert!(
            (student_t(freedom) / right - 1.0).abs() < 0.004,
            "{freedom}: {}",
            student_t(freedom)
        );
    }
    assert!(student_t(f64::INFINITY) < 1.97 && student_t(0.1) > 12.0 && student_t(f64::NAN) > 12.0);
}

proptest! {
    #[test]
    fn the_difference_lies_in_its_interval_and_turns_with_the_sides(
        a in proptest::collection::vec(1.0..1e6_f64, 2..6),
        b in proptest::collection::vec(1.0..1e6_f64, 2..6),
    ) {
        let (a, b) = (exact(&a), exact(&b));
        let (there, back) = (Ratio::of(&a, &b).unwrap(), Ratio::of(&b, &a).unwrap());
        let (low, high) = there.interval().unwrap();
        prop_assert!(low <= there.percent() && there.percent() <= high);
        prop_assert!((there.mid + back.mid).abs() < 1e-9);
        prop_assert!((there.interval.unwrap().0 + back.interval.unwrap().1).abs() < 1e-9);
    }
}
