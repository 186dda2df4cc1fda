//! A cluster and its operator: what changes are proposed, how far they are, and where the rows lie.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use quoit_client::{Client, Proposed};
use quoit_integration_tests::cluster::{Clients as _, Cluster, ClusterError, program, settings};
use quoit_integration_tests::node_binary;
use quoit_local::NodeProgram;
use quoit_node::config::Durability;
use quoit_ring::change::{Arcs, Change, Configuration};
use quoit_ring::placement::Newcomer;
use quoit_ring::{ClusterMap, NodeId};
use tokio::time::{Instant, sleep};

/// Copies of each key.
const COPIES: usize = 3;
/// When something that should happen counts as hanging, on a busy machine.
const HANGING: Duration = Duration::from_secs(120);
/// What a node pulls at most in a slow change: some seconds for a thousand keys.
const SLOW: u32 = 160 << 10;
/// How long an answer may take with which a watcher sees how far a change is.
const GLANCE: Duration = Duration::from_millis(250);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(10);

/// A cluster whose ring changes, and an operator.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) operator: Client,
    /// An operator that looks on, and waits for no dead node.
    watcher: Client,
}

impl Scene {
    /// Starts a cluster whose acknowledged writes survive `kill -9`.
    pub(crate) async fn start(nodes: usize) -> Self {
        Self::start_with(nodes, "").await
    }

    /// The same with nodes that pull so slowly that there is time to strike while a change is under way.
    pub(crate) async fn start_slow(nodes: usize) -> Self {
        Self::start_with(nodes, &format!("transfer_bytes_per_second = {SLOW}\n")).await
    }

    async fn start_with(nodes: usize, lines: &str) -> Self {
        let mut options = settings(nodes);
        options.local.durability = Durability::Buffered;
        options.node_settings = lines.to_owned();
        let cluster = Cluster::start(program(node_binary!()), &options)
            .await
            .unwrap();
        let operator = || Client::builder().profile(cluster.local().admin_profile());
        let watcher = operator().deadline(GLANCE).connect().await.unwrap();
        Self {
            operator: operator().connect().await.unwrap(),
            watcher,
            cluster,
        }
    }

    /// Starts a node that waits to become a member.
    pub(crate) async fn newcomer(&mut self) -> Newcomer {
        self.newcomer_with(&[]).await
    }

    /// The same for one that pulls as slowly as the others.
    pub(crate) async fn slow_newcomer(&mut self) -> Newcomer {
        let rate = ("QUOIT_TRANSFER".into(), SLOW.to_string().into());
        self.newcomer_with(&[rate]).await
    }

    async fn newcomer_with(&mut self, variables: &[(OsString, OsString)]) -> Newcomer {
        let bundle = self.cluster.add_node().unwrap();
        let node = self.position(bundle.node);
        let set = |program: &mut NodeProgram| program.variables.extend_from_slice(variables);
        self.cluster.set_program(node, set);
        self.cluster.start_all().await.unwrap();
        bundle.newcomer()
    }

    /// Which node that is.
    pub(crate) fn position(&self, node: NodeId) -> usize {
        self.cluster.position(node).unwrap()
    }

    /// What the cluster agrees on.
    pub(crate) async fn now(&self) -> Configuration {
        self.operator.configuration().await.unwrap()
    }

    /// Has a change decided; returns the epoch that it begins with. `edit` makes the map after it out of the present one.
    pub(crate) async fn begin(&self, edit: impl FnOnce(&mut ClusterMap)) -> Configuration {
        let now = self.now().await;
        let mut target = now.map.clone();
        edit(&mut target);
        let next = now.begin(target.clone(), Arcs::FULL).unwrap();
        let proposed = self.operator.propose(&now, next.clone()).await.unwrap();
        // The nodes may have been quicker with the next step than the votes came back.
        assert!(
            !matches!(proposed, Proposed::Another(_)),
            "nobody else changes the ring"
        );
        next
    }

    /// Waits for the end of the change.
    pub(crate) async fn end(&self) -> Configuration {
        self.watch("the change is over", |now| now.change.is_none())
            .await
    }

    /// A whole change.
    pub(crate) async fn change(&self, edit: impl FnOnce(&mut ClusterMap)) -> Configuration {
        self.begin(edit).await;
        self.end().await
    }

