//! What a step of a change waits for, in words: for the status of the node that drives it.
//!
//! Left out: when it waits, which [`steps`](super::steps) finds out from what the members say.

use quoit_ring::change::Known;
use quoit_ring::{Moment, NodeId};

/// How many nodes a text names.
const NAMED: usize = 5;

/// What a step waits for, for an operator to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// For what.
    pub what: WaitingFor,
    /// The nodes that it waits for.
    pub nodes: Vec<NodeId>,
    /// Since when.
    pub since: Moment,
}

/// Why a step is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingFor {
    /// Members have not learned of the epoch.
    Learning,
    /// Too few old owners refuse older epochs.
    Fence,
    /// New owners have not pulled all.
    Pull,
    /// A member that leaves has not handed everything over.
    Leaver,
    /// The voters have not decided.
    Votes,
}

impl Waiting {
    /// In words: of which arc, for what, and for which members.
    #[must_use]
    pub fn describe(&self, known: &Known) -> String {
        let change = known.configuration().change.as_ref();
        let (arc, arcs) = change.map_or((0, 0), |change| {
            (change.hand.arc() + 1, change.hand.arcs().count())
        });
        let names = names(&self.nodes, known);
        let what = match self.what {
            WaitingFor::Learning => "to hear of it",
            WaitingFor::Fence => "to refuse what is older",
            WaitingFor::Pull => "to pull what moves to them",
            WaitingFor::Leaver => "to hand over what they have before they leave",
            WaitingFor::Votes => "to vote on the next step",
        };
        format!(
            "a change of the ring, at arc {arc} of {arcs}, waits for {names} {what}: bring them back, or revert it; if their disks are lost, see `quoit cluster write-off`"
        )
    }
}

/// The names of nodes, the first few of them.
pub(super) fn names(nodes: &[NodeId], known: &Known) -> String {
    let name = |node: &NodeId| {
        let member = known.topology().member(*node);
        member.map_or_else(|| node.to_string(), |member| member.name.clone())
    };
    let names: Vec<String> = nodes.iter().take(NAMED).map(name).collect();
    let more = match nodes.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.join(", ") + &more
}
