//! Which key: how popular each of them is.
//!
//! ```text
//!   uniform     all alike                         latest      zipfian, counted back from the newest
//!   zipfian     the k-th popular 1/k^0.99 times   hotspot     a share of the keys, a share of the operations
//!               as often, scattered by a hash     sequential  one behind the other, round and round
//! ```
//!
//! Zipfian is YCSB's *scrambled* one: a rank is drawn among 10^10, whatever the number of keys, and
//! hashed onto them, so that popular keys lie anywhere and two runs with different numbers of keys are
//! equally skewed. Inserts append keys; uniform and latest use them, the others stay with the keys that
//! were there at the start, since a hash onto a growing number of keys would move the popular ones.
//!
//! Source: YCSB's `ScrambledZipfianGenerator`, `SkewedLatestGenerator` and `HotspotIntegerGenerator`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use rand::Rng;
use rand_distr::{Distribution as _, Zipf};

/// YCSB's skew.
const SKEW: f64 = 0.99;
/// YCSB's number of ranks behind scrambled keys.
const RANKS: f64 = 1e10;

/// How popular each key is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Distribution {
    /// All alike.
    Uniform,
    /// A few are very popular, and lie anywhere.
    Zipfian,
    /// The newest are the most popular.
    Latest,
    /// The first `keys` of all keys get `operations` of all operations; both are shares.
    Hotspot {
        /// Share of the keys that are hot.
        keys: f64,
        /// Share of the operations that go to them.
        operations: f64,
    },
    /// One behind the other.
    Sequential,
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uniform" => Ok(Self::Uniform),
            "zipfian" => Ok(Self::Zipfian),
            "latest" => Ok(Self::Latest),
            "sequential" => Ok(Self::Sequential),
            _ => hotspot(text).ok_or_else(|| {
                format!(
                    "`{text}` is no distribution: uniform, zipfian, latest, sequential or hotspot:KEYS:OPERATIONS \
                     with two shares, such as hotspot:0.1:0.9"
                )
            }),
        }
    }
}

fn hotspot(text: &str) -> Option<Distribution> {
    let (keys, operations) = text.strip_prefix("hotspot:")?.split_once(':')?;
    let share = |text: &str| {
        text.parse()
            .ok()
            .filter(|share| (0.0..=1.0).contains(share))
    };
    let (keys, operations): (f64, f64) = (share(keys)?, share(operations)?);
    // With no hot key, or only hot ones, there is nothing to choose between.
    (keys > 0.0 && keys < 1.0).then_some(Distribution::Hotspot { keys, operations })
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipfian => f.write_str("zipfian (0.99, scrambled)"),
            Self::Latest => f.write_str("latest (zipfian 0.99 from the newest)"),
            Self::Hotspot { keys, operations } => write!(f, "hotspot:{keys}:{operations}"),
            Self::Sequential => f.write_str("sequential"),
        }
    }
}

/// Draws keys.
#[derive(Debug)]
pub(super) struct Keys {
    distribution: Distribution,
    /// Keys at the start.
    first: u64,
    /// Keys that may be drawn.
    there: u64,
    /// The key that the next insert takes.
    next: u64,
    /// Inserted, but not all before them are.
    early: BTreeSet<u64>,
    turn: u64,
    ranks: Option<Zipf<f64>>,
}

impl Keys {
    /// Draws among `count` keys, at least one, and those that will be inserted.
    pub(super) fn new(distribution: Distribution, count: u64) -> Self {
        let count = count.max(1);
        let ranks = match distribution {
            Distribution::Zipfian => Zipf::new(RANKS, SKEW).ok(),
            Distribution::Latest => zipf(count),
            Distribution::Uniform | Distribution::Hotspot { .. } | Distribution::Sequential => None,
        };
        Self {
            distribution,
            first: count,
            there: count,
            next: count,
            early: BTreeSet::new(),
            turn: 0,
            ranks,
        }
    }

    /// How many there are, those being inserted included.
    pub(super) const fn len(&self) -> u64 {
        self.next
    }

    /// A key that is there.
    pub(super) fn draw(&mut self, rng: &mut impl Rng) -> u64 {
        match self.distribution {
            Distribution::Uniform => rng.random_range(0..self.there),
            Distribution::Zipfian => scramble(self.rank(rng)) % self.first,
            Distribution::Latest => self.there - 1 - self.rank(rng).min(self.there - 1),
            Distribution::Hotspot { keys, operations } => self.hot(keys, operations, rng),
            Distribution::Sequential => {
                let key = self.turn;
                self.turn = (key + 1) % self.first;
                key
            }
        }
    }

    /// How far from the most popular, 0 for that itself.
    fn rank(&self, rng: &mut impl Rng) -> u64 {
        self.ranks
            .as_ref()
            .map_or(0, |ranks| whole(ranks.sample(rng)).saturating_sub(1))
    }

    fn hot(&self, keys: f64, operations: f64, rng: &mut impl Rng) -> u64 {
        let hot = whole(float(self.first) * keys).clamp(1, self.first);
        if hot == self.first || rng.random_bool(operations) {
            rng.random_range(0..hot)
        } else {
            rng.random_range(hot..self.first)
        }
    }

    /// A new key.
    pub(super) const fn insert(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The insert of `key` is over.
    pub(super) fn inserted(&mut self, key: u64) {
        self.early.insert(key);
        let before = self.there;
        while self.early.remove(&self.there) {
            self.there += 1;
        }
        if self.there > before && self.distribution == Distribution::Latest {
            self.ranks = zipf(self.there);
        }
    }
}

/// Ranks from 1 to `count`.
fn zipf(count: u64) -> Option<Zipf<f64>> {
    Zipf::new(float(count), SKEW).ok()
}

/// FNV-1a over the eight bytes of `rank`, as YCSB scatters its ranks.
fn scramble(rank: u64) -> u64 {
    const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01B3;
    rank.to_le_bytes().iter().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of keys lie far below 2^53"
)]
const fn float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are whole and positive, and a float too large saturates"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests;
