//! By how much two sets of figures differ: a ratio with its confidence interval.
//!
//! ```text
//!   ln b - ln a  ±  t * sqrt(var(ln a) / n  +  var(ln b) / m)         Welch's t
//! ```
//!
//! On logarithms a difference in percent is a difference, and the spreads of rates and latencies are closest to
//! normal. A bootstrap over three runs only draws what lies between them, and is too narrow; the t distribution
//! accounts for three being few.

/// Figures of one side: its runs, and what stands for their spread.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// The figure of each run, all positive.
    pub(super) runs: Vec<f64>,
    /// Repeated measurements of the figure: the runs, or the parts of a single run.
    pub(super) repeats: Vec<f64>,
}

/// How far B is from A, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    pub(super) percent: f64,
    /// 95 %; `None` if a side has fewer than two repeats.
    pub(super) interval: Option<(f64, f64)>,
}

impl Ratio {
    /// B against A; `None` if one of them has no figure.
    pub(super) fn of(a: &Figures, b: &Figures) -> Option<Self> {
        let middle = geometric_mean(&b.runs)?.ln() - geometric_mean(&a.runs)?.ln();
        let half = half_width(&a.repeats, &b.repeats);
        Some(Self {
            percent: percent(middle),
            interval: half.map(|half| (percent(middle - half), percent(middle + half))),
        })
    }
}

/// The middle of several figures.
pub(super) fn geometric_mean(figures: &[f64]) -> Option<f64> {
    let sum: f64 = figures.iter().map(|figure| figure.ln()).sum();
    (!figures.is_empty()).then(|| (sum / figures.len() as f64).exp())
}

fn percent(logarithm: f64) -> f64 {
    logarithm.exp_m1() * 100.0
}

/// Half of the interval's width on logarithms, with the degrees of freedom of Welch and Satterthwaite.
fn half_width(a: &[f64], b: &[f64]) -> Option<f64> {
    let ((error_a, freedom_a), (error_b, freedom_b)) = (spread(a)?, spread(b)?);
    let error = error_a + error_b;
    let parts = error_a.powi(2) / freedom_a + error_b.powi(2) / freedom_b;
    // Repeats that are all alike have no spread, and then any freedom will do.
    let freedom = if parts > 0.0 {
        error.powi(2) / parts
    } else {
        freedom_a
    };
    Some(student_t(freedom) * error.sqrt())
}

/// The square of the mean's standard error, and its degrees of freedom.
fn spread(repeats: &[f64]) -> Option<(f64, f64)> {
    let (number, mean) = (repeats.len() as f64, geometric_mean(repeats)?.ln());
    let squares: f64 = repeats.iter().map(|one| (one.ln() - mean).powi(2)).sum();
    (repeats.len() > 1).then(|| (squares / (number - 1.0) / number, number - 1.0))
}

/// The 97.5 % point of Student's t distribution, right to 0.5 % at whole freedoms; others are rounded down, to
/// the wider interval.
fn student_t(freedom: f64) -> f64 {
    const POINTS: [f64; 10] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    ];
    let freedom = freedom.floor().max(1.0);
    let exact = (1_u32..).zip(POINTS);
    let mut exact = exact.filter(|(at, _)| f64::from(*at) >= freedom);
    exact
        .next()
        .map_or_else(|| 1.96 + 2.65 / freedom, |(_, point)| point)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn figures(runs: &[f64]) -> Figures {
        Figures {
            runs: runs.to_vec(),
            repeats: runs.to_vec(),
        }
    }

    #[test]
    fn three_runs_each_give_welchs_interval() {
        let (a, b) = (
            figures(&[100.0, 110.0, 105.0]),
            figures(&[130.0, 141.0, 134.0]),
        );
        let ratio = Ratio::of(&a, &b).unwrap();
        let (low, high) = ratio.interval.unwrap();
        // exp of what scipy.stats.ttest_ind(log b, log a, equal_var=False) gives is 16.16 to 42.36; freedoms
        // are rounded down here.
        assert!((ratio.percent - 28.60).abs() < 0.05, "{ratio:?}");
        assert!((14.0..=16.2).contains(&low), "{ratio:?}");
        assert!((42.3..=45.0).contains(&high), "{ratio:?}");
    }

    #[test]
    fn without_two_repeats_on_both_sides_there_is_no_interval() {
        let (one, many) = (figures(&[1.0]), figures(&[1.0, 1.1, 1.2]));
        assert_eq!(Ratio::of(&one, &many).unwrap().interval, None);
        assert_eq!(Ratio::of(&Figures::default(), &many), None);
    }

    #[test]
    fn students_t_is_right_and_never_too_narrow() {
        for (freedom, right) in [
            (1.0, 12.706),
            (7.0, 2.365),
            (11.0, 2.201),
            (30.0, 2.042),
            (1e3, 1.962),
        ] {
            let found = student_t(freedom);
            assert!((found / right - 1.0).abs() < 0.005, "{freedom}: {found}");
        }
        assert!(student_t(3.914) > 2.802 && student_t(0.1) > 12.0);
    }

    proptest! {
        #[test]
        fn the_difference_lies_in_its_interval_and_turns_with_the_sides(
            a in proptest::collection::vec(1.0..1e6_f64, 2..6),
            b in proptest::collection::vec(1.0..1e6_f64, 2..6),
        ) {
            let (a, b) = (figures(&a), figures(&b));
            let (there, back) = (Ratio::of(&a, &b).unwrap(), Ratio::of(&b, &a).unwrap());
            let (low, high) = there.interval.unwrap();
            prop_assert!(low <= there.percent && there.percent <= high);
            let product = (1.0 + there.percent / 100.0) * (1.0 + back.percent / 100.0);
            prop_assert!((product - 1.0).abs() < 1e-6);
        }
    }
}
