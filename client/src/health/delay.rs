//! A node's delay: running estimates of its mean and its spread, and from both a p95.
//!
//! ```text
//!   error      = sample - mean
//!   mean      += error / 8
//!   deviation += (|error| - deviation) / 16
//!   p95       ~  mean + 4 deviations
//! ```
//!
//! This is the estimator of TCP's retransmission timeout. Sums are scaled by eight and sixteen, so that small errors are
//! not rounded away. Left out: which node the delay belongs to, and the time of a sample.
//!
//! Source: Jacobson and Karels, *Congestion Avoidance and Control* (1988), appendix A; RFC 6298, section 2;
//! RFC 7323, appendix G, for the gains when samples are many.

/// Cap on a sample, in microseconds: a minute, twice the longest deadline.
pub(crate) const MAX_DELAY: u64 = 60_000_000;

/// The mean moves by one in this many parts of the error.
const MEAN_PARTS: u64 = 8;
/// The deviation moves by one in this many parts of the error. RFC 6298 takes a quarter, for one sample per round trip.
/// Here several requests are under way at once, and so large a gain would forget the last slow answer within one batch
/// of quick ones.
const DEVIATION_PARTS: u64 = 16;
/// Deviations above the mean that stand for the p95. Four are the 98th percentile of an exponential distribution and
/// beyond the 99th of a normal one; since a read waits for the slower of two replicas, about one in twenty exceeds the
/// greater of their estimates.
const DEVIATIONS: u64 = 4;

/// Mean and mean deviation of a delay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delay {
    /// Mean and mean deviation, in parts of a microsecond; `None` before the first sample.
    parts: Option<(u64, u64)>,
}

impl Delay {
    /// Adds a sample: an answer took `micros`, or is outstanding for that long.
    pub(crate) fn learn(&mut self, micros: u64) {
        let sample = micros.min(MAX_DELAY);
        self.parts = Some(match self.parts {
            None => (sample * MEAN_PARTS, sample / 2 * DEVIATION_PARTS),
            Some((mean, deviation)) => {
                let error = sample.abs_diff(mean / MEAN_PARTS);
                let deviation = deviation - deviation / DEVIATION_PARTS + error;
                (mean - mean / MEAN_PARTS + sample, deviation)
            }
        });
    }

    /// The mean, in microseconds; `None` before the first sample.
    pub(crate) fn mean(self) -> Option<u64> {
        self.parts.map(|(mean, _)| mean / MEAN_PARTS)
    }

    /// The estimated p95, in microseconds; `None` before the first sample.
    pub(crate) fn p95(self) -> Option<u64> {
        self.parts.map(|(mean, deviation)| {
            mean / MEAN_PARTS + deviation.saturating_mul(DEVIATIONS) / DEVIATION_PARTS
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(samples: impl IntoIterator<Item = u64>) -> Delay {
        let mut delay = Delay::default();
        samples.into_iter().for_each(|micros| delay.learn(micros));
        delay
    }

    #[test]
    fn the_first_sample_is_the_mean_and_its_half_the_spread() {
        assert_eq!((after([]).mean(), after([]).p95()), (None, None));
        let first = after([300]);
        assert_eq!((first.mean(), first.p95()), (Some(300), Some(900)));
    }

    #[test]
    fn a_steady_delay_is_learnt_and_its_spread_vanishes() {
        let steady = after(core::iter::once(90_000).chain([250; 400]));
        assert!(steady.mean().unwrap().abs_diff(250) <= 8, "{steady:?}");
        assert!(steady.p95().unwrap() <= 330, "{steady:?}");
    }

    #[test]
    fn one_slow_answer_raises_the_mean_by_an_eighth_and_the_95th_percentile_by_more() {
        let mut delay = after([200; 200]);
        let before = delay.p95().unwrap();
        delay.learn(100_200);
        assert!(
            (12_500..12_800).contains(&delay.mean().unwrap()),
            "{delay:?}"
        );
        assert!(delay.p95().unwrap() > before + 30_000);
    }

    #[test]
    fn about_one_answer_in_fifty_exceeds_the_estimate_of_an_exponential_delay() {
        let (mut delay, mut random, mut over) = (Delay::default(), 1_u64, 0);
        for _ in 0..100_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // 2^-(leading zeros) is exponential, made smooth by the bits that follow them
            let zeros = u64::from(random.leading_zeros());
            let rest = (random << (zeros + 1)) >> 54;
            let micros = zeros * 700 + (1_023 - rest) * 700 / 1_024;
            over += u32::from(delay.p95().is_some_and(|p95| micros > p95));
            delay.learn(micros);
        }
        assert!((1_000..5_000).contains(&over), "{over} of 100,000");
    }

    proptest! {
        #[test]
        fn estimates_stay_between_the_samples_and_never_overflow(
            samples in proptest::collection::vec(
                prop_oneof![any::<u64>(), Just(u64::MAX), Just(0), 0_u64..2_000], 1..300),
        ) {
            let delay = after(samples.iter().copied());
            let (least, most) = (samples.iter().min().unwrap(), samples.iter().max().unwrap());
            let (mean, p95) = (delay.mean().unwrap(), delay.p95().unwrap());
            prop_assert!(mean <= MAX_DELAY.min(*most) && p95 <= 5 * MAX_DELAY);
            prop_assert!(mean >= *least.min(&MAX_DELAY), "{mean} is below {least}");
            prop_assert!(p95 >= mean);
        }
    }
}
