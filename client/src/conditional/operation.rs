//! The name of a conditional write, as text that reads back.
//!
//! ```text
//!   key in hex . time and actor of a proposal, 32 hex digits . ..
//! ```

use core::fmt;
use core::str::FromStr;

use bytes::{BufMut as _, Bytes, BytesMut};
use quoit_ring::{Actor, Dot, Time};

use crate::error::InvalidRequest;

/// Names a conditional write whose outcome is unknown, for [`Client::outcome`](crate::Client::outcome). It prints as text that reads back.
///
/// ```
/// use quoit_client::ConditionalOp;
///
/// let text = "6b.00000000000000070000000000000009";
/// let operation: ConditionalOp = text.parse()?;
/// assert_eq!(operation.key(), &b"k"[..]);
/// assert_eq!(operation.to_string(), text);
/// assert!("6b.0007".parse::<ConditionalOp>().is_err());
/// # Ok::<(), quoit_client::InvalidRequest>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalOp {
    key: Bytes,
    /// One for each time that it was proposed; one of them at most happens.
    dots: Vec<Dot>,
}

impl ConditionalOp {
    pub(crate) const fn new(key: Bytes, dots: Vec<Dot>) -> Self {
        Self { key, dots }
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        &self.key
    }

    /// The names under which it was proposed: one of them at most happens.
    #[must_use]
    pub fn dots(&self) -> &[Dot] {
        &self.dots
    }
}

impl fmt::Display for ConditionalOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.key {
            write!(f, "{byte:02x}")?;
        }
        for dot in &self.dots {
            write!(f, ".{:016x}{:016x}", dot.time.0, dot.actor.0)?;
        }
        Ok(())
    }
}

impl FromStr for ConditionalOp {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<Self, InvalidRequest> {
        let mut parts = text.split('.');
        let key = parts.next().and_then(unhex).filter(|key| !key.is_empty());
        let dot = |part: &str| {
            let bytes = unhex(part)?;
            let (time, actor) = bytes.split_at_checked(8)?;
            let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
            Some(Dot {
                time: Time(number(time)?),
                actor: Actor(number(actor)?),
            })
        };
        let dots: Option<Vec<Dot>> = parts.map(dot).collect();
        match (key, dots) {
            (Some(key), Some(dots)) if !dots.is_empty() => Ok(Self { key, dots }),
            _ => Err(InvalidRequest::Operation),
        }
    }
}

fn unhex(text: &str) -> Option<Bytes> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut bytes = BytesMut::with_capacity(pairs.len());
    for pair in pairs {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let byte = digit(pair[0])? << 4 | digit(pair[1])?;
        bytes.put_u8(u8::try_from(byte).ok()?);
    }
    Some(bytes.freeze())
}
