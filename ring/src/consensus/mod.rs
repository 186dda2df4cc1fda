//! One decision by a majority of voters: single-decree Paxos, as two pure machines.
//!
//! ```text
//!   Proposer                                  Acceptor, one at each voter
//!     Prepare(ballot)  ---------------------> promise: nothing below this ballot any more
//!        <--- the value of the highest ballot that it has accepted, if any
//!     Accept(ballot, that value, or its own) -> accepted, unless a higher ballot was promised
//!        <--- accepted
//!     a majority accepted: decided, for ever
//! ```
//!
//! A value that a majority has accepted is the only one that any later ballot can propose, since its proposer hears of it
//! from a majority's promises. So proposers may die, race and repeat themselves at any point, and voters may be asked
//! twice, late, or never.
//!
//! Invariant: an acceptor's state is on the disk before its reply leaves; that is its driver's duty. Left out: what is
//! decided, who votes, and when to try again.
//!
//! Source: Lamport, *Paxos Made Simple* (2001).

mod acceptor;
mod ballot;
mod proposer;

pub use acceptor::{Acceptor, Reply};
pub use ballot::Ballot;
pub use proposer::{Proposal, Proposer};
