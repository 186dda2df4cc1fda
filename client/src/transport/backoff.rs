//! When to dial again: exponential back-off with full jitter.
//!
//! ```text
//!   failures     0      1       2       3     ...    5
//!   at most     50 ms  100 ms  200 ms  400 ms ...   1 s     the pause is anything up to that
//! ```
//!
//! A thousand clients that lost one node together must not come back together; full jitter spreads them
//! best. A node that has no seat for a client pays for a handshake each time to say so: there the pauses are ten times as
//! long, and at least half of that. Randomness is an argument.
//!
//! Source: Brooker, *Exponential Backoff And Jitter* (2015).

use std::time::Duration;

/// The longest first pause.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(1);

/// How much longer the pauses are while a node has no seat.
const CROWDED: u32 = 10;

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure; `random` spreads it.
    pub(super) fn pause(&mut self, random: u64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let most = u64::try_from(doubled.min(LONGEST).as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random % most.saturating_add(1))
    }

    /// The pause after the node had no seat for this client.
    pub(super) fn pause_while_crowded(&mut self, random: u64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        let half = doubled.min(LONGEST) * CROWDED / 2;
        let spread = self.pause(random) * CROWDED / 2;
        half + spread
    }

    /// An attempt succeeded.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The random number that gives the longest pause of up to `most`.
    fn longest(most: Duration) -> u64 {
        most.as_micros().try_into().unwrap()
    }

    #[test]
    fn pauses_double_up_to_one_second_and_start_again_after_success() {
        let mut backoff = Backoff::default();
        for millis in [50, 100, 200, 400, 800, 1_000, 1_000] {
            let most = Duration::from_millis(millis);
            assert_eq!(backoff.pause(longest(most)), most);
        }
        backoff.reset();
        assert_eq!(backoff.pause(longest(FIRST)), FIRST);
    }

    #[test]
    fn a_node_without_a_seat_is_asked_ten_times_less_often() {
        let mut backoff = Backoff::default();
        for millis in [50, 100, 200, 400, 800, 1_000, 1_000] {
            let most = Duration::from_millis(millis);
            let before = backoff.failures;
            assert_eq!(backoff.pause_while_crowded(longest(most)), most * CROWDED);
            backoff.failures = before;
            assert_eq!(backoff.pause_while_crowded(0), most * CROWDED / 2);
        }
    }

    #[test]
    fn a_pause_may_be_anything_down_to_nothing_and_never_more_than_its_bound() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(0), Duration::ZERO);
        for random in (0..10_000_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            assert!(backoff.pause(random) <= LONGEST);
        }
    }
}
