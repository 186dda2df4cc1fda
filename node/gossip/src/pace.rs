//! How often a member's heartbeat is seen to grow, and how unusual a silence is: phi accrual.
//!
//! ```text
//!   growth   |    |  |      |   |     |                         now
//!            '----'  '------'  mean 0.8 s, deviation 0.5 s       |
//!                                     '------ silence -----------'   phi = -log10 P(an interval is longer)
//! ```
//!
//! * **What is sampled**: the intervals between growths, from whomever these came. They depend on the size of the cluster
//!   and on loss far more than on the member, which is why a fixed bound would be wrong for some cluster.
//! * **The window** is exponential, with a weight of 1/64 for the newest, about the last minute. A ring of the last thousand
//!   intervals, as in the paper, would take 8 KB for each of a thousand members; this takes 8 bytes.
//! * **The floor** of the deviation is a quarter of a round: over a quiet network the intervals are so even that
//!   the smallest hitch would look impossible.
//! * **An interval over three rounds counts as three**: one outage must not make the next one look ordinary.
//!
//! What phi decides is only when a member is probed, which is cheap to get wrong. It decides by deviations, in sums
//! and roots that are the same on every machine; the figure itself is for people.
//!
//! Source: Hayashibara et al., *The φ Accrual Failure Detector* (2004).

use core::time::Duration;

/// Weight of the newest interval.
const WEIGHT: f32 = 1.0 / 64.0;
/// So many deviations above the mean is phi 5: one interval in 100,000 is longer.
const PROBE_DEVIATIONS: f32 = 4.26;
/// The floor of the deviation, in rounds.
const FLOOR: f32 = 0.25;
/// The longest interval that is believed, in rounds.
const LONGEST: f32 = 3.0;

/// The intervals of one member, in rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    mean: f32,
    variance: f32,
}

impl Pace {
    /// Before the first interval: what a small cluster shows without loss.
    pub(crate) const START: Self = Self {
        mean: 0.75,
        variance: 0.25,
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
        let rounds = self.mean + PROBE_DEVIATIONS * self.deviation();
        // Both factors are finite and small: an interval is at most three rounds.
        round.mul_f32(rounds).min(most).max(least)
    }

    /// Phi of a silence: 1 if one interval in ten is longer, 2 if one in a hundred. At most 99.
    pub(crate) fn phi(self, silence: Duration, round: Duration) -> f32 {
        let rounds = silence.as_secs_f32() / round.as_secs_f32();
        let y = ((rounds - self.mean) / self.deviation()).min(30.0);
        // A logistic curve that follows the normal distribution, in this tail to within a tenth of phi.
        let slope = y * (1.5976 + 0.070_566 * y * y);
        (slope.exp().ln_1p() / core::f32::consts::LN_10).clamp(0.0, 99.0)
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
        assert!(probe_after(even) < Duration::from_millis(2_200));
        assert!(probe_after(uneven) > Duration::from_millis(4_000));
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
        assert!(phi(500) < 0.1 && phi(1_000) < 0.5);
        assert!(phi(1_500) < phi(2_500) && phi(2_500) < phi(9_000));
        assert!(phi(u64::MAX) <= 99.0);
    }

    #[test]
    fn a_probe_is_due_at_phi_5() {
        let pace = after((0..500).map(|i| 500 + i % 7 * 200));
        let phi = pace.phi(probe_after(pace), ROUND);
        assert!((4.7..5.5).contains(&phi), "{phi}");
    }
}
