//! How one of a connection's tasks ended, whichever it was.

use std::time::Duration;

use quinn::SendStream;
use quoit_transport::StreamError;
use quoit_transport::lane::acknowledged;

/// How long the last answers may take to be acknowledged; a slower peer counts as gone.
pub(super) const DELIVERY_DEADLINE: Duration = Duration::from_secs(3);

/// How one task of a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The peer has ended its requests.
    Finished,
    /// A writer has seen all answers delivered.
    Delivered,
    /// The connection is lost, or the peer closed it.
    Gone,
    /// The peer broke the protocol, in this way.
    Malformed(String),
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        if error.is_lost() {
            Self::Gone
        } else {
            Self::Malformed(error.to_string())
        }
    }
}

/// Waits until the peer has all of a finished stream.
pub(super) async fn delivered(stream: &SendStream) -> End {
    match tokio::time::timeout(DELIVERY_DEADLINE, acknowledged(stream)).await {
        // A peer that stops a stream does not want the answer.
        Ok(Ok(()) | Err(StreamError::Refused)) => End::Delivered,
        Ok(Err(_)) | Err(_) => End::Gone,
    }
}
