//! What a watch yields.

use core::fmt;

use bytes::Bytes;

use crate::entry::Entry;

/// One item of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are changes; a box would be made for each"
)]
pub enum WatchEvent {
    /// A key has this value now, or none any more.
    Changed(WatchEntry),
    /// All that was there when the watch began, or when it last lagged, has been yielded; what comes from here on are changes.
    Current,
    /// Changes may come late, or only the last of several: the state is read again, and what differs is yielded. Then
    /// [`Current`](Self::Current) comes.
    Lagged(Lag),
    /// Forget what was yielded: all keys that are there are yielded again, and those that are not by the next
    /// [`Current`](Self::Current) are gone. Only watches of a prefix do this: those that go on from a token, and those that
    /// have lagged with more keys than they remember.
    Reset,
}

/// Why a watch has lagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lag {
    /// More keys have changed than were taken: a reader that is slow, or a burst.
    TooMany,
    /// The stream was not polled for so long that nodes have forgotten it.
    NotPolled,
    /// Nodes were lost, have restarted, or have come back. While fewer than a majority of a key's owners are heard, the state is
    /// read from time to time, and [`Current`](WatchEvent::Current) waits.
    Owners,
    /// Nodes have as many subscriptions as they may, and too few of the others are heard: as with [`Owners`](Self::Owners).
    Refused,
    /// The ring has changed, and other nodes are asked.
    Ring,
    /// A key could not be read, or the keys not scanned. It is tried again.
    Unread,
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "more keys changed than were taken",
            Self::NotPolled => "the watch was not polled, and nodes forgot it",
            Self::Owners => "nodes are away, or have restarted",
            Self::Refused => "nodes take no more subscriptions",
            Self::Ring => "the ring has changed",
            Self::Unread => "too few owners answer to read what has changed",
        })
    }
}

/// A key that has changed, with what a quorum read of it returned since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEntry {
    key: Bytes,
    entry: Entry,
}

impl WatchEntry {
    pub(super) const fn new(key: Bytes, entry: Entry) -> Self {
        Self { key, entry }
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        &self.key
    }

    /// What a get of the key would have returned: [absent](Entry::is_absent) if it was deleted, has expired, or never was.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The value, as of [`Entry::value`]: `None` if it is absent, and for siblings that are not merged.
    #[must_use]
    pub fn value(&self) -> Option<&Bytes> {
        self.entry.value()
    }

    /// Key and entry.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, Entry) {
        (self.key, self.entry)
    }
}
