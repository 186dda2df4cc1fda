//! From which recovery an epoch comes, by its number alone.
//!
//! ```text
//!   bit   63 .. 48              47 .. 28                     27 .. 0
//!         times recovered       mark of the last recovery    counted on from the epoch before
//!         0                     the epoch, counted from 1
//! ```
//!
//! A cluster that is [recovered](super::Configuration::recovered) goes on by an operator's word and by no decision, so two
//! operators can recover it twice. Then there are two chains of epochs, and in each the nodes decide on their own. Whoever
//! took what he hears of one for the next epoch of the other would drop writes that were acknowledged, without a word. So a
//! recovery raises the first number, which makes its epochs later than all that the lost voters may have decided; and its mark is
//! drawn from all that it says, so that two recoveries which say something different have two marks, but for a chance of
//! one in a million. Every request, answer and message of gossip carries an epoch, so both sides notice at the first one.
//!
//! Two recoveries that say the very same are one: the same members are lost, and the same ones vote.
//!
//! Left out: what follows from it. [`Known`](super::Known) goes on to no epoch of another recovery, a node serves none, and
//! both say so. Nothing joins two such clusters again.
//!
//! Limits: 65,535 recoveries, and 2^28 epochs after each: a change of 17 epochs every three seconds for a year and a half.

use core::fmt;

use crate::cluster::Epoch;

/// Bits of the count of epochs.
const COUNT: u32 = 28;
/// Bits of the mark.
const MARK: u32 = 20;

const COUNTED: u64 = (1 << COUNT) - 1;
const MARKED: u64 = (1 << MARK) - 1;

/// The recovery that an epoch comes from.
///
/// ```
/// use quoit_ring::Epoch;
/// use quoit_ring::change::Branch;
///
/// let first = Branch::recover(Epoch(7), 1).ok_or("too often")?;
/// let other = Branch::recover(Epoch(7), 2).ok_or("too often")?;
/// assert!(first > Epoch(1 << 40), "it is later than whatever came before");
/// assert!(Branch::of(first).is_foreign(Branch::of(other)));
/// assert!(!Branch::of(first).is_foreign(Branch::of(Epoch(first.0 + 1))), "a step");
/// assert!(!Branch::of(first).is_foreign(Branch::of(Epoch(9))), "that is before it");
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    recoveries: u16,
    /// 0 before the first one.
    mark: u32,
}

impl Branch {
    /// That of an epoch.
    #[must_use]
    pub const fn of(epoch: Epoch) -> Self {
        let [high, low, ..] = epoch.0.to_be_bytes();
        let recoveries = u16::from_be_bytes([high, low]);
        let [.., a, b, c, d] = ((epoch.0 >> COUNT) & MARKED).to_be_bytes();
        let mark = u32::from_be_bytes([a, b, c, d]);
        Self {
            recoveries,
            // Before the first recovery all bits count.
            mark: if recoveries == 0 { 0 } else { mark },
        }
    }

    /// Whether epochs of both are of two clusters that were one: recovered as often, and another time.
    #[must_use]
    pub const fn is_foreign(self, other: Self) -> bool {
        self.recoveries == other.recoveries && self.mark != other.mark
    }

    /// How often the cluster was recovered.
    #[must_use]
    pub const fn recoveries(self) -> u16 {
        self.recoveries
    }

    /// The number of an epoch without its recovery: small, and one more with each step.
    ///
    /// ```
    /// use quoit_ring::Epoch;
    /// use quoit_ring::change::Branch;
    ///
    /// let recovered = Branch::recover(Epoch(7), 1).ok_or("too often")?;
    /// assert_eq!([Branch::step(Epoch(7)), Branch::step(recovered)], [7, 7]);
    /// assert_eq!(Branch::step(Epoch(recovered.0 + 1)), 8);
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub const fn step(epoch: Epoch) -> u64 {
        match Self::of(epoch).recoveries {
            0 => epoch.0,
            _ => epoch.0 & COUNTED,
        }
    }

    /// The epoch with which a cluster goes on after `before`, by a recovery that says what has this digest. `None` if it was
    /// recovered as often as can be counted.
    #[must_use]
    pub const fn recover(before: Epoch, digest: u64) -> Option<Epoch> {
        let Some(recoveries) = (before.0 >> (COUNT + MARK)).checked_add(1) else {
            return None;
        };
        if recoveries > u16::MAX as u64 {
            return None;
        }
        let mark = (digest ^ (digest >> MARK) ^ (digest >> (2 * MARK))) & MARKED;
        let count = before.0 & COUNTED;
        Some(Epoch(recoveries << (COUNT + MARK) | mark << COUNT | count))
    }

    /// Whether `epoch` is the one with which a cluster went on after `before`, by some recovery.
    #[must_use]
    pub const fn is_recovery(before: Epoch, epoch: Epoch) -> bool {
        let times = COUNT + MARK;
        epoch.0 >> times == (before.0 >> times) + 1 && epoch.0 & COUNTED == before.0 & COUNTED
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recoveries, mark } = self;
        match recoveries {
            0 => f.write_str("no recovery"),
            _ => write!(f, "recovery {recoveries} with the mark {mark:05x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_after_a_recovery_is_later_than_all_before_and_counts_on() {
        let mut epoch = Epoch(5);
        for times in 1..=4 {
            let last_before = Epoch(epoch.0 + (1 << 20));
            let next = Branch::recover(epoch, 0x1234_5678_9abc_def0 * times).unwrap();
            assert!(next > last_before);
            assert_eq!(u64::from(Branch::of(next).recoveries()), times);
            assert!(
                Branch::is_recovery(epoch, next) && !Branch::is_recovery(epoch, Epoch(next.0 + 1))
            );
            assert!(!Branch::of(epoch).is_foreign(Branch::of(next)));
            assert!(!Branch::of(next).is_foreign(Branch::of(last_before)));
            epoch = Epoch(next.0 + 17);
            assert_eq!(Branch::of(epoch), Branch::of(next));
        }
    }

    #[test]
    fn before_the_first_recovery_no_epoch_is_foreign() {
        let branch = |epoch| Branch::of(Epoch(epoch));
        assert!(!branch(1).is_foreign(branch((1 << 48) - 1)));
        assert_eq!(branch(1 << 40).to_string(), "no recovery");
    }

    #[test]
    fn every_bit_of_the_digest_tells() {
        let of = |digest| Branch::of(Branch::recover(Epoch(9), digest).unwrap());
        for bit in 0..60 {
            assert!(of(0).is_foreign(of(1 << bit)), "{bit}");
        }
        assert_eq!(of(0xabcde).to_string(), "recovery 1 with the mark abcde");
    }

    #[test]
    fn a_cluster_that_was_recovered_too_often_is_not_recovered() {
        assert_eq!(Branch::recover(Epoch(u64::MAX), 1), None);
        assert_eq!(Branch::recover(Epoch(u64::MAX << 48), 1), None);
    }
}
