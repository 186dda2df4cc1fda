//! The hand of a change: the arc of the circle that moves now.
//!
//! ```text
//!   going on    0 1 2 [3] 4 5        0 1 2: target   3: both   4 5: source
//!   turned      0 1 2 [3] 4 5        what was source is the target now: 4 5: target   3: both   0 1 2: source
//! ```
//!
//! A change is reverted by turning the hand round: source and target are exchanged, and it goes back over the arcs that
//! had moved. So nothing needs to be undone but by the very steps that did it.
//!
//! Invariant: the hand is on one of its arcs; an arc is a whole number of leaves.

use bincode::{Decode, Encode};

use crate::token::{Leaf, LeafBits};

/// On how many arcs the circle is cut for a change: a power of two, 1 to 16. More move less data at a time; each costs a
/// round of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode)]
pub struct Arcs(u8);

impl Arcs {
    /// As many as a cluster uses: with 16 a step moves a sixteenth of what the change does.
    pub const FULL: Self = Self(16);

    /// So many, or `None` unless that is 1, 2, 4, 8 or 16.
    ///
    /// ```
    /// # use quoit_ring::change::Arcs;
    /// assert_eq!(Arcs::new(16), Some(Arcs::FULL));
    /// assert_eq!((Arcs::new(0), Arcs::new(3), Arcs::new(32)), (None, None, None));
    /// ```
    #[must_use]
    pub const fn new(count: u8) -> Option<Self> {
        if count.is_power_of_two() && count <= 16 {
            Some(Self(count))
        } else {
            None
        }
    }

    /// How many they are.
    #[must_use]
    pub const fn count(self) -> u8 {
        self.0
    }

    /// The arc of `leaf`. A circle of fewer leaves than arcs leaves arcs empty.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most 16 arcs")]
    pub const fn of(self, leaf: Leaf, bits: LeafBits) -> u8 {
        ((leaf.0 as u64 * self.0 as u64) >> bits.bits()) as u8
    }

    /// The leaves of an arc, without the end: none if there are fewer leaves than arcs and this one got none.
    ///
    /// ```
    /// # use quoit_ring::LeafBits;
    /// # use quoit_ring::change::Arcs;
    /// let bits = LeafBits::new(10).unwrap();
    /// assert_eq!(Arcs::FULL.leaves(15, bits), 960..1024);
    /// ```
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most all leaves, which are numbered by a u32"
    )]
    pub fn leaves(self, arc: u8, bits: LeafBits) -> core::ops::Range<u32> {
        let first = |arc: u64| (arc << bits.bits()).div_ceil(u64::from(self.0)) as u32;
        first(u64::from(arc))..first(u64::from(arc) + 1)
    }
}

/// By which map a leaf goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// By the one before the change.
    Source,
    /// By both: it is moving.
    Both,
    /// By the one after it.
    Target,
}

/// Where a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode)]
pub struct Hand {
    at: u8,
    arcs: Arcs,
    is_turned: bool,
}

impl Hand {
    /// The hand on the first arc.
    #[must_use]
    pub const fn on_first(arcs: Arcs) -> Self {
        Self {
            at: 0,
            arcs,
            is_turned: false,
        }
    }

    /// The arc that moves, 0 to 15.
    #[must_use]
    pub const fn arc(self) -> u8 {
        self.at
    }

    /// How many arcs there are.
    #[must_use]
    pub const fn arcs(self) -> Arcs {
        self.arcs
    }

    /// Whether it goes back over what had moved.
    #[must_use]
    pub const fn is_turned(self) -> bool {
        self.is_turned
    }

    /// By which map `leaf` goes.
    ///
    /// ```
    /// # use quoit_ring::{Leaf, LeafBits};
    /// # use quoit_ring::change::{Arcs, Hand, Side};
    /// let bits = LeafBits::new(4).unwrap();
    /// let hand = Hand::on_first(Arcs::new(4).unwrap()).next().unwrap();
    /// let sides = [3, 4, 7, 8].map(|leaf| hand.side(Leaf(leaf), bits));
    /// assert_eq!(sides, [Side::Target, Side::Both, Side::Both, Side::Source]);
    /// ```
    #[must_use]
    pub const fn side(self, leaf: Leaf, bits: LeafBits) -> Side {
        let arc = self.arcs.of(leaf, bits);
        if arc == self.at {
            Side::Both
        } else if (arc < self.at) != self.is_turned {
            Side::Target
        } else {
            Side::Source
        }
    }

