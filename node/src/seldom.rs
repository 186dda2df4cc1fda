//! Lines of the log that others can cause are let through seldom: whoever cannot connect tries again and again, and
//! whoever reads a damaged record does.
//!
//! ```text
//!   line  x x x x x x x          line (6 left out)  x x x
//!   |------- 10 s -------|       |------- 10 s -------|
//! ```
//!
//! The time is an argument.

use std::sync::{Mutex, PoisonError};

use quoit_ring::Moment;

/// How long nothing more is said after a line.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(10);

/// Lets one line through in ten seconds.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    said: Option<Moment>,
    left_out: u64,
}

impl Seldom {
    /// How many lines were left out since the last one, if this one may be said.
    pub(crate) fn may_say(&self, now: Moment) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state
            .said
            .is_some_and(|said| now.saturating_since(said) < PAUSE)
        {
            state.left_out += 1;
            return None;
        }
        state.said = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_says_how_many_were_left_out() {
        let seldom = Seldom::default();
        let seconds = [0, 1, 2, 9, 10, 11, 30];
        let said = seconds.map(|second| seldom.may_say(Moment(second * 1_000_000)));
        assert_eq!(said, [Some(0), None, None, None, Some(3), None, Some(1)]);
    }
}
