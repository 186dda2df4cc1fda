//! Nodes that acknowledge before they sync, and lose power: a store is put back to what it was some writes ago, as a disk
//! has it that got nothing of them, and its node starts in another boot.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    use quoit_client::{Client, Consistency, NodeReport};
    use quoit_local::{ClusterSettings, InProcessCluster};
    use quoit_node::boot::{Boot, BootId};
    use quoit_node::config::Durability;
    use quoit_ring::wire::{Durability as Acks, NodeStatus, WarningKind};

    /// How long anything may take on a busy machine.
    const LONGEST: Duration = Duration::from_secs(60);

    struct World {
        cluster: InProcessCluster,
        client: Client,
        images: tempfile::TempDir,
        boots: u128,
    }

    impl World {
        async fn start() -> Self {
            let mut settings = ClusterSettings::for_tests(3);
            settings.local.durability = Durability::Buffered;
            let cluster = InProcessCluster::start(&settings).await.unwrap();
            let builder = Client::builder().profile(cluster.client_profile());
            let client = builder.connect().await.unwrap();
            for report in client.status().await {
                assert_eq!(report.status.unwrap().durability, Acks::Buffered);
            }
            Self {
                cluster,
                client,
                images: tempfile::tempdir().unwrap(),
                boots: 0,
            }
        }

        /// What a disk would have of a node after a loss of power now, if it got all; the node was killed for that.
        async fn take_image(&mut self, node: usize) -> PathBuf {
            self.cluster.crash(node).await;
            let image = self.images.path().join(node.to_string());
            copy(&self.store(node), &image);
            self.cluster.start_node(node).await.unwrap();
            image
        }

        fn store(&mut self, node: usize) -> PathBuf {
            self.cluster.config_mut(node).data.join("store")
        }

        /// A node's machine loses power, and with it all that the image has not.
        async fn lose_power(&mut self, node: usize, image: Option<&Path>) {
            self.cluster.crash(node).await;
            if let Some(image) = image {
                let store = self.store(node);
                std::fs::remove_dir_all(&store).unwrap();
                copy(image, &store);
            }
        }

        /// Starts it in a boot that has lasted for long.
        async fn boot(&mut self, node: usize) {
            self.boots += 1;
            let boot = Boot {
                id: Some(BootId(self.boots)),
                up: Duration::from_secs(3_600),
            };
            self.cluster.start_node_in(node, boot).await.unwrap();
        }

        async fn write(&self, prefix: &str, replicas: u8) {
            for key in keys(prefix) {
                let begin = Instant::now();
                while let Err(error) = self.client.put(key.clone(), key.clone()).w(replicas).await {
                    assert!(begin.elapsed() < LONGEST, "{key}: {error}");
                }
            }
        }

        /// Which nodes say that they are incomplete, by name.
        async fn incomplete(&self) -> Vec<String> {
            let reports = self.client.status().await;
            let says_so = |report: &&NodeReport| {
                let status = report.status.as_ref();
                status.is_ok_and(|status| kinds(status).contains(&WarningKind::Incomplete))
            };
            let incomplete = reports.iter().filter(says_so);
            incomplete
                .map(|report| report.member.name.clone())
                .collect()
        }

        /// Waits until this node alone says so; one that has just been started may not have been dialled again.
        async fn until_incomplete(&self, name: &str) {
            let begin = Instant::now();
            while self.incomplete().await != [name] {
                assert!(begin.elapsed() < LONGEST, "{:?}", self.incomplete().await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }

        /// Waits until all answer, and none says so.
        async fn until_complete(&self) {
            let begin = Instant::now();
            loop {
                let reports = self.client.status().await;
                let is_complete = |report: &NodeReport| match &report.status {
                    Ok(status) => !kinds(status).contains(&WarningKind::Incomplete),
                    Err(_) => false,
                };
                if reports.iter().all(is_complete) {
                    return;
                }
                assert!(begin.elapsed() < LONGEST, "{reports:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }

        async fn assert_readable(&self, prefix: &str, consistency: Consistency) {
            for key in keys(prefix) {
                let begin = Instant::now();
                loop {
                    match self.client.get(key.clone()).consistency(consistency).await {
                        Ok(value) => {
                            assert!(!value.is_absent(), "{key} is missed");
                            break;
                        }
                        Err(error) => assert!(begin.elapsed() < LONGEST, "{key}: {error}"),
                    }
                }
            }
        }
    }

    fn kinds(status: &NodeStatus) -> Vec<WarningKind> {
        let kinds = status.warnings.iter().map(|warning| warning.kind);
        kinds.collect()
    }

    fn keys(prefix: &str) -> impl Iterator<Item = String> {
        (0..30).map(move |number| format!("{prefix}-{number}"))
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let (path, to) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() {
                copy(&path, &to);
            } else {
                std::fs::copy(path, to).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn what_a_node_loses_with_its_power_is_never_missed_and_it_gets_it_back() {
        let mut world = World::start().await;
        world.write("old", 3).await;
        let image = world.take_image(0).await;
        world.write("all", 3).await;
        world.cluster.stop(2).await.unwrap();
        world.write("two", 2).await; // by the node that loses it, and one other

        world.lose_power(0, Some(&image)).await;
        world.cluster.stop(1).await.unwrap();
        world.cluster.start_node(2).await.unwrap();
        world.boot(0).await;
        world.until_incomplete("node-1").await;
        let mut errors = Vec::new();
        for key in keys("two") {
            match world.client.get(key.clone()).await {
                Ok(value) => assert!(!value.is_absent(), "{key} is missed"),
                Err(error) => errors.push(error.to_string()),
            }
        }
        assert!(
            errors.iter().any(|it| it.contains("incomplete")),
            "{errors:?}"
        );
        // The one replica that answers has it; the other would have said that there is none.
        world.assert_readable("all", Consistency::One).await;
        assert_eq!(
            world.incomplete().await,
            ["node-1"],
            "the third owner is away"
        );

        // A second loss in between leaves it incomplete, though nothing more is gone.
        world.lose_power(0, None).await;
        world.cluster.start_node(0).await.unwrap();
        world.until_incomplete("node-1").await;
        world.write("new", 2).await; // it takes writes

        world.cluster.start_node(1).await.unwrap();
        world.until_complete().await;
        world.cluster.stop(1).await.unwrap();
        world.cluster.stop(2).await.unwrap();
        for prefix in ["old", "all", "two", "new"] {
            world.assert_readable(prefix, Consistency::One).await;
        }
    }

    #[tokio::test]
    async fn a_cluster_that_loses_power_as_a_whole_completes_itself() {
        let mut world = World::start().await;
        world.write("old", 3).await;
        let image = world.take_image(0).await;
        world.write("two", 2).await;
        for (node, image) in [(0, Some(&*image)), (1, None), (2, None)] {
            world.lose_power(node, image).await;
        }
        for node in 0..3 {
            world.boot(node).await;
        }
        world.until_complete().await;
        for prefix in ["old", "two"] {
            world.assert_readable(prefix, Consistency::Quorum).await;
        }
    }

    #[tokio::test]
    async fn a_node_that_is_only_killed_has_lost_nothing() {
        let mut world = World::start().await;
        world.write("all", 3).await;
        for node in 0..3 {
            world.cluster.crash(node).await;
            world.cluster.start_node(node).await.unwrap();
        }
        assert_eq!(world.incomplete().await, [""; 0]);
        world.assert_readable("all", Consistency::One).await;
    }
}
