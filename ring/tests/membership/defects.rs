//! Rules that are switched off, each with the invariant that then does not hold.

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A write is checked where it arrives, not where it is joined.
    FenceOnArrival,
    /// A fence is gone after a loss of power.
    VolatileFence,
    /// A majority of those that are up, not of the list.
    FenceAmongTheLiving,
    /// A source answers before it refuses older epochs.
    PullBeforeTheFence,
    /// One source is enough.
    PullFromOne,
    /// What was pulled is gone after a loss of power, and counts all the same.
    UnsyncedPull,
    /// The next epoch does not wait for receivers.
    StepWhileIncomplete,
    /// Answers are counted in the old list alone.
    ReadsInOneList,
    /// Nodes that hold what a read returns are counted in the old list alone.
    HoldersInOneList,
    /// Acknowledgements are counted in the new list alone.
    AcksInOneList,
    /// Acknowledgements of one epoch count in the lists of another.
    AcksOfTwoEpochs,
    /// A former owner deletes what nobody else may have.
    CleanWithoutPush,
    /// A proposer takes for decided what a voter has accepted.
    BuildsOnTheUndecided,
    /// A former owner keeps what it has.
    NeverCleans,
    /// A map is not held against the list of the removed.
    LetsTheBannedIn,
    /// Nobody drives for the first voter.
    OnlyTheFirstVoterDrives,
}

impl Defect {
    /// Each, the invariant that it breaks, and within how many seeds.
    pub(crate) const ALL: [(Self, &'static str, u64); 16] = [
        (Self::FenceOnArrival, "quorums-meet", 3_000),
        (Self::VolatileFence, "quorums-meet", 500),
        (Self::FenceAmongTheLiving, "quorums-meet", 2_500),
        (Self::PullBeforeTheFence, "quorums-meet", 1_000),
        (Self::PullFromOne, "quorums-meet", 1_500),
        (Self::UnsyncedPull, "quorums-meet", 300),
        (Self::StepWhileIncomplete, "quorums-meet", 100),
        (Self::ReadsInOneList, "quorums-meet", 100),
        (Self::HoldersInOneList, "quorums-meet", 300),
        (Self::AcksInOneList, "quorums-meet", 300),
        (Self::AcksOfTwoEpochs, "quorums-meet", 500),
        (Self::CleanWithoutPush, "nothing-lost", 100),
        (Self::BuildsOnTheUndecided, "one-chain", 100),
        (Self::NeverCleans, "nothing-left-behind", 100),
        (Self::LetsTheBannedIn, "banned-stays-out", 500),
        (Self::OnlyTheFirstVoterDrives, "settles", 500),
    ];
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}
