//! Quorums as pure machines: answers and failures in; sends, repairs and a verdict out.
//!
//! ```text
//!            answered / failed / hedge / overdue / expired
//!                               |
//!                               v
//!      ReadQuorum, WriteQuorum: replicas by index, no clock, no I/O
//!                               |
//!                               v
//!              poll_step: Ask, Repair, Send, Hint, Remint, Return, Finish
//! ```
//!
//! Replicas are indexes into the targets of their operation; which nodes they are and how to reach them is the
//! operation's business. Each replica counts once, whatever it answers and how often. Steps come in the order of their
//! making, and all are taken before the next input.
//!
//! Source: DeCandia et al., *Dynamo* (2007), sections 4.5 and 4.7; the split into a pure core and a
//! process around it follows Riak's `riak_kv_get_core` and `riak_kv_put_core`.

mod read;
mod steps;
mod write;

pub(crate) use read::{ReadFailure, ReadQuorum, ReadRules, ReadStep, TimeBound};
pub(crate) use write::{Acked, Evidence, WriteFailure, WriteQuorum, WriteStep};
