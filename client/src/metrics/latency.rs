//! Latencies on their way to a recorder: how many fell into each class.
//!
//! ```text
//!   microseconds   0 1 2 ... 15 | 16 17 ... 31 | 32 34 ... 62 | 64 68 ... 124 | ...
//!                  one each       one each       by twos         by fours        16 classes to the octave
//! ```
//!
//! To record is to add one to a class, a dozen instructions; a class is handed over as its middle, which is
//! within 1/32 of all that is in it. A minute is the longest, twice the longest deadline. Left out: percentiles,
//! which are the recorder's, and the sum of what was recorded.
//!
//! Source: the classes of HDR histograms (Tene, 2012), with fewer of them.

/// Classes to the octave, as a power of two.
const BITS: u32 = 4;
/// Classes to the octave.
const EACH: usize = 1 << BITS;
/// Longer latencies count as this long: 2^26 microseconds, 67 s.
const MAX_MICROS: u32 = (1 << 26) - 1;
/// How many classes there are.
const CLASSES: usize = (26 - BITS as usize + 1) * EACH;

/// Latencies by class.
#[derive(Debug)]
pub(crate) struct Latencies {
    classes: Box<[u32; CLASSES]>,
}

impl Latencies {
    /// None yet. What there will be is allocated now: to record allocates nothing.
    pub(crate) fn new() -> Self {
        Self {
            classes: Box::new([0; CLASSES]),
        }
    }

    /// One more.
    pub(crate) fn record(&mut self, micros: u64) {
        let micros = u32::try_from(micros).unwrap_or(MAX_MICROS);
        let count = &mut self.classes[class(micros.min(MAX_MICROS))];
        *count = count.saturating_add(1);
    }

    /// Takes all that there are: for each class its middle, in microseconds, and how many.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (f64, u32)> {
        let counts = self.classes.iter_mut().enumerate();
        let taken = counts.map(|(class, count)| (class, core::mem::take(count)));
        let some = taken.filter(|(_, count)| *count > 0);
        some.map(|(class, count)| (middle(class), count))
    }
}

/// The class of a latency.
const fn class(micros: u32) -> usize {
    // what is below 2^BITS has a class each; above, the first bit tells the octave and the next BITS the class
    let octave = (u32::BITS - micros.leading_zeros()).saturating_sub(BITS + 1);
    (octave as usize) * EACH + (micros >> octave) as usize
}

/// The middle of a class.
fn middle(class: usize) -> f64 {
    let octave = (class / EACH).saturating_sub(1);
    let first = (class - octave * EACH) << octave;
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
        assert_eq!(class(MAX_MICROS), CLASSES - 1);
    }

    #[test]
    fn equal_ones_share_a_class() {
        let mut latencies = Latencies::new();
        (0..1_000).for_each(|_| latencies.record(300));
        latencies.record(7);
        let all: Vec<_> = latencies.take().collect();
        assert_eq!((all[0], all[1].1), ((7.0, 1), 1_000));
    }

    proptest! {
        #[test]
        fn a_latency_is_handed_over_within_a_thirty_second_of_itself(micros in 0..=MAX_MICROS) {
            let (told, _) = recorded(micros.into());
            let exact = f64::from(micros);
            prop_assert!((told - exact).abs() <= exact / 32.0, "{exact} as {told}");
        }

        #[test]
        fn classes_are_in_the_order_of_their_latencies(a in 0..=MAX_MICROS, b in 0..=MAX_MICROS) {
            prop_assert!((a <= b) <= (class(a) <= class(b)));
        }
    }
}
