//! Warnings: what is not as it should be at a node, for its status.
//!
//! ```text
//!   kind u8 | since, varint | count, varint | text, at most 200 bytes          at most one of each kind
//! ```
//!
//! The kind is for programs, the text for people: it names what happened last, and what to do. Left out: when a warning
//! begins and ends, which the node decides.

use bincode::{Decode, Encode};

/// Most warnings of one node.
pub const MAX_WARNINGS: usize = 16;
/// Longest text of a warning, in bytes.
pub const MAX_WARNING_TEXT: usize = 200;

/// Something at a node that its operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// Milliseconds since it began.
    pub since_ms: u64,
    /// How often it has happened since then, such as writes refused or handshakes failed; 0 if it only lasts.
    pub count: u64,
    /// What happened last, and what to do. Parts of it may come from strangers: escape it before it is printed.
    pub text: String,
}

/// What a [`Warning`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[non_exhaustive]
pub enum WarningKind {
    /// The disk runs full, and some writes are refused.
    DiskSpace,
    /// The storage engine has failed, or takes no writes.
    Storage,
    /// The node's certificate ends soon, or has ended.
    Certificate,
    /// Callers could not connect.
    Handshakes,
    /// The process may open too few files.
    OpenFiles,
    /// The cluster's map sends others elsewhere.
    Address,
    /// Some hints for other nodes cannot be read, and are not delivered.
    UncountedHints,
    /// A change of the ring waits for somebody.
    Change,
    /// The node is no member yet, and owns nothing.
    Waiting,
    /// Members have not been heard for long.
    SilentMembers,
    /// The node hears fewer than a majority of the members.
    Isolated,
    /// A later life of the node is heard of: its disk was copied, or an older state of it was brought back.
    RunsElsewhere,
    /// A member is in another recovery of the cluster: the two are two clusters since.
    OtherRecovery,
    /// The node has lost its last writes with its machine's power, and answers no reads until it has them from others.
    Incomplete,
}

impl WarningKind {
    /// All of them, in their order.
    pub const ALL: [Self; 14] = [
        Self::DiskSpace,
        Self::Storage,
        Self::Certificate,
        Self::Handshakes,
        Self::OpenFiles,
        Self::Address,
        Self::UncountedHints,
        Self::Change,
        Self::Waiting,
        Self::SilentMembers,
        Self::Isolated,
        Self::RunsElsewhere,
        Self::OtherRecovery,
        Self::Incomplete,
    ];

    /// Its name, for programs: it never changes.
    ///
    /// ```
    /// # use quoit_ring::wire::WarningKind;
    /// assert_eq!(WarningKind::DiskSpace.name(), "disk-space");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiskSpace => "disk-space",
            Self::Storage => "storage",
            Self::Certificate => "certificate",
            Self::Handshakes => "handshakes",
            Self::OpenFiles => "open-files",
            Self::Address => "address",
            Self::UncountedHints => "uncounted-hints",
            Self::Change => "change",
            Self::Waiting => "waiting",
            Self::SilentMembers => "silent-members",
            Self::Isolated => "isolated",
            Self::RunsElsewhere => "runs-elsewhere",
            Self::OtherRecovery => "other-recovery",
            Self::Incomplete => "incomplete",
        }
    }
}

/// Whether a reader takes these.
pub(super) fn are_within_bounds(warnings: &[Warning]) -> bool {
    let is_short = |warning: &Warning| warning.text.len() <= MAX_WARNING_TEXT;
    warnings.len() <= MAX_WARNINGS && warnings.iter().all(is_short)
}
