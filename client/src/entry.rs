//! Results of operations: entries with their siblings, causal contexts, write receipts.
//!
//! ```text
//!   get -> Entry { values: a | b, context } ---- put(merged).context(..) ----> a, b replaced
//!                                 |
//!                                 `- bytes, kept in a form or a cookie, and back again
//! ```
//!
//! Invariants: a context covers exactly the values it came with and what those had replaced; of an entry's
//! values, none saw another. Left out: how to settle several values, which a [`Merge`] or the
//! application decides.
//!
//! Source: Dynamo (2007), section 4.4, whose vector clocks are the context here.

use core::hash::Hasher as _;

use bytes::Bytes;
use quoit_ring::wire::{decode_record, record_bytes};
use quoit_ring::{Dot, Millis, Record, Seen, Time};
use siphasher::sip::SipHasher13;

use crate::error::InvalidRequest;
use crate::merge::Merge;

/// Values up to this size are copied for the caller; larger ones take up most of their buffer anyway.
const COPIED: usize = 16 << 10;

/// What a reader has seen of a key; opaque. A put with it replaces exactly that.
///
/// The default has seen nothing: a put with it replaces nothing and becomes a sibling of what is there. Use
/// a context only with the key it was read from: with another key it may replace unrelated values.
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use quoit_client::Context;
///
/// let page = client.get("page:7").await?;
/// let form_field = page.context().to_bytes(); // sent to a browser, and back with its edit
/// let context = Context::from_bytes(&form_field)?;
/// client.put("page:7", "edited").context(&context).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The versions read, without their values, and what they had replaced.
    versions: Record,
}

impl Context {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            versions: record.without_values(),
        }
    }

    pub(crate) const fn seen(&self) -> &Seen {
        self.versions.seen()
    }

    /// The latest time among the versions read: a write with this context gets a later one.
    pub(crate) fn latest(&self) -> Time {
        self.versions.max_time()
    }

    /// Whether it came with the very versions that live in `record`.
    pub(crate) fn is_of(&self, record: &Record) -> bool {
        let versions = |record: &Record| {
            let live = record.live().iter().map(|it| (it.dot, it.hash));
            live.collect::<smallvec::SmallVec<[_; 4]>>()
        };
        versions(&self.versions) == versions(record)
    }

    /// Adds what `other` has seen, of the same key. A put with the sum replaces what either would.
    ///
    /// ```
    /// # use quoit_client::Context;
    /// # use quoit_ring::{Record, Seen, Time, wire::record_bytes};
    /// # let read_at = |time| {
    /// #     let seen = Record::from_parts(Default::default(), Seen::up_to(Time(time))).unwrap();
    /// #     Context::from_bytes(&record_bytes(&seen)).unwrap()
    /// # };
    /// let (early, late) = (read_at(5), read_at(9));
    /// let mut both = early.clone();
    /// both.join(&late);
    /// assert_eq!(both, late, "a later read of the key saw all that the earlier one did");
    /// ```
    pub fn join(&mut self, other: &Self) {
        self.versions.join(&other.versions);
    }

    /// The context's bytes, to keep or send; a few dozen for most keys. They are not signed: a party that can
    /// change them can replace values that it has not seen.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record_bytes(&self.versions).into()
    }

    /// Decodes a context. The bytes may be untrusted: junk is an error, and the put refuses a time far in the
    /// future ([`InvalidRequest::FutureContext`]).
    ///
    /// ```
    /// use quoit_client::Context;
    ///
    /// let nothing = Context::default();
    /// assert_eq!(Context::from_bytes(&nothing.to_bytes())?, nothing);
    /// assert!(Context::from_bytes(b"junk").is_err());
    /// # Ok::<(), quoit_client::InvalidRequest>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidRequest::Context`] if they are not from [`Context::to_bytes`]; nothing is kept.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidRequest> {
        let record = decode_record(&Bytes::copy_from_slice(bytes))?;
        if record.live().iter().all(|sibling| sibling.value.is_none()) {
            Ok(Self::of(&record))
        } else {
            let siblings = quoit_ring::wire::DecodeError::Malformed("a context holds no value");
            Err(InvalidRequest::Context(siblings))
        }
    }
}

/// One of the values of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The value's bytes.
    pub bytes: Bytes,
    /// The write that made it. Dots order values by the time of their writes.
    pub dot: Dot,
    /// When it stops being readable, in milliseconds since 1970 by the nodes' clocks; `None` is never.
    pub expiry: Option<Millis>,
}

