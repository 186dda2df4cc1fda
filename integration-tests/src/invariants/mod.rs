//! Properties that every history must have: one a file, each named with its source and tested against a
//! history that must fail.
//!
//! ```text
//!   History --check--> Ok, or a Violation: which invariant, of which key, shown by which operations
//! ```

pub mod acked_by_enough;
pub mod acked_never_lost;
pub mod clock_goes_on;
mod clocks;
pub mod convergence;
mod describe;
pub mod exact_siblings;
pub mod expiry;
pub mod hints_arrive;
pub mod hints_bounded;
pub mod later_wins;
pub mod linearizable;
pub mod merges_exact;
pub mod never_backwards;
pub mod no_means_no;
pub mod one_may_fail;
pub mod own_order;
pub mod persisted_before_ack;
pub mod plain_seen;
pub mod registers;
mod replacing;
pub mod same_dot;
pub mod serves_when_healed;
pub mod sweeps_agree;
pub mod sync_repairs;
#[cfg(test)]
pub(crate) mod testing;
pub mod thin_is_thin;

use std::fmt;

use crate::history::{History, KeyId, OpId};

/// A history that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: &'static str,
    /// Of which key; `None` if of a node or of the whole.
    pub key: Option<KeyId>,
    /// The operations that show it, in the order to read them.
    pub ops: Vec<OpId>,
    /// What is wrong, in a sentence.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// One property of histories.
#[derive(Debug, Clone, Copy)]
pub struct Invariant {
    /// Its name, a few words in kebab case.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub says: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// The first violation found, if there is one.
    pub check: fn(&History) -> Result<(), Violation>,
}

/// Every invariant.
pub const ALL: &[Invariant] = &[
    acked_by_enough::INVARIANT,
    acked_never_lost::INVARIANT,
    exact_siblings::INVARIANT,
    never_backwards::INVARIANT,
    later_wins::INVARIANT,
    convergence::INVARIANT,
    merges_exact::INVARIANT,
    same_dot::INVARIANT,
    no_means_no::INVARIANT,
    expiry::INVARIANT,
    serves_when_healed::INVARIANT,
    one_may_fail::INVARIANT,
    persisted_before_ack::INVARIANT,
    clock_goes_on::INVARIANT,
    hints_arrive::INVARIANT,
    own_order::INVARIANT,
    thin_is_thin::INVARIANT,
    hints_bounded::INVARIANT,
    sync_repairs::INVARIANT,
    sweeps_agree::INVARIANT,
    registers::INVARIANT,
    plain_seen::INVARIANT,
];

/// The invariant of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Invariant> {
    ALL.iter().find(|invariant| invariant.name == name)
}
