//! Frames: cutting a byte stream into messages.
//!
//! ```text
//!   length u32 | kind u8 | version u8 | id u64 | head length u32 | head | body
//! ```
//!
//! Frames are length-prefixed because a dropped stream looks like a finished one: a stream that ends
//! inside a frame is an error, never a short message. Frames up to [`LANE_FRAME`] share one long-lived
//! stream per connection and travel in batches; a larger one goes on a stream of its own.
//!
//! Fixed numbers are little-endian. The length counts everything behind itself. Invariant: what is kept
//! of a stream is at most what was pushed and not yet cut off. Left out: the meaning of heads and bodies.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::wire::VERSION;
use crate::wire::codec::{self, DecodeError, HEAD_LIMIT};

/// Most bytes a frame may have at all, whatever is configured: about twice the largest record that a node
/// can be configured to take.
pub const MAX_FRAME: usize = 128 << 20;
/// Frames of more than 64 KiB leave the shared stream for one of their own, so that small requests never
/// wait behind a large value.
pub const LANE_FRAME: usize = 64 << 10;

/// Bytes of the length field.
const LENGTH: usize = 4;
/// Bytes between the length field and the head.
const FIXED: usize = 14;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request = 1,
    Response = 2,
}

/// A frame taken apart, its head still encoded.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) id: u64,
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
}

/// Appends one frame to `out`; `head` and `body` append theirs.
pub(crate) fn build(
    kind: Kind,
    id: u64,
    out: &mut BytesMut,
    head: impl FnOnce(&mut BytesMut),
    body: &[&[u8]],
) {
    let start = out.len();
    // In one piece: each append checks the room that is left.
    let mut fixed = [0; LENGTH + FIXED];
    fixed[LENGTH] = kind as u8;
    fixed[LENGTH + 1] = VERSION;
    fixed[LENGTH + 2..LENGTH + 10].copy_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&fixed);

    let head_start = out.len();
    head(out);
    let head_len = out.len() - head_start;
    debug_assert!(head_len <= HEAD_LIMIT, "a reader would refuse this head");
    for part in body {
        out.put_slice(part);
    }

    // Both lengths are known only now.
    let frame = &mut out[start..];
    let length = frame.len() - LENGTH;
    patch(frame, 0, length);
    patch(frame, FIXED, head_len);
}

/// Writes a length into its place. Lengths are bounded far below `u32::MAX` by what may be sent.
fn patch(out: &mut [u8], at: usize, length: usize) {
    debug_assert!(u32::try_from(length).is_ok(), "frames stay below MAX_FRAME");
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    out[at..at + LENGTH].copy_from_slice(&length.to_le_bytes());
}

/// Takes a frame (without its length field) apart.
pub(crate) fn open(kind: Kind, mut frame: Bytes) -> Result<Parts, DecodeError> {
    if frame.len() < FIXED {
        return Err(DecodeError::Malformed(
            "a frame shorter than its fixed fields",
        ));
    }

    // The version comes first: of another one, nothing else is known.
    let (found, version) = (frame.get_u8(), frame.get_u8());
    if version != VERSION {
        return Err(DecodeError::Version {
            found: version,
            known: VERSION,
        });
    }
    if found != kind as u8 {
        return Err(DecodeError::Malformed("a frame of the wrong kind"));
    }

    let id = frame.get_u64_le();
    let head_len = frame.get_u32_le() as usize;
    if head_len > HEAD_LIMIT {
        return Err(DecodeError::TooLarge {
            what: "a head",
            bytes: head_len,
            max: HEAD_LIMIT,
        });
    }
    if head_len > frame.len() {
        return Err(DecodeError::Malformed("a head longer than its frame"));
    }

    let head = frame.split_to(head_len);
    Ok(Parts {
        id,
        head,
        body: frame,
    })
}

/// Reads a whole head.
pub(crate) fn head<T: bincode::Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    codec::whole::<T, HEAD_LIMIT>(bytes)
}

/// Cuts a byte stream into frames. A stream may only end where [`Frames::is_empty`].
///
/// ```
/// # use quoit_ring::wire::Frames;
/// let mut frames = Frames::new(1024);
/// frames.push(&[3, 0, 0, 0, b'a', b'b']);
/// assert_eq!(frames.next().unwrap(), None, "not whole yet");
/// frames.push(b"c");
/// assert_eq!(frames.next().unwrap().unwrap(), "abc");
/// assert!(frames.is_empty());
/// ```
#[derive(Debug)]
pub struct Frames {
    buffer: BytesMut,
    max: usize,
}

impl Frames {
    /// A cutter that refuses frames of more than `max` bytes, their length field not counted (`max` itself
    /// is at most [`MAX_FRAME`]).
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            max: max.min(MAX_FRAME),
        }
    }

    /// Adds bytes off the stream. They are copied; how much comes between two calls of [`Frames::next`] is
    /// the caller's to bound.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame without its length field, or `None` until more bytes come.
    ///
    /// ```
    /// # use quoit_ring::wire::{DecodeError, Frames};
    /// let mut frames = Frames::new(1024);
    /// frames.push(&5_000_u32.to_le_bytes());
    /// let (what, bytes, max) = ("a frame", 5_000, 1024);
    /// assert_eq!(frames.next(), Err(DecodeError::TooLarge { what, bytes, max }));
    /// ```
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] as soon as the length field says so, before the frame has come; nothing is
    /// cut off, so every further call says the same, and the stream is of no more use.
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible, and ends only for now"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        // Refuse before buffering: a length alone must not cost memory.
        if length > self.max {
            return Err(DecodeError::TooLarge {
                what: "a frame",
                bytes: length,
                max: self.max,
            });
        }
        if self.buffer.len() < LENGTH + length {
            return Ok(None);
        }

        self.buffer.advance(LENGTH);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Bytes pushed and not yet cut off.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the stream may end here: no part of a frame is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}
