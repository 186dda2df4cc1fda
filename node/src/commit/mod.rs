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
//! | `register` | one step of a conditional write, on the register of one key |
//! | `bounds` | how large a record may become, whoever sends what is joined |
//! | [`Committer`] | the effect: commit, then sums, clock and answers, in that order |
//! | [`Order`] | what is done between two batches for a change of the ring, and who gets the answer |
//! | `votes` | this node's votes on the next epoch |
//! | `epochs` | newer epochs, stored and fenced between two batches |
//! | `pages` | pages that were pulled, joined with how far the pull is |
//! | `stability` | promises, floors, and tombstones that are forgotten |
//! | `leftovers` | rows of leaves that are owned no more: deleted; leaves that are owned again: taken |
//! | [`ChangeRows`], [`PullProgress`], [`Leftovers`] | what is kept of a change, on the disk and in memory |
//! | [`Verdict`] | the result of one write |
//!
//! Invariants: a write is answered as joined only after its record is committed as durably as configured;
//! the sums and the clock move only after that; a failed commit is the last one. A disk that is nearly full
//! is no failure: writes that add to it are refused until it has space.

mod apply;
mod bounds;
mod carry_out;
mod committer;
mod epochs;
mod join;
mod leftovers;
mod order;
mod pages;
mod progress;
mod register;
mod rows;
mod stability;
mod sweep;
#[cfg(test)]
mod tests;
mod verdict;
mod votes;

pub use self::apply::{Applied, apply};
pub use self::committer::Committer;
pub use self::join::{RefusedRepairs, Rules};
pub use self::order::{Asker, Finished, Order, Task};
pub use self::progress::{Leftovers, PullProgress};
pub use self::register::RegisterChange;
pub use self::rows::ChangeRows;
pub use self::verdict::Verdict;
