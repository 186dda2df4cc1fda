//! How quoit's clients and nodes talk: one QUIC connection, one framed stream on it, large frames beside it.
//!
//! ```text
//!   dialler                                                     acceptor
//!     preface, frames ------> [ lane: f f f f f f f f ] ------> frames up to 64 KiB, many in one read
//!     frames <--------------- [ lane: f f f f f f f f ] <------ many in one write
//!     large frame ----------> [ a stream of its own   ] ------> one frame, then the stream's end
//!     large frame <---------- [ a stream of its own   ] <------
//! ```
//!
//! Clients dial nodes and nodes dial nodes; both use the same code on either side. The protocol:
//!
//! 1. The dialler opens the **lane**, the only bidirectional stream, and writes the [`PREFACE`](lane::PREFACE) on it
//!    before anything else. QUIC shows a stream to the other side only once bytes have travelled on it, so without
//!    the preface a connection that carries nothing but large frames would have no lane to answer on. An acceptor
//!    that has no lane after ten seconds closes the connection.
//! 2. Frames of up to [`LANE_FRAME`](quoit_ring::wire::LANE_FRAME) bytes travel on the lane, as many as wait in one
//!    write. The id in a frame says which request an answer belongs to, whatever stream it came on.
//! 3. A longer frame travels alone on a unidirectional stream of lower priority, in pieces of 64 KiB: what delays a
//!    small frame is the size of the piece in front of it.
//! 4. A stream that ends inside a frame is an error, for a dropped stream looks like a finished one. The end of the
//!    lane between two frames means that its sender is done: a dialler waits for no more answers, a node is stopping.
//! 5. A connection is closed with a [`CloseCode`] and a reason in words.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`quic`] | the one QUIC configuration: windows, packet sizes, sockets |
//! | [`dial`] | connecting to a name, and what a failure means |
//! | [`lane`], [`large`] | reading and writing the two kinds of streams |
//! | [`outbox`] | frames on their way out, bounded |
//! | [`session`] | all streams of a dialled connection until it ends |
//! | [`silence`] | when a node that says nothing is given up |
//! | [`pem`], [`tls`] | certificates and keys from files; what both sides agree on in TLS |
//!
//! Left out: what the frames mean (`quoit-ring`), when to dial again (the client), and what is answered (the node).
//!
//! Source: QUIC (RFC 9000); the preface is HTTP/2's idea (RFC 9113, section 3.4).

mod close;
pub mod dial;
mod error;
pub mod lane;
pub mod large;
#[cfg(test)]
mod loopback;
pub mod outbox;
pub mod pem;
pub mod quic;
pub mod session;
pub mod silence;
pub mod tls;

pub use close::CloseCode;
pub use error::StreamError;
