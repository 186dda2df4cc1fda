//! Coverage: events that a set of runs must have seen, or its verdict is worth nothing.
//!
//! ```text
//!   run 1   superseded x 3, repair x 40, ...       \
//!   run 2   clock ahead x 12, repair x 31, ...      +--> sum: each at least once, or the set does not count
//!   ...                                            /
//! ```
//!
//! Seen from outside, on the wire and in the results that callers get: the shipped code does not know that it is watched.
//!
//! Source: the `sometimes` assertions of Antithesis, and `TEST` macros of `FoundationDB`.

/// Something that a set of runs must have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CoverageEvent {
    /// A read sent a repair.
    Repair,
    /// A read returned siblings.
    Siblings,
    /// A read found a key absent that had been written.
    Tombstone,
    /// A put was answered as superseded.
    Superseded,
    /// A put was answered as superseded by a record that names its dot.
    SupersededNamed,
    /// A write was re-minted.
    Reminted,
    /// A node found one dot with two contents.
    Collision,
    /// A client refused a write since its clock was too far off.
    ClockSkew,
    /// A write ended as surely not stored.
    NotStored,
    /// A write ended as stored too thinly.
    UnderReplicated,
    /// A write ended unknown.
    Unknown,
    /// A read failed for want of replicas.
    Unavailable,
    /// A read failed because its result could not be made stable.
    Unstable,
    /// A read asked for a digest.
    Digest,
    /// A node refused a stamp ahead of its clock.
    ClockAhead,
    /// A node refused a write for its age.
    TooOld,
    /// A node refused a request whose caller no longer waits.
    Expired,
    /// A node's queue was full.
    Overloaded,
    /// A node that was stopping refused.
    Draining,
    /// A node refused one more sibling.
    TooManySiblings,
    /// A node refused a repair that would take a record over its bounds.
    RepairRefused,
    /// A node's storage refused or failed.
    StorageFault,
    /// A commit failed.
    CommitFailed,
    /// A crash came while a commit was under way.
    CommitCut,
    /// A node lost commits with its power that it may have acknowledged.
    BufferedLoss,
    /// A node that has lost writes refused a read.
    Incomplete,
    /// A node refused to start with its clock so far behind.
    ClockBehind,
    /// A node refused to start on an empty disk: identity and store were missing.
    DiskGone,
    /// A node refused to start since its store alone was missing.
    StoreGone,
    /// A connection broke with requests under way.
    ConnectionLost,
    /// A caller went away from a put that was under way.
    CallerLeft,
    /// A conditional write ended unknown.
    SwapUnknown,
    /// The outcome of one was asked, and it was barred.
    SwapBarred,
    /// A round met another one with a higher ballot.
    Outbid,
    /// A proposer that had not asked met what it had not seen.
    Unseen,
    /// A proposer waited for its turn at an owner.
    TurnAwaited,
    /// A scan ended, well or not.
    Scan,
    /// A write that failed was sent again.
    Retried,
    /// A caller's operation was cut short by the death of its client.
    ClientDied,
    /// A value was read expired.
    ExpiredValue,
    /// A hint was acknowledged to a client.
    HintKept,
    /// A hint was delivered.
    HintDelivered,
    /// A target refused a hint for what it is.
    HintRefused,
    /// A node read a further page of hints.
    HintPage,
    /// A node's hint store was full.
    HintsFull,
    /// A sloppy write was acknowledged by nodes with hints.
    Sloppy,
    /// A client took a request back that still waited for its node.
    TakenBack,
    /// A read was asked to repair after its answer, or not at all.
    LooseRead,
    /// A node refused a request of an older epoch.
    OldEpoch,
    /// A node refused a request of an epoch that it had not learned of.
    Behind,
    /// An operator had a change of the ring decided, or its revert.
    RingChanged,
    /// An operator had a member written off whose disk is lost.
    WrittenOff,
    /// A member whose disk is lost is one no more.
    LossSeenTo,
    /// A new owner pulled a page.
    Pulled,
    /// A former owner pushed a row.
    Pushed,
    /// A node heard of a newer epoch by gossip.
    GossipNewer,
    /// A node looked which of its keys differ from another's.
    KeysCompared,
    /// A node joined what another one had and it had not.
    SyncRepaired,
    /// A node found up to when no write is under way.
    FloorRaised,
    /// A node has forgotten tombstones.
    TombstoneForgotten,
    /// A node removed a value that had expired.
    Swept,
    /// A member that was silent is heard again.
    MemberBack,
    /// A node refused a write although its queue was not full.
    LoadShed,
    /// A node refused a record with too many bytes.
    RecordTooLarge,
    /// As many hints were under way to a node as ever may be.
    HintWindow,
    /// A client's table of the keys that it wrote was full, and it forgot those on which nothing was under way.
    MintFull,
    /// A read did not send a repair, since the client's budget for them was used up.
    RepairForgone,
}

