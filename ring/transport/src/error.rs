//! What can be wrong with a stream, on either side of a connection.
//!
//! ```text
//!   Lost             the connection is gone, whatever the bytes were
//!   everything else  the other side broke the protocol: close with `Malformed` and the reason in words
//! ```

use quinn::{
    ClosedStream, ConnectionError, ReadError, ReadExactError, StoppedError, VarInt, WriteError,
};
use quoit_ring::wire::{DecodeError, MAX_FRAME};

use crate::CloseCode;
use crate::dial::Explained;

/// Why a stream is of no more use. Its connection is to be closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection was lost or closed.
    #[error("{}", Explained(.0))]
    Lost(#[from] ConnectionError),
    /// Bytes that are not a frame.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    /// A frame longer than any may be.
    #[error("a frame of {bytes} bytes; {MAX_FRAME} are the most there can be")]
    TooLong {
        /// Its length, by its length field.
        bytes: usize,
    },
    /// The stream ended inside a frame.
    #[error("{0} ended inside a frame")]
    CutShort(&'static str),
    /// A frame did not become whole within its deadline.
    #[error("a frame came too slowly")]
    TooSlow,
    /// Bytes follow the one frame of a stream.
    #[error("bytes behind a large frame")]
    Trailing,
    /// The dialler has not opened the lane in time.
    #[error("the lane was not opened")]
    NoLane,
    /// The lane begins with something else than the preface.
    #[error("the lane does not begin with the preface of this protocol")]
    NoPreface,
    /// The other side reset a stream that was being read.
    #[error("{0} was reset")]
    Reset(&'static str),
    /// The other side refused a stream that was being written.
    #[error("a stream was refused")]
    Refused,
    /// More waits to be written than the outbox holds: more than all operations under way can have queued.
    #[error("the other side has stopped reading")]
    Overflowed,
}

impl StreamError {
    /// Whether the connection is gone, so that closing it has no reader.
    ///
    /// ```
    /// use quinn::ConnectionError;
    /// use quoit_transport::StreamError;
    ///
    /// assert!(StreamError::from(ConnectionError::TimedOut).is_lost());
    /// assert!(!StreamError::NoPreface.is_lost());
    /// ```
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Whether the node has no seat for this connection, see [`CloseCode::is_crowded`]: dial again, but not soon.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        let Self::Lost(ConnectionError::ApplicationClosed(close)) = self else {
            return false;
        };
        CloseCode::from_code(close.error_code.into_inner()).is_some_and(CloseCode::is_crowded)
    }

    /// The meaning of a failed read of `stream`.
    pub(crate) fn reading(stream: &'static str, error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::Lost(error),
            ReadError::Reset(_)
            | ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Reset(stream),
        }
    }

    /// The same for a read of so many bytes.
    pub(crate) fn reading_exactly(stream: &'static str, error: ReadExactError) -> Self {
        match error {
            ReadExactError::FinishedEarly(_) => Self::CutShort(stream),
            ReadExactError::ReadError(error) => Self::reading(stream, error),
        }
    }

    /// What the other side reports about a finished stream: all of it arrived, or it wants no more.
    pub(crate) fn stopped(said: Result<Option<VarInt>, StoppedError>) -> Result<(), Self> {
        match said {
            Ok(None) => Ok(()),
            Err(StoppedError::ConnectionLost(error)) => Err(Self::Lost(error)),
            Ok(Some(_)) | Err(StoppedError::ZeroRttRejected) => Err(Self::Refused),
        }
    }
}

impl From<WriteError> for StreamError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Lost(error),
            WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::Refused
            }
        }
    }
}

impl From<ClosedStream> for StreamError {
    fn from(_closed: ClosedStream) -> Self {
        Self::Refused
    }
}
