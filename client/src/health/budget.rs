//! What a client may send beyond what was asked of it: one token bucket for all its hedges and re-sends.
//!
//! ```text
//!   a success   + 1/10      never above 50 tokens
//!   a hedge     - 1         only if there is one
//!   a re-send   - 1         always; below nothing, down to a debt of 50
//! ```
//!
//! In the long run the extra requests are at most a tenth of the operations that succeeded, so that a cluster
//! in trouble is not asked for more and more because it is slow. Invariant, over any history: hedges are at
//! most `successes / 10 + 50`.
//!
//! The bucket starts full and holds 50: a node that dies leaves about as many reads unanswered as are under way
//! at it, 40 at 20,000 a second and 2 ms each. With a smaller one the rest of them would wait out their
//! `hedge_all_after`; a larger one is a larger burst against a cluster that slows down as a whole.
//!
//! A write that is minted again, because a later one superseded it, is charged and never refused: such nodes
//! are not overloaded ones, each write does it a bounded number of times, and refusing would lose the write
//! where clocks differ. Its debt is paid before the next hedge goes out.
//!
//! Source: Finagle's retry budgets; gRPC's retry throttling (proposal A6).

/// Tokens are counted in tenths, what one success is worth.
const TOKEN: i32 = 10;
/// Most tenths that are saved, and most that are owed.
const BOUND: i32 = 50 * TOKEN;

/// The tokens of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// From `-BOUND` to `BOUND`.
    tenths: i32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { tenths: BOUND }
    }
}

impl Budget {
    /// An operation succeeded.
    pub(crate) fn earn(&mut self) {
        self.tenths = (self.tenths + 1).min(BOUND);
    }

    /// Takes a token for a hedge; false if there is none.
    pub(crate) const fn take(&mut self) -> bool {
        let enough = self.tenths >= TOKEN;
        if enough {
            self.tenths -= TOKEN;
        }
        enough
    }

    /// Pays for a re-send that has to be, if need be on debt.
    pub(crate) fn charge(&mut self) {
        self.tenths = (self.tenths - TOKEN).max(-BOUND);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many hedges a budget allows now.
    fn allowed(mut budget: Budget) -> usize {
        core::iter::from_fn(|| budget.take().then_some(())).count()
    }

    #[test]
    fn it_starts_full_and_ten_successes_buy_one_more() {
        let mut budget = Budget::default();
        assert_eq!(allowed(budget), 50);
        while budget.take() {}
        (0..9).for_each(|_| budget.earn());
        assert!(!budget.take());
        budget.earn();
        assert!(budget.take() && !budget.take());
    }

    #[test]
    fn a_resend_is_never_refused_and_its_debt_is_paid_before_the_next_hedge() {
        let mut budget = Budget::default();
        while budget.take() {}
        (0..3).for_each(|_| budget.charge());
        (0..39).for_each(|_| budget.earn());
        assert!(!budget.take());
        budget.earn();
        assert!(budget.take());
    }

    #[test]
    fn debt_is_bounded_too() {
        let mut budget = Budget::default();
        (0..10_000).for_each(|_| budget.charge());
        (0..510).for_each(|_| budget.earn());
        assert!(budget.take());
    }

    proptest! {
        #[test]
        fn hedges_are_a_tenth_of_the_successes_and_the_bound_at_most(
            history in proptest::collection::vec(0_u8..4, 0..2_000),
        ) {
            let (mut budget, mut successes, mut hedges) = (Budget::default(), 0_usize, 0_usize);
            for event in history {
                match event {
                    0 | 1 => hedges += usize::from(budget.take()),
                    2 => {
                        budget.earn();
                        successes += 1;
                    }
                    _ => budget.charge(),
                }
                prop_assert!(allowed(budget) <= 50);
                prop_assert!(hedges <= successes / 10 + 50);
            }
        }
    }
}
