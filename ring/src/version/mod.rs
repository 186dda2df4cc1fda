//! Versions: what was written, and what has seen what.
//!
//! ```text
//!   Dot      names one write: (actor, time)
//!   Seen     a region of (actor x time) known to have happened
//!   Sibling  a value with its dot; siblings are values none of which saw the other
//!   Record   what a replica stores for a key: the live siblings, and Seen
//! ```
//!
//! A replica knows one way to change a record: [`Record::join`] it with another. A client's put, a read
//! repair, a delivered hint and a sync are all that one operation, so each may be retried, duplicated
//! and reordered without harm.
//!
//! Invariant: join is idempotent, commutative and associative, so replicas that have joined the same
//! records are equal. Left out: time itself ([`clock`](crate::clock)), bytes
//! ([`wire::record`](crate::wire::record)), and when a tombstone may be forgotten.
//!
//! Source: Preguiça et al., *Dotted Version Vectors* (2012); Almeida et al., *Scalable and Accurate
//! Causality Tracking for Eventually Consistent Stores* (2014); join is that of the causal types in
//! Almeida, Shoker and Baquero, *Delta State Replicated Data Types* (2018).

mod delta;
mod dot;
mod held;
mod record;
mod seen;

pub use delta::{BadDelta, Delta};
pub use dot::{Actor, Dot};
pub use held::Held;
pub use record::{Record, Sibling, content_hash};
pub use seen::{Interval, Seen};
