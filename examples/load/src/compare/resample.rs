//! How much the seconds of one run differ: a block bootstrap over its time line.
//!
//! ```text
//!   slices   a b c d e f g h i j        blocks of neighbours, drawn with replacement, the end joined to
//!   draw     c d e | h i j | a b c      the beginning, until as many slices as before
//! ```
//!
//! Blocks, since a slow second is followed by slow ones (a compaction, a neighbour on the machine): single
//! slices drawn alone would take them for independent and give intervals that are too narrow. Blocks are n^(1/3)
//! slices, rounded up (Politis and Romano 1992, *A circular block-resampling procedure for stationary data*).
//! There are few blocks in a short run, so the error is widened by as much as Student's t is wider than the
//! normal distribution for their number. The seed is fixed. Left out: time lines of fewer than eight slices, which tell too little.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::estimate::{Z, student_t};

const DRAWS: usize = 2000;
const SEED: u64 = 0x71_75_6f_69_74;
const FEWEST: usize = 8;

/// A slice's part of a sum and of what that is divided by: operations and seconds, say.
pub(super) type Part = (f64, f64);

/// The mean of `parts`, the sum of the first over the sum of the second, and its standard error, such that
/// [`Z`] of them on each side are a 95 % interval.
pub(super) fn mean_and_error(parts: &[Part]) -> Option<(f64, f64)> {
    if parts.len() < FEWEST {
        return None;
    }
    let mean = quotient(parts.iter());
    let mut rng = SmallRng::seed_from_u64(SEED);
    let squares = (0..DRAWS).map(|_| (draw(parts, &mut rng) - mean).powi(2));
    let blocks = parts.len() as f64 / block(parts) as f64;
    let widened = student_t(blocks - 1.0) / Z;
    let error = (squares.sum::<f64>() / DRAWS as f64).sqrt() * widened;
    (mean.is_finite() && error.is_finite()).then_some((mean, error))
}

fn draw(parts: &[Part], rng: &mut SmallRng) -> f64 {
    let length = block(parts);
    let blocks = parts.len().div_ceil(length);
    let starts = (0..blocks).map(|_| rng.random_range(0..parts.len()));
    let drawn = starts.flat_map(|start| parts.iter().cycle().skip(start).take(length));
    quotient(drawn.take(parts.len()))
}

/// Slices in a block.
fn block(parts: &[Part]) -> usize {
    (1..)
        .find(|side: &usize| side.pow(3) >= parts.len())
        .unwrap_or(1)
}

fn quotient<'a>(parts: impl Iterator<Item = &'a Part>) -> f64 {
    let (above, below) = parts.fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(values: impl IntoIterator<Item = f64>) -> Vec<Part> {
        values.into_iter().map(|value| (value, 1.0)).collect()
    }

    #[test]
    fn independent_slices_have_the_error_that_statistics_expects() {
        let mut rng = SmallRng::seed_from_u64(5);
        let values: Vec<f64> = (0..1000).map(|_| rng.random::<f64>()).collect();
        let (mean, error) = mean_and_error(&ones(values)).unwrap();
        let expected = (1.0_f64 / 12.0 / 1000.0).sqrt();
        assert!((mean - 0.5).abs() < 0.05);
        assert!((error / expected - 1.0).abs() < 0.2, "{error} {expected}");
    }

    #[test]
    fn slow_seconds_in_a_row_make_the_error_larger_than_the_same_ones_scattered() {
        let row = ones((0..64).map(|at| if (20..32).contains(&at) { 50.0 } else { 100.0 }));
        let scattered = ones((0..64).map(|at| if at % 5 == 0 && at < 60 { 50.0 } else { 100.0 }));
        let [row, scattered] = [row, scattered].map(|parts| mean_and_error(&parts).unwrap());
        assert!(row.1 > 1.4 * scattered.1, "{row:?} {scattered:?}");
    }

    #[test]
    fn the_same_slices_always_give_the_same_error() {
        let parts = ones((0..30).map(f64::from));
        assert_eq!(mean_and_error(&parts), mean_and_error(&parts));
    }

    #[test]
    fn few_or_empty_slices_tell_nothing() {
        assert_eq!(mean_and_error(&ones([1.0; 7])), None);
        assert_eq!(mean_and_error(&[(0.0, 0.0); 20]), None);
    }
}
