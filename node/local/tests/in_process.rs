//! A cluster in this process under an application's own client: cut off, slowed down, restarted, dropped.

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use quoit_client::Client;
    use quoit_local::{ClusterError, ClusterSettings, InProcessCluster};
    use quoit_node::provision::NewLocalNode;

    async fn client(cluster: &InProcessCluster) -> Client {
        let builder = Client::builder().profile(cluster.client_profile());
        builder.connect().await.unwrap()
    }

    #[tokio::test]
    async fn a_cut_node_is_missed_until_it_is_healed() {
        let settings = ClusterSettings::for_tests(3).proxied();
        let cluster = InProcessCluster::start(&settings).await.unwrap();
        let client = client(&cluster).await;
        cluster.proxy(1).unwrap().cut();
        assert!(client.put("k", "v").w(3).await.is_err());
        assert!(client.put("k", "v").await.is_ok());
        assert!(cluster.proxy(1).unwrap().counts().lost > 0);

        cluster.proxy(1).unwrap().heal();
        let begin = Instant::now();
        while client.put("k", "v").w(3).await.is_err() {
            assert!(begin.elapsed() < Duration::from_secs(25));
        }
        client.close().await;
        cluster.shut_down().await.unwrap();
    }

    #[tokio::test]
    async fn a_named_folder_keeps_its_data_and_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = ClusterSettings::for_tests(1);
        settings.local.replication = 1;
        settings.folder = Some(folder.path().join("cluster"));
        settings.node_settings = "max_hint_bytes = 0\n".to_owned();
        for written in [false, true] {
            let cluster = InProcessCluster::start(&settings).await.unwrap();
            assert!(matches!(
                cluster.proxy(0),
                Err(ClusterError::NoProxy { .. })
            ));
            let client = client(&cluster).await;
            assert_eq!(client.get("k").await.unwrap().is_absent(), !written);
            client.put("k", "v").await.unwrap();
            client.close().await;
            cluster.shut_down().await.unwrap();
        }
        let provisioned = folder.path().join("cluster/node-1/node.toml");
        let text = std::fs::read_to_string(provisioned).unwrap();
        assert!(!text.contains("max_hint_bytes"), "{text}");
    }

    #[tokio::test]
    async fn a_node_that_was_added_is_there_again_and_one_that_has_left_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = ClusterSettings::for_tests(2);
        settings.local.replication = 1;
        settings.folder = Some(folder.path().join("cluster"));
        let mut cluster = InProcessCluster::start(&settings).await.unwrap();
        let seeds: Vec<String> = cluster
            .local()
            .nodes()
            .iter()
            .map(|it| it.address.to_string())
            .collect();
        let name = cluster.local().free_name(|name| name == "node-3");
        assert_eq!(name, "node-4", "somebody else has the third");
        let mut new = NewLocalNode::new(&name, seeds);
        let (index, bundle) = cluster.add(new.clone()).await.unwrap();
        cluster.start_node(index).await.unwrap();
        new.zone = "b".into();
        let (again, other) = cluster.add(new).await.unwrap();
        assert_eq!(
            (again, other.node),
            (index, bundle.node),
            "it waits, and is taken up"
        );
        assert_eq!((other.address, other.zone.as_str()), (bundle.address, "b"));
        let first = NewLocalNode::new("node-1", vec!["h:1".into()]);
        assert!(
            cluster.add(first).await.is_err(),
            "that one is a first node"
        );

        cluster.retire(0).await.unwrap();
        let names = |cluster: &InProcessCluster| {
            let nodes = cluster.local().nodes().iter();
            nodes.map(|it| it.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&cluster), ["node-2", "node-4"]);
        let is_running = [0, 1].map(|node| cluster.is_running(node));
        assert_eq!((is_running, cluster.size()), ([true; 2], 2));
        cluster.shut_down().await.unwrap();

        let cluster = InProcessCluster::start(&settings).await.unwrap();
        assert_eq!(names(&cluster), ["node-2", "node-4"]);
        assert_eq!(
            cluster.local().free_name(|_| false),
            "node-3",
            "node-1 was there"
        );
        cluster.shut_down().await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_dropped_cluster() {
        let mut settings = ClusterSettings::for_tests(1);
        settings.local.replication = 1;
        let cluster = InProcessCluster::start(&settings).await.unwrap();
        let (profile, address) = (cluster.client_profile(), cluster.local().nodes()[0].address);
        drop(cluster);
        assert!(!profile.exists());
        std::net::UdpSocket::bind(address).unwrap();
    }
}
