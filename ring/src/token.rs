//! The circle: tokens, leaves, and the hash that places a key.
//!
//! ```text
//!        token 0
//!      .---+---.            a token is a 64-bit place on the circle;
//!    /     |     \          a leaf is one of 2^bits equal cuts of it
//!   |      |      |         (the token's top bits);
//!    \           /          virtual nodes and Merkle leaves both sit on
//!      '-------'            leaf boundaries, so they never disagree
//! ```
//!
//! Everything above tokens works with whole leaves. A key that holds a `{tag}` is placed by its tag
//! alone, so that related keys share replicas.
//!
//! Left out: ownership of a leaf ([`placement`](crate::placement)).
//!
//! Source: Dynamo (2007), section 4.2; Aumasson and Bernstein, *SipHash: a fast short-input PRF* (2012),
//! of which this is the 1-3 variant; tags are those of Redis Cluster.

use core::fmt;
use core::hash::Hasher as _;
use core::ops::RangeInclusive;

use siphasher::sip::SipHasher13;

/// Most leaf bits a cluster may use: 2^20 leaves keep a Merkle tree in about 17 MiB.
pub const MAX_LEAF_BITS: u8 = 20;

/// The key of a cluster's token hash: random, 16 bytes, fixed for the cluster's life.
///
/// Every member and client knows it, and nobody else: an outsider who can choose the names of keys, but
/// is no client, cannot choose many that fall on one node. Against a client it is no defence.
#[derive(Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct TokenKey(pub [u8; 16]);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// A place on the circle, 0 to 2^64 - 1, clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// One of the circle's 2^bits equal cuts, 0 to 2^bits - 1; a token's leaf is its top bits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Leaf(pub u32);

/// How finely a cluster cuts its circle: 2^bits leaves, 1 to [`MAX_LEAF_BITS`] bits. Fewer are for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafBits(u8);

impl LeafBits {
    /// The cut of a real cluster: 2^20 leaves.
    pub const FULL: Self = Self(MAX_LEAF_BITS);

    /// A cut of 2^`bits` leaves, or `None` outside 1 to [`MAX_LEAF_BITS`].
    ///
    /// ```
    /// # use quoit_ring::LeafBits;
    /// assert_eq!(LeafBits::new(20), Some(LeafBits::FULL));
    /// assert_eq!(LeafBits::new(21), None);
    /// ```
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        if bits >= 1 && bits <= MAX_LEAF_BITS {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// The number of bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The number of leaves, 2^bits.
    #[must_use]
    pub const fn count(self) -> u32 {
        1 << self.0
    }

    /// The leaf that holds `token`.
    ///
    /// ```
    /// # use quoit_ring::{Leaf, LeafBits, Token};
    /// assert_eq!(LeafBits::FULL.leaf_of(Token(u64::MAX)), Leaf((1 << 20) - 1));
    /// ```
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most 20 bits are left")]
    pub const fn leaf_of(self, token: Token) -> Leaf {
        Leaf((token.0 >> (64 - self.0)) as u32)
    }

    /// The first token of `leaf`. Bits of a leaf outside the circle are lost.
    ///
    /// ```
    /// # use quoit_ring::{Leaf, LeafBits, Token};
    /// let quarters = LeafBits::new(2).unwrap();
    /// assert_eq!(quarters.start_of(Leaf(3)), Token(0xc000_0000_0000_0000));
    /// assert_eq!(quarters.leaf_of(quarters.start_of(Leaf(3))), Leaf(3));
    /// ```
    #[must_use]
    pub const fn start_of(self, leaf: Leaf) -> Token {
        Token((leaf.0 as u64) << (64 - self.0))
    }
}

/// Ranges of leaves in ascending order, neighbours as one.
///
/// ```
/// # use quoit_ring::Leaf;
/// # use quoit_ring::token::runs_of;
/// let ranges = [Leaf(1)..=Leaf(3), Leaf(4)..=Leaf(4), Leaf(7)..=Leaf(9)];
/// assert_eq!(runs_of(ranges), [Leaf(1)..=Leaf(4), Leaf(7)..=Leaf(9)]);
/// ```
#[must_use]
pub fn runs_of(
    ranges: impl IntoIterator<Item = RangeInclusive<Leaf>>,
) -> Vec<RangeInclusive<Leaf>> {
    let mut runs: Vec<RangeInclusive<Leaf>> = Vec::new();
    for range in ranges {
        match runs.last_mut() {
            Some(run) if run.end().0 + 1 == range.start().0 => *run = *run.start()..=*range.end(),
            _ => runs.push(range),
        }
    }
    runs
}

/// Hashes `key` onto the circle with SipHash-1-3 under the cluster's key.
///
/// If `key` holds a non-empty `{tag}` (the first `{` and the first `}` behind it), only the tag is
/// hashed: `user:{42}:cart` and `user:{42}:name` share their replicas.
///
/// ```
/// # use quoit_ring::{token_of, TokenKey};
/// let cluster = TokenKey([7; 16]);
/// assert_eq!(token_of(&cluster, b"user:{42}:cart"), token_of(&cluster, b"{42}"));
/// assert_ne!(token_of(&cluster, b"user:42:cart"), token_of(&cluster, b"user:42:name"));
/// ```
#[must_use]
pub fn token_of(cluster: &TokenKey, key: &[u8]) -> Token {
    let mut hasher = SipHasher13::new_with_key(&cluster.0);
    hasher.write(tag_of(key));
    Token(hasher.finish())
}

/// The bytes of `key` that place it: what stands in its `{tag}` if it holds a non-empty one, else all of it.
///
/// ```
/// # use quoit_ring::token::tag_of;
/// assert_eq!(tag_of(b"user:{42}:cart"), b"42");
/// assert_eq!(tag_of(b"user:{}:cart"), b"user:{}:cart");
/// ```
#[must_use]
pub fn tag_of(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&b| b == b'{') else {
        return key;
    };
    let behind = &key[open + 1..];
    match behind.iter().position(|&b| b == b'}') {
        None | Some(0) => key,
        Some(close) => &behind[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: TokenKey = TokenKey([1; 16]);

    #[test]
    fn an_empty_or_open_tag_is_no_tag() {
        assert_eq!(tag_of(b"a{}b"), b"a{}b");
        assert_eq!(tag_of(b"a{b"), b"a{b");
        assert_eq!(tag_of(b"a{b}c}"), b"b");
        assert_eq!(tag_of(b"{{x}}"), b"{x");
    }

    #[test]
    fn a_leaf_starts_where_its_first_token_lies() {
        for bits in 1..=MAX_LEAF_BITS {
            let cut = LeafBits::new(bits).unwrap();
            for leaf in [0, 1, cut.count() - 1] {
                assert_eq!(cut.leaf_of(cut.start_of(Leaf(leaf))), Leaf(leaf));
            }
        }
    }

    #[test]
    fn tokens_are_golden() {
        assert_eq!(token_of(&KEY, b"quoit"), Token(GOLDEN));
    }

    /// Changing this number moves every key of every cluster.
    const GOLDEN: u64 = 12_444_200_328_248_908_342;
}
