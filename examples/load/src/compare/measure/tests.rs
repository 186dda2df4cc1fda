//! Intervals of made-up runs, whose truth is known: they must hold it as often as they say.

use super::*;
use crate::compare::estimate::Ratio;
use crate::report::sample::Made;

fn effects(noise: f64) -> [f64; 3] {
    unrest(
        &Made {
            noise,
            ..Made::new(3)
        }
        .result(),
    )
    .unwrap()
    .effects
}

#[test]
fn seconds_that_are_alike_have_no_design_effect_and_uneven_ones_a_large_one() {
    assert!(
        effects(0.0).iter().all(|effect| *effect < 4.0),
        "{:?}",
        effects(0.0)
    );
    assert!(
        effects(0.1)
            .iter()
            .zip([100.0, 5.0, 1.5])
            .all(|(effect, least)| *effect > least),
        "{:?}",
        effects(0.1)
    );
}

#[test]
fn an_interval_of_ranks_holds_its_percentile_and_needs_operations_above() {
    let run = Made::new(1).result();
    let curve = curve(&run.operations["get"]).unwrap();
    for level in LEVELS {
        let (low, high) = interval(&curve, level, Some(1.0)).unwrap();
        let (value, wide) = (
            curve.value(level),
            interval(&curve, level, Some(9.0)).unwrap(),
        );
        assert!(low <= value && value <= high && wide.0 <= low && high <= wide.1);
    }
    assert_eq!(interval(&curve, 0.99999, Some(1.0)), None);
    assert_eq!(
        interval(&curve, 0.5, None),
        None,
        "slices that tell nothing"
    );
}

#[test]
fn a_short_run_has_figures_without_intervals() {
    let run = Made {
        seconds: 3,
        ..Made::new(1)
    }
    .result();
    assert!(unrest(&run).is_none());
    let measured = Measured::of(&run);
    assert!(measured.verbs["get"].rate.is_some());
}

/// Of forty pairs of runs that differ by luck alone, how many intervals hold zero: rate, p50, p99, p99.9.
fn held(made: impl Fn(u64) -> Made) -> [u32; 4] {
    let runs = (0..80).map(|seed| Measured::of(&made(seed).result()));
    let runs: Vec<_> = runs.collect();
    let mut held = [0; 4];
    for pair in runs.chunks(2) {
        let figures = |run: &Measured| {
            let Verb { rate, latencies } = &run.verbs["get"];
            [*rate, latencies[0], latencies[1], latencies[2]].map(Option::unwrap)
        };
        let pairs = figures(&pair[0]).into_iter().zip(figures(&pair[1]));
        for (held, (a, b)) in held.iter_mut().zip(pairs) {
            let (low, high) = Ratio::of(&[a], &[b]).unwrap().interval().unwrap();
            *held += u32::from(low <= 0.0 && 0.0 <= high);
        }
    }
    held
}

fn uneven(seed: u64) -> Made {
    Made {
        rate: 1000.0,
        noise: 0.05,
        ..Made::new(seed)
    }
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    assert!(
        held(uneven).iter().all(|held| *held >= 36),
        "{:?}",
        held(uneven)
    );
}

#[test]
fn pauses_of_some_seconds_make_no_difference_where_there_is_none() {
    let pausing = |seed| Made {
        pauses: 0.25,
        ..uneven(seed)
    };
    assert!(
        held(pausing).iter().all(|held| *held >= 36),
        "{:?}",
        held(pausing)
    );
}
