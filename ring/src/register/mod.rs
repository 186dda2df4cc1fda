//! A linearizable register per key: conditional writes by a majority of the key's owners.
//!
//! ```text
//!   Round, at the proposer                         Acceptor, one at each owner
//!     prepare(ballot)     -----------------------> promise: nothing below this ballot; not on the disk
//!        <--- record, last ballot, pending value      of one instant
//!     accept(ballot, joined + its own write) ----> pending, synced
//!        <--- accepted
//!     a majority accepted: it happened
//!     commit(ballot)      -----------------------> joined into the record, nothing pending
//!     extend(next ballot, value + its next write)  the same proposer's next write: pending, synced, no prepare before it
//! ```
//!
//! The state of the register is the key's record. A proposer joins the records that a majority holds, and of the values that are
//! pending only that of the highest ballot; decides whether its condition holds; and proposes what it joined with its own write
//! added. Plain writes go on beside it: they are inputs that the next round sees.
//!
//! **One round.** Nothing lies between a ballot and its [next](Ballot::next), so a majority that accepted one value has promised its
//! proposer the next. What it proposes then must have seen all that each owner's record holds, or the owner refuses it: a plain
//! write that a majority holds would be passed over otherwise.
//!
//! Invariants: of two rounds that succeed one has seen what the other proposed. An owner answers behind all that it accepted.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`Ballot`] | a proposer's attempt |
//! | [`Acceptor`] | an owner's part |
//! | [`Round`] | a proposer's part |
//!
//! Left out: what is written under which condition, when to try again, and the disk.
//!
//! Source: Rystsov, *CASPaxos: Replicated State Machines without logs* (2018); Lamport, *Paxos Made Simple* (2001).

mod acceptor;
mod ballot;
mod round;

pub use acceptor::{Accepted, Acceptor, Denied};
pub use ballot::Ballot;
pub use round::{Joined, OwnerState, Round};
