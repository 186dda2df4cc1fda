//! Ballots of a register: when a proposer began its attempt.

use bincode::{Decode, Encode};

use crate::clock::Time;

/// A proposer's attempt. No two have the same: the second half is random, as wide as a writer's name.
///
/// A ballot is a time, so no proposer can take it so high that nobody comes after: a stamp too far ahead is refused as a put's is.
///
/// ```
/// # use quoit_ring::Time;
/// use quoit_ring::register::Ballot;
///
/// let (first, second) = (Ballot { time: Time(7), unique: 9 }, Ballot { time: Time(8), unique: 1 });
/// assert!(Ballot::ZERO < first && first < second);
/// assert!(first < Ballot::last_of(Time(7)) && Ballot::last_of(Time(7)) < second);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct Ballot {
    /// The proposer's clock, above all that it has seen.
    pub time: Time,
    /// Random.
    pub unique: u64,
}

impl Ballot {
    /// Below every ballot.
    pub const ZERO: Self = Self {
        time: Time::ZERO,
        unique: 0,
    };

    /// The same proposer's next one. Nothing lies between the two, so whoever has accepted this one takes nothing below the next.
    /// None at the end of the numbers.
    ///
    /// ```
    /// # use quoit_ring::Time;
    /// use quoit_ring::register::Ballot;
    ///
    /// let first = Ballot { time: Time(7), unique: 9 };
    /// assert!(first < first.next().unwrap() && first.next().unwrap() < Ballot::last_of(Time(7)));
    /// assert_eq!(Ballot::last_of(Time(7)).next(), None);
    /// ```
    #[must_use]
    pub fn next(self) -> Option<Self> {
        let unique = self.unique.checked_add(1)?;
        Some(Self { unique, ..self })
    }

    /// No ballot of this time is higher.
    #[must_use]
    pub const fn last_of(time: Time) -> Self {
        Self {
            time,
            unique: u64::MAX,
        }
    }
}
