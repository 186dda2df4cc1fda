//! Ownership of keys: the ring, its preference lists, and the positions of a new member's vnodes.
//!
//! ```text
//!            a            A virtual node (vnode) owns the leaves behind it, from its predecessor
//!      c   .---.   b      (exclusive) to itself (inclusive). A key walks clockwise from its leaf:
//!        /       \
//!       |    k ---|--->   k's walk: b a c b ...   owners (N = 2): b a   fallbacks: c
//!        \       /
//!      a   '---'   c
//! ```
//!
//! [`Ring`] is a pure function of the cluster map: everyone with the same map finds the same owners.
//! [`allocate`](fn@allocate) chooses the vnodes of a joining member such that the *replica* load (all N copies, one
//! per zone) comes out even; [`grow`] builds a whole map that way, [`settle`](fn@settle) improves one that is not
//! in use yet, and [`fair_shares`] and [`replica_loads`] measure the result. What is left out:
//! liveness, and changes of owners.
//!
//! Invariant: a list's owners are distinct members, in distinct zones while there are enough.
//!
//! Source: Dynamo (2007), sections 4.2, 4.3 and 6.2; the zones and the search are our own.

mod allocate;
mod buckets;
mod cover;
mod fair;
mod level;
mod load;
mod preference;
mod ring;
mod search;
mod seed;
mod settle;
mod spots;
mod validate;
mod walk;

pub use allocate::{AllocateError, MIN_VNODES, Newcomer, allocate, grow, join};
pub use fair::fair_shares;
pub use load::{fullest_excess, replica_loads};
pub use preference::{FALLBACKS, Kind, Placement, PreferenceList};
pub use ring::{Range, Ring};
pub use settle::settle;
pub use validate::RingError;
