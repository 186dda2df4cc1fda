//! What a client promises, end to end: the real client against clusters of real processes.
//!
//! | module | promises about |
//! | --- | --- |
//! | `values` | put, get, delete, time to live, limits of R, W and deadlines |
//! | `many` | many keys at once: a result for each, in order |
//! | `siblings` | writers that did not see each other, contexts, merges |
//! | `handoff` | writes that a node missed, and their delivery when it is back |
//! | `outages` | nodes that are killed, paused or stopped in order |
//! | `repair` | stale replicas, which reads bring up to date |
//! | `sync` | stale replicas, which nodes bring up to date by themselves |
//! | `expiry` | values that expire, which nodes remove by themselves |
//! | `members` | who is seen as alive |
//! | `ending` | dropped operations, closed clients, restarted clusters |
//!
//! Every test has a cluster of its own and ends by stopping it in order, which fails if any node panicked or
//! does not stop cleanly.

#[cfg(test)]
mod ending;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod handoff;
#[cfg(test)]
mod many;
#[cfg(test)]
mod members;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod siblings;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sync;
#[cfg(test)]
mod values;
