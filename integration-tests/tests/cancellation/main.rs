//! An operation may be dropped at any of its await points, a client closed and a runtime torn down with operations
//! under way, and nothing is left behind.
//!
//! ```text
//!   driven    client, three replicas and a network in one thread; one thing happens at a time
//!             poll, one thing, poll, one thing ... drop after k polls, for every k up to the operation's end
//!   real      three processes; callers that go away at any moment, values that take many packets
//!   overtaken the same three; a large put whose caller goes away, and a small write that overtakes it
//! ```
//!
//! Afterwards, each time: permits for as many operations as before, no request counted as under way, and a write that is
//! on a quorum of its replicas or nowhere. No node ever saw half a frame.

#[cfg(test)]
mod driven;
#[cfg(test)]
mod overtaken;
#[cfg(test)]
mod real;
#[cfg(test)]
mod world;
