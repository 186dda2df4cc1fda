//! A histogram of latencies, on its way to a recorder.
//!
//! ```text
//!   microseconds   0 1 2 ... 15 | 16 17 ... 31 | 32 34 ... 62 | 64 68 ... 124 | ...
//!                  one each       one each       by twos         by fours        16 buckets per octave
//! ```
//!
//! Recording adds one to a bucket, a dozen instructions. A bucket is published as its middle, within 1/32 of every
//! latency in it. The longest is about a minute, twice the longest deadline. Left out: percentiles, which the recorder
//! computes, and the sum.
//!
//! Source: the buckets of HDR histograms (Tene, 2012), with fewer of them.

/// Buckets per octave, as a power of two.
const BITS: u32 = 4;
/// Buckets per octave.
const EACH: usize = 1 << BITS;
/// Longer latencies count as this long: 2^26 microseconds, 67 s.
const MAX_MICROS: u32 = (1 << 26) - 1;
/// The number of buckets.
const BUCKETS: usize = (26 - BITS as usize + 1) * EACH;

/// Counts of latencies by bucket.
#[derive(Debug)]
pub(crate) struct Latencies {
    buckets: Box<[u32; BUCKETS]>,
}

impl Latencies {
    /// An empty histogram. All memory is allocated here: recording allocates nothing.
    pub(crate) fn new() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
        }
    }

    /// Records a latency.
    pub(crate) fn record(&mut self, micros: u64) {
        let micros = u32::try_from(micros).unwrap_or(MAX_MICROS);
        let count = &mut self.buckets[bucket(micros.min(MAX_MICROS))];
        *count = count.saturating_add(1);
    }

    /// Takes all counts: the middle of each bucket, in microseconds, and its count.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (f64, u32)> {
        let counts = self.buckets.iter_mut().enumerate();
        let taken = counts.map(|(bucket, count)| (bucket, core::mem::take(count)));
        let some = taken.filter(|(_, count)| *count > 0);
        some.map(|(bucket, count)| (middle(bucket), count))
    }
}

/// The bucket of a latency.
const fn bucket(micros: u32) -> usize {
    // Below 2^BITS each value has its own bucket. Above, the first bit is the octave and the next BITS are the bucket.
    let octave = (u32::BITS - micros.leading_zeros()).saturating_sub(BITS + 1);
    (octave as usize) * EACH + (micros >> octave) as usize
}

/// The middle of a bucket.
fn middle(bucket: usize) -> f64 {
    let octave = (bucket / EACH).saturating_sub(1);
    let first = (bucket - octave * EACH) << octave;
    let width = 1_usize << octave;
    #[expect(
        clippy::cast_precision_loss,
        reason = "below 2^27, which a double holds exactly"
    )]
    let (first, width) = (first as f64, width as f64);
    first + (width - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recorded(micros: u64) -> (f64, u32) {
        let mut latencies = Latencies::new();
        latencies.record(micros);
        let all: Vec<_> = latencies.take().collect();
        assert_eq!(latencies.take().count(), 0, "taken");
        assert_eq!(all.len(), 1);
        all[0]
    }

    #[test]
    fn short_latencies_are_exact_and_the_longest_are_counted_as_a_minute() {
        for micros in 0..32_u32 {
            assert_eq!(recorded(micros.into()).0, f64::from(micros));
        }
        let (longest, count) = recorded(u64::MAX);
        assert!((60e6..68e6).contains(&longest) && count == 1, "{longest}");
        assert_eq!(bucket(MAX_MICROS), BUCKETS - 1);
    }

    #[test]
    fn equal_ones_share_a_bucket() {
        let mut latencies = Latencies::new();
        (0..1_000).for_each(|_| latencies.record(300));
        latencies.record(7);
        let all: Vec<_> = latencies.take().collect();
        assert_eq!((all[0], all[1].1), ((7.0, 1), 1_000));
    }

    proptest! {
        #[test]
        fn a_latency_is_published_within_a_thirty_second_of_itself(micros in 0..=MAX_MICROS) {
            let (published, _) = recorded(micros.into());
            let exact = f64::from(micros);
            prop_assert!((published - exact).abs() <= exact / 32.0, "{exact} as {published}");
        }

        #[test]
        fn buckets_are_in_the_order_of_their_latencies(a in 0..=MAX_MICROS, b in 0..=MAX_MICROS) {
            prop_assert!((a <= b) <= (bucket(a) <= bucket(b)));
        }
    }
}