    /// Waits until the change has come to its arc `arc`, and returns where it is; none if it is over. Looking takes up to some
    /// seconds while a member is dead, in which a change may end.
    pub(crate) async fn arc(&self, arc: u8) -> Option<u8> {
        let arc_of = |now: &Configuration| now.change.as_ref().map(|change| change.hand.arc());
        let now = self
            .watch("the change goes on", |now| {
                arc_of(now).is_none_or(|found| found >= arc)
            })
            .await;
        arc_of(&now)
    }

    /// Looks at what the cluster agrees on until that is as wanted.
    async fn watch(&self, what: &str, is_wanted: impl Fn(&Configuration) -> bool) -> Configuration {
        let mut found = None;
        until(what, async || {
            let now = self.watcher.configuration().await;
            found = now.ok().filter(&is_wanted); // on a busy machine perhaps none
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Waits until the members hold every copy of these keys, and no row besides.
    ///
    /// A node counts its rows when it starts, so all of them are started again. An owner that missed a write has it from a read:
    /// one that was dead, or late when a new epoch began.
    pub(crate) async fn until_rows_lie_where_they_belong(&mut self, keys: &[Bytes]) {
        let begin = Instant::now();
        loop {
            self.read_all_copies(keys).await;
            let (rows, wanted) = (self.rows().await, COPIES * keys.len());
            if rows == wanted as u64 {
                return;
            }
            let elapsed = begin.elapsed();
            assert!(elapsed < HANGING, "{rows} rows in place of {wanted}");
        }
    }

    /// Brings all copies up to date.
    async fn read_all_copies(&self, keys: &[Bytes]) {
        let client = self.cluster.client().await.unwrap();
        for key in keys {
            client.get(key.clone()).r(3).await.unwrap();
        }
        client.close().await;
    }

    /// Starts every member again, and counts the rows on their disks.
    async fn rows(&mut self) -> u64 {
        for member in self.now().await.map.members {
            let node = self.position(member.id);
            self.cluster.stop(node).await.unwrap();
            self.cluster.start_node(node).unwrap();
        }
        self.cluster.wait_until_ready().await.unwrap();

        let mut rows = 0;
        until("all rows are counted", async || {
            let reports = self.operator.status().await;
            let counted = reports.iter().map(|report| {
                let status = report.status.as_ref().ok()?;
                status.merkle_root.map(|_| status.summed_records)
            });
            let all: Option<Vec<u64>> = counted.collect();
            rows = all.iter().flatten().sum();
            all.is_some()
        })
        .await;
        rows
    }

    /// A client that knows what the node at `address` serves; none while that does not answer.
    pub(crate) async fn client_of(&self, address: &str) -> Option<Client> {
        let builder = self.cluster.client_builder().seeds([address]);
        builder.connect().await.ok()
    }

    /// Starts a node that has stopped, and waits until it ends by itself; how it does, and its log.
    pub(crate) async fn start_in_vain(&mut self, node: usize) -> (ExitStatus, String) {
        self.cluster.start_node(node).unwrap();
        let mut ended = None;
        until("the node ends", async || {
            match self.cluster.check() {
                Err(ClusterError::Ended {
                    node: which,
                    status,
                    ..
                }) if which == node => {
                    ended = Some(status);
                }
                other => other.unwrap(),
            }
            ended.is_some()
        })
        .await;
        (ended.unwrap(), self.cluster.log(node))
    }
}

/// Lets a member leave a map.
pub(crate) fn leave(map: &mut ClusterMap, node: NodeId) {
    map.members.retain(|member| member.id != node);
}

/// Who drives a change at once: the first voter that stays.
pub(crate) fn driver(now: &Configuration) -> NodeId {
    let Change { target, .. } = now.change.as_ref().unwrap();
    let stays = |node: &&NodeId| target.members.iter().any(|it| it.id == **node);
    *now.voters.iter().find(stays).unwrap()
}

/// Waits until `done` returns true, for [`HANGING`] at most.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !done().await {
        assert!(begin.elapsed() < HANGING, "still not: {what}");
        sleep(PAUSE).await;
    }
}
