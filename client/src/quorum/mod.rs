//! Quorums as pure machines: answers and failures in; sends, repairs and a verdict out.
//!
//! ```text
//!            answered / failed / lost / impatient / expired
//!                               |
//!                               v
//!      ReadQuorum, WriteQuorum: replicas by index, no clock, no I/O
//!                               |
//!                               v
//!              poll_step: Ask, Repair, Send, Hint, Remint, Return, Finish
//! ```
//!
//! Replicas are indexes into the list that the coordinator chose; who they are and how to reach them is
//! its business. Each replica counts once, whatever it answers and how often.
//!
//! Source: DeCandia et al., *Dynamo* (2007), sections 4.5 and 4.7; the split into a pure core and a
//! process around it follows Riak's `riak_kv_get_core` and `riak_kv_put_core`.

mod read;
mod write;

pub(crate) use read::{ReadFailure, ReadQuorum, ReadRules, ReadStep};
pub(crate) use write::{Acked, WriteFailure, WriteQuorum, WriteStep};
