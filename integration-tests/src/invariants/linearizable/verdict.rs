//! What a check may come to, and how long it may take.
//!
//! ```text
//!   Linearizable      an order explains every return: here it is
//!   NotLinearizable   every order was ruled out: this is how far the longest goes
//!   Undecided         not known: a fault of the check, not of the history, and never a pass
//! ```

use std::fmt;

use super::report::Row;
use crate::history::OpId;

/// How much a check may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Questions to the model, default 4,000,000: about a second and at most 300 MB. Less leaves histories with
    /// much overlap undecided; more is paid in both.
    pub steps: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 4_000_000 }
    }
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// An order exists.
    Linearizable {
        /// One such order: all operations that returned, and those of unknown outcome that had to take effect.
        order: Vec<OpId>,
        /// How many steps it took.
        steps: u64,
    },
    /// No order exists.
    NotLinearizable(Box<Violation>),
    /// The steps were used up before either was known. Not a pass.
    Undecided {
        /// How many steps there were.
        steps: u64,
    },
}

impl Verdict {
    /// Whether an order was found.
    #[must_use]
    pub const fn is_linearizable(&self) -> bool {
        matches!(self, Self::Linearizable { .. })
    }

    /// How many steps the check took.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        match self {
            Self::Linearizable { steps, .. } | Self::Undecided { steps } => *steps,
            Self::NotLinearizable(violation) => violation.steps,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable { order, steps } => {
                let count = order.len();
                write!(
                    f,
                    "linearizable: an order of {count} operations in {steps} steps"
                )
            }
            Self::NotLinearizable(violation) => violation.fmt(f),
            Self::Undecided { steps } => write!(f, "undecided after {steps} steps"),
        }
    }
}

/// Why no order exists, as far as one place can show it. Printed, it is a table of the operations around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The longest order found, the first of them if there are several. What it leaves out is not to blame.
    pub placed: Vec<OpId>,
    /// The operation that returned first of those without a place in that order.
    pub stuck: OpId,
    /// What the model holds after that order.
    pub state: String,
    /// How many operations the history has.
    pub total: usize,
    /// How many steps the check took.
    pub steps: u64,
    pub(super) rows: Vec<Row>,
}

impl std::error::Error for Violation {}
