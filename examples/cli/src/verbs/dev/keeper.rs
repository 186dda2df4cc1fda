//! What a running dev cluster does when its ring changes, whoever changes it.
//!
//! ```text
//!   socket, a question -----.                        .--> a node more, which waits to join
//!                           |--> one at a time --> Keeper
//!   every second, the epoch '                        '--> nodes that have left are stopped, for ever
//! ```
//!
//! The cluster itself says who has left: it was decided, and is never undone. So it makes no difference whether a node left
//! by `quoit dev remove`, by `quoit cluster leave`, or by a command that was stopped in mid-change. Profiles get the members'
//! addresses as seeds, since every first one may leave.

use std::time::Duration;

use quoit_client::{Client, MembershipError};
use quoit_local::{ClusterError, InProcessCluster};
use quoit_node::StartError;
use quoit_node::config::Durability;
use quoit_node::identity::IdentityError;
use quoit_node::provision::{Bundle, NewLocalNode};
use quoit_ring::change::Configuration;
use tokio::sync::{mpsc, oneshot};

use super::control::{Answer, Request};
use crate::change::edits::is_known;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// How often it looks who has left.
const EVERY: Duration = Duration::from_secs(1);
/// Seeds of a profile and of a node that joins; more would not help to find a cluster.
const MAX_SEEDS: usize = 16;

/// Something to do, with the newest that the cluster agrees on.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) now: Configuration,
    pub(super) asked: Option<(Request, oneshot::Sender<Answer>)>,
}

/// Looks at what the cluster agrees on, again and again.
pub(super) async fn look(client: &Client, tasks: mpsc::Sender<Task>) {
    let mut last = None;
    loop {
        // If no node answers, whoever uses the cluster notices.
        if let Ok(now) = client.configuration().await
            && last != Some(now.epoch)
        {
            last = Some(now.epoch);
            if tasks.send(Task { now, asked: None }).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Has the keeper answer a request.
pub(super) async fn answer(
    client: &Client,
    tasks: &mpsc::Sender<Task>,
    request: Request,
) -> Result<Answer, Failure> {
    let now = client
        .configuration()
        .await
        .map_err(|error: MembershipError| Failure::from(error))?;
    let (sender, receiver) = oneshot::channel();
    let stops = || Failure::new(Exit::TryLater, "this dev cluster is being stopped");
    let task = Task {
        now,
        asked: Some((request, sender)),
    };
    tasks.send(task).await.map_err(|_closed| stops())?;
    receiver.await.map_err(|_dropped| stops())
}

/// Has the nodes of this process.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) cluster: InProcessCluster,
    /// Over what the folder's files say, for this run.
    pub(super) durability: Option<Durability>,
    /// The nodes that have left and were stopped.
    pub(super) stopped: Vec<String>,
    pub(super) out: Output,
}

impl Keeper {
    /// Starts all nodes. One whose store says that it has left is none any more.
    pub(super) async fn start(&mut self) -> Result<(), ClusterError> {
        for node in 0..self.cluster.size() {
            self.apply_durability(node);
        }
        loop {
            let Err(error) = self.cluster.start_all().await else {
                return Ok(());
            };
            let left = match &error {
                ClusterError::Start { name, source } if has_left(source) => {
                    self.out.note(format!("{name} has left and is not started"));
                    self.position(name)
                }
                _ => None,
            };
            match left {
                Some(node) => self.cluster.retire(node).await?,
                None => return Err(error),
            }
        }
    }

    pub(super) async fn handle(&mut self, task: Task) {
        let Task { now, asked } = task;
        let left = self.settle(&now).await;
        let Some((request, reply)) = asked else {
            return;
        };
        let answer = match request {
            Request::Add { zone, weight } => self.add(zone, weight, &now).await,
            Request::Left { name } => match left {
                Ok(()) => self.left(&name, &now),
                Err(failure) => Err(failure),
            },
        };
        // Whoever asked may have gone.
        reply.send(answer.unwrap_or_else(Answer::from)).ok();
    }

    /// Stops the nodes that have left, and lets profiles lead to those that there are.
    async fn settle(&mut self, now: &Configuration) -> Result<(), Failure> {
        let mut result = Ok(());
        let mut node = 0;
        while let Some(local) = self.cluster.local().nodes().get(node) {
            if now.removed.binary_search(&local.id).is_err() {
                node += 1;
                continue;
            }
            let name = local.name.clone();
            let retired = self.cluster.retire(node).await;
            self.out.note(format!("{name} has left and is stopped"));
            self.stopped.push(name.clone());
            if let Err(error) = retired {
                let failure = Failure::from(error);
                self.out.warning(&failure.what);
                result = Err(failure);
                // It stays one of the nodes if that could not be noted.
                node = self.position(&name).map_or(node, |at| at + 1);
            }
        }
        let seeds = seeds(now);
        if let Err(error) = self.cluster.local().set_seeds(&seeds) {
            self.out.warning(&Failure::from(error).what);
        }
        result
    }

    fn left(&self, name: &str, now: &Configuration) -> Result<Answer, Failure> {
        if now.map.members.iter().any(|member| member.name == name) {
            let what = format!("{name} is a member: it has not left");
            return Err(Failure::new(Exit::Conflict, what).hint("nothing was stopped"));
        }
        Ok(Answer::Stopped {
            ran: self.stopped.iter().any(|it| it == name),
        })
    }

    /// A node that runs and is no member yet: one that waits already, or a new one.
    async fn add(
        &mut self,
        zone: Option<String>,
        weight: Option<u32>,
        now: &Configuration,
    ) -> Result<Answer, Failure> {
        let local = self.cluster.local();
        let is_waiting = |it: &&_| is_waiting(it, now);
        let name = match local.nodes().iter().find(is_waiting) {
            Some(node) => node.name.clone(),
            None => local.free_name(|name| now.map.members.iter().any(|it| it.name == name)),
        };
        let ordinary = NewLocalNode::new(&name, seeds(now));
        let new = NewLocalNode {
            zone: zone.unwrap_or_else(|| ordinary.zone.clone()),
            weight: weight.unwrap_or(ordinary.weight),
            ..ordinary
        };
        let (node, bundle) = self.cluster.add(new).await?;
        self.apply_durability(node);
        self.cluster.start_node(node).await?;
        let Bundle {
            name,
            address,
            zone,
            weight,
            ..
        } = bundle;
        self.out.note(format!("{name} runs at {address}, to join"));
        Ok(Answer::Waits {
            name,
            id: bundle.node.to_string(),
            address,
            zone,
            weight,
        })
    }

    fn apply_durability(&mut self, node: usize) {
        if let Some(durability) = self.durability {
            self.cluster.config_mut(node).durability = durability;
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        let mut nodes = self.cluster.local().nodes().iter();
        nodes.position(|node| node.name == name)
    }
}

/// Whether a node does not start since it was removed: its store says so, or its data directory.
const fn has_left(error: &StartError) -> bool {
    matches!(
        error,
        StartError::Removed { .. } | StartError::Identity(IdentityError::Removed { .. })
    )
}

fn is_waiting(node: &quoit_node::provision::LocalNode, now: &Configuration) -> bool {
    node.bundle.is_some() && !is_known(now, node.id)
}

fn seeds(now: &Configuration) -> Vec<String> {
    let members = now.map.members.iter().map(|it| it.address.clone());
    members.take(MAX_SEEDS).collect()
}
