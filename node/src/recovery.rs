//! A cluster that has lost a majority of its voters for ever, and goes on by an operator's word.
//!
//! ```text
//!   a node that stands still: its store --> the newest epoch --> the lost are written off, others vote --> stored
//!   started again: the other members hear of it, as of any epoch that they have missed
//! ```
//!
//! Without a majority of the voters nothing can be decided, so no lost member can be replaced, while the members that are
//! left go on to serve the keys of which they hold a majority. What is written here nobody has decided. Two clusters would
//! come of it if the lost were not lost; so it is refused if one of them is there, if the voters that are left could decide,
//! or if a member that is left knows a newer epoch or cannot be asked. From then on the lost are let in nowhere. Whoever cuts
//! off two halves and recovers each, naming the other as lost, has two clusters: nobody can find that out here. But once
//! they hear of each other they know it by their epochs ([`Branch`]), mix nothing, and name it.
//!
//! It changes one node's disk, and once: the voters that are left can decide from then on, so a second time is refused.
//!
//! Left out: the change that replaces the lost, which any operator begins once a majority of the new voters runs.

use std::time::Duration;

use quoit_ring::change::{Branch, ChangeError, Configuration, Known, Loss, NextError};
use quoit_ring::role::server_name;
use quoit_ring::wire::configuration::decode_answer;
use quoit_ring::wire::{
    ConfigurationAnswer, MembershipAnswer, MembershipRequest, Request, Response,
};
use quoit_ring::{Epoch, Member, NodeId};
use quoit_transport::dial::Dialer;

use crate::config::Config;
use crate::engine::EngineError;
use crate::error::StartError;
use crate::node::opening::Offline;
use crate::question::{Answer, Asked, Unanswered, ask_all, block_on};
use crate::tls::NodeTls;

/// How long a member has to answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// What an operator says of a cluster.
#[derive(Debug, Clone, Default)]
pub struct RecoverOptions {
    /// The members whose disks are lost, by name.
    pub lost: Vec<String>,
    /// Whether what only they had may be lost with them.
    pub accept_loss: bool,
}

/// A cluster that was recovered, as this node knows it from its next start on.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// What is stored now.
    pub configuration: Configuration,
    /// What is lost.
    pub loss: Loss,
}

