//! Why a connection is closed: the code that the other side reads.
//!
//! ```text
//!   0 done | 1 draining | 2 malformed | 3 unauthorised | 4 too many connections
//! ```
//!
//! A code is part of the wire format: numbers are never reused. The reason in words beside it is for logs.

use core::fmt;

use quinn::VarInt;

/// An application error code, sent with a reason in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCode {
    /// Both sides are done.
    Done = 0,
    /// The node is stopping; everything it took in was answered. Try it again later.
    Draining = 1,
    /// The peer sent what is no frame or no request, or stopped in the middle of one.
    Malformed = 2,
    /// The peer's certificate names no role.
    Unauthorised = 3,
    /// The node serves as many connections as it may.
    TooManyConnections = 4,
}

impl CloseCode {
    /// Every code there is.
    pub const ALL: [Self; 5] = [
        Self::Done,
        Self::Draining,
        Self::Malformed,
        Self::Unauthorised,
        Self::TooManyConnections,
    ];

    /// The code as it travels.
    #[must_use]
    pub fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    /// The meaning of a code that came in.
    ///
    /// ```
    /// # use quoit_transport::CloseCode;
    /// assert_eq!(CloseCode::from_code(1), Some(CloseCode::Draining));
    /// assert_eq!(CloseCode::from_code(99), None);
    /// ```
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.code().into_inner() == code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Draining => "the node is stopping",
            Self::Malformed => "malformed bytes",
            Self::Unauthorised => "the certificate names no role",
            Self::TooManyConnections => "too many connections",
        })
    }
}
