//! A change of the ring: from one map to another, arc by arc.
//!
//! ```text
//!   arc        0   1   2   3   4  ...  15        of the circle
//!   hand                   ^
//!   owners by  target  ... both  source ...
//! ```
//!
//! While an arc moves, its keys have the owners of both maps, and every count (acknowledgements, answers, holders) must be
//! reached in the list of either, within one epoch. So whatever was acknowledged or returned before, during and after the
//! step is in every quorum that may still be asked:
//!
//! ```text
//!   decide joint --> fence: a majority of each old list refuses older epochs
//!                      '--> pull: each new owner reads a majority of old ones behind their fences
//!                             '--> decide the next arc
//! ```
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`hand`] | which arc moves, and by which map a leaf goes |
//! | [`owners`] | sets of a key's owners, and counts in one list or two |
//! | [`topology`] | the owners of each leaf in one epoch |
//! | [`moving`] | the ranges of the arc that moves, each with its owners before and after |
//! | [`configuration`] | what is agreed on in one epoch, and what may follow it |
//! | [`check`] | whether a configuration from outside is one |
//! | [`update`] | what leads from one configuration to a later one |
//! | [`known`] | one epoch as a node or client knows it |
//! | [`branch`] | from which recovery an epoch comes |
//! | [`chain`] | how one epoch follows another: a vote |
//! | [`stretches`] | leaves side by side that have the same owners |
//! | [`shared`] | the leaves that two nodes both own |
//! | [`covering`] | which owners of a leaf send its rows in a scan |
//! | [`decision`] | one decision on the next epoch, in messages |
//! | [`loss`] | what is lost with the disks of some members |
//! | [`rules`] | when a range is fenced, and when its new owners are complete |
//!
//! Left out: moving the data, and who drives a change.
//!
//! Source: Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm* (2014), section 6, for joint
//! consensus; pulling behind fences is our own, checked by an exhaustive model of one change (`ring/tests/change`) and by a
//! random one of whole chains (`ring/tests/membership`).

pub mod branch;
pub mod chain;
pub mod check;
pub mod configuration;
pub mod covering;
pub mod decision;
pub mod hand;
pub mod known;
pub mod loss;
pub mod moving;
pub mod owners;
pub mod rules;
pub mod shared;
pub mod stretches;
pub mod topology;
pub mod update;

pub use branch::Branch;
pub use chain::Chain;
pub use check::ConfigurationError;
pub use configuration::{Change, ChangeError, Configuration};
pub use covering::Covering;
pub use decision::{Decision, DecisionStep};
pub use hand::{Arcs, Hand, Side};
pub use known::{Known, NextError};
pub use loss::Loss;
pub use moving::MovingRange;
pub use owners::{OwnerSet, Quorums, Threshold};
pub use rules::RangeChange;
pub use stretches::Stretch;
pub use topology::{OwnerLists, Topology};
pub use update::{Update, UpdateError};
