//! Dots: the names of writes.
//!
//! ```text
//!   put "milk"  --mint-->  (time 17, actor a)  --> n1, n2, n3       one write, three frames
//!   its retry                     "            --> n3               the same write
//! ```
//!
//! A dot is minted by the client, once for each write; a retry, a hedge or a hint of that write carries
//! the same dot and is therefore the same write. Two writes never share one, unless a client's memory was
//! cloned; the content hash of a [`Sibling`](crate::Sibling) distinguishes those.
//!
//! Source: Preguiça et al., *Dotted Version Vectors* (2012), with a client's incarnation as the actor and
//! a hybrid time in place of a counter.

use core::fmt;

use crate::clock::Time;

/// One client incarnation: random, never persisted, never used by two incarnations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Actor(pub u64);

/// Names one write: its actor and its time. Dots order by time first, so the greatest is the last
/// writer's; actors break ties.
///
/// ```
/// # use quoit_ring::{Actor, Dot, Time};
/// let dot = |time, actor| Dot { time: Time(time), actor: Actor(actor) };
/// assert!(dot(2, 1) > dot(1, 9));
/// assert_eq!(dot(0x1_0002, 0xa).to_string(), "000000000000000a@1.2", "actor, millisecond, counter");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Dot {
    /// When it was minted.
    pub time: Time,
    /// Who minted it.
    pub actor: Actor,
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{:?}", self.actor, self.time)
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{:?}", self.actor, self.time)
    }
}
