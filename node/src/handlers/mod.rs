//! Requests: what a replica answers. One request, one file.
//!
//! ```text
//!   frame --decode--> in time? may the caller? --> get, scan, map, status, sums, sync, hints -> answer now
//!                                              |-> put, repair, hint, register --> gathered --submit--> answer after the commit
//!                                              |-> votes, fences on the ring --> order -------> answer when it is done
//!                                              '-> watch --> answer once a key has changed, or after a while
//! ```
//!
//! A [`Session`] is one caller's view of the [`Replica`]: who it is, where its answers go, and the writes
//! gathered since the last [`Session::submit`]. A driver feeds it every frame that one read brought and then
//! submits once, so that one wake-up of the committer serves them all.
//!
//! What is checked here needs no look at what is stored; the rest is checked where the write is joined.
//! Nothing here waits, reads a clock or starts anything: time comes in, effects go through
//! [`Env`](crate::env::Env).
//!
//! A frame may have waited before it gets here; what is left of its budget then is what counts. One whose time is
//! over is refused before anything is looked up or checked, reads and writes alike: nobody waits for it.
//!
//! Invariant: every frame that decodes is answered exactly once.

mod get;
mod gossip;
mod hint;
mod hints;
mod map;
mod members;
mod membership;
mod put;
mod register;
mod repair;
mod replica;
mod scan;
mod session;
mod status;
mod sums;
mod sync;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use self::register::read as read_register;
pub(crate) use self::repair::read as read_repair;
pub use self::replica::Replica;
pub use self::session::Session;
pub(crate) use self::status::warnings;
