//! One epoch, as a node or a client knows it: what is agreed on in it, and who owns what by that.
//!
//! ```text
//!   known, epoch 7 --an answer: all of 8, or what leads there from 7--> checked, newer, of this cluster --> known, epoch 8
//! ```
//!
//! Everything that comes from outside goes through [`Known::next`], so what is known satisfies the invariants of a
//! [`Configuration`]. Rings are shared from epoch to epoch: a step within a change builds none.

use std::sync::Arc;

use super::branch::Branch;
use super::check::ConfigurationError;
use super::configuration::Configuration;
use super::topology::{Topology, TopologyError};
use super::update::UpdateError;
use crate::cluster::{ClusterId, Epoch};
use crate::placement::Ring;
use crate::wire::ConfigurationAnswer;

/// Why an answer leads to no later epoch. What was known stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NextError {
    /// It is not later than what is known.
    #[error("epoch {} is not later than {}, which is known", found.0, known.0)]
    NotLater {
        /// Of the answer.
        found: Epoch,
        /// What is known.
        known: Epoch,
    },
    /// It comes from another recovery of the cluster: the two have gone on as two clusters, and neither follows the other.
    #[error(
        "epoch {} comes from another recovery of this cluster ({}) than epoch {}, which is known ({})",
        found.0, Branch::of(*found), known.0, Branch::of(*known)
    )]
    OtherRecovery {
        /// Of the answer.
        found: Epoch,
        /// What is known.
        known: Epoch,
    },
    /// It is about another cluster.
    #[error("the answer is about another cluster, {found}")]
    OtherCluster {
        /// That one.
        found: ClusterId,
    },
    /// It was made for somebody who knows something else.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// It breaks an invariant.
    #[error("the answer is no configuration")]
    Configuration(#[from] ConfigurationError),
    /// It makes no ring.
    #[error("the answer makes no ring")]
    Topology(#[from] TopologyError),
}

/// One epoch.
///
/// ```
/// use quoit_ring::change::{Arcs, Configuration, Known, NextError};
/// use quoit_ring::wire::configuration::{decode_answer, encode_answer};
/// # use quoit_ring::placement::{grow, join, Newcomer, Ring};
/// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
/// # let newcomer = |id: u64| Newcomer {
/// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
/// # };
/// # let empty = ClusterMap {
/// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
/// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
/// # };
/// # let before = grow(empty, (1..=3).map(newcomer), 1)?;
/// # let mut after = before.clone();
/// # join(&mut after, newcomer(4), 2)?;
/// let first = Known::of(Ring::new(&before)?);
/// let begun = first.configuration().begin(after, Arcs::FULL)?;
/// let answer = encode_answer(Some(first.configuration()), &begun);
///
/// let next = first.next(decode_answer(&answer)?)?;
/// assert_eq!((next.epoch(), next.configuration()), (Epoch(2), &begun));
/// let again = first.next(decode_answer(&encode_answer(None, first.configuration()))?);
/// assert!(matches!(again, Err(NextError::NotLater { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Known {
    configuration: Arc<Configuration>,
    topology: Topology,
}

impl Known {
    /// The first epoch of a cluster, by its ring.
    #[must_use]
    pub fn of(ring: Ring) -> Self {
        Self {
            configuration: Arc::new(Configuration::of(ring.map().clone())),
            topology: Topology::of(ring),
        }
    }

    /// The epoch of a configuration from outside. Builds its rings.
    ///
    /// # Errors
    /// [`NextError`] if it breaks an invariant.
    pub fn new(configuration: Configuration) -> Result<Self, NextError> {
        configuration.check()?;
        Ok(Self {
            topology: Topology::new(&configuration, None)?,
            configuration: Arc::new(configuration),
        })
    }

    /// The later epoch that an answer leads to.
    ///
    /// # Errors
    /// [`NextError`] says why it leads to none.
    pub fn next(&self, answer: ConfigurationAnswer) -> Result<Self, NextError> {
        self.check_later(answer.epoch())?;
        self.later(answer.resolve(&self.configuration)?)
    }

    /// The later epoch of this configuration.
    ///
    /// # Errors
    /// [`NextError`] if it is not later, of another recovery or another cluster, or breaks an invariant.
    pub fn later(&self, configuration: Configuration) -> Result<Self, NextError> {
        let (found, known) = (configuration.epoch, self.epoch());
        self.check_later(found)?;
        if !self.is_before(&configuration) {
            return Err(NextError::OtherRecovery { found, known });
        }
        let cluster = configuration.map.cluster;
        if cluster != self.configuration.map.cluster {
            return Err(NextError::OtherCluster { found: cluster });
        }
        configuration.check()?;
        Ok(Self {
            topology: Topology::new(&configuration, Some(&self.topology))?,
            configuration: Arc::new(configuration),
        })
    }

    fn check_later(&self, found: Epoch) -> Result<(), NextError> {
        let known = self.epoch();
        if Branch::of(found).is_foreign(Branch::of(known)) {
            return Err(NextError::OtherRecovery { found, known });
        }
        if found <= known {
            return Err(NextError::NotLater { found, known });
        }
        Ok(())
    }

    /// Whether a later recovery may have come from this epoch: whoever is removed stays so. That a cluster was recovered once
    /// more says nothing, if somebody else has done that twice.
    fn is_before(&self, later: &Configuration) -> bool {
        let (branch, removed) = (Branch::of(self.epoch()), &self.configuration.removed);
        let is_kept = |node| later.removed.binary_search(node).is_ok();
        branch == Branch::of(later.epoch) || branch.recoveries() == 0 || removed.iter().all(is_kept)
    }

    /// Which epoch it is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.topology.epoch()
    }

    /// What is agreed on in it.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Who owns what in it.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }
}
