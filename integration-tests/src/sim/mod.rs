//! The simulated world: the shipped client and node under a seed.
//!
//! ```text
//!   seed --> Plan --> World: callers (shipped client) <--network--> machines (shipped node on a simulated disk)
//!                       |          ^ workloads                          ^ faults
//!                       '--> History --> invariants --> Report
//! ```
//!
//! One seed is one run: cluster, load, faults and every delay are drawn from it, on one thread, in virtual
//! time. A run has a fault phase, in which faults happen and operations may fail; then everything is healed, and
//! every operation must succeed; then each key is read from all replicas, and all must be equal.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`plan`], [`faults`] | what is decided before a run: cluster, pace, faults |
//! | [`world`] | the loop that moves time; connections; how faults are inflicted |
//! | [`machine`], [`disk`] | the shipped node without threads; a disk that loses what was not synced |
//! | [`caller`], [`session`] | the shipped client; how workloads use it, recorded in a history |
//! | [`overfill`], `minted` | repairs that fill a record up to its bounds; a client's table of keys |
//! | [`network`], [`in_transit`], [`schedule`], [`tasks`], [`chance`] | delay and loss; what a client may take back; virtual time; futures; randomness |
//! | [`trace`], [`coverage`] | every event in one number; events that a set of runs must have seen |
//! | [`run`](mod@run), [`report`] | one run from seed to verdict |
//! | [`campaign`], [`shrink`](mod@shrink) | many seeds and what they add up to; fewer faults for the same failure |
//!
//! What runs above the seams is the shipped code. Not in here: QUIC, TLS, threads and fjall, which are tested
//! against the real ones.
//!
//! Source: `FoundationDB`'s simulation (Zhou et al. 2021, section 4); `TigerBeetle`'s VOPR.

pub mod caller;
pub mod campaign;
pub mod chance;
pub mod coverage;
pub mod disk;
pub mod faults;
pub mod in_transit;
pub mod machine;
mod minted;
pub mod network;
pub mod overfill;
pub mod plan;
pub mod report;
pub mod run;
pub mod schedule;
pub mod session;
pub mod shrink;
pub mod tasks;
pub mod trace;
pub mod world;

pub use report::Report;
pub use run::{FaultFilter, Options, run};
