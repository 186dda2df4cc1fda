//! Commit: writes joined in batches, one engine commit for each, by the one owner of the [`Committer`].
//!
//! ```text
//!   admission queue --> take all that waits --> apply --> one engine commit --> sums, clock, answers
//!                          ^                                    |
//!                          '------ the next batch gathers ------'
//! ```
//!
//! There is no timer: while one commit waits for the disk, the next batch gathers, so batches grow with load
//! and a lone write waits for nobody. One committer at a time keeps the order of writes per key and makes
//! read, join, write safe without locks or transactions.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`apply()`] | the decision: writes and stored rows in, verdicts and an engine batch out |
//! | `join` | one write joined into one record, unless a rule forbids it |
//! | `bounds` | how large a record may become, whoever sends what is joined |
//! | [`Committer`] | the effect: commit, then sums, clock and answers, in that order |
//! | `epochs` | newer epochs, stored and fenced between two batches |
//! | [`Verdict`] | the result of one write |
//!
//! Invariants: a write is answered as joined only after its record is committed as durably as configured;
//! the sums and the clock move only after that; a failed commit is the last one. A disk that is nearly full
//! is no failure: writes that add to it are refused until it has space.

mod apply;
mod bounds;
mod committer;
mod epochs;
mod join;
#[cfg(test)]
mod tests;
mod verdict;

pub use self::apply::{Applied, apply};
pub use self::committer::Committer;
pub use self::join::{RefusedRepairs, Rules};
pub use self::verdict::Verdict;
