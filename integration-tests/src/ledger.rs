//! What one writer knows of its keys, and whether the result of a read is allowed.
//!
//! ```text
//!   attempts of one key    1    2    3    4    5    6
//!   outcome                Ok   Fail Ok   Unk  Fail Unk
//!   a read may return                3    4         6        2: a failed write took effect
//!                                                            1: an acknowledged write is lost
//!                                                            7: never written
//! ```
//!
//! Every key has one writer, which waits for each outcome before its next write, so attempts are in order.
//! A quorum read that returned an attempt has made it as good as acknowledged: later reads may not go behind
//! it. An unknown outcome may show at any time until then, or never.
//!
//! Source: the outcomes Ok, Fail and Unknown are those of the Jepsen tests (Kingsbury).

use core::fmt;

use bytes::Bytes;
use quoit_client::{Entry, Stored, WriteError};

/// Bytes of a value.
const VALUE: usize = 100;

/// The outcome of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored.
    Ok,
    /// It has no effect, now or later.
    Fail,
    /// It may have one, now or later.
    Unknown,
}

impl Outcome {
    /// That of a put.
    #[must_use]
    pub fn of<T>(written: &Result<T, WriteError>) -> Self {
        match written {
            Ok(_) => Self::Ok,
            Err(error) => match error.stored() {
                Stored::No => Self::Fail,
                Stored::Maybe | Stored::UnderReplicated => Self::Unknown,
            },
        }
    }
}

/// What is wrong with what a read returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// An acknowledged write is lost, or a read went behind an earlier one.
    Lost,
    /// A write reported as failed took effect.
    FailedTookEffect,
    /// A value that no write has.
    Invented,
    /// Siblings, though every write replaced all before it.
    Siblings,
}

/// One key's attempts; attempt 0 is no value.
#[derive(Debug, Clone)]
pub struct Ledger {
    key: String,
    attempts: u32,
    /// The latest attempt that must be there.
    firm: u32,
    /// Later ones that may be.
    maybe: Vec<u32>,
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            attempts,
            firm,
            maybe,
        } = self;
        write!(
            f,
            "{key}: {attempts} attempts, at least {firm}, perhaps one of {maybe:?}"
        )
    }
}

impl Ledger {
    /// That of a key which was never written.
    #[must_use]
    pub const fn new(key: String) -> Self {
        Self {
            key,
            attempts: 0,
            firm: 0,
            maybe: Vec::new(),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> Bytes {
        Bytes::copy_from_slice(self.key.as_bytes())
    }

    /// Whether some write to it must be there.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        self.firm > 0
    }

    /// Begins an attempt: its value.
    pub fn attempt(&mut self) -> Bytes {
        self.attempts += 1;
        let text = format!("{} {} ", self.key, self.attempts);
        format!("{text:.<VALUE$}").into()
    }

    /// Ends the latest attempt.
    pub fn record(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.settle(self.attempts),
            Outcome::Fail => {}
            Outcome::Unknown => self.maybe.push(self.attempts),
        }
    }

    /// Judges what a quorum read returned, and remembers it.
    ///
    /// # Errors
    /// [`Violation`]; the ledger is as it was.
    pub fn judge(&mut self, entry: &Entry) -> Result<(), Violation> {
        if entry.siblings().len() > 1 {
            return Err(Violation::Siblings);
        }
        self.judge_value(entry.value().map(|value| &**value))
    }

    fn judge_value(&mut self, value: Option<&[u8]>) -> Result<(), Violation> {
        let attempt = match value {
            None => 0,
            Some(value) => self.attempt_of(value).ok_or(Violation::Invented)?,
        };
        if attempt < self.firm {
            return Err(Violation::Lost);
        }
        if attempt > self.firm && !self.maybe.contains(&attempt) {
            return Err(Violation::FailedTookEffect);
        }
        self.settle(attempt);
        Ok(())
    }

    fn settle(&mut self, attempt: u32) {
        self.firm = attempt;
        self.maybe.retain(|&later| later > attempt);
    }

    /// Which attempt has this value, if one has.
    fn attempt_of(&self, value: &[u8]) -> Option<u32> {
        let text = core::str::from_utf8(value)
            .ok()
            .filter(|text| text.len() == VALUE)?;
        let (key, rest) = text.split_once(' ')?;
        let (attempt, filler) = rest.split_once(' ')?;
        let attempt = attempt
            .parse()
            .ok()
            .filter(|attempt| (1..=self.attempts).contains(attempt))?;
        (key == self.key && filler.bytes().all(|b| b == b'.')).then_some(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Fail, Ok as Acked, Unknown};
    use super::Violation::{FailedTookEffect, Invented, Lost};
    use super::*;

    /// The verdicts on reads of each attempt, and of one that was never made, after these outcomes.
    fn verdicts(outcomes: &[Outcome]) -> Vec<Result<(), Violation>> {
        let mut ledger = Ledger::new("k".to_owned());
        let mut values = vec![None];
        for &outcome in outcomes {
            values.push(Some(ledger.attempt()));
            ledger.record(outcome);
        }
        values.push(Some(ledger.clone().attempt()));
        values
            .iter()
            .map(|value| ledger.clone().judge_value(value.as_deref()))
            .collect()
    }

    #[test]
    fn only_the_last_acknowledged_write_and_unknown_ones_after_it_may_be_read() {
        assert_eq!(
            verdicts(&[Acked, Fail, Acked, Unknown, Fail, Unknown]),
            [
                Err(Lost),
                Err(Lost),
                Err(Lost),
                Ok(()),
                Ok(()),
                Err(FailedTookEffect),
                Ok(()),
                Err(Invented)
            ]
        );
        assert_eq!(
            verdicts(&[Unknown, Fail]),
            [Ok(()), Ok(()), Err(FailedTookEffect), Err(Invented)]
        );
    }

    #[test]
    fn a_read_never_goes_behind_an_earlier_one() {
        let mut ledger = Ledger::new("k".to_owned());
        let first = ledger.attempt();
        ledger.record(Unknown);
        let second = ledger.attempt();
        ledger.record(Unknown);
        assert_eq!(ledger.judge_value(Some(&second)), Ok(()));
        assert_eq!(ledger.judge_value(Some(&first)), Err(Lost));
        assert_eq!(ledger.judge_value(None), Err(Lost));
    }

    #[test]
    fn a_value_of_another_key_or_a_damaged_one_was_never_written() {
        let mut ledger = Ledger::new("k".to_owned());
        let value = ledger.attempt();
        ledger.record(Acked);
        let foreign = Ledger::new("j".to_owned()).attempt();
        let mut damaged = value.to_vec();
        damaged[VALUE - 1] ^= 1;
        for wrong in [&foreign[..], &damaged, &value[..VALUE - 1], b""] {
            assert_eq!(ledger.judge_value(Some(wrong)), Err(Invented));
        }
        assert_eq!(ledger.judge_value(Some(&value)), Ok(()));
    }
}
