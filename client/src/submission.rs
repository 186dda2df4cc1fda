//! What a caller hands to the driver.
//!
//! ```text
//!   Submission   operation   what to do, with its plan: how many, what promise, how long
//!                reply       who waits
//!                room        its part of `max_in_flight`, given back when it has ended
//!                trace       to whom its requests are told, if to anybody
//! ```
//!
//! Plain data: callers make it, the coordinator reads it. Nothing in here has been checked against the ring.

use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::{Request, Response};
use quoit_ring::{NodeId, Record};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::config::{Consistency, ReadRepair};
use crate::entry::{Context, Written};
use crate::error::{NodeError, ReadError, WriteError};
use crate::health::HealthReport;
use crate::trace::Trace;

/// How many replicas, what promise, how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) consistency: Consistency,
    /// R of a read, W of a write; `None` is what the consistency says.
    pub(crate) count: Option<u8>,
    /// Of a write: whether nodes that keep it for an owner count.
    pub(crate) sloppy: bool,
    pub(crate) deadline: Duration,
    /// When a read repairs; `None` is what the consistency says.
    pub(crate) repair: Option<ReadRepair>,
}

impl Plan {
    /// When a read repairs.
    pub(crate) fn read_repair(&self) -> ReadRepair {
        self.repair.unwrap_or(match self.consistency {
            Consistency::Quorum => ReadRepair::BeforeAnswer,
            Consistency::One => ReadRepair::Background,
        })
    }
}

/// What a write does to its key.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) key: Bytes,
    /// The value; `None` deletes.
    pub(crate) value: Option<Bytes>,
    pub(crate) ttl: Option<Duration>,
    /// What it replaces; `None` is whatever was there.
    pub(crate) context: Option<Context>,
}

/// One operation.
#[derive(Debug)]
pub(crate) enum Operation {
    /// A quorum read.
    Read { key: Bytes, plan: Plan },
    /// A quorum write.
    Write { change: Change, plan: Plan },
    /// One question to one node.
    Ask {
        node: NodeId,
        request: Request,
        deadline: Duration,
    },
    /// What this client knows of the nodes' health: asks nobody.
    Health,
}

/// What was asked for about a node, or about all of them.
#[derive(Debug)]
pub(crate) enum Told {
    /// By the node.
    Node(Response),
    /// By the coordinator.
    Health(HealthReport),
}

/// How long it took to be told, and what was told.
pub(crate) type NodeAnswer = (Duration, Result<Told, NodeError>);

/// Who waits for an operation. Dropping the receiving end never stops the operation.
#[derive(Debug)]
pub(crate) enum Reply {
    Read(oneshot::Sender<Result<Record, ReadError>>),
    Write(oneshot::Sender<Result<Written, WriteError>>),
    Ask(oneshot::Sender<NodeAnswer>),
}

/// An operation with who waits for it and the room it takes.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) operation: Operation,
    pub(crate) reply: Reply,
    pub(crate) room: OwnedSemaphorePermit,
    pub(crate) trace: Option<Box<Trace>>,
}
