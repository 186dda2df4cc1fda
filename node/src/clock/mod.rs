//! Clocks: reading them, how far wall time is trusted, and what of it outlives a restart.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`Now`], `Clocks` | both clocks of the machine, read together |
//! | [`SharedClock`] | the hybrid logical clock that answers carry and that ages are checked against |
//! | `ClockMark` | its high-water mark, stored ahead of use |
//! | `ClockGuard` | how far a jump of wall time is trusted when it would be stored |
//!
//! Left out: the clock itself, [`quoit_ring::Clock`], and the check of a stamp's drift.

mod guard;
mod machine;
mod mark;
mod shared;

pub(crate) use self::machine::Clocks;
pub use self::machine::Now;
pub(crate) use self::mark::{ClockMark, LEAD_MS};
pub use self::shared::SharedClock;