    /// The hand on the next arc, or `None` if this was the last: then all goes by the target.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        let last = if self.is_turned { 0 } else { self.arcs.0 - 1 };
        if self.at == last {
            return None;
        }
        let at = if self.is_turned {
            self.at - 1
        } else {
            self.at + 1
        };
        Some(Self { at, ..self })
    }

    /// The hand of the opposite change, on the same arc: its source is this one's target.
    ///
    /// ```
    /// # use quoit_ring::change::{Arcs, Hand};
    /// let first = Hand::on_first(Arcs::FULL);
    /// assert_eq!(first.turned().next(), None, "nothing else had moved");
    /// assert_eq!(first.turned().turned(), first);
    /// ```
    #[must_use]
    pub const fn turned(self) -> Self {
        Self {
            is_turned: !self.is_turned,
            ..self
        }
    }
}

impl<C> Decode<C> for Hand {
    fn decode<D: bincode::de::Decoder<Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let (at, arcs, is_turned) = <(u8, u8, bool)>::decode(decoder)?;
        match Arcs::new(arcs) {
            Some(arcs) if at < arcs.count() => Ok(Self {
                at,
                arcs,
                is_turned,
            }),
            _ => Err(bincode::error::DecodeError::Other("a hand beside its arcs")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hands() -> impl Strategy<Value = Hand> {
        (0_u32..5, 0_u8..16, any::<bool>()).prop_map(|(arcs, at, is_turned)| {
            let arcs = Arcs(1 << arcs);
            Hand {
                at: at % arcs.0,
                arcs,
                is_turned,
            }
        })
    }

    proptest! {
        #[test]
        fn a_leaf_goes_from_the_source_through_both_to_the_target(
            start in hands(), leaf in 0_u32..64, bits in 6_u8..8,
        ) {
            let bits = LeafBits::new(bits).unwrap();
            let mut last = start.side(Leaf(leaf), bits);
            let mut hand = start;
            while let Some(next) = hand.next() {
                let side = next.side(Leaf(leaf), bits);
                prop_assert!(side >= last, "{:?} after {:?}", side, last);
                prop_assert!((last, side) != (Side::Source, Side::Target), "it is both in between");
                (last, hand) = (side, next);
            }
            prop_assert!(last != Side::Source, "the last arc has moved");
        }

        #[test]
        fn a_turned_hand_exchanges_source_and_target(hand in hands(), leaf in 0_u32..64) {
            let bits = LeafBits::new(6).unwrap();
            let turned = match hand.turned().side(Leaf(leaf), bits) {
                Side::Source => Side::Target,
                Side::Both => Side::Both,
                Side::Target => Side::Source,
            };
            prop_assert_eq!(turned, hand.side(Leaf(leaf), bits));
        }

        #[test]
        fn it_comes_back_from_its_bytes_and_no_others_make_one(hand in hands(), bytes: [u8; 3]) {
            let config = bincode::config::standard();
            let encoded = bincode::encode_to_vec(hand, config).unwrap();
            let (back, _) = bincode::decode_from_slice::<Hand, _>(&encoded, config).unwrap();
            prop_assert_eq!(back, hand);
            if let Ok((any, _)) = bincode::decode_from_slice::<Hand, _>(&bytes, config) {
                prop_assert!(any.at < any.arcs.0 && any.arcs.0.is_power_of_two() && any.arcs.0 <= 16);
            }
        }
    }

    #[test]
    fn the_leaves_of_an_arc_are_those_that_fall_into_it() {
        for (bits, arcs) in [1, 3, 4, 6]
            .into_iter()
            .flat_map(|bits| [1, 2, 16].map(|arcs| (bits, arcs)))
        {
            let Some(bits) = LeafBits::new(bits) else {
                continue;
            };
            let arcs = Arcs(arcs);
            for arc in 0..arcs.count() {
                let within = (0..bits.count()).filter(|&leaf| arcs.of(Leaf(leaf), bits) == arc);
                assert!(within.eq(arcs.leaves(arc, bits)), "{bits:?} {arcs:?} {arc}");
            }
        }
    }

    #[test]
    fn arcs_are_equal_parts_of_the_circle() {
        let bits = LeafBits::new(6).unwrap();
        for arcs in [1, 2, 4, 8, 16].map(Arcs) {
            let mut leaves = [0; 16];
            for leaf in 0..64 {
                leaves[usize::from(arcs.of(Leaf(leaf), bits))] += 1;
            }
            let each = 64 / u32::from(arcs.0);
            assert!(leaves[..usize::from(arcs.0)].iter().all(|&n| n == each));
        }
    }
}
