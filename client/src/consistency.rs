//! The modes of an operation: what it promises, and when a read repairs.
//!
//! Left out: how a mode is carried out (`operation::plan`, `quorum`).
//!
//! Source: Dynamo (2007), sections 4.5 and 6, for N, R and W.

use std::time::Duration;

/// Shortest and longest deadline: a write may not be under way for longer than half of what nodes
/// accept as fresh (60 s).
pub(crate) const DEADLINES: core::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(30);

/// What an operation promises. N is the number of copies that the ring keeps of each key.
///
/// | | R and W unless set | of N = 3 | a read | answers while |
/// | --- | --- | --- | --- | --- |
/// | `One` | 1 | 1 | may miss what was just written | one replica lives |
/// | `Quorum` | N / 2 + 1 | 2 | sees what was acknowledged before it began | a majority lives |
/// | `Linearizable` | N / 2 + 1, always | 2 | happens at one instant, among all of this mode | a majority lives |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Consistency {
    /// R = W = 1 unless set: answers while one replica lives. A read asks all and returns the first
    /// answer; replicas converge in the background. Of a value over 1 KiB it asks one replica, and others
    /// only if that one is late, fails or lacks it. Costs freshness, and a lost disk may lose a write.
    One,
    /// R and W a majority (the default, since surprises cost more than a slower replica): a read sees
    /// every write acknowledged in this mode before it began, and reads never go backwards.
    #[default]
    Quorum,
    /// Reads and writes of a key happen one after the other, each at one instant between its call and its return, and so do
    /// [conditional writes](crate::Client::compare_and_set). A read takes one round to the owners unless they differ, a write two;
    /// R and W are majorities whatever is set, and a write is never sloppy. It replaces whatever is there: a context makes it fail
    /// as invalid, a condition is what [`compare_and_set`](crate::Client::compare_and_set) is for.
    Linearizable,
}

/// When a read repairs the replicas that it found stale.
///
/// | | a read | costs | unless set, of |
/// | --- | --- | --- | --- |
/// | `BeforeAnswer` | never goes backwards | a round more where replicas differ | `Quorum` |
/// | `Background` | may go backwards | no time; stale replicas are repaired after the answer | `One` |
/// | `Off` | may go backwards | nothing; replicas stay as they are | |
///
/// To go backwards means: a write that was not acknowledged, or not yet, was seen by one read and is missed by the
/// next. What was acknowledged in quorum mode before a quorum read began it sees in any case, as R and W are majorities.
///
/// Repair in the background has a budget of bytes a second,
/// [`repair_bytes_per_second`](crate::ClientBuilder::repair_bytes_per_second). What an answer waits for is never held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadRepair {
    /// Enough replicas hold what is returned for every majority to meet one, before it is returned: N less a
    /// majority, and one. A read that cannot reach so many fails as
    /// [`Unstable`](crate::ReadError::Unstable). In mode `One` it asks for as many answers as that at least.
    BeforeAnswer,
    /// The answer first, then the repair of the replicas that were asked. In quorum mode this gives up that reads
    /// never go backwards, for a round less where replicas differ: for values that are written once, or whose
    /// readers do not compare what they read.
    Background,
    /// No repair. Mode `One` asks R replicas and no more then. For scans over much that is read once, and for
    /// looking at replicas without changing them; replicas that differ stay so until another read, or a write.
    Off,
}
