//! Frames on their way out of a connection; what waits is bounded.
//!
//! | outbox | filled by | encoded | beyond its bound |
//! | --- | --- | --- | --- |
//! | [`RequestOutbox`] | one thread, which coordinates | when written: the frame carries what is left of its deadline | repairs and hints are refused, then the connection is given up |
//! | [`AnswerOutbox`] | the I/O thread and the committer | when pushed, into the buffer that is written | requests are left unread |
//!
//! Both feed one lane writer and one writer of large frames. They stay two types because a request may wait for a slow
//! node until its deadline, and must then carry less of it or not leave at all, while an answer is final.

mod answers;
mod queued;
mod requests;

use bytes::Bytes;

use crate::StreamError;

pub use answers::{AnswerOutbox, MAX_OUTPUT};
pub use queued::{Queued, clock};
pub use requests::{Batch, RequestOutbox, Take};

/// Where the writer of a lane gets its bytes.
pub trait LaneSource {
    /// The whole frames that wait, as one run of bytes; waits for the first. `None` once no more will come.
    ///
    /// # Errors
    /// The connection has to be given up; nothing more can be taken.
    fn next_lane(&self) -> impl Future<Output = Result<Option<Bytes>, StreamError>>;

    /// So many bytes of them are with the transport now.
    fn written(&self, bytes: usize);
}
