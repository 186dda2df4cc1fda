//! What members say to each other.
//!
//! ```text
//!   A                                        B
//!   | -- Digest: a pulse per member -------> |   adopts what is newer; what it lacks are facts
//!   | <- Reply: newer pulses, facts, wants - |
//!   | -- Facts: those that B wants --------> |   only if B wanted any
//!
//!   A -- Ping -> C, C -- Ack -> A            and if that fails
//!   A -- PingFor C -> B -- Ping -> C         C -- Ack -> B -- Reply: C's pulse -> A
//! ```
//!
//! Every message carries the sender's own pulse and epoch: each is a sign of life, and tells who is behind. The answer to a
//! ping is nothing else, so no ping needs a number, and no helper a memory.

use quoit_ring::{Epoch, NodeId};

use crate::facts::Facts;
use crate::pulse::{Mark, Pulse};

/// Most bytes of an encoded message: a lane's frame of 64 KiB, less 1 KiB for what the frame adds.
///
/// A digest of [`MAX_MEMBERS`](quoit_ring::cluster::MAX_MEMBERS) members has 27 KiB at most, and 15 KiB as a rule, so it is
/// never cut. A reply with the facts of all of them would be: it goes on where the last one ended.
pub const MAX_MESSAGE: usize = 63 << 10;

/// A message of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The newest epoch that the sender holds.
    pub epoch: Epoch,
    /// The sender's pulse.
    pub pulse: Pulse,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// How far the sender has followed the others.
    Digest(Vec<Mark>),
    /// The answer to a digest.
    Reply {
        /// Where the sender knows of a later heartbeat.
        marks: Vec<Mark>,
        /// Where it has later facts, with the pulse.
        facts: Vec<(Mark, Facts)>,
        /// Whose facts it lacks.
        wants: Vec<NodeId>,
    },
    /// The facts that were wanted.
    Facts(Vec<(Mark, Facts)>),
    /// Asks for a sign of life.
    Ping {
        /// On whose behalf, unless it is the sender's own.
        origin: Option<NodeId>,
    },
    /// Asks for a ping of a member that does not answer the sender.
    PingFor(NodeId),
    /// A sign of life.
    Ack {
        /// On whose behalf it was asked for.
        origin: Option<NodeId>,
    },
}
