//! What happened in a run: every operation as its caller saw it, every dot as it was minted, and what the
//! replicas hold in the end.
//!
//! ```text
//!   a session  --invoked, returned-->  ops      what was asked, when, and the outcome
//!   the wire   --first frame of--->    minted   which dots stand for which write
//!   the disks  --at each ack------>    held     how many owners really store it
//!   the end    --after healing---->    finals   each owner's bytes, each node's sums
//! ```
//!
//! Invariants are judged from this alone, so each can be tested with a history made by hand. A write has three
//! outcomes: done, surely not stored, or unknown; an unknown one may take effect at any time after it was
//! invoked, or never. Nothing in here is sampled or left out.
//!
//! Source: Herlihy and Wing, *Linearizability* (1990), for histories; Kingsbury, *Jepsen*, for the outcomes.

mod build;
pub mod causal;
mod doubts;
mod gcounter;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::invariants::linearizable::{Operation, RegisterOp, RegisterRet};
use bytes::Bytes;
use quoit_ring::{Dot, Epoch, Millis, Moment, NodeId, Seen, Time};

pub use self::build::Recorder;
pub use self::doubts::Doubts;
pub use self::gcounter::{GCounter, MergeCounters};

/// Names an operation: its place in [`History::ops`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u32);

/// Names a key: its place in [`History::keys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

/// One life of one client: after a crash the same slot has its next life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    /// Which client.
    pub slot: u16,
    /// Which life of it, from 0.
    pub life: u16,
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}.{}", self.slot, self.life)
    }
}

/// What a key is used for, and so which invariants speak of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Blind puts of values that occur once: last writer wins.
    Register,
    /// Keys that are put once and never again.
    Unique,
    /// Causal puts with fresh, stale, joined and empty contexts, beside blind ones.
    Siblings,
    /// Increments through a merge function.
    Counter,
    /// Puts and deletes, blind and causal.
    Deleted,
    /// Written by clients that were cloned, so that one dot is minted twice.
    Twins,
    /// Values with a time to live.
    Expiring,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 7] = [
        Self::Register,
        Self::Unique,
        Self::Siblings,
        Self::Counter,
        Self::Deleted,
        Self::Twins,
        Self::Expiring,
    ];

    /// Its name, in keys and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Unique => "unique",
            Self::Siblings => "siblings",
            Self::Counter => "counter",
            Self::Deleted => "deleted",
            Self::Twins => "twins",
            Self::Expiring => "expiring",
        }
    }
}

/// One key of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its bytes.
    pub name: Bytes,
    /// What it is used for.
    pub family: Family,
}

/// What a write replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// Whatever is there: the write carried no context.
    Blind,
    /// What these operations on the same key had seen when they returned, joined; none of them: nothing.
    Seen(Vec<OpId>),
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A read.
    Get,
    /// A put.
    Put {
        /// The value; no two puts of a run have the same bytes.
        value: Bytes,
        /// What it replaces.
        basis: Basis,
        /// How long it lives, in milliseconds; `None` is for ever.
        ttl_ms: Option<u64>,
    },
    /// A delete.
    Delete {
        /// What it replaces.
        basis: Basis,
    },
}

impl Call {
    /// What a write replaces; `None` for a read.
    #[must_use]
    pub const fn basis(&self) -> Option<&Basis> {
        match self {
            Self::Get => None,
            Self::Put { basis, .. } | Self::Delete { basis } => Some(basis),
        }
    }
}

/// What an operation promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// R = W = 1.
    One,
    /// R and W are majorities, or more.
    Quorum,
}

/// A value as a read found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The write that made it.
    pub dot: Dot,
    /// Its bytes.
    pub value: Bytes,
    /// When it expires, by the nodes' clocks.
    pub expiry: Option<Millis>,
}

