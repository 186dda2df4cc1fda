//! Frames on their way out of a connection; what waits is bounded.
//!
//! | outbox | filled by | encoded | beyond its bound |
//! | --- | --- | --- | --- |
//! | [`RequestOutbox`] | one thread, which coordinates | when written: the frame carries what is left of its deadline | repairs and hints are refused; for the others the connection is given up |
//! | [`AnswerOutbox`] | the I/O thread and the committer | when pushed, into the buffer that is written | requests are left unread |
//!
//! Both feed the same lane writer and the same writer of large frames. Why there are two: a request carries its budget,
//! and what it says must be what is left when it leaves. The budget is a varint inside a bincode head, so its length
//! depends on its value and it cannot be patched into bytes that are encoded already. Requests therefore wait as values
//! and are encoded as they leave, or are dropped if their time is over. An answer is final: it is encoded once, straight
//! into the buffer that is written, by whichever thread made it.

mod answers;
mod queued;
mod requests;

use bytes::Bytes;

use crate::StreamError;

pub use answers::{AnswerOutbox, LargeAnswer, MAX_OUTPUT};
pub use queued::{Queued, clock};
pub use requests::{Batch, RequestOutbox, Take};

/// Where [`lane::write`](crate::lane::write) gets its bytes.
pub trait LaneSource {
    /// The whole frames that wait, as one run of bytes; waits for the first. `None` once no more will come. Each frame
    /// has at most [`LANE_FRAME`](quoit_ring::wire::LANE_FRAME) bytes.
    ///
    /// # Errors
    /// [`StreamError`] if the connection has to be given up; nothing more can be taken.
    fn next_lane(&self) -> impl Future<Output = Result<Option<Bytes>, StreamError>>;

    /// Reports that the transport has taken `bytes` of them.
    fn written(&self, bytes: usize);
}
