//! Admission: which writes may wait for their commit, and which are refused at once.
//!
//! ```text
//!   push: those that may wait, in order  -->  [ w w w w w w w ]  -->  take: all that wait, at most a batch
//!   push: the others are refused, with the expected wait
//!   order: between two batches, for a change of the ring
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`Queue`] | the bounded queue in front of the committer, shared by connections |
//! | `share` | how its capacity is divided between clients and peers |
//! | `load_shedding` | when a write is refused although the queue is not full (pure) |
//! | `turns` | proposers that have met on a key, one at a time (pure) |
//!
//! What a write does to the store is the business of [`commit`](crate::commit).

mod load_shedding;
mod queue;
mod share;
mod turns;

pub use self::queue::{Abandoned, Queue, Rejected, Taken};

/// Most writes that share one commit; beyond it the gain is small and the last write waits long.
pub const MAX_BATCH: usize = 512;