/// The outcome of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The read found these siblings, none if the key is absent, and has seen this.
    Read {
        /// Oldest dot first.
        siblings: Vec<Found>,
        /// What the read has seen: its context.
        seen: Seen,
    },
    /// The read failed; it says nothing.
    ReadFailed(&'static str),
    /// The write was acknowledged under this dot.
    Written {
        /// The dot that was acknowledged.
        dot: Dot,
        /// Replicas that had confirmed it.
        acked: usize,
        /// What the writer has seen now: its context.
        seen: Seen,
    },
    /// The write is stored nowhere and never will be, says the error.
    Refused(&'static str),
    /// The write may be stored or not, says the error.
    Unknown(&'static str),
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// The task that asked.
    pub client: ClientId,
    /// Of which key.
    pub key: KeyId,
    /// What.
    pub call: Call,
    /// Under what promise.
    pub mode: Mode,
    /// The R or W that was asked for; `None` is what the mode says.
    pub count: Option<u8>,
    /// Whether it was asked after the world was healed.
    pub healed: bool,
    /// When it was asked.
    pub invoked: Moment,
    /// When it returned and with what; `None` if it never did, since its client crashed or its caller went away.
    pub returned: Option<(Moment, Outcome)>,
}

impl Op {
    /// What the operation has seen, if it returned well: the context it gave out.
    #[must_use]
    pub const fn seen(&self) -> Option<&Seen> {
        match &self.returned {
            Some((_, Outcome::Read { seen, .. } | Outcome::Written { seen, .. })) => Some(seen),
            _ => None,
        }
    }

    /// When it returned well.
    #[must_use]
    pub const fn succeeded(&self) -> Option<Moment> {
        match &self.returned {
            Some((at, Outcome::Read { .. } | Outcome::Written { .. })) => Some(*at),
            _ => None,
        }
    }

    /// The dot under which a write was acknowledged.
    #[must_use]
    pub const fn dot(&self) -> Option<Dot> {
        match &self.returned {
            Some((_, Outcome::Written { dot, .. })) => Some(*dot),
            _ => None,
        }
    }

    /// Whether it is a write.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        !matches!(self.call, Call::Get)
    }
}

/// A dot that was sent out for a write. A re-minted write has several; two writes have the same
/// one if their clients are clones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minted {
    /// For which write.
    pub op: OpId,
    /// Under which name.
    pub dot: Dot,
    /// When its first frame was sent.
    pub at: Moment,
}

/// A node that answered that it has joined a put: it had it then, whatever came of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Which write.
    pub op: OpId,
    /// Under which of its dots.
    pub dot: Dot,
    /// Which node.
    pub node: NodeId,
}

/// Which nodes had an acknowledged write when it was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The write.
    pub op: OpId,
    /// How many of the key's owners have its dot on their disks, live or replaced.
    pub owners: usize,
    /// How many other nodes have it on theirs, as a hint.
    pub others: usize,
    /// How many have owned the key in an earlier epoch and hold nothing of it now: they may have acknowledged the write, and
    /// handed it over since.
    pub former: usize,
    /// How many own the key and have lost writes with their power just now: they may have acknowledged it before, and get it
    /// back.
    pub lossy: usize,
}

/// A write that a node was acknowledged to keep for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptHint {
    /// Of which key.
    pub key: Bytes,
    /// Its owner.
    pub target: NodeId,
    /// Which write.
    pub dot: Dot,
    /// Which node keeps it.
    pub holder: NodeId,
    /// The epoch in which it was written.
    pub epoch: Epoch,
    /// What became of it.
    pub end: HintEnd,
}

/// What became of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HintEnd {
    /// Its holder still has it.
    Kept,
    /// Its holder has removed it, and its owner had it by then.
    Arrived,
    /// Its holder has removed it, or says that it keeps none, and its owner did not have it.
    Lost,
}

/// What the owners of a key hold when nothing is under way any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Final {
    /// Which key.
    pub key: KeyId,
    /// Each owner with the bytes of its record above the floor, `None` if it has none.
    pub replicas: Vec<(NodeId, Option<Bytes>)>,
    /// The largest floor of its owners.
    pub floor: Time,
    /// The read of all replicas that came before.
    pub read: OpId,
}

/// What a node's sums and indices are when nothing is under way any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFinal {
    /// Which node.
    pub node: NodeId,
    /// Where its tree differs from one recomputed from what it stores: a description each.
    pub differences: Vec<String>,
    /// Dots that it found with two contents, over all its lives.
    pub collisions: u64,
}

/// A reader of a wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// A client.
    Client,
    /// A node.
    Node,
}

/// A wall clock that was off for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOff {
    /// Whose.
    pub side: Side,
    /// Which of the nodes, or of the clients.
    pub number: usize,
    /// From when on.
    pub from: Moment,
    /// Until when.
    pub until: Moment,
    /// By how many milliseconds at most; below 0 if it was behind.
    pub by_ms: i64,
}

/// More hints on a node's disk than it may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintExcess {
    /// The node.
    pub holder: NodeId,
    /// When it was noticed.
    pub at: Moment,
    /// Bytes of keys and records, for one node or for all.
    pub bytes: u64,
    /// How many are allowed.
    pub max: u64,
}

/// An operation on a key of conditional writes.
pub type RegisterCalled = Operation<RegisterOp<u64>, RegisterRet<u64>>;

/// Names one of them, which has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterCall {
    /// Its number among those of its key.
    pub number: u32,
    /// Whether it was asked after healing.
    pub healed: bool,
}

/// How an operation on a key came about that plain and conditional writes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A put, which looks at nothing.
    Plain,
    /// A conditional write, applied or not.
    Conditional,
    /// A read, linearizable or of a quorum.
    Read,
}

