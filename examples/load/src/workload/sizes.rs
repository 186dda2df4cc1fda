//! How many bytes a value has.
//!
//! ```text
//!   100               all alike               1KiB..16KiB    any in between, both ends included
//!   lognormal:1KiB:1.2    half of them below the median, a long tail above; cut at 1 MiB
//! ```
//!
//! Sizes of objects in caches and stores are close to lognormal (Atikoglu et al., *Workload Analysis of a
//! Large-Scale Key-Value Store*, 2012). Invariant: 1 byte to [`MOST`], the default bound of clients and nodes.

use std::fmt;
use std::str::FromStr;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng as _};
use rand_distr::{Distribution as _, LogNormal};

/// Most bytes of a value: 1 MiB.
const MOST: usize = 1 << 20;

/// How large values are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sizes {
    /// All alike.
    Fixed(usize),
    /// Any size from the first to the second.
    Uniform(usize, usize),
    /// A long tail.
    LogNormal {
        /// Half of them are smaller.
        median: usize,
        /// How wide they spread: the standard deviation of the logarithm.
        sigma: f64,
        /// Draws them.
        draws: LogNormal<f64>,
    },
}

impl Sizes {
    /// A size.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> usize {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Uniform(from, to) => rng.random_range(*from..=*to),
            Self::LogNormal { draws, .. } => cut(draws.sample(rng)),
        }
    }

    /// The size of the value that a key is loaded with: the same for every run of a seed.
    pub(crate) fn of(&self, seed: u64, key: u64) -> usize {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Uniform(..) | Self::LogNormal { .. } => {
                let mixed = seed ^ key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                self.draw(&mut SmallRng::seed_from_u64(mixed))
            }
        }
    }

    /// The smallest that can come.
    pub(crate) const fn least(&self) -> usize {
        match self {
            Self::Fixed(bytes) | Self::Uniform(bytes, _) => *bytes,
            Self::LogNormal { .. } => 1,
        }
    }

    /// The largest that can come.
    pub(crate) const fn most(&self) -> usize {
        match self {
            Self::Fixed(bytes) | Self::Uniform(_, bytes) => *bytes,
            Self::LogNormal { .. } => MOST,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded; what is too large saturates, and is cut"
)]
fn cut(bytes: f64) -> usize {
    (bytes.round() as usize).clamp(1, MOST)
}

fn size(text: &str) -> Option<usize> {
    let (digits, factor) = match text.strip_suffix("KiB") {
        Some(digits) => (digits, 1 << 10),
        None => text
            .strip_suffix("MiB")
            .map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let bytes = digits.parse::<usize>().ok()?.checked_mul(factor)?;
    (1..=MOST).contains(&bytes).then_some(bytes)
}

fn range(text: &str) -> Option<Sizes> {
    let (from, to) = text.split_once("..")?;
    let (from, to) = (size(from)?, size(to)?);
    (from <= to).then_some(Sizes::Uniform(from, to))
}

#[expect(clippy::cast_precision_loss, reason = "a size is at most 2^20")]
fn log_normal(text: &str) -> Option<Sizes> {
    let (median, sigma) = text.strip_prefix("lognormal:")?.split_once(':')?;
    let (median, sigma) = (size(median)?, sigma.parse::<f64>().ok()?);
    let draws = LogNormal::new((median as f64).ln(), sigma).ok()?;
    (0.0..=5.0).contains(&sigma).then_some(Sizes::LogNormal {
        median,
        sigma,
        draws,
    })
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sizes = size(text)
            .map(Self::Fixed)
            .or_else(|| range(text))
            .or_else(|| log_normal(text));
        sizes.ok_or_else(|| {
            format!(
                "`{text}` is no size: write 100, 4KiB, 100..4KiB or lognormal:1KiB:1.2 (median and spread, 0 to 5), \
                 from 1 byte to 1MiB"
            )
        })
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(f, "{bytes} B"),
            Self::Uniform(from, to) => write!(f, "{from} to {to} B"),
            Self::LogNormal { median, sigma, .. } => {
                write!(f, "lognormal, median {median} B, sigma {sigma}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str) -> Vec<usize> {
        let sizes: Sizes = text.parse().unwrap();
        let mut rng = SmallRng::seed_from_u64(3);
        let mut drawn: Vec<usize> = (0..20_000).map(|_| sizes.draw(&mut rng)).collect();
        drawn.sort_unstable();
        assert!(drawn[0] >= sizes.least() && drawn[19_999] <= sizes.most());
        drawn
    }

    #[test]
    fn fixed_and_uniform_sizes_are_what_they_say() {
        assert!(drawn("4KiB").iter().all(|bytes| *bytes == 4096));
        let uniform = drawn("100..200");
        assert_eq!((uniform[0], uniform[19_999]), (100, 200));
        assert!(uniform[10_000].abs_diff(150) <= 2);
    }

    #[test]
    fn lognormal_sizes_have_their_median_and_a_long_tail_that_is_cut() {
        let narrow = drawn("lognormal:1KiB:1");
        assert!(narrow[10_000].abs_diff(1024) < 40, "{}", narrow[10_000]);
        // One standard deviation above the median is e times it.
        assert!(narrow[16_827].abs_diff(2784) < 150, "{}", narrow[16_827]);
        let wide = drawn("lognormal:64KiB:3");
        assert_eq!(wide[19_999], MOST);
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "0",
            "1.5KiB",
            "2MiB",
            "20..10",
            "lognormal:100",
            "lognormal:100:-1",
            "lognormal:0:1",
            "lognormal:1:NaN",
        ] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
    }
}
