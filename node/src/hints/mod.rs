//! Hinted hand-off: what this node keeps for others, and how it gets there.
//!
//! ```text
//!   client --Hint--> commit --> keyspace hints: target | key -> record      joined per key, bounded, as durable as data
//!                                     |
//!             HintUsage: how many, for whom --> HintDispatcher (pure) --Load--> a page of them
//!                                               |  ^
//!                                            Repair |  Joined
//!                                               v  |
//!                                             target  --> Delivered --> commit: the row is removed
//! ```
//!
//! Who misses a write is for the client to find out; this node keeps what it is given, and brings it over when the
//! target is back. A thousand writes of one key are one hint. What is full refuses and drops nothing. A hint is removed
//! only after its target has joined it, as durably as it is configured to; what was added to it in the meantime stays.
//! If the target has ceased to own the key, the hint goes to all who own it now.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`HintDispatcher`] | the decision: what is read, sent and removed, when, and how fast |
//! | [`load`] | a page of hints off a snapshot |
//! | [`HintUsage`], [`HintScan`] | how much is kept, and how that is counted after a start |
//! | `driver` | the effects: reading on a blocking thread, frames over `peers`, removals through the commit |
//!
//! The rows themselves are written by [`commit`](crate::commit).
//!
//! Source: Dynamo (2007), section 4.6.

mod dispatcher;
pub(crate) mod driver;
mod page;
mod queue;
mod scan;
mod usage;

pub use self::dispatcher::{Act, Delivered, HintDispatcher};
pub use self::page::{Hint, Page, load};
pub use self::scan::HintScan;
pub(crate) use self::usage::row_bytes;
pub use self::usage::{HintDelta, HintUsage};