impl Source {
    /// Its name, in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain put",
            Self::Conditional => "conditional write",
            Self::Read => "read",
        }
    }
}

/// How the names of such keys begin.
pub const SHARED: &[u8] = b"shared/";

/// An operation on such a key that was answered well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedOp {
    /// How it came about.
    pub source: Source,
    /// When it was asked.
    pub began: Moment,
    /// When it was answered.
    pub ended: Moment,
    /// The dot of what it wrote.
    pub dot: Option<Dot>,
    /// What it has seen: its context.
    pub seen: Seen,
}

/// A whole run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Wall time when the run begins, by a clock that is right.
    pub base: Millis,
    /// Every time in which a wall clock was off: besides these, all are right.
    pub clocks_off: Vec<ClockOff>,
    /// When a node that syncs before it answers was about to answer with something unsynced on its disk.
    pub acked_early: Vec<(NodeId, Moment)>,
    /// How often a node that answers before it syncs has lost power: what it alone had acknowledged may be gone.
    pub buffered_losses: u64,
    /// How many disks are lost for ever: what one of them alone had may be gone.
    pub lost_disks: u64,
    /// When a restarted node reported an earlier time than before, and by how many milliseconds.
    pub clocks_back: Vec<(NodeId, Moment, u64)>,
    /// The keys, by [`KeyId`].
    pub keys: Vec<Key>,
    /// The one node that faults happened to, if there was only one.
    pub victim: Option<NodeId>,
    /// Operations that asked for more replicas than a majority.
    pub demanding: BTreeSet<OpId>,
    /// The puts that nodes joined, in the order of their answers.
    pub joined: Vec<Joined>,
    /// Writes that failed as being on so many replicas, fewer than they needed.
    pub under_replicated: BTreeMap<OpId, usize>,
    /// Reads that merged: how many values their merge function was given, at each of its calls.
    pub merged: BTreeMap<OpId, Vec<usize>>,
    /// Writes that failed and were sent again; what they returned then is their outcome.
    pub retried: BTreeSet<OpId>,
    /// Operations whose caller went away before they ended, and when.
    pub left: BTreeMap<OpId, Moment>,
    /// The operations in the order they were asked, by [`OpId`].
    pub ops: Vec<Op>,
    /// The dots in the order they were minted.
    pub minted: Vec<Minted>,
    /// When what was put expires, by each dot of its write.
    pub expiries: BTreeMap<Dot, Millis>,
    /// The acknowledged writes in the order they were acknowledged; those of which the disks were not looked at
    /// are missing.
    pub held: Vec<Held>,
    /// Writes that nodes were acknowledged to keep for others.
    pub hints: Vec<KeptHint>,
    /// When nodes kept more for others than they may.
    pub hint_excess: Vec<HintExcess>,
    /// A key whose owners still differed, although they had long compared themselves with each other, and what each held.
    pub unrepaired: Option<(KeyId, String)>,
    /// The latest time up to which a node has found that no write is under way.
    pub floor: Time,
    /// A key of which an owner still held a value that had long expired, although nodes sweep, and which.
    pub unswept: Option<(KeyId, String)>,
    /// Conditional writes of each key, and reads of it, by their number; those that surely did nothing are left out.
    pub registers: BTreeMap<Bytes, BTreeMap<u32, RegisterCalled>>,
    /// What was answered well of each key that plain and conditional writes share.
    pub shared: BTreeMap<Bytes, Vec<SharedOp>>,
    /// A key of conditional writes of which an operation that was asked after healing did not succeed.
    pub unserved: Option<Bytes>,
    /// When the disks were examined.
    pub ended: Moment,
    /// The end of each key that was used.
    pub finals: Vec<Final>,
    /// The end of each node.
    pub nodes: Vec<NodeFinal>,
}

impl History {
    /// The operation `id`.
    ///
    /// # Panics
    /// If there is none: ids come from the same history.
    #[must_use]
    pub fn op(&self, id: OpId) -> &Op {
        &self.ops[id.0 as usize]
    }

    /// Wall time at `at`, by a clock that is right.
    #[must_use]
    pub const fn wall(&self, at: Moment) -> Millis {
        Millis(self.base.0.saturating_add(at.0 / 1_000))
    }

    /// The key `id`.
    ///
    /// # Panics
    /// If there is none: ids come from the same history.
    #[must_use]
    pub fn key(&self, id: KeyId) -> &Key {
        &self.keys[id.0 as usize]
    }

    /// Every operation with its id.
    pub fn iter(&self) -> impl Iterator<Item = (OpId, &Op)> {
        self.ops.iter().zip(0..).map(|(op, id)| (OpId(id), op))
    }
}