impl CoverageEvent {
    /// Every coverage event.
    pub const ALL: [Self; 67] = [
        Self::Repair,
        Self::Siblings,
        Self::Tombstone,
        Self::Superseded,
        Self::SupersededNamed,
        Self::Reminted,
        Self::Collision,
        Self::ClockSkew,
        Self::NotStored,
        Self::UnderReplicated,
        Self::Unknown,
        Self::Unavailable,
        Self::Unstable,
        Self::Digest,
        Self::ClockAhead,
        Self::TooOld,
        Self::Expired,
        Self::Overloaded,
        Self::Draining,
        Self::TooManySiblings,
        Self::RepairRefused,
        Self::StorageFault,
        Self::CommitFailed,
        Self::CommitCut,
        Self::BufferedLoss,
        Self::Incomplete,
        Self::ClockBehind,
        Self::DiskGone,
        Self::StoreGone,
        Self::ConnectionLost,
        Self::CallerLeft,
        Self::SwapUnknown,
        Self::SwapBarred,
        Self::Outbid,
        Self::Unseen,
        Self::TurnAwaited,
        Self::Scan,
        Self::Retried,
        Self::ClientDied,
        Self::ExpiredValue,
        Self::HintKept,
        Self::HintDelivered,
        Self::HintRefused,
        Self::HintPage,
        Self::HintsFull,
        Self::Sloppy,
        Self::TakenBack,
        Self::LooseRead,
        Self::OldEpoch,
        Self::Behind,
        Self::RingChanged,
        Self::WrittenOff,
        Self::LossSeenTo,
        Self::Pulled,
        Self::Pushed,
        Self::GossipNewer,
        Self::KeysCompared,
        Self::SyncRepaired,
        Self::FloorRaised,
        Self::TombstoneForgotten,
        Self::Swept,
        Self::MemberBack,
        Self::LoadShed,
        Self::RecordTooLarge,
        Self::HintWindow,
        Self::MintFull,
        Self::RepairForgone,
    ];

    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repair => "repair sent",
            Self::Siblings => "siblings read",
            Self::Tombstone => "deleted key read",
            Self::Superseded => "put superseded",
            Self::SupersededNamed => "put superseded, dot named",
            Self::Reminted => "write re-minted",
            Self::Collision => "dot collision found",
            Self::ClockSkew => "write refused, clock off",
            Self::NotStored => "write surely not stored",
            Self::UnderReplicated => "write under-replicated",
            Self::Unknown => "write unknown",
            Self::Unavailable => "read unavailable",
            Self::Unstable => "read unstable",
            Self::Digest => "digest asked for",
            Self::ClockAhead => "stamp ahead refused",
            Self::TooOld => "old write refused",
            Self::Expired => "expired request refused",
            Self::Overloaded => "queue full",
            Self::Draining => "stopping node refused",
            Self::TooManySiblings => "one sibling too many",
            Self::RepairRefused => "repair over the bounds refused",
            Self::StorageFault => "storage fault reported",
            Self::CommitFailed => "commit failed",
            Self::CommitCut => "commit cut short",
            Self::BufferedLoss => "commits lost with the power",
            Self::Incomplete => "read refused, incomplete",
            Self::ClockBehind => "start refused, clock behind",
            Self::DiskGone => "start refused, disk empty",
            Self::StoreGone => "start refused, store gone",
            Self::ConnectionLost => "connection lost in use",
            Self::CallerLeft => "caller left a put",
            Self::SwapUnknown => "conditional write unknown",
            Self::SwapBarred => "conditional write barred",
            Self::Outbid => "round outbid",
            Self::TurnAwaited => "turn awaited at an owner",
            Self::Unseen => "one-round write sent to ask first",
            Self::Scan => "scan",
            Self::Retried => "failed write sent again",
            Self::ClientDied => "client died in an operation",
            Self::ExpiredValue => "expired value judged",
            Self::HintKept => "hint kept",
            Self::HintDelivered => "hint delivered",
            Self::HintRefused => "hint refused for what it is",
            Self::HintPage => "further page of hints read",
            Self::HintsFull => "hint store full",
            Self::Sloppy => "sloppy write acknowledged",
            Self::TakenBack => "request taken back",
            Self::LooseRead => "read without write-back",
            Self::OldEpoch => "old epoch refused",
            Self::Behind => "unknown epoch refused",
            Self::RingChanged => "ring changed by an operator",
            Self::WrittenOff => "member with a lost disk written off",
            Self::LossSeenTo => "member with a lost disk left out",
            Self::Pulled => "page of moving rows pulled",
            Self::Pushed => "row pushed by a former owner",
            Self::GossipNewer => "newer epoch heard of by gossip",
            Self::KeysCompared => "keys of two nodes compared",
            Self::SyncRepaired => "record repaired by anti-entropy",
            Self::FloorRaised => "floor raised",
            Self::TombstoneForgotten => "tombstone forgotten",
            Self::Swept => "expired value swept",
            Self::MemberBack => "silent member heard again",
            Self::LoadShed => "load shed, queue not full",
            Self::RecordTooLarge => "record over the bound refused",
            Self::HintWindow => "window of hints used up",
            Self::MintFull => "table of minted keys full",
            Self::RepairForgone => "repair over the budget forgone",
        }
    }
}

/// How often each was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: std::collections::BTreeMap<CoverageEvent, u64>,
}

impl Coverage {
    /// It was seen.
    pub fn saw(&mut self, event: CoverageEvent) {
        self.saw_times(event, 1);
    }

    /// It was seen so often.
    pub fn saw_times(&mut self, event: CoverageEvent, times: u64) {
        if times > 0 {
            *self.counts.entry(event).or_default() += times;
        }
    }

    /// How often it was seen.
    #[must_use]
    pub fn count(&self, event: CoverageEvent) -> u64 {
        self.counts.get(&event).copied().unwrap_or_default()
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (&event, &times) in &other.counts {
            self.saw_times(event, times);
        }
    }

    /// Those never seen.
    pub fn missing(&self) -> impl Iterator<Item = CoverageEvent> {
        CoverageEvent::ALL
            .into_iter()
            .filter(|&event| self.count(event) == 0)
    }
}
