//! The trace: every event of a run in one number, and as lines on request.
//!
//! ```text
//!   event --> (what, who, how much) --> hash            always, cheap
//!                    '---------------> a line            only with --trace
//! ```
//!
//! Two runs of one seed must end with the same number; the first line in which their traces differ shows
//! where something undetermined crept in.

use std::fmt;

use quoit_ring::Moment;

/// Where lines go.
pub type Lines = Box<dyn FnMut(Moment, &dyn fmt::Display)>;

/// What has happened so far.
#[derive(Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    lines: Option<Lines>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("hash", &self.hash)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl Trace {
    /// A trace that only counts, or also writes lines.
    #[must_use]
    pub fn new(lines: Option<Lines>) -> Self {
        Self {
            lines,
            ..Self::default()
        }
    }

    /// Notes an event by numbers that identify it, and in words.
    pub fn note(&mut self, at: Moment, numbers: [u64; 3], words: impl FnOnce() -> String) {
        self.events += 1;
        for number in [at.0, numbers[0], numbers[1], numbers[2]] {
            self.hash = fold(self.hash, number);
        }
        if let Some(lines) = &mut self.lines {
            lines(at, &words());
        }
    }

    /// A number for all events so far.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// How many there were.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }
}

/// A number for some bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = fold(0, bytes.len() as u64);
    for word in words {
        hash = fold(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(hash, u64::from_le_bytes(last))
}

/// Adds a number to a hash: quick, well mixed, and no defence against anybody.
const fn fold(hash: u64, number: u64) -> u64 {
    let mixed = (hash.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_differs_if_one_number_or_the_order_does() {
        let traced = |events: &[[u64; 3]]| {
            let mut trace = Trace::default();
            for &numbers in events {
                trace.note(Moment(1), numbers, String::new);
            }
            trace.hash()
        };
        assert_eq!(
            traced(&[[1, 2, 3], [4, 5, 6]]),
            traced(&[[1, 2, 3], [4, 5, 6]])
        );
        assert_ne!(
            traced(&[[1, 2, 3], [4, 5, 6]]),
            traced(&[[4, 5, 6], [1, 2, 3]])
        );
        assert_ne!(digest(b"12345678"), digest(b"12345679"));
        assert_ne!(digest(b"1"), digest(b"1\0"));
    }
}