/// Why a cluster is not recovered. Nothing was changed, unless the store itself failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The node's disk cannot be used; a node that runs on it must be stopped first.
    #[error("the node's disk cannot be used")]
    Disk(#[from] StartError),
    /// There is no member of that name.
    #[error("there is no member {name}: the members are {}", members.join(", "))]
    NoMember {
        /// What was given.
        name: String,
        /// Who there is.
        members: Vec<String>,
    },
    /// This very node is said to be lost.
    #[error("{name} is this node, whose disk is here: name those that are lost")]
    Own {
        /// Its name.
        name: String,
    },
    /// This node is no member, so nobody would hear it.
    #[error(
        "this node is no member of the cluster: recover it on the disk of a member that is left"
    )]
    NotAMember,
    /// It was done before.
    #[error("they are written off already, in epoch {}: start the node, and the others", epoch.0)]
    Done {
        /// The epoch that is stored.
        epoch: Epoch,
    },
    /// Enough voters are left.
    #[error(
        "a majority of the voters is left ({}), so the cluster can decide by itself: replace the lost members with `quoit cluster replace`, or write them off with `quoit cluster write-off`",
        left.join(", ")
    )]
    CanDecide {
        /// The voters that are not said to be lost.
        left: Vec<String>,
    },
    /// A member that is said to be lost is not.
    #[error(
        "{name} answers, so it is not lost: stop it for ever first, or bring it back into the cluster"
    )]
    Answers {
        /// Who.
        name: String,
    },
    /// Nobody knows what a member knows.
    #[error(
        "{name} does not answer: start it, or name it with `--lost` if its disk is lost ({why})"
    )]
    Silent {
        /// Who.
        name: String,
        /// What went wrong.
        why: String,
    },
    /// Another member knows a newer epoch.
    #[error("{name} knows epoch {}, this node only {}: do it there", found.0, known.0)]
    Newer {
        /// Who.
        name: String,
        /// What it knows.
        found: Epoch,
        /// What this node knows.
        known: Epoch,
    },
    /// Somebody else has recovered the cluster, otherwise.
    #[error(
        "{name} is in another recovery of the cluster (epoch {}, this node is in {}): the two are two clusters since; let one of them go, see \"Recovered twice\" in docs/operations.md",
        found.0, known.0
    )]
    OtherRecovery {
        /// Who.
        name: String,
        /// What it knows.
        found: Epoch,
        /// What this node knows.
        known: Epoch,
    },
    /// Something is lost.
    #[error(
        "{:.1} % of the keys have lost a majority of their copies, and {:.1} % all of them: what was acknowledged by the lost members alone is lost for ever; `--accept-loss` accepts that",
        loss.no_majority * 100.0, loss.no_copy * 100.0
    )]
    Loss {
        /// What.
        loss: Loss,
    },
    /// They cannot be written off.
    #[error("they cannot be written off")]
    Change(#[from] ChangeError),
    /// What would come of it is no configuration: a defect.
    #[error("what would come of it is no configuration of a cluster; report this")]
    Invalid(#[source] NextError),
    /// The store failed. The recovered cluster is stored or not: do it again.
    #[error("the store failed while it was changed: do it again")]
    Store(#[source] EngineError),
    /// The system gave no runtime.
    #[error("the members cannot be asked")]
    System(#[source] std::io::Error),
}

/// Recovers a cluster from the disk of the node of `config`, which must not run. Blocks; must not be called from an async
/// runtime.
///
/// # Errors
/// [`RecoverError`] says why not, and what to do.
pub fn recover(config: &Config, options: &RecoverOptions) -> Result<Recovered, RecoverError> {
    config.check().map_err(StartError::from)?;
    let tls = NodeTls::load(&config.tls).map_err(StartError::from)?;
    let mut offline = Offline::open(config, tls.node())?;
    let decided = judge(&offline.known(), &tls, options);
    let stored = match &decided {
        Ok((known, _loss)) => offline.learn(known.clone()),
        Err(_) => Ok(()),
    };
    offline.close()?;
    stored.map_err(RecoverError::Store)?;

    let (known, loss) = decided?;
    Ok(Recovered {
        configuration: known.configuration().clone(),
        loss,
    })
}

/// The epoch with which the cluster goes on, and what is lost, or why it may not.
fn judge(
    known: &Known,
    tls: &NodeTls,
    options: &RecoverOptions,
) -> Result<(Known, Loss), RecoverError> {
    let now = known.configuration();
    if !now.is_member(tls.node()) || now.is_written_off(tls.node()) {
        return Err(RecoverError::NotAMember);
    }
    let lost = lost_members(now, tls.node(), &options.lost)?;
    if lost.is_empty() {
        return Err(RecoverError::Done { epoch: now.epoch });
    }
    can_not_decide(now, |id| lost.contains(id))?;
    ask_others(known, (tls.node(), &lost), tls)?;

    let loss = known.loss(&lost);
    if loss.no_majority > 0.0 && !options.accept_loss {
        return Err(RecoverError::Loss { loss });
    }
    let recovered = known.later(now.recovered(&lost)?);
    Ok((recovered.map_err(RecoverError::Invalid)?, loss))
}

/// All members, by both maps.
fn members(now: &Configuration) -> Vec<&Member> {
    let target = now.change.iter().flat_map(|change| &change.target.members);
    let mut members: Vec<&Member> = now.map.members.iter().chain(target).collect();
    members.sort_by_key(|member| member.id);
    members.dedup_by_key(|member| member.id);
    members
}

/// Those that are not written off yet.
fn lost_members(
    now: &Configuration,
    node: NodeId,
    names: &[String],
) -> Result<Vec<NodeId>, RecoverError> {
    let members = members(now);
    let mut lost = Vec::with_capacity(names.len());
    for name in names {
        match members.iter().find(|member| member.name == *name) {
            Some(member) if member.id == node => {
                return Err(RecoverError::Own { name: name.clone() });
            }
            Some(member) if now.is_written_off(member.id) => {}
            Some(member) => lost.push(member.id),
            None => {
                return Err(RecoverError::NoMember {
                    name: name.clone(),
                    members: members.iter().map(|it| it.name.clone()).collect(),
                });
            }
        }
    }
    lost.sort_unstable();
    lost.dedup();
    Ok(lost)
}

/// Refuses a cluster whose voters are not lost but for a minority.
fn can_not_decide(
    now: &Configuration,
    is_lost: impl Fn(&NodeId) -> bool,
) -> Result<(), RecoverError> {
    let left: Vec<&NodeId> = now.voters.iter().filter(|it| !is_lost(it)).collect();
    if left.len() * 2 < now.voters.len() {
        return Ok(());
    }
    let members = members(now);
    let of_left = members.iter().filter(|it| left.contains(&&it.id));
    Err(RecoverError::CanDecide {
        left: of_left.map(|it| it.name.clone()).collect(),
    })
}

/// Every member that is left must answer, and know nothing newer; none that is lost may answer.
fn ask_others(
    known: &Known,
    (node, lost): (NodeId, &[NodeId]),
    tls: &NodeTls,
) -> Result<(), RecoverError> {
    let is_written_off = |id| known.configuration().is_written_off(id);
    let members = members(known.configuration());
    let others = members
        .iter()
        .filter(|it| it.id != node && !is_written_off(it.id));
    for member in others {
        let (name, is_lost) = (member.name.clone(), lost.contains(&member.id));
        let answer = newest_of(member, tls).map_err(RecoverError::System)?;
        let is_there = (answer.as_ref()).map_or_else(|it| it.is_there, |_epoch| true);
        match answer {
            _ if is_lost && is_there => return Err(RecoverError::Answers { name }),
            Ok(found) if Branch::of(found).is_foreign(Branch::of(known.epoch())) => {
                let known = known.epoch();
                return Err(RecoverError::OtherRecovery { name, found, known });
            }
            Ok(found) if found > known.epoch() => {
                let known = known.epoch();
                return Err(RecoverError::Newer { name, found, known });
            }
            Err(Unanswered { why, .. }) if !is_lost => {
                return Err(RecoverError::Silent { name, why });
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// The newest epoch that a member knows, or why that is not known.
fn newest_of(member: &Member, tls: &NodeTls) -> std::io::Result<Result<Epoch, Unanswered>> {
    let asked = vec![Asked {
        address: member.address.clone(),
        server_name: server_name(member.id),
    }];
    let mut newest = Err(Unanswered {
        is_there: false,
        why: "it was not asked".to_owned(),
    });
    let is_enough = |answer: Answer| {
        newest = answer.and_then(|answer| {
            epoch_of(answer).map_err(|why| Unanswered {
                is_there: true,
                why,
            })
        });
        true
    };
    let question = (Request::Membership(MembershipRequest::Join), DEADLINE);
    let dialer = Dialer::new(tls.client_config());
    block_on(async { ask_all(dialer, asked, question, is_enough).await })?;
    Ok(newest)
}

fn epoch_of(answer: Response) -> Result<Epoch, String> {
    let other = || "it answered something else".to_owned();
    let Response::Membership(answer) = answer else {
        return Err(other());
    };
    let MembershipAnswer::Welcome { configuration, .. } = *answer else {
        return Err(other());
    };
    match decode_answer(&configuration) {
        Ok(ConfigurationAnswer::Whole(configuration)) => Ok(configuration.epoch),
        Ok(ConfigurationAnswer::Update(_)) => Err(other()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::LeafBits;

    use super::*;
    use crate::Node;
    use crate::provision::{LocalCluster, LocalOptions};

    #[test]
    fn what_is_refused_leaves_a_disk_as_a_node_leaves_it_that_stops_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let options = LocalOptions {
            leaf_bits: LeafBits::new(12).unwrap(),
            nodes: 1,
            replication: 1,
            ..LocalOptions::default()
        };
        let cluster = LocalCluster::create_or_open(&folder.path().join("c"), &options).unwrap();
        let config = Config::load(&cluster.nodes()[0].config).unwrap();
        let node = Node::start(&config).unwrap();
        node.stop(DEADLINE).unwrap();
        let stopped = config.data.join("store").join("stopped");
        assert!(stopped.exists());

        let lost = RecoverOptions {
            lost: vec!["n9".to_owned()],
            accept_loss: true,
        };
        let refused = recover(&config, &lost).unwrap_err();
        assert!(
            matches!(refused, RecoverError::NoMember { .. }),
            "{refused}"
        );
        assert!(stopped.exists(), "its store was closed in order");
        Node::start(&config).unwrap().stop(DEADLINE).unwrap();
    }
}