/// The result of a get: no value, one, or several siblings; and the context for the next put.
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let entry = client.get("profile:7").await?;
/// if entry.is_conflict() {
///     // Both writers meant theirs: here the longer text wins, for everyone from now on.
///     let longest = entry.siblings().iter().max_by_key(|value| value.bytes.len());
///     let settled = longest.map(|value| value.bytes.clone()).unwrap_or_default();
///     client.put("profile:7", settled).context(entry.context()).await?;
/// } else if let Some(value) = entry.value() {
///     println!("{} bytes", value.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    values: Vec<Value>,
    merged: Option<Option<Bytes>>,
    context: Context,
}

impl Entry {
    /// An entry of a record read with its values; siblings without one are left out.
    pub(crate) fn of(record: &Record) -> Self {
        let value = |s: &quoit_ring::Sibling| {
            Some(Value {
                bytes: unpinned(s.value.as_ref()?),
                dot: s.dot,
                expiry: s.expiry,
            })
        };
        Self {
            values: record.live().iter().filter_map(value).collect(),
            merged: None,
            context: Context::of(record),
        }
    }

    /// The same with several values merged, if there is a function for that.
    pub(crate) fn merged_by(mut self, merge: Option<&dyn Merge>) -> Self {
        if let Some(merge) = merge.filter(|_| self.values.len() > 1) {
            self.merged = Some(merge.merge(&self.values));
        }
        self
    }

    /// The value: the only one, or the merge of several. `None` if there is none, if the merge function
    /// returned none, or if there are several and no merge function was given (see [`Entry::is_conflict`]).
    #[must_use]
    pub fn value(&self) -> Option<&Bytes> {
        match (&self.merged, self.values.as_slice()) {
            (Some(merged), _) => merged.as_ref(),
            (None, [only]) => Some(&only.bytes),
            (None, _) => None,
        }
    }

    /// Like [`Entry::value`], owned.
    #[must_use]
    pub fn into_value(self) -> Option<Bytes> {
        self.value().cloned()
    }

    /// Whether the key has no value: never written, deleted or expired. False for siblings that a merge
    /// function turned into no value.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether the key has no value and had one: it was deleted, or has expired. Replicas forget that once no older write can come
    /// any more; then this is false.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.is_absent() && !self.context.seen().intervals().is_empty()
    }

    /// Whether there are several values and no merge function was given.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        self.values.len() > 1 && self.merged.is_none()
    }

    /// All values as they were read, before any merge, oldest dot first. None of them saw another.
    #[must_use]
    pub fn siblings(&self) -> &[Value] {
        &self.values
    }

    /// A number for these very values, by their writes: another one where any of them differs.
    pub(crate) fn version(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        for value in &self.values {
            hasher.write_u64(value.dot.time.0);
            hasher.write_u64(value.dot.actor.0);
            // Two values may have one dot, and each replica one of them.
            hasher.write_u64(u64::try_from(value.bytes.len()).unwrap_or(u64::MAX));
            hasher.write(&value.bytes);
        }
        hasher.finish()
    }

    /// What this read has seen; a put with it replaces exactly that, absence included.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }
}

/// A value that a caller may keep. A small one is copied out of its network buffer: 100 bytes must not keep
/// 256 KiB alive.
fn unpinned(value: &Bytes) -> Bytes {
    if value.len() <= COPIED {
        Bytes::copy_from_slice(value)
    } else {
        value.clone()
    }
}

/// The receipt of a put or delete.
///
/// ```no_run
/// # async fn example(client: quoit_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// // No read in between: the second replaces the first, and nothing that came after that.
/// let draft = client.put("page:7", "draft").await?;
/// let page = client.put("page:7", "final").context(&draft.context).await?;
/// assert!(page.dot > draft.dot);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The write's name.
    pub dot: Dot,
    /// Nodes that had acknowledged it when the put returned, at least W; others may have it by now, too. Of a blind write
    /// that a later one of the same client has overwritten meanwhile, nodes that had either.
    pub acked: usize,
    /// Of those, fallbacks that keep the write as a hint for an owner that was away: none unless the put was
    /// [sloppy](crate::Put::sloppy). Reads do not ask them.
    pub hints: usize,
    /// What the writer has now seen: its context and its own write. Pass it to the next put.
    pub context: Context,
}
