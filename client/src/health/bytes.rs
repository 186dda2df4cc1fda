//! The byte budget of background repair: a token bucket that counts bytes.
//!
//! ```text
//!   a second                 + rate                    capped at one second's worth
//!   a background repair      - its bytes               only if the balance is positive; may overdraw it
//!   a write-back waited for  - its bytes               always; down to a debt of one second's worth
//! ```
//!
//! Every read that touches a node which was away finds it stale. Without a bound the repairs of all readers would
//! arrive at once, on top of the writes, just when the node catches up. A refused repair is only delayed: the next read
//! of the key finds the same replica stale.
//!
//! Invariant, over any interval: background repairs take at most `rate * (seconds + 1)` bytes and one record.
//!
//! Source: the token bucket of RFC 2697, with debt.

use quoit_ring::Moment;

/// Microseconds in a second. The balance is in bytes times this, so that refilling rounds nothing away.
const SECOND: i64 = 1_000_000;

/// The bytes of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteBudget {
    /// Bytes a second, at most 2^32.
    rate: i64,
    /// In millionths of a byte; at most `rate * SECOND`.
    balance: i64,
    at: Moment,
}

impl ByteBudget {
    /// A full bucket that fills by `rate` bytes a second, at most 2^32.
    pub(crate) fn new(rate: u64) -> Self {
        let rate = i64::from(u32::try_from(rate).unwrap_or(u32::MAX));
        Self {
            rate,
            balance: rate * SECOND,
            at: Moment::default(),
        }
    }

    /// Takes the bytes of a repair; false if nothing is left.
    pub(crate) fn take(&mut self, bytes: usize, now: Moment) -> bool {
        self.fill(now);

        // One byte is enough: a record larger than a second's worth must be repairable, too.
        let enough = self.balance > 0;
        if enough {
            self.balance = self.balance.saturating_sub(cost(bytes));
        }
        enough
    }

    /// Charges a write-back that cannot be refused; the balance may go negative.
    pub(crate) fn charge(&mut self, bytes: usize, now: Moment) {
        self.fill(now);
        let after = self.balance.saturating_sub(cost(bytes));

        // A charge never lowers an existing debt, and adds none beyond a second's worth.
        let most_owed = self.balance.min(-self.full());
        self.balance = after.max(most_owed);
    }

    fn fill(&mut self, now: Moment) {
        let micros = i64::try_from(now.since(self.at)).unwrap_or(i64::MAX);
        let filled = self
            .balance
            .saturating_add(self.rate.saturating_mul(micros));
        self.balance = filled.min(self.full());
        self.at = self.at.max(now); // time that was counted is not counted again
    }

    const fn full(&self) -> i64 {
        self.rate * SECOND
    }
}

fn cost(bytes: usize) -> i64 {
    i64::try_from(bytes)
        .unwrap_or(i64::MAX)
        .saturating_mul(SECOND)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use quoit_ring::Moment;

    use super::*;

    #[test]
    fn it_starts_with_a_seconds_worth_and_refills_by_the_microsecond() {
        let mut budget = ByteBudget::new(1_000);
        let now = Moment(5_000_000);
        assert!(budget.take(600, now) && budget.take(400, now));
        assert!(!budget.take(1, now));
        assert!(
            budget.take(1, now.after(1)),
            "a thousandth of a byte is something"
        );
        assert!(!budget.take(1, now.after(900)));
        assert!(budget.take(1, now.after(1_001)));
    }

    #[test]
    fn a_record_larger_than_a_seconds_worth_is_repaired_and_paid_off() {
        let mut budget = ByteBudget::new(1_000);
        assert!(budget.take(10_000, Moment(0)));
        assert!(!budget.take(1, Moment(9_000_000)));
        assert!(budget.take(1, Moment(9_000_001)));
    }

    #[test]
    fn a_write_back_that_an_answer_waits_for_may_go_into_debt_up_to_a_bound() {
        let mut budget = ByteBudget::new(1_000);
        for _ in 0..50 {
            budget.charge(1_000, Moment(0));
        }
        assert!(!budget.take(1, Moment(1_000_000)));
        assert!(
            budget.take(1, Moment(1_000_001)),
            "one second's worth is owed"
        );
        let mut budget = ByteBudget::new(1_000);
        assert!(budget.take(10_000, Moment(0)));
        budget.charge(1_000, Moment(0));
        assert!(
            !budget.take(1, Moment(9_000_000)),
            "a charge forgives nothing"
        );
    }

    #[test]
    fn a_clock_that_stands_still_or_falls_back_fills_nothing() {
        let mut budget = ByteBudget::new(1_000);
        let later = Moment(5_000_000);
        assert!(budget.take(1_000, later));
        assert!(!budget.take(1, Moment(0)) && !budget.take(1, later));
        assert!(budget.take(1, later.after(1)));
    }

    proptest! {
        #[test]
        fn background_repairs_are_the_rate_and_a_seconds_worth_and_one_record_at_most(
            rate in 1_024_u64..1 << 20,
            steps in proptest::collection::vec(
                (0_u64..300_000, 1_usize..200_000, any::<bool>()), 1..200),
        ) {
            let mut budget = ByteBudget::new(rate);
            let (mut now, mut sent) = (Moment(0), 0);
            for (micros, bytes, waited) in steps {
                now = now.after(micros);
                if waited {
                    budget.charge(bytes, now);
                } else if budget.take(bytes, now) {
                    sent += bytes as u64;
                }
            }
            let seconds = now.0 / 1_000_000 + 2;
            prop_assert!(sent <= rate * seconds + 200_000, "{sent} in {seconds} s at {rate}");
        }
    }
}
