//! The budget of extra requests: one token bucket for all hedges and re-sends of a client.
//!
//! ```text
//!   a success   + 1/10      capped at 50 tokens
//!   a hedge     - 1         only if there is one
//!   a re-send   - 1         always; down to a debt of 50
//! ```
//!
//! In the long run extra requests are at most a tenth of the operations that succeeded: a slow cluster does not get
//! more load because it is slow. Invariant, over any history: hedges are at most `successes / 10 + 50`.
//!
//! Source: Finagle's retry budgets; gRPC's retry throttling (proposal A6).

/// Tokens are counted in tenths, what one success is worth.
const TOKEN: i32 = 10;
/// Largest balance and largest debt, in tenths. A node that dies leaves its reads in flight unanswered: 40 at 20,000 a
/// second and 2 ms each. With a smaller bucket the rest of them would wait for `hedge_all_after`; a larger one allows a
/// larger burst against a cluster that slows down as a whole.
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
        debug_assert!(
            -BOUND <= self.tenths && self.tenths <= BOUND,
            "balance and debt are bounded"
        );
        enough
    }

    /// Charges the re-send of a write that was re-minted; the balance may go negative.
    pub(crate) fn charge(&mut self) {
        // Never refused: a superseded write does not mean an overloaded node, each write is re-minted a bounded number
        // of times, and a refusal would lose the write where clocks differ. The next hedge waits for the debt.
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
