//! A ring that changes under load: real processes join, leave, are killed and replaced.
//!
//! ```text
//!   8 writers, 4 clients    write new keys, overwrite and read old ones, all the time
//!   an operator             has a change decided, and only watches
//!   the end                 no request failed, every acknowledged write is there, and each row lies where it belongs
//! ```
//!
//! | module | a change that |
//! | --- | --- |
//! | `life` | lets nodes join, leave and be replaced, one change after the other |
//! | `drivers` | loses the node that drives it |
//! | `reverts` | is turned round half way |
//! | `epochs` | every node and client hears of |
//! | `scans` | no scan notices |
//!
//! `removed` lets a member come back that was replaced while it was away.
//! `moved` changes no ring: a member is started at another address than the ring's.

#[cfg(test)]
mod drivers;
#[cfg(test)]
mod epochs;
#[cfg(test)]
mod life;
#[cfg(test)]
mod load;
#[cfg(test)]
mod moved;
#[cfg(test)]
mod removed;
#[cfg(test)]
mod reverts;
#[cfg(test)]
mod scans;
#[cfg(test)]
mod support;

/// Two clusters at a time: slow changes leave the processors to others, and more would only slow each other down.
#[cfg(test)]
static TURNS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);
