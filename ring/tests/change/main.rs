//! One change of the ring, checked exhaustively: what was acknowledged, or returned by a read, is in every read quorum that
//! may be asked from then on, in any epoch that is still served.
//!
//! ```text
//!   epoch 0   the old list          writes, reads, pulls and fences come at any moment or never;
//!   epoch 1   both lists            a write is joined at any moment after it was sent;
//!   epoch 2   the new list          clients use any epoch that was decided, however old
//! ```
//!
//! The rules and counts are those of [`quoit_ring::change`]. Each rule is also switched off: then the search must find
//! what is lost, or it would show nothing.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod scheme;
#[cfg(test)]
mod search;
