//! Which owners send the rows of each leaf, and whether enough are left for that.
//!
//! ```text
//!   lists of all leaves, those left out passed over
//!     R of each list left?   no: the scan fails, and says of which owners too few are left
//!     yes: the first R of each list send; these nodes are asked for pages
//! ```
//!
//! Source: `quoit_ring::change::covering`, by which a node knows which rows are its to send.

use std::collections::BTreeSet;

use quoit_ring::NodeId;
use quoit_ring::change::{Covering, OwnerLists, OwnerSet, Topology};

use super::range::ScanRange;
use crate::error::InvalidRequest;
use crate::operation::plan::{Plan, read_rules};
use crate::operation::requests::Targets;

/// Who sends what in one epoch.
#[derive(Debug)]
pub(crate) struct Coverage {
    /// Owners of each list that send its rows.
    pub(crate) cover: u8,
    /// Passed over: ascending.
    pub(crate) without: Vec<NodeId>,
    /// Who sends anything.
    pub(crate) senders: BTreeSet<NodeId>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoCoverage {
    Invalid(InvalidRequest),
    /// Of these owners of one leaf too few are left.
    TooFew {
        needed: usize,
        owners: Targets,
    },
}

impl Coverage {
    /// Covers the range by the owners that are not in `without`, which ascends.
    pub(crate) fn new(
        topology: &Topology,
        range: &ScanRange,
        (plan, without): (&Plan, Vec<NodeId>),
    ) -> Result<Self, NoCoverage> {
        let mut cover = 0;
        for lists in lists(topology, range) {
            cover = cover.max(needed(plan, lists, &without)?);
        }
        let cover = u8::try_from(cover).unwrap_or(u8::MAX);
        let mut coverage = Self {
            cover,
            without,
            senders: BTreeSet::new(),
        };
        for lists in lists(topology, range) {
            let senders = coverage.of(lists);
            coverage.senders.extend(senders);
        }
        Ok(coverage)
    }

    /// Who sends the rows of a leaf with these lists.
    pub(crate) fn of(&self, lists: OwnerLists<'_>) -> Covering {
        lists.covering(self.cover.into(), &self.without)
    }
}

/// The lists of all leaves in which keys of the range may fall.
fn lists<'a>(
    topology: &'a Topology,
    range: &'a ScanRange,
) -> impl Iterator<Item = OwnerLists<'a>> + use<'a> {
    let tagged = range.tagged.as_ref();
    let one = tagged.map(|key| topology.lists(topology.token_of(key)));
    let all = || topology.stretches().map(|stretch| stretch.lists);
    let all = tagged.is_none().then(all);
    one.into_iter().chain(all.into_iter().flatten())
}

/// How many owners of a list are needed, if so many are left of each.
fn needed(plan: &Plan, lists: OwnerLists<'_>, without: &[NodeId]) -> Result<usize, NoCoverage> {
    let owners: Targets = lists.owners().collect();
    let rules = read_rules(plan, lists.quorums(&owners)).map_err(NoCoverage::Invalid)?;
    let numbered = owners.iter().enumerate();
    let left = numbered.filter(|(_, node)| without.binary_search(node).is_err());
    let left: OwnerSet = left.map(|(number, _)| number).collect();
    let needed = rules.r.lists().map(|(_, needed)| needed).max();
    let needed = needed.unwrap_or_default();
    if rules.r.reached(left) {
        Ok(needed)
    } else {
        Err(NoCoverage::TooFew { needed, owners })
    }
}
