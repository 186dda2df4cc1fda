//! How often a member's heartbeat is seen to grow, and how unusual a silence is: phi accrual.
//!
//! ```text
//!   growth   |    |  |      |   |     |                         now
//!            '----'  '------'  mean 1 s, deviation 1 s           |
//!                                     '------ silence -----------'   phi = -log10 P(an interval is longer)
//! ```
//!
//! * **What is sampled**: the intervals between growths, from whomever these came. They depend on the size of the cluster
//!   and on loss far more than on the member, which is why a fixed bound would be wrong for some cluster.
//! * **The distribution**: exponential behind a fixed part, with the mean and the deviation of the window. Whether a round
//!   brings news of a member is a draw of its own each time: beyond 30 members deviation and mean are alike. The normal distribution
//!   of the paper, made for heartbeats sent straight, thinks five seconds impossible that come once in 150 intervals.
//! * **The window** is exponential, with a weight of 1/64 for the newest, about the last minute. A ring of the last thousand
//!   intervals, as in the paper, would take 8 KB for each of a thousand members; this takes 8 bytes.
//! * **The floor** of the deviation is a quarter of a round: the intervals of a few members can be so even that the smallest
//!   hitch would look impossible.
//! * **An interval over five rounds counts as five**: one outage must not make the next one look ordinary.
//!
//! What phi decides is only when a member is probed, which is cheap to get wrong, and by sums and roots that are the same on
//! every machine.
//!
//! Source: Hayashibara et al., *The φ Accrual Failure Detector* (2004); the exponential tail is Cassandra's.

use core::f32::consts::{LN_10, LOG10_E};
use core::time::Duration;

/// Weight of the newest interval.
const WEIGHT: f32 = 1.0 / 64.0;
/// At this phi a member is probed: one interval in a thousand is longer.
const PROBE_PHI: f32 = 3.0;
/// The floor of the deviation, in rounds.
const FLOOR: f32 = 0.25;
/// The longest interval that is believed, in rounds.
const LONGEST: f32 = 5.0;

/// The intervals of one member, in rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    mean: f32,
    variance: f32,
}

impl Pace {
    /// Before the first interval: what a large cluster shows.
    pub(crate) const START: Self = Self {
        mean: 1.0,
        variance: 1.0,
    };

    /// Counts one more interval.
    pub(crate) fn sample(&mut self, interval: Duration, round: Duration) {
        let rounds = (interval.as_secs_f32() / round.as_secs_f32()).min(LONGEST);
        let off = rounds - self.mean;
        self.mean += WEIGHT * off;
        self.variance = (1.0 - WEIGHT) * (self.variance + WEIGHT * off * off);
    }

    fn deviation(self) -> f32 {
        self.variance.sqrt().max(FLOOR)
    }

    /// How long a silence has to be for a probe, within bounds.
    pub(crate) fn probe_after(self, round: Duration, least: Duration, most: Duration) -> Duration {
        let deviation = self.deviation();
        let rounds = self.mean + deviation * (PROBE_PHI * LN_10 - 1.0);
        // The factor is positive and small: no interval is over five rounds.
        round.mul_f32(rounds).min(most).max(least)
    }

    /// Phi of a silence: 1 if one interval in ten is longer, 2 if one in a hundred. From 0 to 99.
    pub(crate) fn phi(self, silence: Duration, round: Duration) -> f32 {
        let rounds = silence.as_secs_f32() / round.as_secs_f32();
        let beyond = (rounds - self.mean) / self.deviation() + 1.0;
        (beyond * LOG10_E).clamp(0.0, 99.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_secs(1);

    fn after(intervals: impl Iterator<Item = u64>) -> Pace {
        let mut pace = Pace::START;
        for millis in intervals {
            pace.sample(Duration::from_millis(millis), ROUND);
        }
        pace
    }

    fn probe_after(pace: Pace) -> Duration {
        pace.probe_after(ROUND, Duration::ZERO, Duration::from_secs(60))
    }

    #[test]
    fn an_even_pace_is_doubted_sooner_than_an_uneven_one() {
        let even = after((0..500).map(|_| 1_000));
        let uneven = after((0..500).map(|i| if i % 2 == 0 { 100 } else { 1_900 }));
        assert!(probe_after(even) < Duration::from_millis(2_600));
        assert!(probe_after(uneven) > Duration::from_millis(6_000));
    }

    #[test]
    fn one_outage_does_not_make_the_next_one_look_ordinary() {
        let before = after((0..500).map(|_| 1_000));
        let outage = after((0..500).map(|_| 1_000).chain([600_000]));
        assert!(probe_after(outage) < 2 * probe_after(before));
    }

    #[test]
    fn phi_grows_with_the_silence_and_has_an_end() {
        let pace = after((0..500).map(|_| 1_000));
        let phi = |millis| pace.phi(Duration::from_millis(millis), ROUND);
        assert_eq!(phi(0).to_bits(), 0.0_f32.to_bits());
        assert!(phi(1_000) < 0.5);
        assert!(phi(1_500) < phi(2_500) && phi(2_500) < phi(9_000));
        assert!(phi(u64::MAX) <= 99.0);
    }

    #[test]
    fn phi_says_how_many_exponential_intervals_are_longer() {
        // Quantiles of an exponential distribution with mean 1, in a fixed and mixed order.
        let quantile = |i: u32| -(1.0 - f64::from(i * 37 % 1_000) / 1_000.0).ln();
        let pace = after(
            (0..20_000)
                .map(|i| u64::try_from(Duration::from_secs_f64(quantile(i)).as_millis()).unwrap()),
        );
        let phi = pace.phi(Duration::from_secs_f64(100_f64.ln()), ROUND);
        assert!(
            (1.7..2.4).contains(&phi),
            "one in a hundred is longer: {phi}"
        );
    }

    #[test]
    fn a_probe_is_due_at_phi_3() {
        let pace = after((0..500).map(|i| 500 + i % 7 * 200));
        let phi = pace.phi(probe_after(pace), ROUND);
        assert!((2.99..3.01).contains(&phi), "{phi}");
    }
}
