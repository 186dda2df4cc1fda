//! Hinted hand-off: the writes that this node keeps for others, and their delivery.
//!
//! ```text
//!   client --Hint--> commit --> keyspace hints: target | key -> age, record joined per key, bounded, as durable as data
//!                                     |
//!             HintUsage: how many, for whom --> HintDispatcher (pure) --Load--> a page of them
//!                                               |  ^
//!                                            Repair |  Joined
//!                                               v  |
//!                                             target  --> Delivered --> commit: the row is removed
//! ```
//!
//! The client finds out which node missed a write; this node stores the hint, and delivers it when the target is back.
//! A thousand writes of one key are one hint. At its bounds a node refuses hints and drops none. A hint is removed only
//! after its target has joined it, as durably as configured; what was added to it in the meantime stays. If the target
//! no longer owns the key, the hint goes to all its present owners. A hint that its target refuses, or that cannot be
//! read, holds up no other.
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
mod refused;
mod row;
mod scan;
mod usage;

pub use self::dispatcher::{Act, Delivered, HintDispatcher};
pub use self::page::{Hint, Page, PageSize, load};
pub use self::queue::MAX_WINDOW;
pub use self::row::split_row;
pub(crate) use self::row::{MINTED, encode_row};
pub use self::scan::HintScan;
pub(crate) use self::scan::{Recounted, recount};
pub use self::usage::{Gap, HintDelta, HintUsage, OldestHints};
pub(crate) use self::usage::{is_in_gap, row_bytes};
