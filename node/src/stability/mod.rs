//! Stability: up to when no write is under way any more, so that deletes are forgotten and never undone.
//!
//! ```text
//!   1 ask    every other member: "which writes will you refuse for ever, and how old are your hints?"
//!   2 x =    the least of the answers, this node's own included, less the drift of clocks
//!   3 sync   with every other owner, from the start to the end, after all have answered
//!   4 store  stable = x, on the disk; the stable time before it is forgotten: tombstones below that are removed
//! ```
//!
//! Without it a tombstone had to stay for ever: a write that is older and still on its way would be taken for new once the
//! tombstone is gone. Others guess how long that may take, and a node that was away for longer brings the dead back. Here it is
//! known. After step 1 no owner joins a client's write up to `x` that it had not joined before; what lies in hints is younger
//! than `x`; and after step 3 this node has all that the others had, or knows it dead. From then on the absence of a row says:
//! "I have seen everything up to `stable`, and nothing of it lives" ([`Held`](quoit_ring::Held)).
//!
//! **A member that is away** holds all floors back: it may have writes or hints that nobody else has, also of leaves that it owned
//! in an earlier epoch. So does one that has not handed over what it owned before. Only its return, or that it is written off,
//! lets them rise. An operator sees for which it waits.
//!
//! **A promise** is a time on the disk: a node refuses clients' writes up to it, whatever its clock does later. The node that
//! asks gives the time on its own clock as a bound, so one clock that is far ahead binds nobody.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`Floors`] | the times, leaf by leaf |
//! | [`StabilityView`] | what handlers, committer and driver have in common |
//! | `rounds` | the decision: what is asked, counted and stored, and when |
//!
//! Invariants: a floor is on the disk before anything is answered or forgotten by it. It belongs to one ownership: it is gone
//! with the first epoch in which the node owns the leaf no more, and never given to another. No round counts a leaf that moves.
//!
//! Left out: how records are compared and joined above a floor ([`quoit_ring::version`]), and how nodes sync
//! ([`sync`](crate::sync)).
//!
//! Source: Wuu and Bernstein, *Efficient Solutions to the Replicated Log and Dictionary Problems* (1984).

mod floors;
mod rounds;
mod view;

pub use self::floors::Floors;
pub(crate) use self::rounds::{RoundAct, Rounds};
pub use self::view::StabilityView;
