//! When operations should begin.
//!
//! ```text
//!   even distances    |    |    |    |    |    |        the n-th at the time by which n are due
//!   Poisson           | ||     |  |    ||      |        the same, with exponential steps instead of 1
//!   ramp              |     |    |   |  | | ||||        the time by which n are due bends
//! ```
//!
//! Every start follows from the number of operations due by then, so that no rounding adds up, and a ramp
//! needs no special case: a step of one (or an exponentially distributed one) on the axis of numbers is
//! mapped back onto the axis of time. Pure: times are seconds since the begin.
//!
//! Source: the inversion of a non-homogeneous Poisson process (Çinlar 1975).

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand_distr::{Distribution as _, Exp1};

use crate::args::Spread;
use crate::args::values::Ramp;

/// The starts of operations, in order.
#[derive(Debug)]
pub(crate) struct Schedule {
    ramp: Ramp,
    seconds: f64,
    spread: Spread,
    rng: SmallRng,
    /// Operations due by the last start, a whole number only at even distances.
    due: f64,
}

impl Schedule {
    /// Starts at a rate that goes evenly from one end of `ramp` to the other in `seconds`.
    pub(crate) fn new(ramp: Ramp, seconds: f64, spread: Spread, seed: u64) -> Self {
        Self {
            ramp,
            seconds,
            spread,
            rng: SmallRng::seed_from_u64(seed),
            due: 0.0,
        }
    }

    /// When the next operation should begin, or `None` if that is not within the time.
    pub(crate) fn next_start(&mut self) -> Option<f64> {
        self.due += match self.spread {
            Spread::Uniform => 1.0,
            Spread::Poisson => Exp1.sample(&mut self.rng),
        };
        let at = self.time_of(self.due);
        (at < self.seconds).then_some(at)
    }

    /// The time by which `due` operations are due: the root of `from t + (to - from) t^2 / 2 seconds = due`.
    fn time_of(&self, due: f64) -> f64 {
        let Ramp { from, to } = self.ramp;
        let bend = (to - from) / (2.0 * self.seconds);
        let root = (from * from + 4.0 * bend * due).max(0.0).sqrt();
        if 4.0 * bend * due < -from * from {
            // A falling ramp ends before so many are due.
            return f64::INFINITY;
        }
        // This form of the root stands for a bend of nothing, too.
        2.0 * due / (from + root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(ramp: Ramp, seconds: f64, spread: Spread) -> Vec<f64> {
        let mut schedule = Schedule::new(ramp, seconds, spread, 1);
        std::iter::from_fn(|| schedule.next_start()).collect()
    }

    const STEADY: Ramp = Ramp {
        from: 1000.0,
        to: 1000.0,
    };

    #[test]
    fn even_starts_keep_their_distance_for_ever() {
        let starts = starts(STEADY, 1000.0, Spread::Uniform);
        assert!(
            (999_998..=1_000_000).contains(&starts.len()),
            "{}",
            starts.len()
        );
        for (index, start) in (1_u32..).zip(&starts) {
            assert!(
                (start - f64::from(index) / 1000.0).abs() < 1e-9,
                "{index}: {start}"
            );
        }
    }

    /// Distances of a Poisson process are exponential: as wide on average as they vary, and e^-1 of them
    /// longer than the average.
    #[test]
    fn poisson_starts_are_as_irregular_as_independent_users() {
        let starts = starts(STEADY, 100.0, Spread::Poisson);
        assert!(starts.len().abs_diff(100_000) < 1500, "{}", starts.len());
        assert!(starts.is_sorted());
        let long = starts
            .windows(2)
            .filter(|pair| pair[1] - pair[0] > 0.001)
            .count();
        assert!(long.abs_diff(36_788) < 1000, "{long}");
    }

    #[test]
    fn a_ramp_goes_evenly_from_one_rate_to_the_other() {
        for spread in [Spread::Uniform, Spread::Poisson] {
            for (from, to) in [(100.0, 1900.0), (1900.0, 100.0)] {
                let starts = starts(Ramp { from, to }, 100.0, spread);
                assert!(starts.len().abs_diff(100_000) < 1500, "{}", starts.len());
                let rate = |at: f64| {
                    starts
                        .iter()
                        .filter(|start| (at..at + 10.0).contains(*start))
                        .count()
                };
                let expected = |at: f64| (from + (to - from) * (at + 5.0) / 100.0) * 10.0;
                for at in [0.0, 40.0, 90.0] {
                    let (counted, expected) =
                        (f64::from(u32::try_from(rate(at)).unwrap()), expected(at));
                    assert!(
                        (counted / expected - 1.0).abs() < 0.1,
                        "{from}:{to} at {at}: {counted}, {expected}"
                    );
                }
            }
        }
    }
}
