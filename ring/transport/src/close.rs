//! Why a connection is closed: the code that the other side receives.
//!
//! ```text
//!   0 done | 1 draining | 2 malformed | 3 unauthorised | 4 too many connections | 5 too many of this identity | 6 removed
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
    /// The node is stopping; every request that it accepted was answered. Dial again later.
    Draining = 1,
    /// The peer sent bytes that are not a frame or not a request, or stopped in the middle of one.
    Malformed = 2,
    /// The peer's certificate names no role.
    Unauthorised = 3,
    /// The node has reached its limit of connections.
    TooManyConnections = 4,
    /// The caller's own identity, its certificate, has as many connections as it may.
    TooManyOfIdentity = 5,
    /// The caller's certificate is of a node that was removed from the cluster, for ever.
    Removed = 6,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Draining,
        Self::Malformed,
        Self::Unauthorised,
        Self::TooManyConnections,
        Self::TooManyOfIdentity,
        Self::Removed,
    ];

    /// The code as it is sent.
    ///
    /// ```
    /// # use quoit_transport::CloseCode;
    /// assert_eq!(CloseCode::Malformed.code().into_inner(), 2);
    /// ```
    #[must_use]
    pub fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    /// Whether the node is short of something that other callers hold: come back later, and not soon.
    ///
    /// ```
    /// # use quoit_transport::CloseCode;
    /// assert!(CloseCode::TooManyOfIdentity.is_crowded());
    /// assert!(!CloseCode::Draining.is_crowded());
    /// ```
    #[must_use]
    pub const fn is_crowded(self) -> bool {
        matches!(self, Self::TooManyConnections | Self::TooManyOfIdentity)
    }

    /// The meaning of a received code; `None` for one that this version doesn't know.
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
            Self::TooManyOfIdentity => "too many connections of this identity",
            Self::Removed => "the node was removed from the cluster",
        })
    }
}
