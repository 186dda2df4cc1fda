//! What one node knows of another, for routing and for operators.

use core::time::Duration;

use quoit_ring::NodeId;

use crate::facts::Facts;
use crate::pulse::Pulse;
use quoit_ring::wire::MemberState;

/// A member, as this node sees it.
#[derive(Debug, Clone, Copy)]
pub struct MemberView<'a> {
    /// Its id.
    pub id: NodeId,
    /// Whether it is there.
    pub state: MemberState,
    /// Whether its heartbeat was ever seen to grow since this node started, or since it became a member. Until then it counts
    /// as alive, so that it is tried.
    pub was_heard: bool,
    /// For how long its heartbeat has not grown, without the time in which this node slept or heard nobody.
    pub silence: Duration,
    /// How unusual this silence is: 1 if one in ten is longer, 2 if one in a hundred; see Hayashibara et al. (2004). At most 99.
    pub phi: f32,
    /// How far it has come.
    pub pulse: Pulse,
    /// What it says of itself, or said in its last life; `None` until that is known.
    pub facts: Option<&'a Facts>,
}
