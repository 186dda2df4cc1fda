//! Records on top of the engine's bytes: what a row means, what changes with it, and whether there is space.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `index` | the engine batch of changed records: rows, leaf entries, expiry entries |
//! | [`Sums`], [`Rebuild`] | the Merkle tree over live data, and the walk that brings it back after a start |
//! | `cursor` | what a walk has added up while commits change it |
//! | `disk_space` | which writes the disk still has space for |
//! | `moving` | the rows of leaves that move |
//! | `leftovers` | rows that a node holds and does not own |
//! | `leaf_page` | the keys of some leaves, each with its sum |
//! | `scan_page` | rows in the order of keys |
//! | `fault` | what callers see of an engine's errors |
//! | [`Unreadable`] | a row that cannot be read, for callers and for the log |
//!
//! The [`engine`](crate::engine) below knows keys and values only; the rules by which records are joined are those
//! of [`commit`](crate::commit).

mod cursor;
mod disk_space;
mod fault;
mod index;
mod leaf_page;
pub(crate) mod leftovers;
pub(crate) mod moving;
mod rebuild;
mod scan_page;
mod sums;
mod unreadable;

pub use self::cursor::SumChange;
pub(crate) use self::disk_space::{Demand, DiskSpace, takes};
pub(crate) use self::fault::fault_of;
pub(crate) use self::index::BatchBuilder;
pub use self::leaf_page::{LeafPage, LeafRow};
pub(crate) use self::leaf_page::{WantedLeaves, read_leaf_page};
pub use self::rebuild::{Rebuild, Walked};
pub(crate) use self::scan_page::{Part, read_scan_page};
pub use self::sums::{Sums, WalkProgress};
pub(crate) use self::unreadable::DamageLog;
pub use self::unreadable::Unreadable;
