//! What a task says to its session, and what it remembers between two operations.
//!
//! ```text
//!   Name          which key, and of which family, which decides its invariants
//!   Ask           the quorum, and for how long
//!   KnownContext  what was read or written before: a context, and the operations it stands for
//! ```

use std::time::Duration;

use bytes::Bytes;
use quoit_client::{Consistency, Context, ReadRepair};

use crate::history::{Basis, Family, Mode, OpId};

/// What a task knows of a key: a context, and the operations it came from.
#[derive(Debug, Clone, Default)]
pub struct KnownContext {
    pub(super) context: Context,
    ops: Vec<OpId>,
}

impl KnownContext {
    /// What one operation taught.
    pub(super) fn of(op: OpId, context: Context) -> Self {
        let ops = vec![op];
        Self { context, ops }
    }

    /// What a write is based on that is made knowing this, or nothing.
    pub(super) fn basis(known: Option<&Self>) -> Basis {
        known.map_or(Basis::Blind, |known| Basis::Seen(known.ops.clone()))
    }

    /// Adds what another has seen of the same key.
    pub fn join(&mut self, other: &Self) {
        self.context.join(&other.context);
        self.ops.extend(&other.ops);
    }
}

/// How to ask.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Under what promise.
    pub mode: Mode,
    /// How many replicas; `None` is what the mode says.
    pub count: Option<u8>,
    /// Of a write: whether nodes that keep it for an owner count. It then promises no more than one replica does.
    pub sloppy: bool,
    /// How long a put's value lives.
    pub ttl: Option<Duration>,
    /// Of a read: when it repairs, if not before its answer. It then promises no more than that of one replica.
    pub repair: Option<ReadRepair>,
}

impl Ask {
    /// In quorum mode with majorities.
    pub const QUORUM: Self = Self {
        mode: Mode::Quorum,
        count: None,
        sloppy: false,
        ttl: None,
        repair: None,
    };

    /// With one replica.
    pub const ONE: Self = Self {
        mode: Mode::One,
        ..Self::QUORUM
    };

    /// What the answer promises.
    pub(super) const fn promises(self) -> Mode {
        if self.sloppy || self.repair.is_some() {
            Mode::One
        } else {
            self.mode
        }
    }

    pub(super) const fn consistency(self) -> Consistency {
        match self.mode {
            Mode::One => Consistency::One,
            Mode::Quorum => Consistency::Quorum,
        }
    }
}

/// A key of a workload.
#[derive(Debug, Clone)]
pub struct Name {
    /// Its bytes.
    pub bytes: Bytes,
    /// What it is used for.
    pub family: Family,
}

impl Name {
    /// Key number `index` of a family.
    #[must_use]
    pub fn of(family: Family, index: u64) -> Self {
        let bytes = format!("{}/{index}", family.name()).into();
        Self { bytes, family }
    }
}
